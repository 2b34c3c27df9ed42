package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// broker is a broker that is measured: one of the two programs, with data in a folder of its own.
type broker struct {
	name string // kafka or weir
	dir  string
	port int

	control int // Kafka's controller port
	set     []string
	cmd     *exec.Cmd
	exited  chan struct{}
}

// kafkaVersion is the peer of all published figures.
const kafkaVersion = "4.3.1"

// both are settings of both brokers. A group that forms need not wait for members that may come: what is timed is the broker.
var both = []string{"group.initial.rebalance.delay.ms=0"}

// newBroker chooses ports and an empty folder, and formats it where that is needed, so that a start is only a start. What is set is
// key=value.
func newBroker(name, parent string, set ...string) (*broker, error) {
	dir, err := os.MkdirTemp(parent, name+"-")
	if err != nil {
		return nil, err
	}
	b := &broker{name: name, dir: dir, set: append(slices.Clone(both), set...)}
	for _, port := range []*int{&b.port, &b.control} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		*port = l.Addr().(*net.TCPAddr).Port
	}
	if name == "kafka" {
		if out, err := b.kafka("format").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("format: %w\n%s", err, out)
		}
	}
	return b, nil
}

func (b *broker) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

func (b *broker) kafka(what string) *exec.Cmd {
	args := []string{what, kafkaVersion, b.dir, strconv.Itoa(b.port), strconv.Itoa(b.control),
		// Deleted topics give their space back before the next run needs it.
		"log.segment.delete.delay.ms=1000"}
	return exec.Command("compat-tests/kafka/kafka.sh", append(args, b.set...)...)
}

// start runs the program; it returns before the broker is ready.
func (b *broker) start() error {
	if b.name == "kafka" {
		b.cmd = b.kafka("broker")
	} else {
		args := []string{"broker"}
		for _, set := range append([]string{fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d", b.port), "log.dirs=" + filepath.Join(b.dir, "data")}, b.set...) {
			args = append(args, "--set", set)
		}
		b.cmd = exec.Command("bin/weir", args...)
	}
	log, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	b.cmd.Stderr = log
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	b.cmd.SysProcAttr = diesWithParent
	if err := b.cmd.Start(); err != nil {
		return err
	}
	b.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		_, _ = io.Copy(io.Discard, bufio.NewReader(out)) // so that it never blocks
		_ = cmd.Wait()                                   // how it ended does not matter here
		close(exited)
	}(b.cmd, b.exited)
	return nil
}

// stop ends the process, with SIGKILL where clean is false, and waits.
func (b *broker) stop(clean bool) error {
	if b.cmd == nil {
		return nil
	}
	signal := syscall.SIGTERM
	if !clean {
		signal = syscall.SIGKILL
	}
	_ = b.cmd.Process.Signal(signal) // an error says that it is gone already
	select {
	case <-b.exited:
	case <-time.After(2 * time.Minute):
		_ = b.cmd.Process.Kill()
		return errors.New(b.name + " did not stop in two minutes")
	}
	b.cmd = nil
	return nil
}

// remove ends the process and deletes the data.
func (b *broker) remove() error {
	if err := b.stop(false); err != nil {
		return err
	}
	return os.RemoveAll(b.dir)
}

// alive is an error when the process has ended.
func (b *broker) alive() error {
	select {
	case <-b.exited:
		log, _ := os.ReadFile(filepath.Join(b.dir, "log"))
		return fmt.Errorf("%s ended: %v\n%s", b.name, b.cmd.ProcessState, log[max(0, len(log)-2000):])
	default:
		return nil
	}
}

// usage is processor seconds.
type usage struct{ user, system float64 }

func (u usage) sub(v usage) usage { return usage{u.user - v.user, u.system - v.system} }
func (u usage) total() float64    { return u.user + u.system }

const ticksASecond = 100 // of /proc, on every Linux

// cpu is what the process has used so far.
func (b *broker) cpu() (usage, error) {
	text, err := b.proc("stat")
	if err != nil {
		return usage{}, err
	}
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+2:]) // the name may hold blanks
	user, err := strconv.ParseFloat(fields[11], 64)
	if err != nil {
		return usage{}, err
	}
	system, err := strconv.ParseFloat(fields[12], 64)
	return usage{user / ticksASecond, system / ticksASecond}, err
}

// rss is the resident memory in MiB.
func (b *broker) rss() (float64, error) {
	text, err := b.proc("status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("no VmRSS")
}

// files is the number of open descriptors.
func (b *broker) files() (float64, error) {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.cmd.Process.Pid))
	return float64(len(list)), err
}

func (b *broker) proc(name string) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", b.cmd.Process.Pid, name))
	return string(text), err
}

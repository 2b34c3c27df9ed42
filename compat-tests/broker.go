package compat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Environment variables that choose the broker under test.
const (
	envBinary   = "WEIR_BIN"           // the binary; built into bin/weir of the repository where it is not set and not there
	envExternal = "WEIR_COMPAT_BROKER" // host:port of a broker that runs already; tests that stop their broker are skipped
	envKafka    = "WEIR_COMPAT_KAFKA"  // a version of Apache Kafka to run the tests against instead
)

// readyWithin bounds a start: far more than this broker needs, enough for Kafka on a busy machine.
const readyWithin = 90 * time.Second

var readyLine = regexp.MustCompile(`^ready: broker \d+ on PLAINTEXT://([^,\s]+),`)

// Broker is a broker under test. Its methods are for one goroutine at a time; Addr may be read by many.
type Broker struct {
	Addr string // host:port for clients; the same after a restart
	PID  int    // of the running process, 0 for one that is not ours

	kind     kind
	dir      string
	settings []string
	behind   bool   // clients come by another address, which is advertised
	control  string // Kafka's controller port
	cmd      *exec.Cmd
	exited   chan struct{} // closed when cmd has been waited for
}

type kind int

const (
	ownBinary kind = iota
	apacheKafka
	foreign
)

// Start runs a broker of the test's own on a free port of 127.0.0.1 with empty data, and stops it with the test. Settings are
// key=value in Kafka's names. Where a foreign broker is under test, the test is skipped.
func Start(t testing.TB, settings ...string) *Broker {
	t.Helper()
	if os.Getenv(envExternal) != "" {
		t.Skip("needs a broker of its own, and " + envExternal + " is set")
	}
	b, err := launch(t.TempDir(), settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.end()
		if t.Failed() {
			t.Logf("end of the broker's log:\n%s", b.logTail(40))
		}
	})
	return b
}

var shared struct {
	sync.Mutex
	broker *Broker
	all    []*Broker // that Main ends
	dirs   []string
}

// Shared is one broker for all tests of a package that neither stop nor configure it: started by the first who asks, stopped by
// Main.
func Shared(t testing.TB, settings ...string) *Broker {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.broker != nil {
		return shared.broker
	}
	if addr := os.Getenv(envExternal); addr != "" {
		shared.broker = &Broker{Addr: addr, kind: foreign}
	} else {
		shared.broker = keep(t, func(dir string) (*Broker, error) { return launch(dir, settings) })
	}
	return shared.broker
}

// SharedKafka starts Apache Kafka of that version, whatever broker is under test, for as long as the package's tests run.
func SharedKafka(t testing.TB, version string, settings ...string) *Broker {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	return keep(t, func(dir string) (*Broker, error) { return launchKafka(dir, version, settings) })
}

func keep(t testing.TB, start func(dir string) (*Broker, error)) *Broker {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-compat-")
	if err != nil {
		t.Fatal(err)
	}
	shared.dirs = append(shared.dirs, dir)
	b, err := start(dir)
	if err != nil {
		t.Fatal(err)
	}
	shared.all = append(shared.all, b)
	return b
}

// Main runs a package's tests and ends the shared brokers after them.
func Main(m *testing.M) {
	code := m.Run()
	for _, b := range shared.all {
		b.end()
		if code != 0 {
			fmt.Fprintf(os.Stderr, "end of the shared broker's log:\n%s\n", b.logTail(40))
		}
	}
	for _, dir := range shared.dirs {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// IsKafka says that Apache Kafka stands in for the broker under test.
func (b *Broker) IsKafka() bool { return b.kind == apacheKafka }

// Kill sends SIGKILL and waits until the process is gone.
func (b *Broker) Kill(t testing.TB) {
	t.Helper()
	if err := b.cmd.Process.Kill(); err != nil {
		t.Fatalf("kill -9: %v", err)
	}
	<-b.exited
}

// Stop sends SIGTERM, waits and demands exit code 0 (of this broker: a JVM answers a signal with 143).
func (b *Broker) Stop(t testing.TB) {
	t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
	select {
	case <-b.exited:
	case <-time.After(readyWithin):
		t.Fatal("still there long after SIGTERM")
	}
	if code := b.cmd.ProcessState.ExitCode(); code != 0 && b.kind == ownBinary {
		t.Fatalf("exit code %d after SIGTERM\n%s", code, b.logTail(20))
	}
}

// Restart starts the broker again on its port and data after Stop or Kill.
func (b *Broker) Restart(t testing.TB) {
	t.Helper()
	if err := b.run(); err != nil {
		t.Fatal(err)
	}
}

func (b *Broker) end() {
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Kill() // an error says that it is gone already
	<-b.exited
}

func launch(dir string, settings []string) (*Broker, error) {
	if version := os.Getenv(envKafka); version != "" {
		return launchKafka(dir, version, settings)
	}
	b := &Broker{Addr: "127.0.0.1:0", kind: ownBinary, dir: dir, settings: settings}
	if slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, "advertised.listeners=") }) {
		ports, err := freePorts(1) // the ready line says what is advertised
		if err != nil {
			return nil, err
		}
		b.Addr, b.behind = "127.0.0.1:"+ports[0], true
	}
	if _, err := Binary(); err != nil {
		return nil, err
	}
	return b, b.run()
}

func launchKafka(dir, version string, settings []string) (*Broker, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	b := &Broker{Addr: "127.0.0.1:" + ports[0], kind: apacheKafka, dir: dir, control: ports[1], settings: append([]string{version}, settings...)}
	return b, b.run()
}

// run starts the process and returns when it answers clients.
func (b *Broker) run() error {
	cmd, err := b.command()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(b.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stderr = log
	cmd.SysProcAttr = DieWithParent()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	ready, exited := make(chan string, 1), make(chan struct{})
	go func() {
		readOutput(stdout, ready)
		_ = cmd.Wait() // what it ended with is in ProcessState
		close(exited)
	}()
	b.cmd, b.exited, b.PID = cmd, exited, cmd.Process.Pid
	if err := b.awaitReady(ready); err != nil {
		b.end()
		return fmt.Errorf("%w\n%s", err, b.logTail(30))
	}
	return nil
}

func (b *Broker) command() (*exec.Cmd, error) {
	_, port, _ := net.SplitHostPort(b.Addr)
	if b.kind == apacheKafka {
		script, err := KafkaScript()
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(script, append([]string{"broker", b.settings[0], b.dir, port, b.control}, b.settings[1:]...)...)
		cmd.Env = append(os.Environ(), "KAFKA_HEAP=512M")
		return cmd, nil
	}
	binary, err := Binary()
	if err != nil {
		return nil, err
	}
	args := []string{"broker", "--set", "listeners=PLAINTEXT://127.0.0.1:" + port, "--set", "log.dirs=" + filepath.Join(b.dir, "data")}
	for _, s := range b.settings {
		args = append(args, "--set", s)
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = cleanEnv()
	return cmd, nil
}

// cleanEnv leaves out what the broker would read as configuration.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "KAFKA_") && !strings.HasPrefix(kv, "CLUSTER_ID=") {
			env = append(env, kv)
		}
	}
	return env
}

func (b *Broker) awaitReady(ready <-chan string) error {
	limit := time.After(readyWithin)
	if b.kind == ownBinary {
		select {
		case addr := <-ready:
			if !b.behind {
				b.Addr = addr
			}
			return nil
		case <-b.exited:
			return fmt.Errorf("the broker ended with %v before it was ready", b.cmd.ProcessState)
		case <-limit:
			return errors.New("no ready line from the broker")
		}
	}
	for {
		if answers(b.Addr) {
			return nil
		}
		select {
		case <-b.exited:
			return fmt.Errorf("the broker ended with %v before it was ready", b.cmd.ProcessState)
		case <-limit:
			return errors.New("the broker does not answer")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// answers asks for Metadata: a Kafka that has not registered yet accepts connections and names no broker.
func answers(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RequestRetries(0))
	if err != nil {
		return false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	response, err := request.RequestWith(ctx, client)
	return err == nil && len(response.Brokers) > 0
}

// readOutput reads the broker's standard output to its end, so that it never blocks, and reports the ready line.
func readOutput(out io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
			select {
			case ready <- m[1]:
			default:
			}
		}
	}
}

func (b *Broker) logFile() string { return filepath.Join(b.dir, "broker.log") }

// Log is all that the broker wrote to standard error since its first start.
func (b *Broker) Log() string {
	text, _ := os.ReadFile(b.logFile()) // an external broker has none
	return string(text)
}

func (b *Broker) logTail(lines int) string {
	all := strings.Split(strings.TrimRight(b.Log(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all are chosen, or they may be the same
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}

// Binary is the path of the broker under test, built first where there is none.
var Binary = sync.OnceValues(func() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	if path := os.Getenv(envBinary); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(root, "bin", "weir")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	build := exec.Command("go", "build", "-o", path, "./cmd/weir")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the broker: %w\n%s", err, out)
	}
	return path, nil
})

// Root is the repository's folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "compat-tests", "kafka", "kafka.sh")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not inside the repository")
		}
		dir = parent
	}
}

// KafkaScript is the path of kafka.sh.
func KafkaScript() (string, error) {
	root, err := Root()
	return filepath.Join(root, "compat-tests", "kafka", "kafka.sh"), err
}

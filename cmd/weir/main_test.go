package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be the command: with WEIR_TEST_ARGS set it runs that command line instead of the tests.
func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv("WEIR_TEST_ARGS"); ok {
		os.Exit(run(strings.Split(args, "\n"), process{out: os.Stdout, err: os.Stderr, environ: os.Environ()}))
	}
	os.Exit(m.Run())
}

// command is a command line as a process of its own. One that hangs is killed.
func command(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, os.Args[0])
	c.Env = append(os.Environ(), "WEIR_TEST_ARGS="+strings.Join(args, "\n"))
	return c
}

// output runs a command line that ends by itself.
func output(environ []string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(args, process{out: &o, err: &e, environ: environ})
	return code, o.String(), e.String()
}

func TestVersion(t *testing.T) {
	code, out, errs := output(nil, "version")
	if code != 0 || errs != "" || !regexp.MustCompile(`^weir \S+, as Apache Kafka 4\.4, go\S+ \w+/\w+\n$`).MatchString(out) {
		t.Errorf("%d %q %q", code, out, errs)
	}
}

func TestConfigPrint(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("num.partitions=3\nbroker.rack=a\\tb\nsasl.jaas.config=hush\nnope=1\nzookeeper.connect=z\nlog.dirs=/f\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"KAFKA_LOG_DIRS=/e", "KAFKA_NUM_IO_THREADS=5"}
	code, out, errs := output(environ, "config", "print", "--origin", "--config", file, "--set", "num.io.threads=6")
	if code != 0 {
		t.Fatal(code, errs)
	}
	for _, want := range []string{
		"num.partitions=3\t" + file, "log.dirs=/e\tKAFKA_LOG_DIRS", "num.io.threads=6\t--set", "log.retention.hours=168\tdefault",
		"#log.retention.ms=\tdefault", "#sasl.jaas.config=[hidden]\t" + file, `broker.rack=a\tb` + "\t" + file,
	} {
		if !strings.Contains("\n"+out, "\n"+want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	if strings.Contains(out+errs, "hush") {
		t.Error("a secret is printed")
	}
	if n := strings.Count(errs, "\n"); n != 3 || !strings.Contains(errs, "unknown key nope") || !strings.Contains(errs, "zookeeper.connect") ||
		!strings.Contains(errs, "warning: known, but without effect yet: sasl.jaas.config; known, but not needed here: num.io.threads\n") {
		t.Errorf("warnings: %q", errs)
	}
}

// What is printed without origins is a properties file that means the same.
func TestConfigPrintReadsBack(t *testing.T) {
	_, first, _ := output(nil, "config", "print", "--set", "num.partitions=7", "--set", `broker.rack=a\b c`)
	file := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	code, second, errs := output(nil, "config", "print", "--config", file)
	if code != 0 || errs != "" {
		t.Fatal(code, errs)
	}
	old := strings.Split(strings.Replace(first, "broker.id=-1", "broker.id=1", 1), "\n")
	for i, line := range strings.Split(second, "\n") {
		if line != old[i] {
			t.Errorf("%q became %q", old[i], line)
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"bad value", []string{"broker", "--set", "num.partitions=0"}, "weir: num.partitions=0: allowed is a whole number of at least 1 (set by --set)\n"},
		{"plain weir is a broker", []string{"--set", "num.partitions=0"}, "weir: num.partitions=0: allowed is a whole number of at least 1 (set by --set)\n"},
		{"TLS", []string{"broker", "--set", "listeners=SSL://:9093"}, "weir: listeners=SSL://:9093: allowed is PLAINTEXT only: SSL is not supported yet (set by --set)\n"},
		{"no such file", []string{"broker", "--config", "/no/such/file"}, "weir: open /no/such/file: no such file or directory\n"},
		{"no value", []string{"config", "print", "--set", "x"}, "weir: --set x: allowed is key=value\n"},
		{"unknown command", []string{"brokr"}, "weir: unknown command \"brokr\" for \"weir\"\n"},
		{"unknown flag", []string{"broker", "--port", "1"}, "weir: unknown flag: --port\n"},
		{"argument", []string{"broker", "x"}, "weir: unknown command \"x\" for \"weir broker\"\n"},
	}
	for _, test := range tests {
		code, out, errs := output(nil, test.args...)
		if code != 1 || out != "" || errs != test.want {
			t.Errorf("%s: exit %d, %q, %q, want %q", test.name, code, out, errs, test.want)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"broker", "--help"}, {"proxy", "--help"}, {"proxy", "check", "--help"}, {"config"}, {"config", "print", "-h"}} {
		code, out, errs := output(nil, args...)
		if code != 0 || errs != "" || !strings.Contains(out, "Usage:") {
			t.Errorf("%v: exit %d %q %q", args, code, out, errs)
		}
	}
}

// start starts a broker as a process of its own and returns when it has said that it is ready.
func start(t *testing.T, dir string) (c *exec.Cmd, ready string, rest io.Reader) {
	t.Helper()
	c = command(t, "broker", "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "log.dirs="+dir)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	ready, err = lines.ReadString('\n')
	if err != nil {
		t.Fatalf("no ready line: %v, %v", err, c.Wait())
	}
	return c, ready, lines
}

func TestReadyAndSignals(t *testing.T) {
	dir := t.TempDir()
	var cluster string
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		c, ready, rest := start(t, dir)
		m := regexp.MustCompile(`^ready: broker 1 on PLAINTEXT://127\.0\.0\.1:[1-9]\d*, cluster (\S{22}), data (\S+), \d+ ms\n$`).FindStringSubmatch(ready)
		if m == nil || m[2] != dir || cluster != "" && m[1] != cluster {
			t.Fatalf("ready line: %q", ready)
		}
		cluster = m[1]
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		more, _ := io.ReadAll(rest)
		if err := c.Wait(); err != nil || len(more) > 0 {
			t.Errorf("%v: %v, and on standard output %q", signal, err, more)
		}
	}
}

// A second broker on the same data is refused with one line, and the first does not notice.
func TestLockedDirectory(t *testing.T) {
	dir := t.TempDir()
	first, _, _ := start(t, dir)
	second := command(t, "broker", "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "log.dirs="+dir)
	var errs bytes.Buffer
	second.Stderr = &errs
	err := second.Run()
	lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
	if second.ProcessState.ExitCode() != 1 || !strings.HasPrefix(lines[len(lines)-1], "weir: ") || !strings.Contains(lines[len(lines)-1], dir) {
		t.Errorf("%v: %q", err, errs.String())
	}
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
}

// oneLine runs a broker that cannot start: exit 1, and nothing but one line, which has all of want.
func oneLine(t *testing.T, what string, args []string, want ...string) {
	t.Helper()
	c := command(t, append([]string{"broker"}, args...)...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	c.Run()
	text := errs.String()
	if c.ProcessState.ExitCode() != 1 || out.Len() > 0 || strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "weir: ") {
		t.Errorf("%s: exit %d, %q, %q", what, c.ProcessState.ExitCode(), out.String(), text)
	}
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s: %q does not say %q", what, text, w)
		}
	}
}

// What keeps a broker from starting is said in one line that names it.
func TestWhatKeepsItFromStarting(t *testing.T) {
	dir := t.TempDir()
	c, _, _ := start(t, dir)
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listen := "listeners=PLAINTEXT://127.0.0.1:0"
	oneLine(t, "taken port", []string{"--set", "listeners=PLAINTEXT://" + taken.Addr().String(), "--set", "log.dirs=" + t.TempDir()}, taken.Addr().String(), "address already in use")
	oneLine(t, "another broker's data", []string{"--set", listen, "--set", "log.dirs=" + dir, "--set", "node.id=2"}, dir, "belongs to broker 1")
	oneLine(t, "another cluster's data", []string{"--set", listen, "--set", "log.dirs=" + dir, "--set", "cluster.id=MkU3OEVBNTcwNTJENDM2Qg"}, dir, "belongs to cluster")
	oneLine(t, "a file", []string{"--set", listen, "--set", "log.dirs=" + file}, file, "not a directory")
	oneLine(t, "below a file", []string{"--set", listen, "--set", "log.dirs=" + filepath.Join(file, "data")}, file, "not a directory")
	oneLine(t, "several", []string{"--set", listen, "--set", "log.dirs=" + filepath.Join(file, "a") + "," + filepath.Join(file, "b")}, file, "none of the other 1")
	if os.Getuid() != 0 {
		locked := t.TempDir()
		if err := os.Chmod(locked, 0o500); err != nil {
			t.Fatal(err)
		}
		oneLine(t, "no permission", []string{"--set", listen, "--set", "log.dirs=" + filepath.Join(locked, "data")}, locked, "permission denied")
	}
}

// A second signal ends the process at once: here the first one's log line finds no room, so the orderly end never comes.
func TestSecondSignal(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	c := command(t, "broker", "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "log.dirs="+t.TempDir())
	c.Stderr = write
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	fill(t, int(write.Fd()))
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} { // two of a kind may arrive as one
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
	}
	c.Wait()
	if code := c.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) && code != 128+int(syscall.SIGINT) {
		t.Errorf("exit %d", code)
	}
}

// fill leaves no room in a pipe.
func fill(t *testing.T, fd int) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for n := 4096; n > 0; {
		if _, err := syscall.Write(fd, make([]byte, n)); err != nil {
			n /= 2
		}
	}
	if err := syscall.SetNonblock(fd, flags&unix.O_NONBLOCK != 0); err != nil {
		t.Fatal(err)
	}
}

package tools

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	compat "weir-compat"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew; only with Apache Kafka under test")

// transcript is what tools print, one after the other, with what differs from run to run taken out. It must equal what they printed
// against Apache Kafka, which is in testdata.
type transcript struct {
	t     *testing.T
	b     *compat.Broker
	jvm   *jvm // for tool
	text  strings.Builder
	names []string // old, new, ...: as strings.NewReplacer takes them
}

var (
	clock     = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d+ `)
	memberID  = regexp.MustCompile(` [\w-]*[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12} | [A-Za-z0-9_-]{22} `)
	someSpace = regexp.MustCompile(`[ \t]+`)
)

// tool runs one of Kafka's tools and keeps what it printed, whatever its exit code. Lines are sorted: their order is not the broker's.
func (x *transcript) tool(class string, args ...string) {
	x.t.Helper()
	r := x.jvm.run(x.b, class, args...)
	x.note(class[strings.LastIndexByte(class, '.')+1:]+" "+strings.Join(args, " "), r.stdout+"\n"+r.stderr)
}

// note keeps a text under a heading.
func (x *transcript) note(heading, text string) {
	clean := func(s string) string {
		s = strings.NewReplacer(append(x.names, x.b.Addr, "ADDRESS")...).Replace(s)
		return memberID.ReplaceAllString(someSpace.ReplaceAllString(s, " "), " ID ")
	}
	var lines []string
	for line := range strings.Lines(clock.ReplaceAllString(text, "")) {
		if line = strings.TrimSpace(clean(line)); line != "" && !strings.HasPrefix(line, "at ") {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	x.text.WriteString("$ " + clean(heading) + "\n")
	for _, line := range lines {
		x.text.WriteString("  " + line + "\n")
	}
}

// check compares with testdata/name.
func (x *transcript) check(name string) {
	x.t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if !x.b.IsKafka() {
			x.t.Fatal("-rewrite: only what Apache Kafka says is right (WEIR_COMPAT_KAFKA)")
		}
		if err := os.WriteFile(path, []byte(x.text.String()), 0o644); err != nil {
			x.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		x.t.Fatal(err)
	}
	parts := func(s string) []string { return strings.SplitAfter(s, "\n$ ") }
	got, wanted := parts(x.text.String()), parts(string(want))
	for i := range min(len(got), len(wanted)) {
		if got[i] != wanted[i] {
			x.t.Errorf("%s:\n%s\nwant:\n%s", name, got[i], wanted[i])
		}
	}
	if len(got) != len(wanted) {
		x.t.Errorf("%s: %d parts, want %d", name, len(got), len(wanted))
	}
}

// jvm runs Kafka's tools one after the other, by kafka/Tools.java.
type jvm struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func startJVM(t *testing.T) *jvm {
	t.Helper()
	script, err := compat.KafkaScript()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script, "tool", filepath.Join(filepath.Dir(script), "Tools.java"))
	cmd.Stderr = os.Stderr // before it runs the first tool
	cmd.SysProcAttr = compat.DieWithParent()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // an error says that it is gone already
		_ = cmd.Wait()
	})
	return &jvm{t, in, bufio.NewReader(out)}
}

// run is tryTool in this JVM.
func (j *jvm) run(b *compat.Broker, class string, args ...string) result {
	j.t.Helper()
	line := strings.Join(append([]string{class, "--bootstrap-server", b.Addr}, args...), "\t")
	if _, err := io.WriteString(j.in, line+"\n"); err != nil {
		j.t.Fatalf("%s: %v", line, err)
	}
	var code, stdout, stderr int
	if _, err := fmt.Fscanf(j.out, "%d %d %d\n", &code, &stdout, &stderr); err != nil {
		j.t.Fatalf("%s: %v", line, err)
	}
	text := make([]byte, stdout+stderr)
	if _, err := io.ReadFull(j.out, text); err != nil {
		j.t.Fatalf("%s: %v", line, err)
	}
	return result{string(text[:stdout]), string(text[stdout:]), code}
}

// process is a tool that runs beside the test and prints JSON lines.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	events chan map[string]any // closed at its end
	stderr strings.Builder
	exited bool
}

// startTool starts one of Kafka's tools.
func startTool(t *testing.T, b *compat.Broker, class string, args ...string) *process {
	t.Helper()
	script, err := compat.KafkaScript()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(script, append([]string{"tool", class, "--bootstrap-server", b.Addr}, args...)...), events: make(chan map[string]any, 10_000)}
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = compat.DieWithParent()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.events)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var event map[string]any
			if json.Unmarshal(lines.Bytes(), &event) == nil {
				p.events <- event
			}
		}
	}()
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

// end sends a signal and waits for the end.
func (p *process) end(signal syscall.Signal) {
	if p.exited {
		return
	}
	p.exited = true
	_ = p.cmd.Process.Signal(signal) // an error says that it is gone already
	for range p.events {
	}
	_ = p.cmd.Wait() // it was killed
}

// until reads events up to one that ok takes.
func (p *process) until(what string, ok func(event map[string]any) bool) {
	p.t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		select {
		case event, more := <-p.events:
			if !more {
				p.t.Fatalf("the tool has ended before %s\n%s", what, p.stderr.String())
			}
			if ok(event) {
				return
			}
		case <-limit:
			p.t.Fatalf("after two minutes: not so that %s", what)
		}
	}
}

package tools

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"

	compat "weir-compat"
)

func TestMain(m *testing.M) { compat.Main(m) }

// result is how a program ended.
type result struct {
	stdout, stderr string
	code           int
}

// run waits for a program to end, whatever its exit code.
func run(t *testing.T, stdin io.Reader, name string, args ...string) result {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if _, ended := err.(*exec.ExitError); !ended {
			t.Fatal(err)
		}
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// kcat runs kcat against b and fails the test when it fails.
func kcat(t *testing.T, b *compat.Broker, stdin io.Reader, args ...string) string {
	t.Helper()
	r := run(t, stdin, "kcat", append([]string{"-b", b.Addr}, args...)...)
	if r.code != 0 {
		t.Fatalf("kcat %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return r.stdout
}

// tryTool runs one of Kafka's tools with --bootstrap-server.
func tryTool(t *testing.T, b *compat.Broker, stdin io.Reader, class string, args ...string) result {
	t.Helper()
	script, err := compat.KafkaScript()
	if err != nil {
		t.Fatal(err)
	}
	return run(t, stdin, script, append([]string{"tool", class, "--bootstrap-server", b.Addr}, args...)...)
}

// tool is tryTool for a run that must succeed; it returns what was written to standard output.
func tool(t *testing.T, b *compat.Broker, stdin io.Reader, class string, args ...string) string {
	t.Helper()
	r := tryTool(t, b, stdin, class, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", class, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// refused is tryTool for a run that must fail and say why.
func refused(t *testing.T, b *compat.Broker, why, class string, args ...string) {
	t.Helper()
	r := tryTool(t, b, nil, class, args...)
	if r.code == 0 || !strings.Contains(r.stdout+r.stderr, why) {
		t.Errorf("%s %s: exit code %d, want a failure with %q\n%s%s", class, strings.Join(args, " "), r.code, why, r.stdout, r.stderr)
	}
}

// contains fails the test unless text has each of the parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in:\n%s", p, text)
		}
	}
}

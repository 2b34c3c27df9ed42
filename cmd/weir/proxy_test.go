package main

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func TestProxyErrors(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(bad, []byte("clusters:\n- upstream: [\"a:1\"]\n  listen: :1\n  listn: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"proxy"}, "weir: proxy needs --upstream host:port or --config FILE\n"},
		{[]string{"proxy", "--upstream", "x"}, `weir: cluster "": upstream "x": allowed is host:port` + "\n"},
		{[]string{"proxy", "--config", "/none"}, "weir: open /none: no such file or directory\n"},
		{[]string{"proxy", "--config", bad, "--single"}, "weir: --single does not go with --config: it belongs in the file\n"},
		{[]string{"proxy", "check", bad}, "weir: " + bad + `:4: unknown key "listn": allowed are name, upstream, listen, mode, base-port, advertise, pass-unknown, tls, upstream-tls, filters` + "\n"},
	} {
		code, out, errs := output(nil, test.args...)
		if code != 1 || out != "" || errs != test.want && !strings.HasPrefix(errs, strings.TrimSuffix(test.want, "\n")) {
			t.Errorf("%v: exit %d, %q, %q", test.args, code, out, errs)
		}
	}
}

// A proxy as a process: it says when it is ready, reads its file again on SIGHUP and when it changes, keeps what it has when the file is
// wrong, and ends on a signal.
func TestProxyProcess(t *testing.T) {
	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.Close()
	config := filepath.Join(t.TempDir(), "p.yaml")
	save := func(filters string) {
		t.Helper()
		text := "clusters:\n- name: c\n  upstream: [\"" + upstream.Addr().String() + "\"]\n  listen: 127.0.0.1:0\n" + filters
		if err := os.WriteFile(config+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(config+".new", config); err != nil {
			t.Fatal(err)
		}
	}
	save("")
	if code, out, errs := output(nil, "proxy", "check", config); code != 0 || out != config+": ok\n" || errs != "" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	c := command(t, "proxy", "--config", config)
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ready, err := bufio.NewReader(stdout).ReadString('\n')
	m := regexp.MustCompile(`^ready: proxy c on (127\.0\.0\.1:\d+) for 127\.0\.0\.1:\d+, \d+ ms\n$`).FindStringSubmatch(ready)
	if err != nil || m == nil {
		t.Fatalf("%q %v", ready, err)
	}
	lines := bufio.NewReader(stderr)
	says := func(want string) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("no line with %q: %v", want, err)
			}
			if strings.Contains(line, want) {
				return
			}
		}
	}
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	says("the configuration was read again")
	save("  filters: [read-only]\n")
	says("the configuration was read again")
	save("  filters: [nope]\n")
	says("the configuration stays as it is")
	nc, err := net.Dial("tcp", m[1])
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	says("stopping")
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

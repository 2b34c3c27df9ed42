package compat

import (
	"bufio"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var proxyReady = regexp.MustCompile(`^ready: proxy on (\S+) for `)

// startProxy puts a proxy in front of a broker, as a process, and returns its address.
func startProxy(t *testing.T, upstream string, flags ...string) string {
	t.Helper()
	binary, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, append([]string{"proxy", "--upstream", upstream, "--listen", "127.0.0.1:0"}, flags...)...)
	cmd.SysProcAttr = DieWithParent()
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
	line, err := bufio.NewReader(out).ReadString('\n')
	m := proxyReady.FindStringSubmatch(line)
	if err != nil || m == nil {
		t.Fatalf("no ready line: %q, %v", line, err)
	}
	return m[1]
}

// Stock clients write and read through the proxy, in both modes, and a broker is seen under no other address.
func TestProxyClients(t *testing.T) {
	b := Shared(t)
	for _, mode := range [][]string{nil, {"--single"}} {
		through := &Broker{Addr: startProxy(t, b.Addr, mode...), kind: foreign}
		for _, c := range Clients() {
			topic := CreateTopic(t, through, 3)
			sent := mixed(300, 3)
			Produce(t, c, through.Addr, topic, Options{Codec: "zstd"}, sent)
			checkRead(t, through, topic, sent, 3)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(through.Addr))
		if err != nil {
			t.Fatal(err)
		}
		m, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		for _, seen := range m.Brokers {
			if addr := fmt.Sprintf("%s:%d", seen.Host, seen.Port); addr == b.Addr {
				t.Errorf("a client was told %s, which is upstream", addr)
			}
		}
		client.Close()
	}
}

// The client's own suite passes through the proxy, in both modes, as far as without.
func TestProxyFranzSuite(t *testing.T) {
	b := Start(t, "group.consumer.heartbeat.interval.ms=1000", "group.consumer.min.heartbeat.interval.ms=1000")
	var names []string
	list := readSuiteList(t)
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if list[name] == "pass" {
			names = append(names, name)
		}
	}
	for _, mode := range [][]string{nil, {"--single"}} {
		for name, r := range runSuite(t, startProxy(t, b.Addr, mode...), names) {
			if r.action != "pass" {
				t.Errorf("%v %s: %s\n%s", mode, name, r.action, r.tail())
			}
		}
	}
}

package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
	"weir/security"
	"weir/security/securitytest"
)

func loadTLS(t *testing.T, f security.TLSFiles) *security.TLS {
	t.Helper()
	x, err := security.LoadTLS(f)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// secure is a client's connection with TLS, for a server of a name.
func secure(t *testing.T, addr, name string, ca string, with *security.TLS) *client {
	t.Helper()
	c := dial(t, addr)
	cfg := with.Client(name)
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			t.Fatal(err)
		}
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM(pem)
	}
	c.Conn = tls.Client(c.Conn, cfg)
	return c
}

// TLS on both sides, with certificates of both; records pass through it, and who has no certificate is refused.
func TestTLSBothSides(t *testing.T) {
	dir := t.TempDir()
	ca := securitytest.NewCA(t, dir, "ca")
	cert, key := ca.Issue(t, "server", "127.0.0.1", "proxy.test")
	clientCert, clientKey := ca.Issue(t, "alice")
	proxyCert, proxyKey := ca.Issue(t, "proxy")
	server := loadTLS(t, security.TLSFiles{Cert: cert, Key: key, CA: ca.File})
	cfg, err := server.Server()
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t)
	plain := f.l
	f.l = tls.NewListener(plain, cfg)
	f.answer = echo
	f.run(t)
	_, port, _ := net.SplitHostPort(plain.Addr().String())
	seen := make(chan filter.Exchange, 100)
	watch := hooks{{Key: filter.EveryKey, After: func(x *filter.Exchange) { seen <- *x }}}
	// The certificate is for names: localhost is not one of them, so upstream is told by the name that it has.
	p, l := start(t, Cluster{TLS: server, UpstreamTLS: loadTLS(t, security.TLSFiles{Cert: proxyCert, Key: proxyKey, CA: ca.File}), Filters: []filter.Filter{watch}}, "127.0.0.1:"+port)
	good := secure(t, p.Addr(), "proxy.test", ca.File, loadTLS(t, security.TLSFiles{Cert: clientCert, Key: clientKey}))
	_, err = good.try(ids(3))
	if err == nil {
		t.Error("an upstream whose certificate has no address was taken")
	}
	if !strings.Contains(l.String(), "TLS with 127.0.0.1:") {
		t.Error(l)
	}
	p.cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
	}
	if err := p.Reload([]Cluster{{Upstream: []string{"proxy.test:9"}, Listen: "127.0.0.1:0", BasePort: -1, TLS: server, UpstreamTLS: loadTLS(t, security.TLSFiles{Cert: proxyCert, Key: proxyKey, CA: ca.File}), Filters: []filter.Filter{watch}}}); err != nil {
		t.Fatal(err)
	}
	good = secure(t, p.Addr(), "proxy.test", ca.File, loadTLS(t, security.TLSFiles{Cert: clientCert, Key: clientKey}))
	for _, n := range []int{0, 10, 1000, 100_000, 3_000_000} {
		if r := good.ask(produce(1, n)).(*kmsg.ProduceResponse); r.Topics[0].Partitions[0].BaseOffset != int64(n) {
			t.Errorf("%+v", r)
		}
	}
	if x := <-seen; x.Client.Principal != "User:CN=alice" {
		t.Errorf("%+v", x.Client)
	}
	if r, err := secure(t, p.Addr(), "proxy.test", ca.File, loadTLS(t, security.TLSFiles{})).try(ids(1)); err == nil {
		t.Errorf("without a certificate: %+v", r)
	}
	if r, err := dial(t, p.Addr()).try(ids(1)); err == nil {
		t.Errorf("without TLS: %+v", r)
	}
}

// One port, and the name in the TLS hello says which broker.
func TestSNI(t *testing.T) {
	dir := t.TempDir()
	ca := securitytest.NewCA(t, dir, "ca")
	cert, key := ca.Issue(t, "server", "kafka.test", "*.kafka.test")
	server := loadTLS(t, security.TLSFiles{Cert: cert, Key: key})
	all := trio(t)
	p, l := start(t, Cluster{SNI: true, Advertise: "kafka.test", TLS: server}, all[0].addr())
	none := loadTLS(t, security.TLSFiles{})
	m := secure(t, p.Addr(), "kafka.test", ca.File, none).ask(version(kmsg.NewPtrMetadataRequest(), 12)).(*kmsg.MetadataResponse)
	if len(m.Brokers) != 3 {
		t.Fatalf("%+v", m.Brokers)
	}
	_, port, _ := net.SplitHostPort(p.Addr())
	for i, b := range m.Brokers {
		if b.Host != fmt.Sprintf("b%d.kafka.test", i+1) || fmt.Sprint(b.Port) != port {
			t.Errorf("%+v", b)
		}
		g := secure(t, p.Addr(), b.Host, ca.File, none).ask(version(kmsg.NewPtrListGroupsRequest(), 4)).(*kmsg.ListGroupsResponse)
		if len(g.Groups) != 1 || g.Groups[0].Group != fmt.Sprint("g", i+1) {
			t.Errorf("%+v", g)
		}
	}
	for _, name := range []string{"b9.kafka.test", "bx.kafka.test", "b.kafka.test", "x1.kafka.test"} {
		if r, err := secure(t, p.Addr(), name, ca.File, none).try(version(kmsg.NewPtrListGroupsRequest(), 4)); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
		if !strings.Contains(l.String(), name) {
			t.Errorf("no line about %s", name)
		}
	}
}

// Connections live through a reload; their next request meets the new filters, and new connections the new upstream.
func TestReload(t *testing.T) {
	a, b := newFake(t), newFake(t)
	for i, f := range []*fake{a, b} {
		f.answer = func(h protocol.Header, req kmsg.Request) kmsg.Response {
			return &initResponse{Version: 4, ProducerID: int64(i + 1)}
		}
		f.run(t)
	}
	p, _ := start(t, Cluster{Name: "one"}, a.addr())
	c := dial(t, p.Addr())
	answered := func(c *client) int64 { t.Helper(); return c.ask(ids(1)).(*initResponse).ProducerID }
	if got := answered(c); got != 1 {
		t.Error(got)
	}
	addr := p.Addr()
	tenfold := hooks{filter.OnResponse(func(_ *filter.Exchange, r *initResponse) error { r.ProducerID *= 10; return nil })}
	one := Cluster{Name: "one", Listen: "127.0.0.1:0", Upstream: []string{b.addr()}, Filters: []filter.Filter{tenfold}}
	two := Cluster{Name: "two", Listen: "127.0.0.1:0", Upstream: []string{b.addr()}}
	if err := p.Reload([]Cluster{one, two}); err != nil {
		t.Fatal(err)
	}
	if p.Addr() != addr {
		t.Error("the address has changed")
	}
	if got := answered(c); got != 10 {
		t.Error(got)
	}
	if got := answered(dial(t, p.Addr())); got != 20 {
		t.Error(got)
	}
	if err := p.Reload([]Cluster{one, {Name: "bad"}}); err == nil {
		t.Error("a cluster without upstream was taken")
	}
	if got := answered(dial(t, p.Addr())); got != 20 {
		t.Error(got)
	}
	if err := p.Reload([]Cluster{two}); err != nil { // one is no more: its connections go on, there are no new ones
		t.Fatal(err)
	}
	if got := answered(c); got != 10 {
		t.Error(got)
	}
	if nc, err := net.Dial("tcp", addr); err == nil {
		nc.Close()
		t.Error("a cluster that is no more takes connections")
	}
}

// What cannot be is said before anything is opened.
func TestConfigs(t *testing.T) {
	ok := Cluster{Name: "a", Upstream: []string{"h:1"}, Listen: "127.0.0.1:0"}
	with := func(f func(*Cluster)) []Cluster { c := ok; f(&c); return []Cluster{c} }
	for want, clusters := range map[string][]Cluster{
		"no cluster":                     nil,
		"both listen on 127.0.0.1:29092": append(with(func(c *Cluster) { c.Listen = "127.0.0.1:29092" }), with(func(c *Cluster) { c.Name, c.Listen = "b", "127.0.0.1:29092" })...),
		"two clusters of the name":       {ok, ok},
		"no upstream address":            with(func(c *Cluster) { c.Upstream = nil }),
		`upstream "h"`:                   with(func(c *Cluster) { c.Upstream = []string{"h"} }),
		`upstream ":1"`:                  with(func(c *Cluster) { c.Upstream = []string{":1"} }),
		`upstream "h:0"`:                 with(func(c *Cluster) { c.Upstream = []string{"h:0"} }),
		`listen "x"`:                     with(func(c *Cluster) { c.Listen = "x" }),
		"base port 70000":                with(func(c *Cluster) { c.BasePort = 70000 }),
		"exclude each other":             with(func(c *Cluster) { c.Single, c.SNI = true, true }),
		"sni needs TLS":                  with(func(c *Cluster) { c.SNI = true }),
	} {
		if _, err := Start(Config{Clusters: clusters}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

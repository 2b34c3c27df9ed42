package membership

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// plain are streams without any handshake.
type plain struct {
	l   net.Listener
	out chan net.Conn
}

func (p *plain) Streams() <-chan net.Conn { return p.out }

func (p *plain) Dial(to string, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", to, timeout)
}

// host is one process of a test.
type host struct {
	*Membership
	streams *plain
	packets net.PacketConn
	failed  chan Member
}

// newHost starts membership on a free port; seeds are others.
func newHost(t testing.TB, node int32, cluster, key string, seeds ...*host) *host {
	t.Helper()
	h := &host{failed: make(chan Member, 100)}
	for range 20 { // the same number has to be free for both
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			l.Close()
			continue
		}
		h.streams, h.packets = &plain{l, make(chan net.Conn)}, p
		break
	}
	go func() {
		for {
			nc, err := h.streams.l.Accept()
			if err != nil {
				return
			}
			h.streams.out <- nc
		}
	}()
	addr := h.streams.l.Addr().(*net.TCPAddr)
	m, err := Start(Config{
		Self:    Member{Node: node, Incarnation: fmt.Sprintf("i%d-%d", node, addr.Port), Address: addr.String(), Rack: "r", Version: "1"},
		Cluster: cluster, Key: []byte(key), Streams: h.streams, Packets: []net.PacketConn{h.packets}, IP: addr.IP, Port: addr.Port,
		Seeds: func() (out []string) {
			for _, s := range seeds {
				out = append(out, net.JoinHostPort("localhost", strconv.Itoa(s.streams.l.Addr().(*net.TCPAddr).Port)))
			}
			return out
		},
		Failed: func(m Member) { h.failed <- m }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Membership = m
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { h.streams.l.Close(); m.Close() }) })
	return h
}

// sees waits until a host knows a node to be alive, or not to be.
func (h *host) sees(t testing.TB, node int32, want bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(20 * time.Second); ; <-tick.C {
		if _, ok := h.Address(node); ok == want {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("node %d: alive should be %t; %+v", node, want, h.Members())
		}
	}
}

func TestMembersFindEachOtherAndNoticeALoss(t *testing.T) {
	a := newHost(t, 1, "c", "0123456789abcdef")
	b := newHost(t, 2, "c", "0123456789abcdef", a)
	c := newHost(t, 3, "c", "0123456789abcdef", b)
	for _, h := range []*host{a, b, c} {
		for node := int32(1); node <= 3; node++ {
			h.sees(t, node, true)
		}
	}
	if at, _ := a.Address(3); at != c.streams.l.Addr().String() {
		t.Errorf("node 3 is said to be at %s", at)
	}
	c.streams.l.Close() // as if the host had gone: nobody says goodbye
	c.packets.Close()
	if m := <-a.failed; m.Node != 3 || m.Status != Failed || m.Incarnation == "" {
		t.Errorf("failed: %+v", m)
	}
	a.sees(t, 3, false)
	// Another process of the same node is another member.
	again := newHost(t, 3, "c", "0123456789abcdef", a)
	a.sees(t, 3, true)
	if at, _ := a.Address(3); at != again.streams.l.Addr().String() {
		t.Errorf("node 3 is said to be at %s", at)
	}
}

func TestWhoSaysGoodbyeHasNotFailed(t *testing.T) {
	a := newHost(t, 1, "c", "")
	b := newHost(t, 2, "c", "", a)
	a.sees(t, 2, true)
	b.Close()
	a.sees(t, 2, false)
	if len(a.failed) > 0 {
		t.Errorf("failed: %+v", <-a.failed)
	}
}

// Another cluster, or another key, stays apart whoever asks.
func TestStrangersStayApart(t *testing.T) {
	for _, other := range []struct{ cluster, key string }{{"d", "0123456789abcdef"}, {"c", "fedcba9876543210"}, {"c", ""}} {
		a := newHost(t, 1, "c", "0123456789abcdef")
		stranger := newHost(t, 2, other.cluster, other.key, a)
		friend := newHost(t, 3, "c", "0123456789abcdef", a) // when it is there, the stranger could be
		if _, err := stranger.serf.Join([]string{a.streams.l.Addr().String()}, true); err == nil {
			t.Errorf("%+v joins", other)
		}
		a.sees(t, 3, true)
		friend.sees(t, 1, true)
		a.sees(t, 2, false)
		stranger.sees(t, 1, false)
	}
}

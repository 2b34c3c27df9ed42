package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/api"
	"weir/config"
	"weir/protocol"
)

// served is a server with handlers of the test's own.
type served struct {
	*server
	l net.Listener
}

// serveRows serves rows on a loopback port until the test ends.
func serveRows(t *testing.T, rows map[int16]api.Handler) *served {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &server{api: &api.Server{}, log: slog.New(slog.DiscardHandler), now: time.Now, mem: newMemory(64 << 20), maxFrame: 8 << 20, quotas: newQuotas(limitsOf(&config.Layers{}, nil), time.Now), ctx: ctx, cancel: cancel,
		conns: map[*conn]struct{}{}, rows: make([]*api.Entry, 100)}
	for key, h := range rows {
		a, _ := protocol.Lookup(key)
		s.rows[key] = &api.Entry{Row: api.Row{Key: key, Handle: h}, API: a}
	}
	s.wg.Add(1)
	go s.accept(&listener{Listener: l, name: "PLAINTEXT"})
	t.Cleanup(func() { l.Close(); s.close() })
	return &served{s, l}
}

func (s *served) dial(t *testing.T) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", s.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// frame makes a request frame.
func frame(q kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter().AppendRequest(nil, q, correlation)
}

// readFrame reads a response frame and returns its correlation id and the rest.
func readFrame(t *testing.T, r io.Reader) (int32, []byte) {
	t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:]
}

// echo answers a SaslHandshake with its mechanism, so that a test sees whose answer it got.
func echo(s *api.Server, c *api.Call) (api.Response, error) {
	q := c.Body.(*kmsg.SASLHandshakeRequest)
	r := kmsg.NewPtrSASLHandshakeResponse()
	r.Version = q.Version
	r.SupportedMechanisms = []string{q.Mechanism}
	return r, nil
}

func handshake(mechanism string) *kmsg.SASLHandshakeRequest {
	q := kmsg.NewPtrSASLHandshakeRequest()
	q.Version, q.Mechanism = 1, mechanism
	return q
}

func TestFramesOfAllSizes(t *testing.T) {
	s := serveRows(t, map[int16]api.Handler{36: func(_ *api.Server, c *api.Call) (api.Response, error) {
		r := kmsg.NewPtrSASLAuthenticateResponse()
		r.Version = c.Header.Version
		r.SASLAuthBytes = append([]byte(nil), c.Body.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes...)
		return r, nil
	}})
	rng := rand.New(rand.NewSource(1))
	for _, split := range []bool{false, true} {
		nc := s.dial(t)
		sizes := []int{0, 1, 1000, 1024, freeBytes - 20, freeBytes, freeBytes + 1, 100_000, 1_000_000, 5, 1_048_600, 4_200_000, 7}
		var all []byte
		var bodies [][]byte
		for i, n := range sizes {
			q := kmsg.NewPtrSASLAuthenticateRequest()
			q.Version = 1
			q.SASLAuthBytes = make([]byte, n)
			rng.Read(q.SASLAuthBytes)
			bodies = append(bodies, q.SASLAuthBytes)
			all = append(all, frame(q, int32(i))...)
		}
		go func() {
			for len(all) > 0 {
				n := len(all)
				if split {
					n = 1 + rng.Intn(min(n, 50_000))
				}
				if _, err := nc.Write(all[:n]); err != nil {
					return
				}
				all = all[n:]
			}
		}()
		for i := range sizes {
			id, b := readFrame(t, nc)
			r := kmsg.NewPtrSASLAuthenticateResponse()
			r.Version = 1
			if err := r.ReadFrom(b); err != nil || id != int32(i) || !bytes.Equal(r.SASLAuthBytes, bodies[i]) {
				t.Fatalf("split %v: answer %d of %d bytes is not its request", split, i, sizes[i])
			}
		}
	}
	s.mem.mu.Lock()
	defer s.mem.mu.Unlock()
	if s.mem.total != 64<<20 || s.mem.ahead != aheadBytes {
		t.Fatalf("memory was not given back: total %d, ahead %d", s.mem.total, s.mem.ahead)
	}
}

func TestOrderIsKeptWhileOneWaits(t *testing.T) {
	release := make(chan struct{})
	s := serveRows(t, map[int16]api.Handler{17: func(s *api.Server, c *api.Call) (api.Response, error) {
		r, _ := echo(s, c)
		if c.Body.(*kmsg.SASLHandshakeRequest).Mechanism != "wait" {
			return r, nil
		}
		return &api.Pending{Wait: func(ctx context.Context) (api.Response, error) {
			select {
			case <-release:
				return r, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}, nil
	}})
	nc := s.dial(t)
	for i, m := range []string{"a", "wait", "b", "wait", "c"} {
		nc.Write(frame(handshake(m), int32(i)))
	}
	if id, _ := readFrame(t, nc); id != 0 {
		t.Fatalf("answer %d came first", id)
	}
	nc.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := nc.Read(make([]byte, 1)); err == nil {
		t.Fatalf("%d bytes overtook a response that waits", n)
	}
	nc.SetReadDeadline(time.Time{})
	close(release)
	for want := int32(1); want < 5; want++ {
		if id, _ := readFrame(t, nc); id != want {
			t.Fatalf("answer %d came in place of %d", id, want)
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	var mu sync.Mutex
	calls := 0
	s := serveRows(t, map[int16]api.Handler{17: func(*api.Server, *api.Call) (api.Response, error) {
		mu.Lock()
		calls++
		mu.Unlock()
		return &api.Pending{Wait: func(ctx context.Context) (api.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, nil
	}})
	nc := s.dial(t)
	go func() {
		for i := range int32(10 * maxQueued) {
			if _, err := nc.Write(frame(handshake("x"), i)); err != nil {
				return
			}
		}
	}()
	// The reader stops at the bound: wait until it has been called often enough, then see that it is not called much more.
	deadline := time.Now().Add(5 * time.Second)
	for {
		mu.Lock()
		n := calls
		mu.Unlock()
		if n > maxQueued {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %d calls", n)
		}
	}
	<-time.After(50 * time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	if calls > maxQueued+2 {
		t.Fatalf("%d requests were taken, allowed are %d", calls, maxQueued+2)
	}
}

func TestPanicClosesOneConnection(t *testing.T) {
	s := serveRows(t, map[int16]api.Handler{17: func(s *api.Server, c *api.Call) (api.Response, error) {
		switch c.Body.(*kmsg.SASLHandshakeRequest).Mechanism {
		case "panic":
			panic("test")
		case "later":
			return &api.Pending{Wait: func(context.Context) (api.Response, error) { panic("test") }}, nil
		}
		return echo(s, c)
	}})
	other := s.dial(t)
	for _, m := range []string{"panic", "later"} {
		nc := s.dial(t)
		nc.Write(frame(handshake(m), 1))
		if _, err := nc.Read(make([]byte, 1)); err == nil {
			t.Fatal("the connection lives on after a panic")
		}
	}
	other.Write(frame(handshake("x"), 9))
	if id, _ := readFrame(t, other); id != 9 {
		t.Fatal("another connection noticed")
	}
}

func TestBadFramesClose(t *testing.T) {
	s := serveRows(t, map[int16]api.Handler{17: echo})
	for name, b := range map[string][]byte{
		"negative size":   {0xff, 0xff, 0xff, 0xff},
		"2 GiB":           {0x7f, 0xff, 0xff, 0xff},
		"no header":       {0, 0, 0, 0},
		"unknown key":     append([]byte{0, 0, 0, 10}, 0x03, 0xe8, 0, 0, 0, 0, 0, 1, 0, 0),
		"not served":      frame(kmsg.NewPtrMetadataRequest(), 1),
		"unknown version": append([]byte{0, 0, 0, 10}, 0, 17, 0, 99, 0, 0, 0, 1, 0, 0),
	} {
		nc := s.dial(t)
		nc.Write(b)
		nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := nc.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("%s: the connection was not closed: %v", name, err)
		}
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// TestMemoryIsBounded shows that lengths alone take no memory, and that a frame waits for memory and gets it.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(1 << 20)
	if err := m.take(1<<20, nil); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	close(closed)
	if err := m.take(1, closed); err != errMemory {
		t.Fatalf("err %v", err)
	}
	got := make(chan error)
	go func() { got <- m.take(10, nil) }()
	m.give(1 << 20)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if !m.tryAhead(newcomerBytes, false) || m.tryAhead(1, false) {
		t.Fatal("what newcomers get ahead is not bounded")
	}
	if !m.tryAhead(aheadBytes-newcomerBytes, true) || m.tryAhead(1, true) {
		t.Fatal("ahead is not bounded")
	}
}

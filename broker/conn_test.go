package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand"
	"net"
	"runtime"
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
	return serveOn(t, l, rows)
}

// servePipe serves rows on a connection in memory.
func servePipe(t *testing.T, rows map[int16]api.Handler) (*served, net.Conn) {
	t.Helper()
	here, there := net.Pipe()
	l := &oneConn{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conns <- there
	t.Cleanup(func() { here.Close() })
	return serveOn(t, l, rows), here
}

// oneConn is a listener for connections that a test makes itself.
type oneConn struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	close(l.closed)
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.TCPAddr{} }

func serveOn(t *testing.T, l net.Listener, rows map[int16]api.Handler) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &server{api: &api.Server{}, log: slog.New(slog.DiscardHandler), now: time.Now, mem: newMemory(64 << 20), maxFrame: 8 << 20, quotas: newQuotas(limitsOf(&config.Layers{}, nil), time.Now), ctx: ctx, cancel: cancel,
		conns: map[*conn]struct{}{}, rows: make([]*api.Entry, 100)}
	s.mem.short = s.shortage
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

// TestSmallAfterLarge sends a large frame of which little comes at first, so that the connection waits for a good part of the rest, and
// then a small one.
func TestSmallAfterLarge(t *testing.T) {
	s := serveRows(t, map[int16]api.Handler{36: swallow})
	nc := s.dial(t)
	nc.SetDeadline(time.Now().Add(time.Minute))
	var in *frames
	for i, n := range []int{1 << 20, 10, 1 << 20, 100_000, 10} {
		b, here := authenticate(n, 10, int32(i)), int64(0)
		if n > 10 {
			here = int64(n / 3)
			before := int64(0)
			if in != nil {
				before = in.flow.passed.Load()
			}
			nc.Write(b[:here])
			b = b[here:]
			for in == nil || in.flow.passed.Load()-before < here-freeBytes {
				s.mu.Lock()
				for c := range s.conns {
					in = &c.in
				}
				s.mu.Unlock()
				runtime.Gosched()
			}
		}
		nc.Write(b)
		if id, _ := readFrame(t, nc); id != int32(i) {
			t.Fatalf("answer %d to request %d", id, i)
		}
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

// TestDecodedIsBounded: a request waits until there is memory to decode it, and gives it back before it is answered.
func TestDecodedIsBounded(t *testing.T) {
	s := serveRows(t, map[int16]api.Handler{17: echo, 3: func(_ *api.Server, c *api.Call) (api.Response, error) {
		r := kmsg.NewPtrMetadataResponse()
		r.Version = c.Header.Version
		return r, nil
	}})
	if err := s.mem.takeDecoded(decodedBytes, nil); err != nil {
		t.Fatal(err)
	}
	nc, q := s.dial(t), kmsg.NewPtrMetadataRequest()
	q.Version = 4
	q.Topics = make([]kmsg.MetadataRequestTopic, 1000)
	for i := range q.Topics {
		q.Topics[i].Topic = kmsg.StringPtr("a name")
	}
	nc.Write(frame(q, 1))
	other := s.dial(t)
	other.Write(frame(handshake("x"), 2)) // small ones need not wait
	if id, _ := readFrame(t, other); id != 2 {
		t.Fatal("another connection noticed")
	}
	for waiting := false; !waiting; { // the first one does
		s.mem.mu.Lock()
		waiting = s.mem.waiting > 0
		s.mem.mu.Unlock()
	}
	s.mem.giveDecoded(decodedBytes)
	if id, _ := readFrame(t, nc); id != 1 {
		t.Fatal("it was not answered")
	}
	s.mem.mu.Lock()
	defer s.mem.mu.Unlock()
	if s.mem.decoded != decodedBytes {
		t.Fatalf("%d bytes were not given back", decodedBytes-s.mem.decoded)
	}
}

// TestSlowFramesAreSmall: what a connection holds that waits for the rest of a frame is no more than the broker promised it, or little
// more than has arrived, however large its frames were before.
func TestSlowFramesAreSmall(t *testing.T) {
	for _, have := range []int{0, 1, 3, 4, 100, 1023, 1024, 1025, 4096, 5000, 10_000, 20_000, 60_000, 300_000} {
		for _, size := range []int{2000, 16 << 10, 32 << 10, 1 << 20} {
			m := newMemory(64 << 20)
			m.ahead = 0
			all := append(binary.BigEndian.AppendUint32(nil, uint32(size-4)), make([]byte, size-4)...)
			if have >= size {
				continue
			}
			small := frame(handshake("x"), 1)
			f := &frames{from: bytes.NewReader(append(small, all[:have]...)), max: 8 << 20, mem: m, hint: freeBytes}
			if _, err := f.next(); err != nil {
				t.Fatal(err)
			}
			f.release()
			if _, err := f.next(); err == nil {
				t.Fatal("half a frame was taken")
			}
			held, most := 0, max(slowBytes, have*3/2)
			if f.buf != nil {
				held = len(f.buf.B)
			}
			if have >= 4*freeBytes {
				most = have * 5 / 2
			}
			if held > most {
				t.Errorf("%d of %d bytes have arrived, %d are held", have, size, held)
			}
			f.stop()
			if m.total != 64<<20 || m.ahead != 0 {
				t.Errorf("memory was not given back: %+v", m)
			}
		}
	}
}

package broker

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/api"
)

// parked is a handler whose answers wait for a token each, and count how many of them wait.
type parked struct{ taken, tokens, gone chan struct{} }

func newParked() *parked {
	return &parked{taken: make(chan struct{}, 10*maxQueued), tokens: make(chan struct{}), gone: make(chan struct{}, 1)}
}

func (p *parked) handle(s *api.Server, c *api.Call) (api.Response, error) {
	r, _ := echo(s, c)
	p.taken <- struct{}{}
	return &api.Pending{Wait: func(ctx context.Context) (api.Response, error) {
		select {
		case <-p.tokens:
			return r, nil
		case <-ctx.Done():
			p.gone <- struct{}{}
			return nil, ctx.Err()
		}
	}}, nil
}

// fill sends as many requests as the broker takes, and some more.
func (p *parked) fill(nc net.Conn) {
	go func() { // a pipe takes only what is read
		for i := range int32(maxQueued + 100) {
			if _, err := nc.Write(frame(handshake("x"), i)); err != nil {
				return
			}
		}
	}()
	for range maxQueued {
		<-p.taken
	}
}

// goesNow closes a client's end so that the other side hears that nobody is there.
func goesNow(nc net.Conn) {
	nc.(*net.TCPConn).SetLinger(0)
	nc.Close()
}

// TestHalfClosed: who says that it will send no more, or sends nonsense, still gets the answers to what it sent before, and then the
// connection ends. Kafka 4.4.0 does so: a long poll, and a Produce behind one, are answered in their time.
func TestHalfClosed(t *testing.T) {
	for name, tail := range map[string][]byte{"nothing": nil, "half a frame": {0, 0, 1, 0, 7}, "nonsense": {0xff, 0xff, 0xff, 0xff}, "an unknown key": frame(kmsg.NewPtrMetadataRequest(), 9)} {
		run := func(t *testing.T, s *served, nc net.Conn, p *parked, end func()) {
			go func() {
				nc.Write(append(append(frame(handshake("x"), 0), frame(handshake("x"), 1)...), tail...))
				end()
			}()
			<-p.taken
			<-p.taken
			for i := range int32(2) {
				select {
				case p.tokens <- struct{}{}:
				case <-p.gone:
					t.Fatal("the requests are given up")
				}
				if id, _ := readFrame(t, nc); id != i {
					t.Fatalf("answer %d came in place of %d", id, i)
				}
			}
			if n, err := nc.Read(make([]byte, 1)); n > 0 || isTimeout(err) {
				t.Fatalf("the connection does not end: %d, %v", n, err)
			}
		}
		t.Run("tcp, then "+name, func(t *testing.T) {
			p := newParked()
			s := serveRows(t, map[int16]api.Handler{17: p.handle})
			nc := s.dial(t)
			nc.SetDeadline(time.Now().Add(20 * time.Second))
			run(t, s, nc, p, func() { nc.(*net.TCPConn).CloseWrite() })
		})
		if name == "nothing" || name == "half a frame" {
			continue // a pipe has no half
		}
		t.Run("in memory, then "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newParked()
				s, nc := servePipe(t, map[int16]api.Handler{17: p.handle})
				run(t, s, nc, p, func() {})
			})
		})
	}
}

// left is how many connections the server has.
func (s *served) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// TestGoneWhileFull: a client that goes while nobody reads from it, its requests being as many as it may have, is noticed at once.
func TestGoneWhileFull(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		p := newParked()
		s := serveRows(t, map[int16]api.Handler{17: p.handle})
		nc := s.dial(t)
		p.fill(nc)
		goesNow(nc)
		select {
		case <-p.gone:
		case <-time.After(20 * time.Second):
			t.Fatal("a client that is gone was not noticed")
		}
	})
	t.Run("in memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newParked()
			s, nc := servePipe(t, map[int16]api.Handler{17: p.handle})
			p.fill(nc)
			synctest.Wait()
			if s.left() != 1 {
				t.Fatal("a client that is there was not waited for")
			}
			nc.Close()
			synctest.Wait()
			if s.left() != 1 {
				t.Fatal("a client that may still read was not waited for")
			}
			p.tokens <- struct{}{} // it is written to
			synctest.Wait()        // no time passes
			if s.left() != 0 {
				t.Fatal("a client that is gone was not noticed")
			}
			if left := s.mem.queued.Load(); left != queuedBytes {
				t.Fatalf("%d bytes were not given back", queuedBytes-left)
			}
		})
	})
}

// TestRoomWhileFull: the reader that watches for the client's end goes on when there is room, and has lost nothing.
func TestRoomWhileFull(t *testing.T) {
	run := func(t *testing.T, p *parked, nc net.Conn) {
		p.fill(nc)
		for i := range int32(maxQueued + 100) {
			p.tokens <- struct{}{}
			if id, _ := readFrame(t, nc); id != i {
				t.Fatalf("answer %d came in place of %d", id, i)
			}
		}
	}
	t.Run("tcp", func(t *testing.T) {
		p := newParked()
		run(t, p, serveRows(t, map[int16]api.Handler{17: p.handle}).dial(t))
	})
	t.Run("in memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newParked()
			_, nc := servePipe(t, map[int16]api.Handler{17: p.handle})
			run(t, p, nc)
		})
	})
	tooMuch := func(t *testing.T, take func(m *memory)) {
		synctest.Test(t, func(t *testing.T) {
			p := newParked()
			s, nc := servePipe(t, map[int16]api.Handler{17: p.handle})
			take(s.mem)
			go nc.Write(append(frame(handshake("x"), 0), frame(handshake("x"), 1)...))
			for i := range int32(2) {
				synctest.Wait()
				if len(p.taken) != 1 {
					t.Fatalf("%d requests are in the works", len(p.taken))
				}
				<-p.taken
				p.tokens <- struct{}{}
				if id, _ := readFrame(t, nc); id != i {
					t.Fatalf("answer %d came in place of %d", id, i)
				}
			}
		})
	}
	t.Run("all connections have queued too much", func(t *testing.T) { tooMuch(t, func(m *memory) { m.queued.Store(0) }) })
	t.Run("all connections have too large answers", func(t *testing.T) { tooMuch(t, func(m *memory) { m.forceAnswer(answerBytes) }) })
}

package broker

import (
	"encoding/binary"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/api"
)

// pipe adds a connection in memory to a server that has one.
func (s *served) pipe(t *testing.T) net.Conn {
	here, there := net.Pipe()
	s.l.(*oneConn).conns <- there
	t.Cleanup(func() { here.Close() })
	return here
}

// swallow answers a SaslAuthenticate with so many bytes as its first four say.
func swallow(_ *api.Server, c *api.Call) (api.Response, error) {
	r := kmsg.NewPtrSASLAuthenticateResponse()
	r.Version = c.Header.Version
	n := int(binary.BigEndian.Uint32(c.Body.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes))
	if err := c.Room.Reserve(n); err != nil {
		return nil, err
	}
	r.SASLAuthBytes = make([]byte, n)
	return r, nil
}

// authenticate is a frame of size bytes, or so, that swallow answers with answer bytes.
func authenticate(size, answer int, correlation int32) []byte {
	q := kmsg.NewPtrSASLAuthenticateRequest()
	q.Version = 1
	q.SASLAuthBytes = binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(answer))[:size]
	return frame(q, correlation)
}

// second waits for a second, and is false when the test is over.
func second(t *testing.T) bool {
	select {
	case <-time.After(time.Second):
		return true
	case <-t.Context().Done():
		return false
	}
}

// ended says whether the broker has closed a connection in memory.
func ended(nc net.Conn) bool {
	nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	for b := make([]byte, 1<<10); ; {
		if _, err := nc.Read(b); err != nil {
			return !isTimeout(err)
		}
	}
}

// TestStalledFrame: a client that holds memory for a frame and does not go on with it is closed when somebody waits for that memory, and
// only then.
func TestStalledFrame(t *testing.T) {
	for _, c := range []struct {
		name   string
		drip   int // bytes that the client sends every second
		others bool
		closed bool
	}{
		{"nobody waits", 0, false, false},
		{"others wait", 0, true, true},
		{"others wait, a byte a second", 1, true, true},
		{"others wait, it goes on", stallBytes, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, nc := servePipe(t, map[int16]api.Handler{36: swallow})
				s.mem.total = 1 << 20
				large := authenticate(1<<20-1000, 4, 1)
				nc.Write(large[:500_000])
				synctest.Wait()
				go func() {
					for rest := large[500_000:]; c.drip > 0 && second(t); rest = rest[c.drip:] {
						if _, err := nc.Write(rest[:c.drip]); err != nil {
							return
						}
					}
				}()
				other, answered := s.pipe(t), make(chan int32, 1)
				if c.others {
					go func() {
						if _, err := other.Write(authenticate(100_000, 4, 7)); err != nil {
							return
						}
						b := make([]byte, 8)
						if _, err := other.Read(b); err == nil {
							answered <- int32(binary.BigEndian.Uint32(b[4:]))
						}
					}()
				}
				time.Sleep(waitForMemory - time.Second/2)
				if got := len(answered) == 1; got != c.closed {
					t.Errorf("the other client: answered %v, want %v", got, c.closed)
				}
				if got := ended(nc); got != c.closed {
					t.Errorf("the client that stalls: closed %v, want %v", got, c.closed)
				}
			})
		})
	}
}

// TestUnreadAnswer: a client that does not read its answer is closed when somebody waits for the memory that it is in, and only then.
func TestUnreadAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		drip   int // bytes that the client reads every second
		others bool
		closed bool
	}{
		{"nobody waits", 0, false, false},
		{"others wait", 0, true, true},
		{"others wait, a byte a second", 1, true, true},
		{"others wait, it goes on", pieceBytes, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, nc := servePipe(t, map[int16]api.Handler{36: swallow})
				s.mem.answers = 2 << 20
				nc.Write(authenticate(10, 3<<19, 1))
				synctest.Wait() // it has its part before the other comes
				go func() {
					for b := make([]byte, c.drip); c.drip > 0 && second(t); {
						if _, err := nc.Read(b); err != nil {
							return
						}
					}
				}()
				other, answered := s.pipe(t), make(chan int, 1)
				if c.others {
					go func() {
						if _, err := other.Write(authenticate(10, 1<<20, 7)); err != nil {
							return
						}
						n, _ := other.Read(make([]byte, 8))
						answered <- n
					}()
				}
				time.Sleep(waitForMemory - time.Second/2)
				if got := len(answered) == 1; got != c.closed {
					t.Errorf("the other client: answered %v, want %v", got, c.closed)
				}
				s.mu.Lock()
				left := len(s.conns)
				s.mu.Unlock()
				if got := left == 1; got != c.closed {
					t.Errorf("the client that does not read: closed %v, want %v", got, c.closed)
				}
				nc.Close()
				other.Close()
				synctest.Wait()
				s.mem.mu.Lock()
				defer s.mem.mu.Unlock()
				if s.mem.answers != 2<<20 {
					t.Errorf("%d bytes were not given back", 2<<20-s.mem.answers)
				}
			})
		})
	}
}

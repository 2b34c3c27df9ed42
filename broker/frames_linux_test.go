package broker

import (
	"runtime"
	"testing"
	"time"

	"weir/broker/api"
)

// TestKernelKeepsSmallPieces sends the beginning of a large frame and then small pieces of it, which must not wake the connection, but
// count as progress.
func TestKernelKeepsSmallPieces(t *testing.T) {
	s := serveRows(t, map[int16]api.Handler{36: swallow})
	nc := s.dial(t)
	nc.SetDeadline(time.Now().Add(time.Minute))
	b := authenticate(1<<20, 10, 1)
	nc.Write(b[:100_000])
	b = b[100_000:]
	var c *conn
	for c == nil || c.in.flow.passed.Load() < 100_000-freeBytes {
		s.mu.Lock()
		for c = range s.conns {
		}
		s.mu.Unlock()
		runtime.Gosched()
	}
	for c.in.unread() < 10*1000 {
		if len(b) < 900_000 {
			t.Fatal("after a hundred pieces none is kept")
		}
		if _, err := nc.Write(b[:1000]); err != nil {
			t.Fatal(err)
		}
		b = b[1000:]
	}
	var f flow
	begin := time.Unix(0, 0)
	f.holding.Store(true)
	if f.stuck(begin, true, 0) || f.stuck(begin.Add(stallTime), false, stallBytes) || !f.stuck(begin.Add(2*stallTime), false, stallBytes) {
		t.Error("what the kernel keeps is not progress, or counts twice")
	}
	nc.Write(b)
	if id, _ := readFrame(t, nc); id != 1 {
		t.Errorf("answer %d", id)
	}
}

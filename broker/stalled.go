package broker

import (
	"sync/atomic"
	"time"
)

// While somebody waits for memory, a client that holds some of it has to go on: every stallTime at least stallBytes of the frame that it
// has begun, or of the answer that it is sent. Else it is closed, and before who waits gives up (waitForMemory).
const (
	stallTime  = 5 * time.Second
	stallBytes = 16 << 10
	stallTick  = time.Second
)

// flow is what one direction of a connection does: how many bytes have passed, and whether memory is held until the client lets more
// of them pass.
type flow struct {
	passed  atomic.Int64
	holding atomic.Bool

	// Those of watchStalls only: what had passed, and when, at the last look that found progress.
	seen   int64
	seenAt time.Time
}

// stuck says whether the client has not gone on for stallTime. first is said of a look after a time when nobody waited.
// unread is what has come and was not looked at.
func (f *flow) stuck(now time.Time, first bool, unread int) bool {
	passed := f.passed.Load() + int64(unread)
	if first || !f.holding.Load() || f.seenAt.IsZero() || passed-f.seen >= stallBytes {
		f.seen, f.seenAt = passed, now
		return false
	}
	return now.Sub(f.seenAt) >= stallTime
}

// shortage starts watchStalls where it does not run.
func (s *server) shortage() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.watchingStalls {
		return
	}
	s.watchingStalls = true
	s.wg.Add(1)
	go s.watchStalls()
}

// watchStalls closes connections that hold what others wait for and do nothing. It ends when nobody waits.
func (s *server) watchStalls() {
	defer s.wg.Done()
	t := time.NewTicker(stallTick)
	defer t.Stop()
	for first := true; ; first = false {
		frames, answers := s.mem.shortOf()
		s.mu.Lock()
		if !frames && !answers || s.ctx.Err() != nil {
			s.watchingStalls = false
			s.mu.Unlock()
			return
		}
		for c := range s.conns {
			in, out := c.in.flow.stuck(s.now(), first, c.in.unread()), c.out.flow.stuck(s.now(), first, 0)
			what := "it does not go on with a frame"
			switch {
			case frames && in:
			case answers && out:
				what = "it does not read its answers"
			default:
				continue
			}
			s.log.Warn("connection closed", "remote", c.nc.RemoteAddr().String(), "listener", c.session.ListenerName, "error", what+", and others wait for memory")
			c.cancel()
			c.nc.Close()
		}
		s.mu.Unlock()
		select {
		case <-s.ctx.Done():
		case <-t.C:
		}
	}
}

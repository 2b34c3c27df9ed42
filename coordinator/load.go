package coordinator

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// The pauses between loads that fail.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

// load is one attempt to make a machine from the log.
type load[M Machine] struct {
	s     *shard[M]
	gen   int
	epoch int32
	ctx   context.Context
}

// load has the shard loaded.
func (s *shard[M]) load() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.rt.enqueue(load[M]{s, s.gen, s.epoch, ctx})
}

// again has the shard loaded after a pause, the longer the more often it was in vain.
func (s *shard[M]) again() {
	pause := min(firstPause<<min(s.tries, 10), longestPause)
	s.tries++
	gen := s.gen
	s.rt.cfg.AfterFunc(pause, func() {
		s.submit(event[M]{control: func() {
			if s.gen == gen && s.state == loading {
				s.load()
			}
		}})
	})
}

// enqueue gives a load to a loader. There are only so many, so that memory and disk are not taken by all partitions at once.
func (r *Runtime[M]) enqueue(l load[M]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
	case r.loaders < r.cfg.Loads:
		r.loaders++
		r.busy.Add(1)
		go r.loader(l)
	default:
		r.loads = append(r.loads, l)
	}
}

// hurry puts a shard's load before all others that wait.
func (r *Runtime[M]) hurry(s *shard[M]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, l := range r.loads {
		if l.s == s {
			copy(r.loads[1:], r.loads[:i])
			r.loads[0] = l
			return
		}
	}
}

// loader loads until nothing waits.
func (r *Runtime[M]) loader(l load[M]) {
	defer r.busy.Done()
	for {
		if l.ctx.Err() == nil {
			l.run()
		}
		r.mu.Lock()
		if len(r.loads) == 0 || r.closed {
			r.loaders--
			r.mu.Unlock()
			return
		}
		l = r.loads[0]
		r.loads = shift(r.loads, 1)
		r.mu.Unlock()
	}
}

// run reads the partition into a new machine and hands it to the shard.
func (l load[M]) run() {
	s := l.s
	x := replayer[M]{s: s}
	end, err := x.read(l)
	x.report()
	s.submit(event[M]{control: func() {
		if s.gen == l.gen && s.state == loading {
			s.takeOver(x.m, end, err)
		}
	}})
}

// takeOver makes the shard active with what was loaded.
func (s *shard[M]) takeOver(m M, end int64, err error) {
	s.cancel = nil
	if err != nil {
		s.rt.log.Warn("a coordinator could not be loaded", "partition", s.partition, "epoch", s.epoch, "error", err.Error())
		s.again()
		return
	}
	s.rt.log.Debug("a coordinator is loaded", "partition", s.partition, "epoch", s.epoch, "end", end)
	s.machine, s.state = m, active
	s.log = writes{next: end, committed: s.rt.cfg.Log.Committed(s.partition), lingerMs: max(0, s.rt.cfg.Linger.Milliseconds())}
	if s.rt.cfg.Changed != nil {
		s.run(s.rt.cfg.Changed, nil)
	}
	s.run(func(m M, now int64, _ Token) Effects { return m.Elected(now) }, nil)
	if s.state == active {
		s.tries = 0
		s.loaded()
	}
}

// notify closes ready when the shard is not loading.
func (s *shard[M]) notify(ready chan struct{}) {
	if s.state != loading {
		close(ready)
		return
	}
	s.waiters = append(s.waiters, ready)
}

// loaded tells those who wait that the load has ended.
func (s *shard[M]) loaded() {
	for _, ready := range s.waiters {
		close(ready)
	}
	s.waiters = nil
}

// replayer takes a load's records into a machine. Whatever is wrong with one of them is said, for the first few, and the load goes on: one
// record must not keep a fiftieth of all groups away from their offsets.
type replayer[M Machine] struct {
	s       *shard[M]
	m       M
	skipped int
}

const maxSaid = 5

func (x *replayer[M]) read(l load[M]) (end int64, err error) {
	defer l.s.recovered(&err)
	x.m = l.s.rt.cfg.New(l.s.partition, l.epoch)
	return l.s.rt.cfg.Log.Load(l.ctx, l.s.partition, l.epoch, x)
}

// Record implements Replayer.
func (x *replayer[M]) Record(at At, r Record) {
	defer x.caught(at.Offset)
	if err := x.m.Replay(at, r); err != nil {
		x.Skipped(at.Offset, err)
	}
}

// Marker implements Replayer.
func (x *replayer[M]) Marker(at At, commit bool) {
	defer x.caught(at.Offset)
	x.m.ReplayMarker(at, commit)
}

// Skipped implements Replayer.
func (x *replayer[M]) Skipped(offset int64, err error) {
	if x.skipped++; x.skipped <= maxSaid {
		x.s.rt.log.Error("a record of a coordinator is skipped", "partition", x.s.partition, "offset", offset, "error", err.Error())
	}
}

func (x *replayer[M]) caught(offset int64) {
	if p := recover(); p != nil {
		x.Skipped(offset, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}
}

func (x *replayer[M]) report() {
	if x.skipped > maxSaid {
		x.s.rt.log.Error("records of a coordinator were skipped", "partition", x.s.partition, "records", x.skipped)
	}
}

package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// What a request hears when no machine has answered it. An error of the log comes as it is.
var (
	ErrLoading        = errors.New("the coordinator is loading")
	ErrNotCoordinator = errors.New("this is not the coordinator")
	ErrTimeout        = errors.New("the write was not committed in time")
	ErrTooLarge       = errors.New("the records of one operation do not fit into a batch")
	ErrFailed         = errors.New("the state machine failed")
)

// Operation is one step of a machine. t names the request behind it, zero where there is none.
type Operation[M Machine] func(m M, now int64, t Token) Effects

// Done is told what became of a request: once, from any goroutine, maybe before the call that it was given to returns. It must not
// block.
type Done func(response any, err error)

// Alarm is a timer that AfterFunc has set, as *time.Timer is.
type Alarm interface {
	Stop() bool
	Reset(d time.Duration) bool
}

// Config is what a Runtime stands on.
type Config[M Machine] struct {
	// New makes an empty machine for a partition. Any goroutine may call it.
	New func(partition int32) M
	Log Log
	// Changed is an operation that every machine begins with, after its load: what Each brought while it was loading. May be nil.
	Changed Operation[M]
	// Send carries out a Send and calls answered once. It must not block. nil: there is no other broker.
	Send func(s Send, answered func(answer any, err error))

	Logger    *slog.Logger                          // nil: discard
	Now       func() time.Time                      // nil: time.Now
	AfterFunc func(d time.Duration, f func()) Alarm // nil: time.AfterFunc
	Timeout   time.Duration                         // how long a reply waits to be committed; 0: 5 s
	Linger    time.Duration                         // how long an append waits for more records; at most 0: not at all
	Loads     int                                   // how many partitions are loaded at a time; 0: 4
}

// Runtime is the shards of one topic that this broker leads. Any number of goroutines may use it.
type Runtime[M Machine] struct {
	cfg Config[M]
	log *slog.Logger

	mu      sync.RWMutex
	shards  map[int32]*shard[M]
	closed  bool
	loads   []load[M] // that wait for a loader
	loaders int
	busy    sync.WaitGroup // loaders
}

// New makes a runtime that leads nothing yet.
func New[M Machine](cfg Config[M]) *Runtime[M] {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.AfterFunc == nil {
		cfg.AfterFunc = func(d time.Duration, f func()) Alarm { return time.AfterFunc(d, f) }
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Loads <= 0 {
		cfg.Loads = 4
	}
	return &Runtime[M]{cfg: cfg, log: cfg.Logger, shards: make(map[int32]*shard[M])}
}

func (r *Runtime[M]) shard(partition int32) *shard[M] {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.shards[partition]
}

// Do runs op in a partition. It runs at once, on the caller's goroutine, unless the shard is at work: then it queues.
func (r *Runtime[M]) Do(partition int32, op Operation[M], done Done) {
	s := r.shard(partition)
	if s == nil {
		done(nil, ErrNotCoordinator)
		return
	}
	s.submit(event[M]{op: op, done: done})
}

// Each runs op, which answers nobody, in every partition that is loaded.
func (r *Runtime[M]) Each(op Operation[M]) {
	for _, p := range r.Partitions() {
		if s := r.shard(p); s != nil {
			s.submit(event[M]{op: op})
		}
	}
}

// Partitions returns those that this broker was elected for and has not lost, sorted.
func (r *Runtime[M]) Partitions() []int32 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []int32
	for p, s := range r.shards {
		if s.elected.Load() {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// Elected says that this broker leads a partition from epoch on. An epoch that is not newer than what was heard before is ignored.
func (r *Runtime[M]) Elected(partition, epoch int32) {
	r.mu.Lock()
	s := r.shards[partition]
	if s == nil && !r.closed {
		s = newShard(r, partition)
		r.shards[partition] = s
	}
	r.mu.Unlock()
	if s != nil {
		s.submit(event[M]{control: func() { s.elect(epoch) }})
	}
}

// Resigned says that somebody else leads a partition since epoch, or nobody. An older epoch than what was heard before is ignored.
func (r *Runtime[M]) Resigned(partition, epoch int32) {
	if s := r.shard(partition); s != nil {
		s.submit(event[M]{control: func() { s.resign(epoch) }})
	}
}

// Forget says that the topic is gone: its epochs begin anew.
func (r *Runtime[M]) Forget() {
	for _, s := range r.all() {
		s.submit(event[M]{control: func() { s.unload(); s.epoch = -1 }})
	}
}

// all returns the shards that there are.
func (r *Runtime[M]) all() map[int32]*shard[M] {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make(map[int32]*shard[M], len(r.shards))
	for p, s := range r.shards {
		out[p] = s
	}
	return out
}

// Wait returns when a partition is not loading, or with an error when ctx is done. A partition that somebody waits for is loaded
// before others.
func (r *Runtime[M]) Wait(ctx context.Context, partition int32) error {
	s := r.shard(partition)
	if s == nil {
		return nil
	}
	ready := make(chan struct{})
	s.submit(event[M]{control: func() { s.notify(ready) }})
	select {
	case <-ready:
		return nil
	default:
	}
	r.hurry(s)
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends all shards as if they had been lost, and returns when nothing uses the log any more.
func (r *Runtime[M]) Close() {
	r.mu.Lock()
	r.closed = true
	r.loads = nil
	r.mu.Unlock()
	for _, s := range r.all() {
		gone := make(chan struct{})
		s.submit(event[M]{control: func() {
			s.unload()
			s.closed = true
			close(gone)
		}})
		<-gone
	}
	r.busy.Wait()
}

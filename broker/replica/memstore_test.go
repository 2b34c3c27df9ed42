package replica

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker/partition/memlog"
	"weir/protocol/record"
	"weir/wal"
)

// memStore is a log directory in memory. It outlives the Manager that uses it, as a directory does.
type memStore struct {
	mu      sync.Mutex
	now     func() time.Time
	logs    map[string]*memLog
	opened  atomic.Int32 // how often Log was called for a name
	removed []string
	options wal.Options
	openErr error
	// syncGate, where it is not nil, is read from by every Sync.
	syncGate chan error
}

func newMemStore() *memStore { return &memStore{logs: map[string]*memLog{}, now: time.Now} }

func (s *memStore) Log(name string) (Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened.Add(1)
	l := s.logs[name]
	if l == nil {
		l = &memLog{s: s, hints: map[string]int64{}}
		s.logs[name] = l
	}
	return l, nil
}

func (s *memStore) Names() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for n, l := range s.logs {
		if l.Start() != l.End() {
			names = append(names, n)
		}
	}
	return names, nil
}

func (s *memStore) Size(name string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[name]; l != nil {
		return l.Size(), nil
	}
	return 0, nil
}

func (s *memStore) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.logs[name]; ok {
		s.removed = append(s.removed, name)
		delete(s.logs, name)
	}
	return nil
}

func (s *memStore) Room() (total, usable int64, err error) { return 100, 50, nil }
func (s *memStore) Checkpoint() error                      { return nil }
func (s *memStore) Close() error                           { return nil }

// memLog is a memlog.Log that may be used from everywhere.
type memLog struct {
	s     *memStore
	mu    sync.RWMutex
	l     memlog.Log
	hints map[string]int64

	// What compaction finds and what it was asked to do.
	dirty    wal.Dirty
	oldestMs int64
	cleaned  []wal.Cleaning
	onClean  func(o wal.Cleaning) error
}

func (l *memLog) Load() error            { return nil }
func (l *memLog) SetPolicy(p wal.Policy) {}

func (l *memLog) SetHint(key string, v int64) { l.mu.Lock(); l.hints[key] = v; l.mu.Unlock() }

func (l *memLog) Hint(key string) (int64, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	v, ok := l.hints[key]
	return v, ok
}

func locked[T any](l *memLog, f func() T) T {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return f()
}

func (l *memLog) Start() int64  { return locked(l, l.l.Start) }
func (l *memLog) End() int64    { return locked(l, l.l.End) }
func (l *memLog) Synced() int64 { return locked(l, l.l.Synced) }
func (l *memLog) Size() int64   { return locked(l, l.l.Size) }

func (l *memLog) change(f func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return f()
}

func (l *memLog) Append(recs []byte, set record.Set) error {
	return l.change(func() error { return l.l.Append(recs, set) })
}
func (l *memLog) TruncateTo(o int64) error {
	return l.change(func() error { return l.l.TruncateTo(o) })
}
func (l *memLog) Reset(o int64) error    { return l.change(func() error { return l.l.Reset(o) }) }
func (l *memLog) SetStart(o int64) error { return l.change(func() error { return l.l.SetStart(o) }) }
func (l *memLog) SaveSnapshot(at int64, state []byte) error {
	return l.change(func() error { return l.l.SaveSnapshot(at, state) })
}

func (l *memLog) Sync(upTo int64) error {
	if g := l.s.syncGate; g != nil {
		if err := <-g; err != nil {
			return err
		}
	}
	return l.change(l.l.Sync)
}

func (l *memLog) Scan(from int64, fn func(h record.Batch) bool) error {
	l.mu.RLock()
	c := l.l.Clone()
	l.mu.RUnlock()
	return c.Scan(from, fn)
}

func (l *memLog) Snapshot(max int64) (int64, []byte, bool, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.l.Snapshot(max)
}

func (l *memLog) Read(dst *record.Data, from, limit int64, maxBytes int, atLeastOne bool) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	err := l.l.Read(dst, from, limit, maxBytes, atLeastOne)
	if errors.Is(err, memlog.ErrOutOfRange) {
		return fmt.Errorf("%w: %d", wal.ErrOffsetOutOfRange, from)
	}
	return err
}

func (l *memLog) AddAborted(t record.AbortedTxn) { l.mu.Lock(); l.l.AddAborted(t); l.mu.Unlock() }
func (l *memLog) AbortedThrough() int64          { return locked(l, l.l.AbortedThrough) }

func (l *memLog) Aborted(dst []record.AbortedTxn, from, limit int64, bytes int) ([]record.AbortedTxn, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.l.Aborted(dst, from, limit, bytes)
}

func (l *memLog) Bytes(from, limit int64) int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.l.Bytes(from, limit)
}

func (l *memLog) SeekTimestamp(ms, limit int64) (int64, bool, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.l.SeekTimestamp(ms, limit)
}

func (l *memLog) MaxTimestamp() (int64, int64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.l.MaxTimestamp()
}

func (l *memLog) Dirty(b wal.CleanBounds) (wal.Dirty, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	d := l.dirty
	d.Overdue = l.oldestMs > 0 && l.oldestMs < l.s.now().UnixMilli()-b.MaxLagMs
	return d, nil
}

func (l *memLog) Clean(c *wal.Cleaner, o wal.Cleaning) (wal.CleanStats, error) {
	l.mu.Lock()
	l.cleaned = append(l.cleaned, o)
	d, f := l.dirty, l.onClean
	l.dirty = wal.Dirty{}
	l.mu.Unlock()
	if f != nil {
		if err := f(o); err != nil {
			return wal.CleanStats{}, err
		}
	}
	return wal.CleanStats{From: d.First, To: d.Upto}, nil
}

func (l *memLog) Retain(r wal.Retention) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	older := int64(-1)
	if r.Ms >= 0 {
		older = l.s.now().UnixMilli() - r.Ms
	}
	return l.l.Retain(r.Bytes, older, r.Upto), nil
}

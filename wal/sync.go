package wal

import (
	"errors"
	"fmt"
	"sync"
)

// flusher makes one log durable: the group commit, sealed files, and the log's place in the checkpoint. Whoever is busy syncs the
// files, or keeps them from being synced; the others wait and find their bytes covered, or take the next turn together.
type flusher struct {
	log  *Log
	mu   sync.Mutex
	idle sync.Cond
	busy bool

	// Under mu as well:
	saved      state // what the checkpoint was told last
	generation int   // moves with every truncation: what was true of positions before is not any more
	sealing    bool  // a goroutine seals, or will
	sealAgain  bool  // there is something to seal since it looked
}

// Sync returns only when everything below upTo is durable, or, with an error, when that cannot be had. Many callers share one fsync;
// appends go on beside it, on another descriptor. An error of fsync takes the directory offline for good.
func (l *Log) Sync(upTo int64) error {
	if err := l.ready(); err != nil {
		return err
	}
	f := &l.flush
	f.mu.Lock()
	for {
		if l.synced.Load() >= min(upTo, l.end.Load()) {
			f.mu.Unlock()
			return nil
		}
		if err := l.usable(); err != nil {
			f.mu.Unlock()
			return err
		}
		if !f.busy {
			break
		}
		f.idle.Wait()
	}
	f.busy = true
	f.mu.Unlock()
	defer l.flush.release()
	return l.flush.sync(l.end.Load())
}

func (l *Log) usable() error {
	if l.gone.Load() {
		return fmt.Errorf("%s: %w", l.path, ErrClosed)
	}
	return l.dir.Offline()
}

// hold waits until nobody syncs and keeps others from it until the function it returns is called. It comes before l.mu.
func (f *flusher) hold() (release func()) {
	f.mu.Lock()
	for f.busy {
		f.idle.Wait()
	}
	f.busy = true
	f.mu.Unlock()
	return f.release
}

func (f *flusher) release() {
	f.mu.Lock()
	f.busy = false
	f.idle.Broadcast()
	f.mu.Unlock()
}

// sync makes all below end durable: segments from the oldest on, then names. The caller is busy, and took end from the log
// before: the view then holds the segment that end is in.
func (f *flusher) sync(end int64) error {
	l := f.log
	d := l.dir
	segs := l.view.Load().segs
	first := len(segs)
	for first > 0 && !segs[first-1].durable() {
		first--
	}
	for _, s := range segs[first:] {
		if s.base >= end {
			break
		}
		if err := s.sync(); err != nil {
			return d.fail("sync "+l.path, err)
		}
	}
	if err := l.syncNames(); err != nil {
		return d.fail("sync "+l.path, err)
	}
	l.synced.Store(max(l.synced.Load(), end))
	return nil
}

// durable says that the segment, and so those before it, need no sync. Of an empty one that says nothing.
func (s *segment) durable() bool {
	size := s.size.Load()
	return size > 0 && s.syncedTo.Load() >= size
}

// sync makes what is published of the segment durable. A segment that retention removed meanwhile needs none.
func (s *segment) sync() error {
	size := s.size.Load()
	if size == 0 {
		return nil
	}
	f, err := s.acquire()
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.release()
	if err := f.Sync(); err != nil {
		return syncError(err)
	}
	s.syncedTo.Store(size)
	return nil
}

package wal

import (
	"errors"
	"fmt"
	"maps"
	"sync"
)

// flush is the group commit of one log. Whoever is busy syncs the files, or keeps them from being synced; the others wait and find
// their bytes covered, or take the next turn together.
type flush struct {
	mu   sync.Mutex
	idle sync.Cond
	busy bool

	// Under mu as well:
	saved      state // what the checkpoint was told last
	generation int   // moves with every truncation: what was true of positions before is not any more
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
	defer l.releaseSync()
	return l.syncFiles(l.end.Load())
}

func (l *Log) usable() error {
	if l.gone.Load() {
		return fmt.Errorf("%s: %w", l.path, ErrClosed)
	}
	return l.dir.Offline()
}

// holdSync waits until nobody syncs and keeps others from it until the function it returns is called. It comes before l.mu.
func (l *Log) holdSync() (release func()) {
	f := &l.flush
	f.mu.Lock()
	for f.busy {
		f.idle.Wait()
	}
	f.busy = true
	f.mu.Unlock()
	return l.releaseSync
}

func (l *Log) releaseSync() {
	f := &l.flush
	f.mu.Lock()
	f.busy = false
	f.idle.Broadcast()
	f.mu.Unlock()
}

// syncFiles makes all below end durable: segments from the oldest on, then names. The caller is busy, and took end from the log
// before: the view then holds the segment that end is in.
func (l *Log) syncFiles(end int64) error {
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

// syncNames makes the names of new and removed files durable.
func (l *Log) syncNames() error {
	d := l.dir
	if l.dirDirty.Swap(false) {
		if err := d.fs.SyncDir(l.walPath()); err != nil {
			l.dirDirty.Store(true)
			return syncError(err)
		}
	}
	if l.dirNew.Swap(false) {
		if err := errors.Join(d.fs.SyncDir(l.path), d.fs.SyncDir(d.path)); err != nil {
			l.dirNew.Store(true)
			return syncError(err)
		}
	}
	return nil
}

// roll begins a new file: an empty one after the tail, and a handle that finds it. The old file is synced in the background.
func (l *Log) roll() error {
	if err := l.mend(); err != nil {
		return err
	}
	old := l.view.Load()
	tail := old.segs[len(old.segs)-1]
	if err := l.createFile(l.next); err != nil {
		l.repair = true
		return err
	}
	h, err := l.newHandle()
	if err != nil {
		l.drop() // the old handle would go on in a file that is not the last
		l.repair = true
		return err
	}
	if l.handle != nil {
		l.closeHandle()
	}
	l.setHandle(h)
	s := newSegment(l, l.next, tail.next.Load())
	s.cum = tail.cum + tail.size.Load()
	l.view.Store(&view{segs: append(old.segs[:len(old.segs):len(old.segs)], s)})
	l.sealLater()
	return nil
}

func (l *Log) sealLater() {
	l.dir.work.add(func() {
		err := l.seal()
		if err != nil && !errors.Is(err, errGone) && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrOffline) {
			l.dir.log.Warn("sealing a segment", "log", l.name, "err", err)
		}
	})
}

// seal syncs what is before the tail, writes the sidecars that are missing and moves the checkpoint to the tail. A checkpoint that
// could not be moved costs a longer scan after a crash, no more.
func (l *Log) seal() error {
	f := &l.flush
	f.mu.Lock()
	generation := f.generation
	f.mu.Unlock()
	segs := l.view.Load().segs
	tail := segs[len(segs)-1]
	release := l.holdSync()
	err := l.usable()
	if err == nil && tail.gone() {
		err = errGone // a truncation came before
	}
	if err == nil {
		err = l.syncFiles(tail.base)
	}
	release()
	if err != nil {
		return err
	}
	if err := l.writeSidecars(segs[:len(segs)-1]); err != nil {
		return l.quiet("write sidecar", err)
	}
	return l.moveCheckpoint(generation, position{tail.index, 0, tail.index, tail.base})
}

// quiet is for files that can be rebuilt: only what says that the disk is ill takes the directory offline.
func (l *Log) quiet(op string, err error) error {
	var fsync *fsyncError
	if errors.As(err, &fsync) {
		return l.dir.fail(op+" of "+l.path, err)
	}
	return fmt.Errorf("%s of %s: %w", op, l.path, err)
}

// moveCheckpoint tells the checkpoint that the log is durable up to pos, unless it was truncated since generation.
func (l *Log) moveCheckpoint(generation int, pos position) error {
	f := &l.flush
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.saved.pos
	if generation != f.generation || pos.segment < old.segment || pos.segment == old.segment && pos.bytes <= old.bytes {
		return nil
	}
	f.saved.pos = pos
	if err := l.dir.journal.put(map[string]state{l.name: l.stateLocked()}); err != nil {
		return l.quiet("checkpoint", err)
	}
	return nil
}

// stateNow returns what the checkpoint should hold: the position it was told last, with the hints and the start of now.
func (l *Log) stateNow() state {
	l.flush.mu.Lock()
	defer l.flush.mu.Unlock()
	return l.stateLocked()
}

func (l *Log) stateLocked() state {
	l.hintMu.Lock()
	hints := maps.Clone(l.hints)
	l.hintMu.Unlock()
	st := l.flush.saved
	st.start, st.hints, st.size = l.start.Load(), hints, l.size.Load()
	return st
}

// dirty says whether a clean stop has anything to do for the log.
func (l *Log) dirty() bool {
	if !l.loaded.Load() || l.gone.Load() || !l.exists.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush.mu.Lock()
	defer l.flush.mu.Unlock()
	return l.hintsDirty.Load() || l.repair || l.flush.saved.pos != l.endPosition()
}

func (l *Log) endPosition() position {
	tail := l.tail()
	return position{tail.index, tail.size.Load(), l.next, l.end.Load()}
}

// finish makes all of the log durable and its next start free of scans. Nobody appends any more.
func (l *Log) finish() error {
	defer l.holdSync()()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.mend(); err != nil {
		return l.dir.fail("stop "+l.path, err)
	}
	if err := l.syncFiles(l.end.Load()); err != nil {
		return err
	}
	segs := l.view.Load().segs
	if segs[len(segs)-1].size.Load() <= maxReopenBytes {
		segs = segs[:len(segs)-1] // quicker to scan than to look up
	}
	if err := l.writeSidecars(segs); err != nil {
		return l.quiet("write sidecar", err)
	}
	l.flush.mu.Lock()
	defer l.flush.mu.Unlock()
	l.flush.saved.pos = l.endPosition()
	l.hintsDirty.Store(false)
	return nil
}

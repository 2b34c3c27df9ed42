package wal

import "errors"

// sealLater has the log sealed in the background, by one goroutine at a time.
func (f *flusher) sealLater() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sealAgain = true
	if !f.sealing {
		f.sealing = true
		f.log.dir.work.add(f.sealAll)
	}
}

func (f *flusher) sealAll() {
	for {
		f.mu.Lock()
		if !f.sealAgain {
			f.sealing = false
			f.mu.Unlock()
			return
		}
		f.sealAgain = false
		f.mu.Unlock()
		err := f.seal()
		if err != nil && !errors.Is(err, errGone) && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrOffline) {
			f.log.dir.log.Warn("sealing a segment", "log", f.log.name, "err", err)
		}
	}
}

// seal syncs what is before the tail, writes the sidecars that are missing and moves the checkpoint to the tail. A checkpoint that
// could not be moved costs a longer scan after a crash, no more.
func (f *flusher) seal() error {
	l := f.log
	f.mu.Lock()
	generation := f.generation
	f.mu.Unlock()
	segs := l.view.Load().segs
	tail := segs[len(segs)-1]
	release := f.hold()
	err := l.usable()
	if err == nil && tail.gone() {
		err = errGone // a truncation came before
	}
	if err == nil {
		err = f.sync(tail.base)
	}
	release()
	if err != nil {
		return err
	}
	if err := f.writeSidecars(segs[:len(segs)-1]); err != nil {
		return l.quiet("write sidecar", err)
	}
	return f.move(generation, position{tail.index, 0, tail.index, tail.base})
}

// move tells the checkpoint that the log is durable up to pos, unless it was truncated since generation.
func (f *flusher) move(generation int, pos position) error {
	l := f.log
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.saved.pos
	if generation != f.generation || pos.segment < old.segment || pos.segment == old.segment && pos.bytes <= old.bytes {
		return nil
	}
	f.saved.pos = pos
	if err := l.dir.journal.put(map[string]state{l.name: f.stateLocked()}); err != nil {
		return l.quiet("checkpoint", err)
	}
	return nil
}

// state returns what the checkpoint should hold: the position it was told last, with the hints and the start of now.
func (f *flusher) state() state {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stateLocked()
}

func (f *flusher) stateLocked() state {
	l := f.log
	st := f.saved
	st.start, st.hints, st.size = l.start.Load(), l.hints.clone(), l.size.Load()
	return st
}

// dirty says whether a clean stop has anything to do for the log.
func (f *flusher) dirty() bool {
	l := f.log
	if !l.loaded.Load() || l.gone.Load() || !l.exists.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return l.hintsDirty.Load() || l.repair || f.saved.pos != f.endPosition()
}

// finish makes all of the log durable and its next start free of scans. Nobody appends any more.
func (f *flusher) finish() error {
	l := f.log
	defer f.hold()()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.mend(); err != nil {
		return l.dir.fail("stop "+l.path, err)
	}
	if err := f.sync(l.end.Load()); err != nil {
		return err
	}
	segs := l.view.Load().segs
	if segs[len(segs)-1].size.Load() <= maxReopenBytes {
		segs = segs[:len(segs)-1] // quicker to scan than to look up
	}
	if err := f.writeSidecars(segs); err != nil {
		return l.quiet("write sidecar", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.saved.pos = f.endPosition()
	l.hintsDirty.Store(false)
	return nil
}

// lower makes the checkpoint pos if it is above that, durably, and stops those that would raise it on what they knew.
func (f *flusher) lower(pos position) error {
	l := f.log
	f.mu.Lock()
	f.generation++
	f.dirtyFrom(pos.next)
	above := f.saved.pos.segment > pos.segment || f.saved.pos.segment == pos.segment && f.saved.pos.bytes > pos.bytes
	var st state
	if above {
		f.saved.pos = pos
		st = f.stateLocked()
	}
	f.mu.Unlock()
	if !above {
		return nil
	}
	if err := l.dir.journal.put(map[string]state{l.name: st}); err != nil {
		return err
	}
	return l.dir.journal.sync()
}

// cleaned notes the end of a compaction, unless the log was truncated since generation.
func (f *flusher) cleaned(generation int, end int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if generation != f.generation {
		return false
	}
	f.log.hints.set(cleanHint, end)
	return true
}

// dirtyFrom has compaction begin at offset or below. f.mu is held.
func (f *flusher) dirtyFrom(offset int64) {
	if end, ok := f.log.hints.get(cleanHint); ok && end > offset {
		f.log.hints.set(cleanHint, offset)
	}
}

// endPosition is that of all that is published. The log's mutex is held.
func (f *flusher) endPosition() position {
	l := f.log
	tail := l.tail()
	return position{tail.index, tail.size.Load(), l.next, l.end.Load()}
}

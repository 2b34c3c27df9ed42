package wal

import (
	"fmt"
	"sync/atomic"
)

// SetStart moves the log start offset forward, durably, and unlinks the files that are wholly below it. A start that is not above
// the present one changes nothing.
func (l *Log) SetStart(offset int64) error {
	if err := l.ready(); err != nil {
		return err
	}
	defer l.flush.hold()()
	if err := l.usable(); err != nil {
		return err
	}
	old := l.start.Load()
	if offset <= old {
		return nil
	}
	if end := l.end.Load(); offset > end {
		return fmt.Errorf("%s: start %d beyond the end %d: %w", l.path, offset, end, ErrOffsetOutOfRange)
	}
	raise(&l.start, offset)
	err := l.dir.journal.put(map[string]state{l.name: l.flush.state()})
	if err == nil {
		err = l.dir.journal.sync()
	}
	if err != nil {
		l.start.CompareAndSwap(offset, old)
		return l.dir.fail("move the start of "+l.path, err)
	}
	l.mu.Lock()
	segs := l.view.Load().segs
	n := 0
	for n < len(segs)-1 && segs[n+1].base <= offset {
		n++
	}
	gone := l.cutFront(n)
	l.trimAborted()
	l.mu.Unlock()
	return l.dir.fail("drop files of "+l.path, l.unlinkSegments(gone))
}

func raise(v *atomic.Int64, to int64) {
	for {
		old := v.Load()
		if to <= old || v.CompareAndSwap(old, to) {
			return
		}
	}
}

// cutFront takes the first n segments out of the view and returns them. The mutex is held.
func (l *Log) cutFront(n int) []*segment {
	if n == 0 {
		return nil
	}
	segs := l.view.Load().segs
	raise(&l.start, segs[n].base)
	l.size.Add(segs[0].cum.Load() - segs[n].cum.Load())
	l.view.Store(&view{segs: segs[n:]})
	return segs[:n]
}

// Retain unlinks whole files, the oldest first, as Kafka does with segments: while what remains has at least r.Bytes, those whose
// newest record is older than r.Ms, and those below the log start; never one with an offset at or above r.Upto. When the last file
// goes too, an empty one takes its place. It works on a full disk, and says whether the log start moved.
func (l *Log) Retain(r Retention) (removed bool, err error) {
	if err := l.retainable(); err != nil {
		return false, err
	}
	before := l.start.Load()
	l.mu.Lock()
	segs := l.view.Load().segs
	n := r.expired(segs, l.start.Load(), l.size.Load(), l.dir.nowMs())
	var marker *baseMarker
	if n == len(segs) {
		if err := l.roll(); err != nil {
			l.dir.log.Warn("the last file stays", "log", l.name, "err", err)
			n--
		} else {
			tail := l.tail()
			marker = &baseMarker{tail.index, tail.base}
		}
	}
	if n == 0 {
		l.mu.Unlock()
		return false, nil
	}
	if marker != nil {
		// Nothing but the marker will say where the log begins.
		if err := l.putMarker(*marker); err != nil {
			l.mu.Unlock()
			return false, l.dir.fail("retention of "+l.path, err)
		}
	}
	gone := l.cutFront(n)
	l.mu.Unlock()
	// First the start, durably: a crash may take any of the removed names back.
	err = l.dir.journal.put(map[string]state{l.name: l.flush.state()})
	if err == nil {
		err = l.dir.journal.sync()
	}
	if err != nil {
		if !isSpace(err) {
			return true, l.dir.fail("retention of "+l.path, err)
		}
		l.dir.log.Warn("checkpoint before retention", "log", l.name, "err", err) // the files say it too
	}
	l.mu.Lock()
	l.trimAborted()
	l.mu.Unlock()
	return l.start.Load() > before, l.dir.fail("retention of "+l.path, l.unlinkSegments(gone))
}

// retainable is ready for a directory that is offline because it is full: retention is what brings it back.
func (l *Log) retainable() error {
	if !l.loaded.Load() || l.gone.Load() {
		return l.ready()
	}
	return l.dir.offlineForGood()
}

// expired counts the segments that r lets go.
func (r Retention) expired(segs []*segment, start, total, now int64) int {
	for i, s := range segs {
		size := s.size.Load()
		last := i == len(segs)-1
		upper := s.next.Load()
		if !last {
			upper = segs[i+1].base
		}
		if upper > r.Upto || last && size == 0 {
			return i
		}
		bySize := r.Bytes >= 0 && total-size >= r.Bytes
		byTime := r.Ms >= 0 && now-s.newestMs() > r.Ms
		byStart := !last && upper <= start
		if !bySize && !byTime && !byStart {
			return i
		}
		total -= size
	}
	return len(segs)
}

// newestMs is the largest timestamp in the segment, or where no record has one, when the file was written last.
func (s *segment) newestMs() int64 {
	if ts := s.maxTs.Load(); ts >= 0 {
		return ts
	}
	info, err := s.dir.fs.Stat(s.path())
	if err != nil {
		return s.dir.nowMs()
	}
	return info.ModTime().UnixMilli()
}

package wal

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"weir/protocol/record"
	"weir/wal/vfs"
)

// A cleaned file takes the place of one file or of several neighbours, under the name of the first. What it has less of entries than
// they had follows its data as so many zero bytes, each of which is an entry of no bytes to the library: the numbers of entries stay
// what they were, and the names of the files that follow stay right. The zeros are a hole, which takes no room.
//
//	1  NNN.clean.tmp is written and synced, hole and all
//	2  the sidecars of the old files go, durably: they would be believed of a file that they are not of
//	3  the new file is renamed over the first of the old ones, durably
//	4  the other old files are unlinked; the sidecar of the new file is written
//
// A crash before 3 leaves the old files, one after it the new file and perhaps some of the others, which a start knows by their names
// and offsets to be covered, and removes (recover.go).
const cleanSuffix = ".clean" + tmpSuffix

// cleanGroup writes what stays of the segments [at, upper) and puts it in their place.
func (r *cleanRound) cleanGroup(at, upper int, upto int64) error {
	group := r.segs[at:upper]
	final := len(group) - 1 // the last with a batch
	for final >= 0 && group[final].size.Load() == 0 {
		final--
	}
	if final < 0 {
		return nil
	}
	w, err := r.newWriter(group[0])
	if err != nil {
		return err
	}
	defer w.discard()
	changed := len(group) > 1
	f := batchFilter{r: r, upto: upto}
	first := true
	for i, s := range group {
		err := r.eachBatch(s, func(b record.Batch, entry, last bool) error {
			rw, drop, err := f.rewrite(b, first || last && i == final)
			if err != nil {
				return err
			}
			first = false
			r.stats.Records += int64(b.Count())
			if drop {
				changed = true
			} else {
				kept, err := w.batch(&r.c.filter, b, rw)
				if err != nil {
					return fmt.Errorf("batch at offset %d: %v: %w", b.BaseOffset(), err, ErrCorrupt)
				}
				changed = changed || kept.Changed
				r.stats.Kept += int64(kept.Records)
			}
			if entry && len(w.out) >= packBytes {
				return w.flush()
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.path(), err)
		}
		r.stats.BytesRead += s.size.Load()
	}
	if !changed {
		return nil
	}
	s, err := w.finish(group)
	if err != nil {
		return err
	}
	r.stats.BytesWritten += w.size
	r.stats.Files++
	return r.replace(group, s, w)
}

// batchFilter decides what stays: Kafka's Cleaner.cleanInto.
type batchFilter struct {
	r       *cleanRound
	upto    int64
	w       record.Rewrite
	discard bool // all records of the batch go
	expired bool // and tombstones: its delete horizon has passed
}

// rewrite says what is to become of a batch; drop is true where nothing is.
func (f *batchFilter) rewrite(b record.Batch, stays bool) (w *record.Rewrite, drop bool, err error) {
	r := f.r
	horizon, has := b.DeleteHorizonMs()
	f.expired = has && horizon <= r.nowMs
	done := false
	if b.Control() {
		if done, err = r.txns.marker(b); err != nil {
			return nil, false, fmt.Errorf("%v: %w", err, ErrCorrupt)
		}
		f.discard = done && f.expired
	} else {
		f.discard = r.txns.batch(b)
	}
	f.w.Empty = stays || f.lastOfProducer(b) || b.NextOffset() == f.upto
	if f.discard && !f.w.Empty {
		return nil, true, nil
	}
	f.w.Horizon = done && b.Control()
	f.w.HorizonMs = r.nowMs + min(r.o.DeleteRetentionMs, math.MaxInt64-r.nowMs)
	switch {
	case f.discard:
		f.w.Keep = keepNone
	case b.Control():
		f.w.Keep = keepAll
	default:
		f.w.Keep = f.keep
	}
	return &f.w, false, nil
}

func keepNone(*record.Record) bool { return false }
func keepAll(*record.Record) bool  { return true }

// keep says whether a record of data stays. One without a key has no business in a compacted log.
func (f *batchFilter) keep(rec *record.Record) bool {
	keys := f.r.c.keys
	switch {
	case rec.Offset > keys.latest:
		return true
	case rec.Key == nil || rec.Offset < keys.get(rec.Key):
		return false
	}
	return rec.Value != nil || !f.expired
}

// lastOfProducer says whether the batch is what the log knows of a producer.
func (f *batchFilter) lastOfProducer(b record.Batch) bool {
	if b.ProducerID() < 0 {
		return false
	}
	last, ok := f.r.last[b.ProducerID()]
	switch {
	case !ok:
		return false
	case last.Offset >= 0:
		return b.LastOffset() == last.Offset
	}
	return b.Control() && b.ProducerEpoch() == last.Epoch
}

// cleanWriter writes a cleaned file.
type cleanWriter struct {
	r    *cleanRound
	path string
	file vfs.File // nil: closed
	done bool     // it has its place

	out     []byte // the entry that is being made, behind room for its length
	starts  []int  // its batches
	idx     indexer
	pts     []point
	size    int64
	entries uint64
	next    int64
}

func (r *cleanRound) newWriter(first *segment) (*cleanWriter, error) {
	l := r.log
	w := &cleanWriter{r: r, path: l.path + "/" + segmentName(first.index) + cleanSuffix, idx: newIndexer(), out: r.c.out[:0], next: first.base}
	f, err := l.dir.fs.Create(w.path)
	if err != nil {
		return nil, err
	}
	w.file = f
	w.out = append(w.out, make([]byte, maxPrefix)...)
	return w, nil
}

// batch adds what is left of b to the entry.
func (w *cleanWriter) batch(f *record.Filter, b record.Batch, rw *record.Rewrite) (record.Kept, error) {
	at := len(w.out)
	out, kept, err := f.Append(w.out, b, rw)
	w.out = out
	if err == nil && len(out) > at {
		w.starts = append(w.starts, at)
		w.next = b.NextOffset()
	}
	return kept, err
}

// flush writes the entry.
func (w *cleanWriter) flush() error {
	if len(w.starts) == 0 {
		return nil
	}
	payload := w.out[maxPrefix:]
	prefix := prefixLen(len(payload))
	entry := w.out[maxPrefix-prefix:]
	binary.PutUvarint(entry, uint64(len(payload)))
	if err := w.r.log.dir.space.take(w.r.log.dir, int64(len(entry))); err != nil {
		return err
	}
	if err := w.r.step(len(entry)); err != nil {
		return err
	}
	if _, err := w.file.Write(entry); err != nil {
		return err
	}
	for i, at := range w.starts {
		h := record.Batch(w.out[at:])
		if i == 0 {
			if pt, ok := w.idx.entry(w.size, int64(len(entry)), h.BaseOffset()); ok {
				w.pts = append(w.pts, pt)
			}
		}
		pos := w.size + int64(at-maxPrefix+prefix)
		if pt, ok := w.idx.batch(pos, int64(h.Size()), h.BaseOffset(), h.MaxTimestamp()); ok {
			w.pts = append(w.pts, pt)
		}
	}
	w.size += int64(len(entry))
	w.entries++
	w.out, w.starts = w.out[:maxPrefix], w.starts[:0]
	return nil
}

// finish makes the file whole and durable, and returns it as a segment.
func (w *cleanWriter) finish(group []*segment) (*segment, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	l := w.r.log
	s := newSegment(l, group[0].index, group[0].base)
	s.after = group[len(group)-1].after
	s.pad = int64(s.after-s.index) - int64(w.entries)
	if s.pad < 0 {
		return nil, fmt.Errorf("%s: %d entries of %d: %w", w.path, w.entries, s.after-s.index, ErrCorrupt)
	}
	if err := w.file.Truncate(w.size + s.pad); err != nil {
		return nil, err
	}
	if err := w.file.Sync(); err != nil {
		return nil, syncError(err)
	}
	w.file.Close()
	w.file = nil
	s.recent, s.idx = nil, w.idx
	s.firstTs, s.createdMs = group[0].firstTs, group[0].createdMs
	s.pts.Store(newPoints(slices.Clip(w.pts)))
	s.maxTs.Store(w.idx.maxBefore)
	s.next.Store(w.next)
	s.size.Store(w.size)
	s.syncedTo.Store(w.size)
	return s, nil
}

// discard gives back what the writer has; a file that got no place is removed.
func (w *cleanWriter) discard() {
	if w.file != nil {
		w.file.Close()
	}
	if cap(w.out) <= 2*w.r.c.io {
		w.r.c.out = w.out
	}
	if w.done {
		return
	}
	if err := w.r.log.dir.fs.Remove(w.path); err != nil && !notExist(err) {
		w.r.log.dir.log.Warn("a half cleaned file stays until the next start", "path", w.path, "err", err)
	}
}

// replace puts s, which is the file of w, in the place of group, unless the log was truncated since the round began.
func (r *cleanRound) replace(group []*segment, s *segment, w *cleanWriter) error {
	l := r.log
	defer l.flush.hold()()
	if err := l.usable(); err != nil {
		return err
	}
	l.flush.mu.Lock()
	truncated := l.flush.generation != r.generation
	l.flush.mu.Unlock()
	if truncated {
		return errGone // what the map says is newer may be no more
	}
	l.side.Lock()
	defer l.side.Unlock()
	if err := r.removeSidecars(group); err != nil {
		return err
	}
	if err := r.swap(group, s, w); err != nil {
		return err
	}
	if err := l.syncNames(); err != nil {
		return l.dir.fail("compaction of "+l.path, err)
	}
	for _, old := range group {
		old.forget()
		if old.index == s.index {
			continue
		}
		l.dirDirty.Store(true)
		if err := l.unlink(old.index); err != nil {
			return err
		}
	}
	return l.flush.putSidecars([]*segment{s})
}

// removeSidecars removes the sidecars of segments that are about to be replaced, durably.
func (r *cleanRound) removeSidecars(group []*segment) error {
	l := r.log
	removed := false
	for _, s := range group {
		s.hasSidecar.Store(false)
		err := l.dir.fs.Remove(l.sidecarPath(s.index))
		if err != nil && !notExist(err) {
			return err
		}
		removed = removed || err == nil
	}
	if !removed {
		return nil
	}
	return syncOrNil(l.dir.fs.SyncDir(l.path))
}

// swap renames the file of w over that of the first of group and makes readers see s instead.
func (r *cleanRound) swap(group []*segment, s *segment, w *cleanWriter) error {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	segs := l.view.Load().segs
	i := slices.Index(segs, group[0])
	if i < 0 || i+len(group) >= len(segs) || !slices.Equal(segs[i:i+len(group)], group) {
		return errGone
	}
	first := group[0]
	first.fdMu.Lock() // until the view has changed nobody may open the name
	err := l.dir.fs.Rename(w.path, first.path())
	if err != nil {
		first.fdMu.Unlock()
		return err
	}
	w.done = true
	l.dirDirty.Store(true)
	s.cum.Store(first.cum.Load())
	made := append(segs[:i:i], s)
	made = append(made, segs[i+len(group):]...)
	l.view.Store(&view{segs: made})
	first.dead = true
	first.fdMu.Unlock()
	less := segs[i+len(group)].cum.Load() - first.cum.Load() - s.size.Load()
	for _, later := range made[i+1:] {
		later.cum.Add(-less)
	}
	l.size.Add(-less)
	return nil
}

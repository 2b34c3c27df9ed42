package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"weir/protocol/record"
)

// The library's TruncateBack writes the whole of the last file anew, needs free space and leaves the directory unsynced, so wal cuts
// the files itself while no handle is open. A crash at any moment leaves files that load, at worst longer than asked for:
//
//	1  the checkpoint is lowered, durably: what is written later is not believed unread
//	2  only where the cut is inside an entry: the batches of it that stay go to the file "truncate", durably
//	3  later files are unlinked, the last first; the file is cut
//	4  only after 2: those batches are appended and synced, the file "truncate" is removed
const cutName = "truncate"

// TruncateTo removes all at and above offset; End() is offset then, or the base offset of the batch that straddles it. It is
// durable when it returns: later appends cannot end up between what was removed.
func (l *Log) TruncateTo(offset int64) error {
	if err := l.ready(); err != nil {
		return err
	}
	defer l.flush.hold()()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if offset >= l.end.Load() {
		return nil
	}
	if err := l.truncate(offset); err != nil {
		return l.dir.fail("truncate "+l.path, err)
	}
	return dropSideAbove(l, l.end.Load())
}

// cutPoint is where a log is cut.
type cutPoint struct {
	i       int    // the segment
	pos     int64  // of the entry that goes
	entries uint32 // of the segment that stay
	maxTs   int64  // of what stays
	kept    []byte // batches of the entry at pos that stay
	end     int64  // the offset that is the end then
}

func (l *Log) truncate(offset int64) error {
	if err := l.mend(); err != nil {
		return err
	}
	segs := l.view.Load().segs
	if offset <= segs[0].base {
		return l.reset(offset)
	}
	c, err := findCut(segs, offset)
	if err != nil {
		return err
	}
	if c.i == 0 && c.pos == 0 && len(c.kept) == 0 {
		return l.reset(c.end) // no file would say where the log begins
	}
	s := segs[c.i]
	if err := l.flush.lower(position{s.index, 0, s.index, s.base}); err != nil {
		return err
	}
	pending := pendingCut{segment: s.index, pos: c.pos, kept: c.kept}
	if len(c.kept) > 0 {
		if err := l.writeCut(pending); err != nil {
			return err
		}
	}
	if l.handle != nil {
		l.closeHandle()
		l.dir.writers.remove(l)
	}
	if err := l.cutFiles(segs[c.i:], c.pos); err != nil {
		return err
	}
	lowered := l.start.Load() > c.end
	c.publish(l, segs)
	if lowered {
		err := l.dir.journal.put(map[string]state{l.name: l.flush.state()})
		if err == nil {
			err = l.dir.journal.sync()
		}
		if err != nil {
			return err
		}
	}
	if len(c.kept) == 0 {
		return nil
	}
	err = pending.finish(l)
	l.tail().next.Store(c.end) // the cut may lie in a gap behind what was kept
	l.end.Store(c.end)
	return err
}

// findCut looks for the first batch that ends above offset.
func findCut(segs []*segment, offset int64) (c cutPoint, err error) {
	c.i = findSegment(segs, offset)
	s := segs[c.i]
	c.end = offset
	pts, err := s.points()
	if err != nil {
		return c, err
	}
	k := findOffset(pts, offset)
	for k > 0 && pts[k].kind == innerPoint {
		k--
	}
	cur := cursor{size: s.size.Load()}
	c.pos, c.maxTs = cur.size, s.maxTs.Load()
	c.entries = uint32(s.entries())
	if len(pts) == 0 {
		return c, nil
	}
	if cur.file, err = s.acquire(); err != nil {
		return c, err
	}
	defer cur.close()
	cur.begin(pts, k)
	cur.entries = pts[k].entry
	maxTs, before := pts[k].maxBefore, pts[k].maxBefore
	for {
		h, err := cur.next()
		if err != nil || h == nil {
			return c, err
		}
		at := cur.pos - int64(h.Size())
		if at == cur.start {
			before = maxTs // of whole entries
		}
		if h.NextOffset() <= offset {
			maxTs = max(maxTs, h.MaxTimestamp())
			continue
		}
		c.pos, c.entries, c.maxTs = cur.entry, cur.entries-1, before
		c.end = min(offset, h.BaseOffset())
		if at > cur.start {
			c.kept = make([]byte, at-cur.start)
			_, err = cur.file.ReadAt(c.kept, cur.start)
		}
		return c, err
	}
}

// publish makes readers see what is left. Readers of the old segments find them gone.
func (c cutPoint) publish(l *Log, segs []*segment) {
	old := segs[c.i]
	s := newSegment(l, old.index, old.base)
	next := c.end
	if len(c.kept) > 0 {
		next = record.Batch(c.kept).BaseOffset() // they are appended again
	}
	if c.pos == 0 {
		s.base = next
	} else {
		s.firstTs, s.createdMs = old.firstTs, old.createdMs
	}
	s.cum.Store(old.cum.Load())
	s.after = old.index + uint64(c.entries)
	s.syncedTo.Store(0)
	s.idx = indexer{last: -1, maxBefore: c.maxTs, entries: c.entries}
	if old := old.pts.Load(); old != nil {
		pts := old.all()
		n := 0
		for n < len(pts) && pts[n].pos < c.pos {
			n++
		}
		if pts = slices.Clone(pts[:n]); n > 0 {
			s.idx.last, s.idx.wasLarge = pts[n-1].pos, pts[n-1].kind != smallPoint
		}
		s.pts.Store(newPoints(pts))
	}
	s.maxTs.Store(c.maxTs)
	s.next.Store(next)
	s.size.Store(c.pos)
	l.synced.Store(min(l.synced.Load(), next))
	l.start.Store(min(l.start.Load(), c.end))
	l.next = s.after
	l.end.Store(c.end)
	l.size.Store(s.cum.Load() - segs[0].cum.Load() + c.pos)
	l.view.Store(&view{segs: append(segs[:c.i:c.i], s)})
}

// pendingCut is what the file "truncate" holds: CRC-32C of the rest (4 bytes, little endian), segment 8, position 8, kept batches.
type pendingCut struct {
	segment uint64
	pos     int64
	kept    []byte
}

func (f *files) writeCut(p pendingCut) error {
	b := make([]byte, 20, 20+len(p.kept))
	binary.LittleEndian.PutUint64(b[4:], p.segment)
	binary.LittleEndian.PutUint64(b[12:], uint64(p.pos))
	b = append(b, p.kept...)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	if err := writeWhole(f.dir.fs, f.path+"/"+cutName, b, true); err != nil {
		return err
	}
	if err := f.dir.fs.SyncDir(f.path); err != nil {
		return syncError(err)
	}
	return nil
}

// readCut returns the truncation that a crash interrupted; one without a segment if the file is none.
func (f *files) readCut() (p pendingCut, err error) {
	b, err := readAll(f.dir.fs, f.path+"/"+cutName)
	if err != nil {
		return p, err
	}
	if len(b) < 20 || crc32.Checksum(b[4:], castagnoli) != binary.LittleEndian.Uint32(b) {
		f.dir.log.Warn("ignoring a torn truncation", "log", f.name)
		return p, nil
	}
	return pendingCut{binary.LittleEndian.Uint64(b[4:]), int64(binary.LittleEndian.Uint64(b[12:])), b[20:]}, nil
}

// applyCut repeats step 3 of a truncation on the files that are there.
func (r *recovery) applyCut(p pendingCut, fnd *found) error {
	l := r.log
	i, ok := slices.BinarySearch(fnd.files, p.segment)
	if !ok {
		return nil
	}
	if err := r.removeFrom(fnd.files[i+1:]); err != nil {
		return err
	}
	fnd.files = fnd.files[:i+1]
	if r.pos.segment >= p.segment {
		r.pos = position{}
	}
	path := l.walPath() + "/" + segmentName(p.segment)
	info, err := l.dir.fs.Stat(path)
	if err != nil || info.Size() <= p.pos {
		return err
	}
	return l.dir.fs.Truncate(path, p.pos)
}

// finish is step 4.
func (p pendingCut) finish(l *Log) error {
	if len(p.kept) > 0 {
		if err := p.append(l); err != nil {
			return err
		}
	}
	if err := l.flush.sync(l.end.Load()); err != nil {
		return err
	}
	if err := l.dir.fs.Remove(l.path + "/" + cutName); err != nil {
		return err
	}
	if err := l.dir.fs.SyncDir(l.path); err != nil {
		return syncError(err)
	}
	return nil
}

// append writes what stays of a cut entry as an entry of its own.
func (p pendingCut) append(l *Log) error {
	maxTs := int64(-1)
	for rest := p.kept; len(rest) >= record.HeaderSize; {
		h := record.Batch(rest)
		if err := checkHeader(h, int64(len(rest)), 0); err != nil {
			return err
		}
		maxTs = max(maxTs, h.MaxTimestamp())
		rest = rest[h.Size():]
	}
	return l.appendLocked(p.kept, maxTs)
}

// A base marker is an empty file NNN-OFFSET.base: the log begins at OFFSET with the data file NNN, and what is older is gone. It is
// needed where no batch on the disk can say so, and as a name alone it can be made on a full disk. It is the durable moment of Reset.
type baseMarker struct {
	index uint64
	base  int64
}

const markerSuffix = ".base"

func (f *files) markerPath(m baseMarker) string {
	return fmt.Sprintf("%s/%020d-%020d%s", f.path, m.index, m.base, markerSuffix)
}

func parseMarker(name string) (m baseMarker, ok bool) {
	name, ok = strings.CutSuffix(name, markerSuffix)
	if !ok || len(name) != 41 || name[20] != '-' {
		return m, false
	}
	index, ok1 := parseSegment(name[:20])
	base, ok2 := parseOffset(name[21:])
	return baseMarker{index, base}, ok1 && ok2
}

func parseOffset(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && len(s) == 20
}

// putMarker makes a marker, durably: the data file that it names first.
func (l *files) putMarker(m baseMarker) error {
	if err := l.syncNames(); err != nil {
		return err
	}
	f, err := l.dir.fs.Create(l.markerPath(m))
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), syncOrNil(l.dir.fs.SyncDir(l.path))); err != nil {
		l.dir.fs.Remove(l.markerPath(m))
		return err
	}
	if old := l.marker.Swap(&m); old != nil {
		if err := l.dir.fs.Remove(l.markerPath(*old)); err != nil {
			l.dir.log.Warn("old marker stays", "log", l.name, "err", err) // the newest counts
		}
	}
	return nil
}

func syncOrNil(err error) error {
	if err != nil {
		return syncError(err)
	}
	return nil
}

// dropMarker removes a marker whose data file, being before the tail, has durable batches.
func (l *files) dropMarker(tail uint64) error {
	m := l.marker.Load()
	if m == nil || m.index >= tail || !l.marker.CompareAndSwap(m, nil) {
		return nil
	}
	if err := l.dir.fs.Remove(l.markerPath(*m)); err != nil && !notExist(err) {
		return err
	}
	return nil
}

// applyMarker finishes what the newest marker says and removes the others.
func (r *recovery) applyMarker(fnd *found) error {
	l := r.log
	if len(fnd.markers) == 0 {
		return nil
	}
	m := fnd.markers[len(fnd.markers)-1]
	stale := fnd.markers[:len(fnd.markers)-1]
	i, ok := slices.BinarySearch(fnd.files, m.index)
	if !ok && i < len(fnd.files) {
		stale = fnd.markers // its file was removed long ago
	} else {
		if err := r.removeFrom(fnd.files[:i]); err != nil {
			return err
		}
		fnd.files = fnd.files[i:]
		r.index, r.next = m.index, m.base
		if r.pos.segment < m.index {
			r.pos, r.st.start = position{}, 0 // of before
		}
		l.marker.Store(&m)
	}
	for _, m := range stale {
		if err := l.dir.fs.Remove(l.markerPath(m)); err != nil {
			return err
		}
	}
	return nil
}

// Reset drops everything and starts again, empty, at offset start. It is durable when it returns.
func (l *Log) Reset(start int64) error {
	if err := l.ready(); err != nil {
		return err
	}
	if start < 0 {
		return fmt.Errorf("%s: reset to %d: %w", l.path, start, ErrOffsetOutOfRange)
	}
	defer l.flush.hold()()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.reset(start); err != nil {
		return l.dir.fail("reset "+l.path, err)
	}
	return dropSideAbove(l, start)
}

func (l *Log) reset(start int64) error {
	if err := l.makeDirs(l.tail().index); err != nil {
		return err
	}
	if err := l.mend(); err != nil {
		return err
	}
	if l.handle != nil {
		l.closeHandle()
		l.dir.writers.remove(l)
	}
	// An index that no file had: the checkpoint's state is then known to be of before.
	m := baseMarker{l.next + 1, start}
	err := l.createFile(m.index)
	if err == nil {
		err = l.putMarker(m)
	}
	if err != nil {
		l.repair = true
		return err
	}
	old := l.view.Load().segs
	s := newSegment(l, m.index, start)
	l.next = m.index
	// Start <= Synced <= End at any moment, whether the log moves up or down.
	l.synced.Store(min(l.synced.Load(), start))
	l.start.Store(min(l.start.Load(), start))
	l.end.Store(start)
	l.synced.Store(start)
	l.start.Store(start)
	l.size.Store(0)
	l.view.Store(&view{segs: []*segment{s}})
	f := &l.flush
	f.mu.Lock()
	f.generation++
	f.dirtyFrom(start)
	f.saved.pos = position{m.index, 0, m.index, start}
	st := l.flush.stateLocked()
	f.mu.Unlock()
	if err := l.dir.journal.put(map[string]state{l.name: st}); err != nil {
		l.dir.log.Warn("checkpoint after reset", "log", l.name, "err", err) // the marker is enough
	}
	return l.unlinkSegments(old)
}

// removeSidecars removes those of files that are no more.
func (l *files) removeSidecars(indexes []uint64, segs []*segment) error {
	for _, index := range indexes {
		if slices.ContainsFunc(segs, func(s *segment) bool { return s.index == index }) {
			continue
		}
		if err := l.dir.fs.Remove(l.sidecarPath(index)); err != nil {
			return err
		}
	}
	return nil
}

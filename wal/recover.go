package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	tidwall "github.com/tidwall/wal"

	"weir/protocol/record"
)

// Loading a log. What may be found, and what is done:
//
//	nothing                                   an empty log at offset 0
//	*.TEMP, *.tmp                             removed
//	a snapshot of an offset above the end     removed, as what was there is lost
//	OFFSET.aborted                            believed up to the first that does not follow the one before
//	NNN.START, NNN.END                        the library finishes its own truncation, before anything is looked at
//	NNN-OFFSET.base                           everything before file NNN is removed; the log begins at OFFSET
//	truncate                                  a truncation inside an entry is finished (see truncate.go)
//	a file below the checkpoint with sidecar  believed
//	a file below it without, or damaged       scanned; what is bad in it is left out, what comes after it is kept
//	the file of the checkpoint                scanned from there; from its beginning where the checkpoint does not fit
//	files after it                            scanned
//	the first bad byte at or after it         the file is cut there, all later files are removed
//	a file missing at or after it             as a bad byte: later files are removed; but where the next file begins at or below
//	                                          the log start, those before are what a crash left of a retention, and go
//	no checkpoint, or a damaged one           every file is scanned
//
// Nothing needs to be synced here: until the next sync the log is no more durable than it was.

// Load reads what is on the disk, unless that was done. Every other method does it by itself at first use.
func (l *Log) Load() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded.Load() {
		return nil
	}
	if l.gone.Load() {
		return fmt.Errorf("%s: %w", l.path, ErrClosed)
	}
	if err := l.dir.Offline(); err != nil {
		return err
	}
	r := recovery{log: l}
	if err := r.run(); err != nil {
		return fmt.Errorf("load %s: %w", l.path, err)
	}
	l.loaded.Store(true)
	return nil
}

// found is what the log's directories hold.
type found struct {
	files    []uint64 // data files by index, in order
	sidecars []uint64
	snaps    []int64 // snapshots by offset, in order
	aborted  []int64 // files of aborted transactions, in order
	markers  []baseMarker
	cut      bool // a truncation was not finished
}

// run loads the log, whose mutex is held.
func (r *recovery) run() error {
	l := r.log
	fnd, err := l.list()
	if err != nil {
		return err
	}
	if !l.exists.Load() {
		l.setSegments([]*segment{newSegment(l, 1, 0)}, 1)
		return nil
	}
	r.st, _ = l.dir.journal.get(l.name)
	r.pos = r.st.pos
	if err := r.applyMarker(&fnd); err != nil {
		return err
	}
	var cut pendingCut
	if fnd.cut {
		if cut, err = l.readCut(); err != nil {
			return err
		}
		if err := r.applyCut(cut, &fnd); err != nil {
			return err
		}
	}
	if err := r.loadFiles(fnd.files); err != nil {
		return err
	}
	l.setSegments(r.segs, r.index)
	r.adopt()
	if err := l.removeSidecars(fnd.sidecars, r.segs); err != nil {
		return err
	}
	if fnd.cut {
		if err := r.finishCut(cut); err != nil {
			return err
		}
	}
	if err := l.dropSnapshotsAbove(l.end.Load(), fnd.snaps); err != nil {
		return err
	}
	return l.loadAborted(fnd.aborted)
}

// finishCut ends a truncation that a crash has interrupted.
func (r *recovery) finishCut(cut pendingCut) error {
	l := r.log
	if len(cut.kept) < record.HeaderSize || record.Batch(cut.kept).BaseOffset() < l.end.Load() {
		cut.kept = nil // of a file that is no more
	}
	return cut.finish(l)
}

// adopt takes start, hints and the durable end over from the checkpoint.
func (r *recovery) adopt() {
	l := r.log
	first, end := r.segs[0].base, l.end.Load()
	start := max(first, r.st.start)
	if start > end {
		l.dir.log.Warn("log start beyond the end", "log", l.name, "start", start, "end", end)
		start = end // what was deleted stays deleted
	}
	l.start.Store(start)
	l.synced.Store(min(max(start, r.pos.next), end))
	l.hints.fill(r.st.hints)
	l.flush.mu.Lock()
	l.flush.saved = r.st
	l.flush.saved.pos = r.pos
	l.flush.mu.Unlock()
	l.dirDirty.Store(true)
	l.dirNew.Store(true)
	if slices.ContainsFunc(r.segs[:len(r.segs)-1], func(s *segment) bool { return !s.hasSidecar.Load() }) {
		l.flush.sealLater()
	}
}

func (l *Log) setSegments(segs []*segment, next uint64) {
	var cum int64
	for _, s := range segs {
		s.cum = cum
		cum += s.size.Load()
	}
	tail := segs[len(segs)-1]
	l.next = next
	l.size.Store(cum)
	l.view.Store(&view{segs: segs})
	l.start.Store(segs[0].base)
	l.synced.Store(segs[0].base)
	l.end.Store(tail.next.Load())
}

// list reads both directories, removes leftovers and lets the library finish what it began.
func (f *files) list() (fnd found, err error) {
	fsys := f.dir.fs
	data, err := fsys.ReadDir(f.walPath())
	if notExist(err) {
		return fnd, nil
	}
	if err != nil {
		return fnd, err
	}
	f.exists.Store(true)
	if slices.ContainsFunc(data, func(e os.DirEntry) bool {
		return strings.HasSuffix(e.Name(), ".START") || strings.HasSuffix(e.Name(), ".END")
	}) {
		if data, err = f.finishLibraryTruncation(); err != nil {
			return fnd, err
		}
	}
	for _, e := range data {
		if strings.HasSuffix(e.Name(), ".TEMP") {
			if err := fsys.Remove(f.walPath() + "/" + e.Name()); err != nil {
				return fnd, err
			}
		} else if index, ok := parseSegment(e.Name()); ok {
			fnd.files = append(fnd.files, index)
		}
	}
	own, err := fsys.ReadDir(f.path)
	if err != nil {
		return fnd, err
	}
	for _, e := range own {
		name := e.Name()
		if strings.HasSuffix(name, tmpSuffix) {
			if err := fsys.Remove(f.path + "/" + name); err != nil {
				return fnd, err
			}
		} else if m, ok := parseMarker(name); ok {
			fnd.markers = append(fnd.markers, m)
		} else if index, ok := parseSegment(strings.TrimSuffix(name, sidecarSuffix)); ok && strings.HasSuffix(name, sidecarSuffix) {
			fnd.sidecars = append(fnd.sidecars, index)
		} else if at, ok := parseOffset(strings.TrimSuffix(name, snapshotSuffix)); ok && strings.HasSuffix(name, snapshotSuffix) {
			fnd.snaps = append(fnd.snaps, at)
		} else if first, ok := parseOffset(strings.TrimSuffix(name, abortedSuffix)); ok && strings.HasSuffix(name, abortedSuffix) {
			fnd.aborted = append(fnd.aborted, first)
		}
		fnd.cut = fnd.cut || name == cutName
	}
	return fnd, nil
}

func parseSegment(name string) (index uint64, ok bool) {
	if len(name) != 20 {
		return 0, false
	}
	index, err := strconv.ParseUint(name, 10, 64)
	return index, err == nil && index > 0
}

// finishLibraryTruncation opens and closes the library once. That fails on a torn tail, which is no matter: the renames come first.
func (f *files) finishLibraryTruncation() ([]os.DirEntry, error) {
	log, err := tidwall.Open(f.walPath(), libraryOptions())
	if err == nil {
		log.Close()
	}
	data, listErr := f.dir.fs.ReadDir(f.walPath())
	for _, e := range data {
		if strings.HasSuffix(e.Name(), ".START") || strings.HasSuffix(e.Name(), ".END") {
			return nil, fmt.Errorf("%s: a truncation of the library cannot be finished (%v): %w", e.Name(), err, ErrCorrupt)
		}
	}
	return data, listErr
}

// recovery is the state of one load.
type recovery struct {
	log   *Log
	st    state
	pos   position
	segs  []*segment
	index uint64 // of the next entry
	next  int64  // offset
}

// loadFiles takes the data files in, in order, up to the first that does not fit.
func (r *recovery) loadFiles(files []uint64) error {
	l := r.log
	if !slices.Contains(files, r.pos.segment) {
		r.pos = position{}
	}
	first := 0 // of the files that are still there
	for i, index := range files {
		durable := index < r.pos.segment
		if i > 0 && index != r.index {
			l.dir.log.Warn("data files are not contiguous", "log", l.name, "file", index, "expected", r.index)
			switch {
			case r.belowStart(index):
				if err := r.removeFrom(files[first:i]); err != nil {
					return err
				}
				r.segs, r.next, first = nil, 0, i
			case !durable && index != r.pos.segment:
				return r.removeFrom(files[i:])
			}
		}
		var after uint64
		if i+1 < len(files) {
			after = files[i+1]
		}
		whole, err := r.loadFile(index, after, durable)
		if err != nil {
			return err
		}
		if !whole && !durable {
			return r.removeFrom(files[i+1:])
		}
	}
	if len(files) > 0 {
		return nil
	}
	// The directory was made, the first file was not, or is lost.
	r.index = max(r.index, 1)
	l.dirDirty.Store(true)
	r.segs = []*segment{newSegment(l, r.index, r.next)}
	return l.createFile(r.index)
}

// belowStart says whether all that lies before the file index is below the log start: what a crash left of a retention.
func (r *recovery) belowStart(index uint64) bool {
	f, err := r.log.dir.fs.OpenFile(r.log.walPath()+"/"+segmentName(index), os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [maxPrefix + record.HeaderSize]byte
	got, err := f.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return false
	}
	_, n := binary.Uvarint(b[:min(got, maxPrefix)])
	return n > 0 && got-n >= 8 && record.Batch(b[n:]).BaseOffset() <= r.st.start
}

// removeFrom removes files that come after a cut, the last first: what remains is contiguous at any moment.
func (r *recovery) removeFrom(files []uint64) error {
	for i := len(files) - 1; i >= 0; i-- {
		r.log.dir.log.Warn("removing a data file that does not belong to the log", "log", r.log.name, "file", files[i])
		if err := r.log.dir.fs.Remove(r.log.walPath() + "/" + segmentName(files[i])); err != nil {
			return err
		}
	}
	return nil
}

// loadFile takes one file in. whole is false when it was not good up to its end.
func (r *recovery) loadFile(index, after uint64, durable bool) (whole bool, err error) {
	l := r.log
	s := newSegment(l, index, r.next)
	info, err := l.dir.fs.Stat(s.path())
	if err != nil {
		return false, err
	}
	size := info.Size()
	s.createdMs = info.ModTime().UnixMilli()
	r.segs = append(r.segs, s)
	if durable {
		if sc, ok := l.readSidecarHead(index); ok && sc.size == size && sc.after == after && sc.base >= r.next {
			s.trust(sc)
			r.index, r.next = after, sc.next
			return true, nil
		}
	}
	from := int64(0)
	if index == r.pos.segment && r.pos.bytes > 0 && r.pos.bytes <= size {
		if sc, pts, ok := l.readSidecar(index); ok && sc.size == r.pos.bytes && sc.after == r.pos.index && sc.next == r.pos.next && sc.base >= r.next {
			s.resume(sc, pts)
			from = r.pos.bytes
		}
	}
	whole, err = r.scanFile(s, from, size, durable)
	if err == nil && !whole && from > 0 && s.size.Load() == from {
		// Nothing good follows the checkpoint: was it a checkpoint of this file at all?
		s2 := newSegment(l, index, r.next)
		s2.createdMs = s.createdMs
		r.segs[len(r.segs)-1] = s2
		s = s2
		whole, err = r.scanFile(s, 0, size, durable)
	}
	if err != nil {
		return false, err
	}
	r.settle(s, after, durable)
	return whole, nil
}

// settle makes a scanned segment the newest of the log.
func (r *recovery) settle(s *segment, after uint64, durable bool) {
	r.index, r.next = s.after, s.next.Load()
	switch {
	case durable:
		s.syncedTo.Store(s.size.Load())
		if after != 0 {
			r.index, s.after = after, after
		}
	case s.index == r.pos.segment && s.size.Load() >= r.pos.bytes && r.pos.next <= r.next:
		s.syncedTo.Store(r.pos.bytes)
	case s.index == r.pos.segment:
		r.pos = position{segment: s.index, index: s.index, next: s.base}
	}
}

// scanFile scans s from a position on, and cuts the file where it is bad unless it is durable.
func (r *recovery) scanFile(s *segment, from, size int64, durable bool) (whole bool, err error) {
	if from == size {
		return true, nil
	}
	f, err := r.log.dir.fs.OpenFile(s.path(), os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	base := r.next
	if from > 0 {
		base = s.next.Load()
	}
	sc := scanner{file: f, base: base, idx: s.idx, points: s.pts.Load().all()}
	bad := sc.run(from, size)
	s.absorb(&sc, from)
	if bad == nil {
		return true, nil
	}
	if !errors.Is(bad, ErrCorrupt) {
		return false, bad
	}
	if durable {
		r.log.dir.log.Error("a file that was whole is damaged, the rest of it is lost", "file", s.path(), "at", sc.good, "why", bad)
		return false, nil
	}
	if from > 0 && sc.good == from {
		return false, nil // the caller tries again from the beginning
	}
	r.log.dir.log.Warn("cutting a torn file", "file", s.path(), "at", sc.good, "size", size, "why", bad)
	return false, r.log.dir.fs.Truncate(s.path(), sc.good)
}

// trust makes s what its sidecar says.
func (s *segment) trust(sc sidecarInfo) {
	s.base, s.after = sc.base, sc.after
	s.next.Store(sc.next)
	s.maxTs.Store(sc.maxTs)
	s.size.Store(sc.size)
	s.syncedTo.Store(sc.size)
	s.hasSidecar.Store(true)
	s.pts.Store(nil)
}

// resume makes s what the sidecar of a tail says, ready to grow.
func (s *segment) resume(sc sidecarInfo, pts []point) {
	s.trust(sc)
	s.hasSidecar.Store(false)
	s.pts.Store(newPoints(pts))
	s.idx.maxBefore, s.idx.entries = sc.maxTs, uint32(sc.after-sc.index)
	s.firstTs = sc.maxTs // the first entry's is not kept: segment.ms then counts from the newest
	if n := len(pts); n > 0 {
		s.idx.last, s.idx.wasLarge = pts[n-1].pos, pts[n-1].kind != smallPoint
	}
}

// absorb makes s what a scan found.
func (s *segment) absorb(sc *scanner, from int64) {
	if from == 0 {
		s.firstTs = sc.firstTs
		s.after = s.index
		if len(sc.points) > 0 {
			s.base = sc.points[0].offset
		}
	}
	s.idx = sc.idx
	s.pts.Store(newPoints(sc.points))
	s.after += sc.entries
	s.next.Store(sc.next)
	s.maxTs.Store(sc.maxTs)
	s.size.Store(sc.good)
}

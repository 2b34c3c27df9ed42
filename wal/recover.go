package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	tidwall "github.com/tidwall/wal"

	"weir/internal/buffer"
	"weir/protocol/record"
	"weir/wal/vfs"
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
//	NNN.clean.tmp                             removed: a compaction that was not finished
//	zeros behind the data of a file, one for  the file took the place of others (cleanswap.go): those between it and the file that
//	each entry that the next names say it     the numbers lead to are removed, if they are still there
//	does not have
//	the file of the checkpoint                scanned from there; from its beginning where the checkpoint does not fit
//	files after it                            scanned
//	the first bad byte at or after it         the file is cut there, all later files are removed
//	a file missing at or after it             as a bad byte: later files are removed; but where the next file begins at or below
//	                                          the log start, those before are what a crash left of a retention, and go
//	no checkpoint, or a damaged one           every file is scanned
//	an end below the log start                the log is begun anew at its start
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
	r.st, _ = l.dir.journal.get(l.name)
	if !l.exists.Load() {
		l.setSegments([]*segment{newSegment(l, 1, 0)}, 1)
		return r.startBeyond()
	}
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
	if err := l.loadAborted(fnd.aborted); err != nil {
		return err
	}
	return r.startBeyond()
}

// finishCut ends a truncation that a crash has interrupted.
func (r *recovery) finishCut(cut pendingCut) error {
	l := r.log
	if len(cut.kept) < record.HeaderSize || record.Batch(cut.kept).BaseOffset() < l.end.Load() {
		cut.kept = nil // of a file that is no more
	}
	return cut.finish(l)
}

// startBeyond empties a log that ends below its start, as Kafka does: a crash took records that were deleted and never synced. It goes on
// where they ended, or consumers and committed offsets would be ahead of it.
func (r *recovery) startBeyond() error {
	l := r.log
	if r.st.start <= l.end.Load() {
		return nil
	}
	l.dir.log.Warn("the log ends below its start, and is begun anew there", "log", l.name, "start", r.st.start, "end", l.end.Load())
	if err := l.reset(r.st.start); err != nil {
		return l.dir.fail("reset "+l.path, err)
	}
	return dropSideAbove(l, r.st.start)
}

// adopt takes start, hints and the durable end over from the checkpoint.
func (r *recovery) adopt() {
	l := r.log
	first, end := r.segs[0].base, l.end.Load()
	start := min(max(first, r.st.start), end)
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
		s.cum.Store(cum)
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

	covered uint64 // files below it are leftovers of those that the newest segment took the place of
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
		if i > 0 && index < r.covered {
			if err := r.removeFrom(files[i : i+1]); err != nil {
				return err
			}
			continue
		}
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
		whole, err := r.loadFile(index, files[i+1:], durable)
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
func (r *recovery) belowStart(index uint64) bool { return r.firstOffset(index) <= r.st.start }

// firstOffset returns the offset that the data file index begins with; the largest there is where it does not say.
func (r *recovery) firstOffset(index uint64) int64 {
	f, err := r.log.dir.fs.OpenFile(r.log.walPath()+"/"+segmentName(index), os.O_RDONLY, 0)
	if err != nil {
		return math.MaxInt64
	}
	defer f.Close()
	var b [maxPrefix + record.HeaderSize]byte
	got, err := f.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return math.MaxInt64
	}
	_, n := binary.Uvarint(b[:min(got, maxPrefix)])
	if n <= 0 || got-n < 8 {
		return math.MaxInt64
	}
	return record.Batch(b[n:]).BaseOffset()
}

// removeFrom removes files that come after a cut, the last first: what remains is contiguous at any moment.
func (r *recovery) removeFrom(files []uint64) error {
	for i := len(files) - 1; i >= 0; i-- {
		r.log.dir.log.Warn("removing a data file that does not belong to the log", "log", r.log.name, "file", files[i])
		if err := r.log.dir.fs.Remove(r.log.walPath() + "/" + segmentName(files[i])); err != nil && !notExist(err) {
			return err
		}
	}
	return nil
}

// loadFile takes one file in; later are those that follow. whole is false when it was not good up to its end.
func (r *recovery) loadFile(index uint64, later []uint64, durable bool) (whole bool, err error) {
	l := r.log
	var after uint64
	if len(later) > 0 {
		after = later[0]
	}
	s := newSegment(l, index, r.next)
	info, err := l.dir.fs.Stat(s.path())
	if err != nil {
		return false, err
	}
	size := info.Size()
	s.createdMs = info.ModTime().UnixMilli()
	r.segs = append(r.segs, s)
	if durable {
		if sc, ok := l.readSidecarHead(index); ok && sc.size+sc.pad() == size && sc.base >= r.next &&
			(sc.after == after || sc.pad() > 0 && slices.Contains(later, sc.after)) {
			s.trust(sc)
			r.index, r.next, r.covered = sc.after, sc.next, sc.after
			return true, nil
		}
	}
	from := int64(0)
	if index == r.pos.segment && r.pos.bytes > 0 && r.pos.bytes <= size {
		if sc, pts, ok := l.readSidecar(index); ok && sc.size == r.pos.bytes && sc.pad() == 0 && sc.after == r.pos.index && sc.next == r.pos.next && sc.base >= r.next {
			s.resume(sc, pts)
			from = r.pos.bytes
		}
	}
	whole, err = r.scanFile(s, from, size, durable, later)
	if err == nil && !whole && from > 0 && s.size.Load() == from {
		// Nothing good follows the checkpoint: was it a checkpoint of this file at all?
		s2 := newSegment(l, index, r.next)
		s2.createdMs = s.createdMs
		r.segs[len(r.segs)-1] = s2
		s = s2
		whole, err = r.scanFile(s, 0, size, durable, later)
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
		if after != 0 && s.pad == 0 {
			r.index, s.after = after, after
		}
	case s.index == r.pos.segment && s.size.Load() >= r.pos.bytes && r.pos.next <= r.next:
		s.syncedTo.Store(r.pos.bytes)
	case s.index == r.pos.segment:
		r.pos = position{segment: s.index, index: s.index, next: s.base}
	}
}

// scanFile scans s from a position on, and cuts the file where it is bad unless it is durable.
func (r *recovery) scanFile(s *segment, from, size int64, durable bool, later []uint64) (whole bool, err error) {
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
	if cleaned, err := r.padded(s, f, size, later); err != nil || cleaned {
		return cleaned, err
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

// padded says whether what follows the data of s, which was scanned, is what compaction leaves: a zero for each entry that is missing up to
// the name of a later file. A file that lost its end is no such thing: an entry has more bytes than one. It makes s the file that it is.
func (r *recovery) padded(s *segment, f vfs.File, size int64, later []uint64) (bool, error) {
	pad := size - s.size.Load()
	i := slices.Index(later, s.after+uint64(pad))
	if i < 0 || s.size.Load() == 0 {
		return false, nil
	}
	// What lies between was covered: the last batch of all of them stayed.
	if i > 0 && r.firstOffset(later[0]) >= s.next.Load() {
		return false, nil
	}
	buf := buffer.Get(scanWindow)
	defer buf.Put()
	for at := s.size.Load(); at < size; {
		n := min(int64(scanWindow), size-at)
		if _, err := f.ReadAt(buf.B[:n], at); err != nil {
			return false, err
		}
		if len(bytes.TrimLeft(buf.B[:n], "\x00")) > 0 {
			return false, nil
		}
		at += n
	}
	s.pad, s.after = pad, later[i]
	s.syncedTo.Store(s.size.Load())
	r.covered = s.after
	return true, nil
}

// trust makes s what its sidecar says.
func (s *segment) trust(sc sidecarInfo) {
	s.base, s.after, s.pad = sc.base, sc.after, sc.pad()
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
	s.idx.maxBefore, s.idx.entries = sc.maxTs, uint32(sc.entries)
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

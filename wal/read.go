package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"weir/internal/buffer"
	"weir/protocol/record"
)

// mergeBelow is the size from which an entry's batches get a piece of their own; smaller ones are moved in the buffer to join the
// piece before, because a vector element costs more than copying a few KiB.
const mergeBelow = 8 << 10

// Read puts whole batches into dst: from the one that holds offset from (or follows it, where there is a gap) up to limit, and not
// more than maxBytes, but for the first batch where atLeastOne is set. A from outside [Start, End] is ErrOffsetOutOfRange. Small
// entries are read into a pooled buffer; large ones become pieces of a descriptor without being read. The caller releases dst.
func (l *Log) Read(dst *record.Data, from, limit int64, maxBytes int, atLeastOne bool) error {
	dst.Pieces, dst.Size, dst.Owner = dst.Pieces[:0], 0, nil
	if err := l.ready(); err != nil {
		return err
	}
	for {
		end := l.end.Load() // before the view and the sizes, which then reach at least so far
		if from < l.start.Load() || from > end {
			return fmt.Errorf("%s: %d is not in [%d, %d]: %w", l.path, from, l.start.Load(), end, ErrOffsetOutOfRange)
		}
		r := reads.Get().(*reader)
		r.dst, r.from, r.limit, r.left, r.force = dst, from, min(limit, end), int64(maxBytes), atLeastOne
		err := r.segments(l.view.Load().segs)
		r.dst = nil
		if r.used() {
			dst.Owner = r
		} else {
			reads.Put(r)
		}
		if err == nil || errors.Is(err, errGone) && dst.Size > 0 {
			return nil
		}
		dst.Release()
		if !errors.Is(err, errGone) {
			return fmt.Errorf("read %s: %w", l.path, err)
		}
	}
}

var reads = sync.Pool{New: func() any { return new(reader) }}

// reader is one Read, and then the owner of what it gave out.
type reader struct {
	dst         *record.Data
	from, limit int64
	left        int64 // bytes that may still be given out
	force       bool  // the next batch goes out whatever its size

	buffers []*buffer.Buffer
	files   []*readFile
	cur     *buffer.Buffer // the buffer that the last piece is in, and where it ends there
	curEnd  int
	head    [record.HeaderSize]byte
}

func (r *reader) used() bool { return len(r.buffers)+len(r.files) > 0 }

// Release implements record.Releaser.
func (r *reader) Release() {
	for i, b := range r.buffers {
		b.Put()
		r.buffers[i] = nil
	}
	for i, f := range r.files {
		f.release()
		r.files[i] = nil
	}
	r.buffers, r.files, r.cur, r.curEnd = r.buffers[:0], r.files[:0], nil, 0
	reads.Put(r)
}

// segments reads from the segment that holds from on.
func (r *reader) segments(segs []*segment) error {
	for _, s := range segs[findSegment(segs, r.from):] {
		if r.from >= r.limit || r.left <= 0 && !r.force || s.base >= r.limit {
			return nil
		}
		if s.next.Load() <= r.from {
			continue
		}
		more, err := r.segment(s)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// findSegment returns the segment that holds offset, or the one before a gap in which it is.
func findSegment(segs []*segment, offset int64) int {
	return max(0, sort.Search(len(segs), func(i int) bool { return segs[i].base > offset })-1)
}

// segment reads from one segment; more is false when the read is complete.
func (r *reader) segment(s *segment) (more bool, err error) {
	// The size before the points: an entry below it then has its point, so that a large entry is known to end there.
	size := s.size.Load()
	pts, err := s.points()
	if err != nil || len(pts) == 0 {
		return err == nil, err
	}
	f, err := s.acquire()
	if err != nil {
		return false, err
	}
	defer f.release()
	for k := findOffset(pts, r.from); k < len(pts) && pts[k].pos < size; {
		if r.left <= 0 && !r.force {
			return false, nil
		}
		if pts[k].kind == smallPoint {
			end := runEnd(pts, k)
			more, err = r.small(s, f, pts[k:end], posAt(pts, end, size))
			k = end
		} else {
			end := entryEnd(pts, k)
			next := s.next.Load()
			if end < len(pts) {
				next = pts[end].offset
			}
			more, err = r.large(f, pts[k:end], posAt(pts, end, size), next)
			k = end
		}
		if err != nil || !more {
			return false, s.orGone(err)
		}
	}
	return true, nil
}

func posAt(pts []point, k int, size int64) int64 {
	if k < len(pts) {
		return min(pts[k].pos, size)
	}
	return size
}

// small reads small entries, which lie from pts[0] up to end.
func (r *reader) small(s *segment, f *readFile, pts []point, end int64) (more bool, err error) {
	pos := pts[0].pos
	if at := s.recent.find(r.from); at > pos && at < end {
		pos = at
	}
	// All that is below the limit lies before the first point at or above it.
	if i := sort.Search(len(pts), func(i int) bool { return pts[i].offset >= r.limit }); i < len(pts) && i > 0 {
		end = min(end, pts[i].pos)
	}
	skip := int64(0)
	if pos == pts[0].pos && pts[0].offset < r.from {
		skip = indexInterval + largeEntry
		if len(pts) > 1 {
			skip = pts[1].pos - pos
		}
	}
	want := min(end-pos, r.left+skip+r.left/64+maxPrefix)
	for {
		before := r.dst.Size
		more, err = r.smallAt(f, pos, want, end)
		if err != nil || !more || want == end-pos {
			return more, err
		}
		if r.dst.Size > before || !r.force {
			return false, nil // the budget is used up
		}
		// Not even one batch was in reach: an interval and an entry are.
		want = min(end-pos, max(2*want, indexInterval+largeEntry+maxPrefix))
	}
}

// smallAt reads n bytes at pos and takes the batches in them. more says that the end of the run was reached, or of the n bytes.
func (r *reader) smallAt(f *readFile, pos, n, end int64) (more bool, err error) {
	buf := buffer.Get(int(n))
	b := buf.B[:n]
	if _, err := f.ReadAt(b, pos); err != nil {
		buf.Put()
		return false, fmt.Errorf("at %d: %w", pos, unexpected(err))
	}
	before := r.dst.Size
	r.cur, r.curEnd = nil, 0
	more, err = r.entries(buf, b, pos+n == end)
	if r.dst.Size > before {
		r.buffers = append(r.buffers, buf)
	} else {
		buf.Put()
		r.cur = nil
	}
	return more, err
}

func unexpected(err error) error {
	if err == io.EOF {
		return fmt.Errorf("file ends too early: %w", ErrCorrupt)
	}
	return err
}

// entries takes the entries in b, the last of which may be cut unless whole is set.
func (r *reader) entries(buf *buffer.Buffer, b []byte, whole bool) (more bool, err error) {
	for at := 0; at < len(b); {
		length, n := binary.Uvarint(b[at:min(len(b), at+maxPrefix)])
		if n <= 0 || length > uint64(len(b)-at-n) {
			if whole {
				return false, fmt.Errorf("entry of %d bytes in %d: %w", length, len(b)-at, ErrCorrupt)
			}
			// What is left of the budget may still take the first batches of this entry.
			length = uint64(len(b) - at - min(max(n, 0), len(b)-at))
			more, err = r.batches(buf, at+max(n, 0), at+max(n, 0)+int(length), false)
			return more, err
		}
		start := at + n
		at = start + int(length)
		if more, err = r.batches(buf, start, at, true); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// batches takes the batches of buf[at:end], one entry or, unless whole, a part of one.
func (r *reader) batches(buf *buffer.Buffer, at, end int, whole bool) (more bool, err error) {
	first := -1
	for at < end {
		if end-at < record.HeaderSize {
			if whole {
				err = fmt.Errorf("%d stray bytes: %w", end-at, ErrCorrupt)
			}
			break
		}
		h := record.Batch(buf.B[at:])
		size := h.Size()
		if size < record.HeaderSize || size > end-at {
			if whole {
				err = fmt.Errorf("batch of %d bytes in %d: %w", size, end-at, ErrCorrupt)
			}
			break
		}
		if h.NextOffset() <= r.from {
			at += size
			continue
		}
		if h.NextOffset() > r.limit || int64(size) > r.left && !r.force {
			r.give(buf, first, at)
			return false, nil
		}
		if first < 0 {
			first = at
		}
		r.left -= int64(size)
		r.force = false
		at += size
	}
	r.give(buf, first, at)
	return true, err
}

// give hands buf[from:to] out, joined to the piece before where that is cheap.
func (r *reader) give(buf *buffer.Buffer, from, to int) {
	if from < 0 || from >= to {
		return
	}
	r.dst.Size += to - from
	if r.cur == buf && to-from < mergeBelow {
		n := copy(buf.B[r.curEnd:], buf.B[from:to])
		p := &r.dst.Pieces[len(r.dst.Pieces)-1]
		p.Bytes = p.Bytes[:p.N+n]
		p.N += n
		r.curEnd += n
		return
	}
	r.dst.Pieces = append(r.dst.Pieces, record.Piece{Bytes: buf.B[from:to], N: to - from})
	r.cur, r.curEnd = buf, to
}

// large gives out a part of one large entry by descriptor, from the point pts[0] in it to its end, which is not above offset next.
func (r *reader) large(f *readFile, pts []point, end, next int64) (more bool, err error) {
	pos := pts[0].pos
	// A large entry of several batches has a point inside.
	single := len(pts) == 1 && pts[0].kind == largePoint
	if pts[0].kind == largePoint {
		pos += int64(prefixOf(end - pos))
	}
	if pts[0].offset < r.from {
		if pos, err = r.walk(f, pos, end, func(h record.Batch, _ int64) bool { return h.NextOffset() <= r.from }); err != nil {
			return false, err
		}
	}
	stop := end
	switch fits := end-pos <= r.left; {
	case pos == end:
		return true, nil
	case next <= r.limit && (fits || single && r.force):
	case single && !fits && !r.force:
		return false, nil
	default:
		if stop, err = r.lastWanted(f, pts[1:], pos, end); err != nil || stop == pos {
			return false, err
		}
	}
	f.refs.Add(1)
	r.files = append(r.files, f)
	r.dst.Pieces = append(r.dst.Pieces, record.Piece{FD: int(f.Fd()), Pos: pos, N: int(stop - pos)})
	r.dst.Size += int(stop - pos)
	r.left -= stop - pos
	r.force, r.cur = false, nil
	return stop == end, nil
}

// lastWanted returns where the batches from pos on end that lie below the limit and within the budget: as far as the points go
// without a look at the file, then header by header.
func (r *reader) lastWanted(f *readFile, inner []point, pos, end int64) (int64, error) {
	stop, force := pos, r.force
	for _, pt := range inner {
		if pt.offset > r.limit || pt.pos-pos > r.left {
			break
		}
		if pt.pos > stop {
			stop, force = pt.pos, false
		}
	}
	return r.walk(f, stop, end, func(h record.Batch, at int64) bool {
		fits := h.NextOffset() <= r.limit && (at+int64(h.Size())-pos <= r.left || force)
		force = false
		return fits
	})
}

// walk goes from the batch at pos to the first for which fn is false, and returns where that begins; end if there is none.
func (r *reader) walk(f *readFile, pos, end int64, fn func(h record.Batch, at int64) bool) (int64, error) {
	for pos < end {
		if end-pos < record.HeaderSize {
			return pos, fmt.Errorf("%d stray bytes at %d: %w", end-pos, pos, ErrCorrupt)
		}
		if _, err := f.ReadAt(r.head[:], pos); err != nil {
			return pos, fmt.Errorf("at %d: %w", pos, unexpected(err))
		}
		h := record.Batch(r.head[:])
		if err := checkHeader(h, end-pos, 0); err != nil {
			return pos, fmt.Errorf("at %d: %w", pos, err)
		}
		if !fn(h, pos) {
			break
		}
		pos += int64(h.Size())
	}
	return pos, nil
}

// prefixOf returns the length of the prefix of an entry that takes total bytes with it.
func prefixOf(total int64) int {
	for n := 1; n < maxPrefix; n++ {
		if prefixLen(int(total)-n) == n {
			return n
		}
	}
	return maxPrefix
}

package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"

	"weir/internal/buffer"
	"weir/protocol/record"
)

const (
	scanStep   = 64 << 10 // bytes read at a time where batches are small
	firstGuess = 4 << 10
)

// Scan calls fn with the header (record.HeaderSize bytes, valid during the call) of each batch, from the one that holds offset from,
// or follows it, to the end, until fn returns false. A control batch of up to record.MaxMarker bytes comes whole.
func (l *Log) Scan(from int64, fn func(h record.Batch) bool) error {
	if err := l.ready(); err != nil {
		return err
	}
	err := l.view.Load().scan(from, l.end.Load(), func(h record.Batch) bool {
		from = h.NextOffset()
		return fn(h)
	})
	if errors.Is(err, errGone) && from <= l.end.Load() {
		return l.Scan(max(from, l.start.Load()), fn) // retention came between
	}
	return err
}

// scan is Scan up to limit.
func (v *view) scan(from, limit int64, fn func(h record.Batch) bool) error {
	for _, s := range v.segs[findSegment(v.segs, from):] {
		if s.base >= limit {
			break
		}
		more, err := s.scan(from, limit, fn)
		if err != nil {
			return fmt.Errorf("scan %s: %w", s.path(), err)
		}
		if !more {
			break
		}
	}
	return nil
}

// scan calls fn with the headers of batches that end above from and begin below limit. more is false when fn had enough.
func (s *segment) scan(from, limit int64, fn func(h record.Batch) bool) (more bool, err error) {
	size := s.size.Load()
	pts, err := s.points()
	if err != nil || len(pts) == 0 {
		return true, err
	}
	k := findOffset(pts, from)
	c := cursor{size: size}
	if c.file, err = s.acquire(); err != nil {
		return false, err
	}
	defer c.close()
	c.begin(pts, k)
	for {
		h, err := c.next()
		if err != nil {
			return false, s.orGone(err)
		}
		if h == nil || h.BaseOffset() >= limit {
			return h == nil, nil
		}
		if h.NextOffset() > from && !fn(h) {
			return false, nil
		}
	}
}

// cursor walks the batch headers of a segment.
type cursor struct {
	file *readFile
	size int64

	pos, end int64 // of the next batch, and of the entry it is in; equal between entries
	entry    int64 // where the entry begins, with its prefix
	start    int64 // and without; 0 where the cursor began inside
	entries  uint32
	window   *buffer.Buffer
	at       int64
	n        int
}

// begin sets the cursor on the point k.
func (c *cursor) begin(pts []point, k int) {
	c.pos = pts[k].pos
	c.end = c.pos
	if pts[k].kind == innerPoint {
		c.end = posAt(pts, entryEnd(pts, k), c.size)
	}
}

// next returns the next header, nil at the end. It is valid until the next call.
func (c *cursor) next() (record.Batch, error) {
	if c.pos >= c.size {
		return nil, nil
	}
	if c.pos == c.end {
		b, err := c.bytes(c.pos, min(maxPrefix, c.size-c.pos))
		if err != nil {
			return nil, err
		}
		length, n := binary.Uvarint(b)
		if n <= 0 || length == 0 || length > uint64(c.size-c.pos-int64(n)) {
			return nil, fmt.Errorf("entry at %d has length %d: %w", c.pos, length, ErrCorrupt)
		}
		c.entry, c.entries = c.pos, c.entries+1
		c.pos += int64(n)
		c.start, c.end = c.pos, c.pos+int64(length)
	}
	if c.end-c.pos < record.HeaderSize {
		return nil, fmt.Errorf("%d stray bytes at %d: %w", c.end-c.pos, c.pos, ErrCorrupt)
	}
	b, err := c.bytes(c.pos, record.HeaderSize)
	if err != nil {
		return nil, err
	}
	if err := checkHeader(b, c.end-c.pos, 0); err != nil {
		return nil, fmt.Errorf("at %d: %w", c.pos, err)
	}
	size := record.Batch(b).Size()
	if record.Batch(b).Control() && size <= record.MaxMarker {
		if b, err = c.bytes(c.pos, int64(size)); err != nil {
			return nil, err
		}
	}
	c.pos += int64(size)
	return b, nil
}

// bytes returns n bytes at pos, at most record.MaxMarker.
func (c *cursor) bytes(pos, n int64) ([]byte, error) {
	if c.window == nil || pos < c.at || pos+n > c.at+int64(c.n) {
		want := int64(scanStep)
		if c.window == nil || pos > c.at+int64(c.n)+scanStep {
			want = firstGuess // a single look, or batches so large that most of a window would be wasted
		}
		if c.window == nil {
			c.window = buffer.Get(scanStep)
		}
		c.at, c.n = pos, int(min(want, c.size-pos))
		if _, err := c.file.ReadAt(c.window.B[:c.n], pos); err != nil {
			c.n = 0
			return nil, fmt.Errorf("at %d: %w", pos, unexpected(err))
		}
	}
	return c.window.B[pos-c.at : pos-c.at+n], nil
}

func (c *cursor) close() {
	c.file.release()
	c.window.Put()
}

// SeekTimestamp returns the base offset of the first batch below limit whose maximum timestamp is at least ms; ok is false where
// there is none.
func (l *Log) SeekTimestamp(ms, limit int64) (offset int64, ok bool, err error) {
	if err := l.ready(); err != nil {
		return 0, false, err
	}
	for {
		limit := min(limit, l.end.Load())
		offset, ok, err = l.view.Load().seek(ms, l.start.Load(), limit)
		if !errors.Is(err, errGone) {
			return offset, ok, err
		}
	}
}

// seek is SeekTimestamp from start on.
func (v *view) seek(ms, start, limit int64) (offset int64, ok bool, err error) {
	for _, s := range v.segs[findSegment(v.segs, start):] {
		if s.base >= limit {
			break
		}
		if s.maxTs.Load() < ms || s.size.Load() == 0 {
			continue
		}
		pts, err := s.points()
		if err != nil {
			return 0, false, err
		}
		from := max(start, s.base)
		if len(pts) > 0 {
			from = max(start, pts[findTime(pts, ms)].offset)
		}
		_, err = s.scan(from, limit, func(h record.Batch) bool {
			if h.MaxTimestamp() >= ms {
				offset, ok = h.BaseOffset(), true
			}
			return !ok
		})
		if err != nil {
			return 0, false, fmt.Errorf("look up time in %s: %w", s.path(), err)
		}
		if ok {
			return offset, true, nil
		}
	}
	return 0, false, nil
}

// MaxTimestamp returns the largest timestamp and the last offset of the first batch that has it; -1 and -1 in an empty log or where
// no batch has a timestamp.
func (l *Log) MaxTimestamp() (ms, offset int64) {
	ms, offset = -1, -1
	if l.ready() != nil {
		return ms, offset
	}
	for _, s := range l.view.Load().segs {
		ms = max(ms, s.maxTs.Load())
	}
	base, ok, err := l.SeekTimestamp(ms, l.end.Load())
	for err == nil && !ok && ms >= 0 {
		// The batch that had it lies below the log start: what remains has to be looked at.
		ms = -1
		err = l.view.Load().scan(l.start.Load(), l.end.Load(), func(h record.Batch) bool {
			if h.MaxTimestamp() > ms {
				ms, base, ok = h.MaxTimestamp(), h.BaseOffset(), true
			}
			return true
		})
	}
	if err != nil || !ok || ms < 0 {
		return -1, -1
	}
	err = l.view.Load().scan(base, l.end.Load(), func(h record.Batch) bool {
		offset = h.LastOffset()
		return false
	})
	if err != nil || offset < 0 {
		return -1, -1
	}
	return ms, offset
}

// Bytes estimates the bytes of the batches from the offset from up to limit. It does no I/O: within an index interval, and in a
// segment whose index is not in memory, it takes batches as evenly spread.
func (l *Log) Bytes(from, limit int64) int64 {
	if !l.loaded.Load() {
		return 0
	}
	limit = min(limit, l.end.Load())
	if from = max(from, l.start.Load()); from >= limit {
		return 0
	}
	segs := l.view.Load().segs
	return max(1, distance(segs, limit)-distance(segs, from))
}

// distance estimates the position of offset, counted over all segments.
func distance(segs []*segment, offset int64) int64 {
	s := segs[findSegment(segs, offset)]
	size := s.size.Load()
	next := s.next.Load()
	switch {
	case offset >= next:
		return s.cum.Load() + size
	case offset <= s.base:
		return s.cum.Load()
	}
	if at := s.recent.find(offset); at >= 0 {
		return s.cum.Load() + at
	}
	lo, hi := point{offset: s.base}, point{offset: next, pos: size}
	if p := s.pts.Load(); p != nil {
		pts := p.all()
		if k := sort.Search(len(pts), func(i int) bool { return pts[i].offset > offset }); k > 0 {
			lo = pts[k-1]
			if k < len(pts) && pts[k].pos <= size {
				hi = pts[k]
			}
		}
	}
	return s.cum.Load() + lo.pos + int64(float64(hi.pos-lo.pos)*float64(offset-lo.offset)/float64(max(1, hi.offset-lo.offset)))
}

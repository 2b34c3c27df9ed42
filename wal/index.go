package wal

import (
	"sort"
	"sync/atomic"
)

const (
	indexInterval = 32 << 10 // an entry gets a point when the last lies so far back; between two are less than this and one entry
	largeEntry    = 64 << 10 // entries from this size on are sent by descriptor, straight from the index
	maxPrefix     = 10       // longest length prefix of an entry
)

// point says where an offset lies in a segment. A point is of one of three kinds:
//
//	small  pos is the length prefix of an entry; small entries follow up to the next point that is not inner
//	large  pos is the length prefix of one entry that ends exactly at the next point that is not inner, or at the segment's size
//	inner  pos is a batch inside the large entry of the points before it
//
// maxBefore is the largest timestamp of all batches of the segment before pos: it never falls from point to point, and so the first
// batch with a timestamp is found by binary search.
type point struct {
	offset    int64
	maxBefore int64
	pos       int64
	entry     uint32 // how many entries of the segment begin before pos
	kind      pointKind
}

type pointKind uint8

const (
	smallPoint pointKind = iota
	largePoint
	innerPoint
)

// points is an append-only array for one writer and many readers without a lock: a reader uses what lies below the length it
// loaded. When it is full the writer makes a larger copy.
type points struct {
	arr []point
	n   atomic.Int32
}

func newPoints(arr []point) *points {
	p := &points{arr: arr}
	p.n.Store(int32(len(arr)))
	return p
}

// all returns what has been published so far.
func (p *points) all() []point { return p.arr[:p.n.Load()] }

// add returns the points with pt at the end: p itself, or a larger copy.
func (p *points) add(pt point) *points {
	n := int(p.n.Load())
	if n == len(p.arr) {
		grown := &points{arr: make([]point, max(4, n+n/2))}
		copy(grown.arr, p.arr)
		grown.n.Store(int32(n))
		p = grown
	}
	p.arr[n] = pt
	p.n.Store(int32(n + 1))
	return p
}

// findOffset returns the last point at or below offset, 0 when there is none.
func findOffset(pts []point, offset int64) int {
	return max(0, sort.Search(len(pts), func(i int) bool { return pts[i].offset > offset })-1)
}

// findTime returns the last point before which every timestamp is below ts. The first batch at or above ts, if there is any, lies
// between it and the next point.
func findTime(pts []point, ts int64) int {
	return max(0, sort.Search(len(pts), func(i int) bool { return pts[i].maxBefore >= ts })-1)
}

// entryEnd returns the index of the first point after k that begins an entry, len(pts) when there is none.
func entryEnd(pts []point, k int) int {
	for k++; k < len(pts) && pts[k].kind == innerPoint; k++ {
	}
	return k
}

// runEnd returns the index of the first point after k that does not begin small entries, len(pts) when there is none.
func runEnd(pts []point, k int) int {
	for k++; k < len(pts) && pts[k].kind == smallPoint; k++ {
	}
	return k
}

// indexer decides where points go. It is fed with each entry in turn, by an append or by the scan of a recovery.
type indexer struct {
	last      int64 // position of the last point, -1 when there is none
	wasLarge  bool  // the entry before was large: the next must have a point, which says where that one ends
	maxBefore int64 // the largest timestamp so far, -1 when there is none
	entries   uint32
}

func newIndexer() indexer { return indexer{last: -1, maxBefore: -1} }

// entry returns the point for an entry of size bytes, prefix included, whose first batch has offset; ok is false when it needs none.
func (x *indexer) entry(pos, size, offset int64) (pt point, ok bool) {
	large := size >= largeEntry
	x.entries++
	if !large && !x.wasLarge && x.last >= 0 && pos-x.last < indexInterval {
		return pt, false
	}
	x.last, x.wasLarge = pos, large
	kind := smallPoint
	if large {
		kind = largePoint
	}
	return point{offset, x.maxBefore, pos, x.entries - 1, kind}, true
}

// batch is told of every batch, in order, after its entry. It returns an inner point where a large entry needs one.
func (x *indexer) batch(pos, size, offset, maxTimestamp int64) (pt point, ok bool) {
	if x.wasLarge && pos-x.last > maxPrefix && pos+size-x.last > indexInterval {
		pt, ok = point{offset, x.maxBefore, pos, x.entries, innerPoint}, true
		x.last = pos
	}
	x.maxBefore = max(x.maxBefore, maxTimestamp)
	return pt, ok
}

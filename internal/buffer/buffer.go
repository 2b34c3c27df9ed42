package buffer

import (
	"math/bits"
	"sync"
)

// Sizes come in classes, four for each doubling, so that at most a fifth of a buffer is wasted.
const (
	minBits = 10 // 1 KiB
	maxBits = 26 // 64 MiB; larger buffers are made for one use and left to the collector
	classes = 4 * (maxBits - minBits)
)

// Buffer is a run of bytes that is used again. Its length is its capacity; who holds it keeps his own marks.
type Buffer struct {
	B     []byte
	class int // -1: not kept
}

// small are the buffers up to smallSize, which the collector empties: what an idle process holds.
var small [classes]sync.Pool

// smallSize is the largest class of which each processor has a pool of its own. Larger ones are few and dear: a fresh one costs a
// page fault for every 4 KiB of it, more than what most requests do with it, and a small heap is collected, and its pools emptied,
// every few megabytes. So they are kept in one place that the collector does not empty.
const smallSize = 32 << 10

// Get returns a buffer of at least n bytes, with anything in it.
func Get(n int) *Buffer {
	class, size := classOf(n)
	switch {
	case class < 0:
		return &Buffer{B: make([]byte, n), class: -1}
	case size <= smallSize:
		if b, ok := small[class].Get().(*Buffer); ok {
			return b
		}
	default:
		if b := large.get(class); b != nil {
			return b
		}
	}
	return &Buffer{B: make([]byte, size), class: class}
}

// Put gives b back; nil is nothing. Nobody may hold a part of it.
func (b *Buffer) Put() {
	switch {
	case b == nil || b.class < 0:
	case len(b.B) <= smallSize:
		small[b.class].Put(b)
	default:
		large.put(b)
	}
}

// classOf returns the smallest class that holds n bytes, and its size; -1 when none does.
func classOf(n int) (class, size int) {
	if n <= 1<<minBits {
		n = 1<<minBits + 1
	}
	octave := bits.Len(uint(n-1)) - 1 // 2^octave < n <= 2^(octave+1)
	if octave >= maxBits {
		return -1, 0
	}
	step := 1 << (octave - 2)
	quarter := (n - 1 - 1<<octave) / step // 0..3
	return 4*(octave-minBits) + quarter, 1<<octave + (quarter+1)*step
}

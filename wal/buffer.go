package wal

import (
	"math/bits"
	"sync"
)

// Buffers come from pools by size class, four classes a doubling, so that at most a fifth is wasted. The garbage collector
// empties the pools: an idle broker holds none.
const (
	minClassBits = 12 // 4 KiB
	maxClassBits = 26 // 64 MiB; larger ones are not pooled
)

var bufferPools [4 * (maxClassBits - minClassBits)]sync.Pool

// buffer is a pooled byte slice. Its length is that of its class.
type buffer struct {
	b     []byte
	class int // -1: not pooled
}

// getBuffer returns a buffer of at least n bytes, not zeroed.
func getBuffer(n int) *buffer {
	class, size := classOf(n)
	if class < 0 {
		return &buffer{b: make([]byte, n), class: -1}
	}
	if b, ok := bufferPools[class].Get().(*buffer); ok {
		return b
	}
	return &buffer{b: make([]byte, size), class: class}
}

// putBuffer takes b back. Nobody may hold a part of it.
func putBuffer(b *buffer) {
	if b != nil && b.class >= 0 {
		bufferPools[b.class].Put(b)
	}
}

// classOf returns the smallest class that holds n bytes, and its size; -1 when none does.
func classOf(n int) (class, size int) {
	if n <= 1<<minClassBits {
		n = 1<<minClassBits + 1
	}
	octave := bits.Len(uint(n-1)) - 1 // 2^octave < n <= 2^(octave+1)
	if octave >= maxClassBits {
		return -1, 0
	}
	step := 1 << (octave - 2)
	quarter := (n - 1 - 1<<octave) / step // 0..3
	return 4*(octave-minClassBits) + quarter, 1<<octave + (quarter+1)*step
}

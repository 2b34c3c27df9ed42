package buffer

import (
	"runtime"
	"sync"
)

// maxLarge bounds the bytes of large buffers that are kept and not in use.
const maxLarge = 32 << 20

// largeBuffers keeps buffers above smallSize. What was not used between two collections goes: a process that is idle keeps none, and
// one that is busy keeps what it needs.
type largeBuffers struct {
	mu    sync.Mutex
	bytes int
	watch bool // a collection will call age
	kept  [classes]stack
}

// stack is last in, first out: the buffer that is most likely still in a cache of the processor.
type stack struct {
	free []*Buffer
	low  int // the shortest that free was since the last collection: so many were not needed
}

var large largeBuffers

func (l *largeBuffers) get(class int) *Buffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.kept[class]
	n := len(s.free) - 1
	if n < 0 {
		return nil
	}
	b := s.free[n]
	s.free[n] = nil
	s.free = s.free[:n]
	s.low = min(s.low, n)
	l.bytes -= len(b.B)
	return b
}

func (l *largeBuffers) put(b *Buffer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bytes+len(b.B) > maxLarge {
		return
	}
	s := &l.kept[b.class]
	s.free = append(s.free, b)
	l.bytes += len(b.B)
	if !l.watch {
		l.watch = true
		l.atCollection()
	}
}

// atCollection has the next collection call age.
func (l *largeBuffers) atCollection() {
	sign := new([64]byte) // not so small that it shares its memory
	runtime.AddCleanup(sign, func(l *largeBuffers) { l.age() }, l)
}

// age drops what was not needed since it was last called.
func (l *largeBuffers) age() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.kept {
		s := &l.kept[i]
		for _, b := range s.free[:s.low] {
			l.bytes -= len(b.B)
		}
		n := copy(s.free, s.free[s.low:])
		clear(s.free[n:])
		s.free = s.free[:n]
		s.low = n
		if n == 0 {
			s.free = nil
		}
	}
	if l.watch = l.bytes > 0; l.watch {
		l.atCollection()
	}
}

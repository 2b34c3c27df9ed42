package proxy

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"weir/internal/buffer"
	"weir/protocol"
)

// freeBytes is what a connection may hold of each kind without being counted.
const freeBytes = 16 << 10

// held is a frame that is in memory as a whole.
type held struct {
	b      []byte // without its length
	full   []byte // with it
	header []byte // of a request that was decoded

	s       *source
	pooled  *buffer.Buffer // nil: it is in the source's buffer
	budgets *budgets
	done    <-chan struct{}
	frames  int // what is taken of the budgets
	decoded int
}

// frame waits for a frame of size bytes, which has been peeked at. Nothing else may be done with the source until release, but flush.
func (s *source) frame(size int, of *budgets, done <-chan struct{}) (*held, error) {
	h := &held{s: s, budgets: of, done: done}
	if 4+size <= peekBytes {
		b, err := s.peek(4 + size)
		if err != nil {
			return nil, err
		}
		h.full = b[: 4+size : 4+size]
		h.b = h.full[4:]
		return h, nil
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	if err := of.frames.take(4+size, done); err != nil {
		return nil, err
	}
	h.frames = 4 + size
	h.pooled = buffer.Get(4 + size)
	h.full = h.pooled.B[:4+size]
	h.b = h.full[4:]
	if err := s.readHeld(h.full, of.stall); err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}

// Reserve implements protocol.Memory.
func (h *held) Reserve(bytes int) error {
	if bytes <= freeBytes {
		return nil
	}
	if err := h.budgets.decoded.take(bytes, h.done); err != nil {
		return err
	}
	h.decoded += bytes
	return nil
}

// release takes the frame off its source and gives back what it held. The second time it does nothing.
func (h *held) release() {
	if h.full == nil {
		return
	}
	if h.pooled == nil {
		_ = h.s.skip(len(h.full)) // an error of what was marked before comes again at the next use
	}
	h.pooled.Put()
	h.pooled = nil
	h.budgets.frames.give(h.frames)
	h.budgets.decoded.give(h.decoded)
	*h = held{}
}

// encode sends a frame of a header and a message, and returns how long it is.
func (h *held) encode(to *sink, header []byte, m interface{ AppendTo([]byte) []byte }) (int, error) {
	out := buffer.Get(len(h.full) + 256)
	defer out.Put()
	b := append(out.B[:4], header...)
	b = m.AppendTo(b)
	if len(b)-4 > math.MaxInt32 {
		return 0, fmt.Errorf("%w: a frame of %d bytes after it was rewritten", protocol.ErrMalformed, len(b)-4)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return len(b), h.send(to, b)
}

// send writes behind what was marked.
func (h *held) send(to *sink, b []byte) error {
	if err := h.s.flush(); err != nil {
		return err
	}
	return to.writeHeld(b, h.stall())
}

// stall is how long the frame may wait for others, 0 where it holds nothing that is counted.
func (h *held) stall() time.Duration {
	if h.frames+h.decoded == 0 {
		return 0
	}
	return h.budgets.stall
}

package record

import (
	"runtime"
	"sync"
)

// Decompressed records are held whole while they are looked at. What that costs is bounded for the process: up to smallBody as
// many at once as there are processors (it is nothing but CPU, so more would not be faster), and one at a time beyond it.
const smallBody = 4 << 20

// body is a buffer of decompressed records; nil for an uncompressed batch.
type body struct {
	b     []byte
	gated bool
	large bool
}

var (
	smallBodies = sync.Pool{New: func() any { return new(body) }}
	largeBodies = sync.Pool{New: func() any { return &body{large: true} }}

	gate      = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))
	largeGate = make(chan struct{}, 1)
)

// open returns the records of a batch, decompressed where they are not plain, and what to close. Errors are ErrTooLarge or wrap
// ErrMalformed.
func open(b Batch, limit int) ([]byte, *body, error) {
	c := b.Codec()
	if c == Uncompressed {
		return b.Body(), nil, nil
	}
	buf := smallBodies.Get().(*body)
	return buf.fill(c, b.Body(), limit)
}

// openGated is open for bytes of clients: it waits where too many do the same.
func openGated(b Batch, limit int) ([]byte, *body, error) {
	c := b.Codec()
	if c == Uncompressed {
		return b.Body(), nil, nil
	}
	gate <- struct{}{}
	buf := smallBodies.Get().(*body)
	buf.gated = true
	out, buf, err := buf.fill(c, b.Body(), min(limit, smallBody))
	if err != ErrTooLarge || limit <= smallBody {
		return out, buf, err
	}
	largeGate <- struct{}{}
	buf = largeBodies.Get().(*body)
	buf.gated = true
	return buf.fill(c, b.Body(), limit)
}

func (d *body) fill(c Codec, src []byte, limit int) ([]byte, *body, error) {
	out, err := c.Decompress(d.b[:0], src, limit)
	d.b = out
	if err != nil {
		d.close()
		return nil, nil, err
	}
	return out, d, nil
}

// close gives the buffer back. One that open made large is dropped.
func (d *body) close() {
	if d == nil {
		return
	}
	gated := d.gated
	d.gated = false
	switch {
	case d.large:
		largeBodies.Put(d)
		if gated {
			<-largeGate
		}
	default:
		if cap(d.b) > 2*smallBody {
			d.b = nil
		}
		smallBodies.Put(d)
		if gated {
			<-gate
		}
	}
}

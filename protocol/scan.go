package protocol

import (
	"encoding/binary"
	"fmt"
)

// Stream is the bytes of a frame that may not have arrived yet.
type Stream interface {
	// Peek waits for n bytes and returns them, or more, without taking them.
	Peek(n int) ([]byte, error)
	// Pass takes n bytes. They need not have arrived.
	Pass(n int) error
}

// ScanResponse takes the body of a flexible response of size bytes from s up to its own tagged fields, and returns how many bytes those
// are. It holds nothing of the body, however large. Errors that are not the stream's wrap ErrMalformed.
func ScanResponse(key, version int16, size int, s Stream) (left int, err error) {
	api, ok := Lookup(key)
	if !ok || version < 0 || version > api.Max || !Flexible(key, version) {
		return 0, fmt.Errorf("%w: version %d of api key %d", ErrMalformed, version, key)
	}
	c := scan{s: s, left: size, version: version}
	c.untagged(responseLayouts[key])
	if c.err == nil && c.left == 0 {
		c.err = ErrMalformed
	}
	if c.err != nil {
		return 0, fmt.Errorf("%s v%d response of %d bytes: %w", api.Name, version, size, c.err)
	}
	return c.left, nil
}

// scan is walk for bytes that come one after the other. After the first error nothing is taken any more.
type scan struct {
	s       Stream
	left    int
	version int16
	err     error
}

func (c *scan) pass(n int) {
	if c.err == nil && (n < 0 || n > c.left) {
		c.err = ErrMalformed
	}
	if c.err == nil {
		c.left -= n
		c.err = c.s.Pass(n)
	}
}

// uvarint reads an unsigned varint of at most 32 bits.
func (c *scan) uvarint() uint32 {
	for n := 1; c.err == nil; n++ {
		if n > 5 || n > c.left {
			c.err = ErrMalformed
			break
		}
		b, err := c.s.Peek(n)
		if err != nil {
			c.err = err
			break
		}
		if b[n-1] < 0x80 {
			v, k := binary.Uvarint(b[:n])
			if k != n || v > 1<<32-1 {
				c.err = ErrMalformed
				break
			}
			c.pass(n)
			return uint32(v)
		}
	}
	return 0
}

func (c *scan) structure(l *layout) {
	if c.untagged(l); !l.bare {
		for n := c.uvarint(); n > 0 && c.err == nil; n-- {
			c.uvarint()
			c.pass(int(c.uvarint()))
		}
	}
}

func (c *scan) untagged(l *layout) {
	for i := range l.fields {
		f := &l.fields[i]
		if c.version < f.min || c.version > f.max {
			continue
		}
		if c.field(f); c.err != nil {
			return
		}
	}
}

func (c *scan) field(f *wireField) {
	switch f.kind {
	case wireFixed:
		c.pass(int(f.width))
	case wireString, wireBytes:
		c.pass(c.length(f))
	case wireArray:
		n := c.length(f)
		if e := f.elem; e.bare && e.fields[0].kind == wireFixed {
			c.pass(n * int(e.fields[0].width))
			return
		}
		for ; n > 0 && c.err == nil; n-- {
			c.structure(f.elem)
		}
	case wireStruct:
		if f.nullFrom <= c.version {
			if c.left == 0 {
				c.err = ErrMalformed
				return
			}
			b, err := c.s.Peek(1)
			if c.err = err; err != nil {
				return
			}
			null := int8(b[0]) == -1
			if c.pass(1); null {
				return
			}
		}
		c.structure(f.elem)
	}
}

func (c *scan) length(f *wireField) int {
	n := int64(c.uvarint()) - 1
	if n > int64(c.left) || n < 0 && c.version < f.nullFrom && c.err == nil {
		c.err = ErrMalformed
	}
	if c.err != nil || n < 0 {
		return 0
	}
	return int(n)
}

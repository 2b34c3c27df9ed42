package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"weir/protocol"
)

// The primitive forms of the records: int16 lengths where a schema is not flexible, else compact ones (KIP-482).

var errShort = fmt.Errorf("%w: the record ends early", protocol.ErrMalformed)

func append8(b []byte, v int8) []byte   { return append(b, byte(v)) }
func append16(b []byte, v int16) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) }
func append32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func append64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// appendString appends a string of at most math.MaxInt16 bytes: the wire lets no longer one in, and ids that are made here are cut.
func appendString(b []byte, s string) []byte { return append(append16(b, int16(len(s))), s...) }

func appendNullable(b []byte, s *string) []byte {
	if s == nil {
		return append16(b, -1)
	}
	return appendString(b, *s)
}

func appendBytes(b, v []byte) []byte { return append(append32(b, int32(len(v))), v...) }

func appendUvarint(b []byte, v int) []byte { return binary.AppendUvarint(b, uint64(v)) }

func appendCompact(b []byte, s string) []byte { return append(appendUvarint(b, len(s)+1), s...) }

func appendCompactNullable(b []byte, s *string) []byte {
	if s == nil {
		return append(b, 0)
	}
	return appendCompact(b, *s)
}

func appendCompactBytes(b, v []byte) []byte { return append(appendUvarint(b, len(v)+1), v...) }

func appendCompactStrings(b []byte, list []string) []byte {
	b = appendUvarint(b, len(list)+1)
	for _, s := range list {
		b = appendCompact(b, s)
	}
	return b
}

func appendCompactInts(b []byte, list []int32) []byte {
	b = appendUvarint(b, len(list)+1)
	for _, n := range list {
		b = append32(b, n)
	}
	return b
}

// appendTag appends a tagged field whose content encode writes.
func appendTag(b []byte, tag int, encode func([]byte) []byte) []byte {
	body := encode(nil)
	b = appendUvarint(b, tag)
	b = appendUvarint(b, len(body))
	return append(b, body...)
}

// reader walks the bytes of a record. After the first read beyond the end bad stays set, the rest is gone and every read gives zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) int8() int8 {
	if v := r.take(1); v != nil {
		return int8(v[0])
	}
	return 0
}

func (r *reader) int16() int16 {
	if v := r.take(2); v != nil {
		return int16(binary.BigEndian.Uint16(v))
	}
	return 0
}

func (r *reader) int32() int32 {
	if v := r.take(4); v != nil {
		return int32(binary.BigEndian.Uint32(v))
	}
	return 0
}

func (r *reader) int64() int64 {
	if v := r.take(8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

func (r *reader) uuid() (id protocol.UUID) {
	copy(id[:], r.take(len(id)))
	return id
}

// uvarint reads an unsigned varint of at most 31 bits: all that counts something.
func (r *reader) uvarint() int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxInt32 {
		r.take(-1)
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

// raw reads a string without copying it. null is allowed only where the caller looks at ok.
func (r *reader) raw(flexible bool) (v []byte, ok bool) {
	var n int
	if flexible {
		n = r.uvarint() - 1
	} else {
		n = int(r.int16())
	}
	if r.bad || n == -1 {
		return nil, false
	}
	return r.take(n), !r.bad
}

func (r *reader) bytesOf(flexible bool) []byte {
	var n int
	if flexible {
		n = r.uvarint() - 1
	} else {
		n = int(r.int32())
	}
	return r.take(n)
}

func (r *reader) string(flexible bool) string {
	v, ok := r.raw(flexible)
	if !ok {
		r.take(-1)
	}
	return string(v)
}

func (r *reader) nullable(flexible bool) *string {
	v, ok := r.raw(flexible)
	if !ok {
		return nil
	}
	s := string(v)
	return &s
}

// count reads the length of an array whose elements take at least size bytes each: more than there is room for is an error, so that a
// length makes nobody allocate.
func (r *reader) count(flexible bool, size int) int {
	var n int
	if flexible {
		n = r.uvarint() - 1
	} else {
		n = int(r.int32())
	}
	if n < 0 || n > len(r.b)/size {
		r.take(-1)
		return 0
	}
	return n
}

func (r *reader) strings() []string {
	n := r.count(true, 1)
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.string(true))
	}
	return list
}

func (r *reader) ints() []int32 {
	n := r.count(true, 4)
	list := make([]int32, 0, n)
	for range n {
		list = append(list, r.int32())
	}
	return list
}

// tags reads tagged fields. known is called with those that it may want; what it leaves is skipped, as Kafka does.
func (r *reader) tags(known func(tag int, r *reader)) {
	n := r.uvarint()
	for i := 0; i < n && !r.bad; i++ {
		tag := r.uvarint()
		field := reader{b: r.take(r.uvarint())}
		if r.bad || known == nil {
			continue
		}
		if known(tag, &field); field.bad {
			r.take(-1)
		}
	}
}

// end is the error of all reads so far. Kafka takes what follows the fields it knows for nothing.
func (r *reader) end() error {
	if r.bad {
		return errShort
	}
	return nil
}

// version reads the version of a value.
func (r *reader) version(highest int16) (int16, error) {
	v := r.int16()
	if r.bad {
		return 0, errShort
	}
	if v < 0 || v > highest {
		return 0, fmt.Errorf("%w: version %d of the value, the highest known is %d", protocol.ErrMalformed, v, highest)
	}
	return v, nil
}

// errUnknown is a record of a type that is not ours: share and streams groups, and what later versions may bring.
var errUnknown = errors.New("record of a type that this broker does not serve")

package controller

import (
	"encoding/binary"
	"fmt"

	"weir/protocol"
)

// writer appends Kafka's flexible encoding.
type writer struct{ b []byte }

func (w *writer) uvarint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int8(v int8)      { w.b = append(w.b, byte(v)) }
func (w *writer) int16(v int16)    { w.b = binary.BigEndian.AppendUint16(w.b, uint16(v)) }
func (w *writer) int32(v int32)    { w.b = binary.BigEndian.AppendUint32(w.b, uint32(v)) }
func (w *writer) int64(v int64)    { w.b = binary.BigEndian.AppendUint64(w.b, uint64(v)) }
func (w *writer) bool(v bool) {
	if v {
		w.b = append(w.b, 1)
	} else {
		w.b = append(w.b, 0)
	}
}
func (w *writer) uuid(v protocol.UUID) { w.b = append(w.b, v[:]...) }
func (w *writer) string(s string) {
	w.uvarint(uint64(len(s)) + 1)
	w.b = append(w.b, s...)
}

// int32s writes a nullable array: nil is null.
func (w *writer) int32s(v []int32) {
	if v == nil {
		w.uvarint(0)
		return
	}
	w.uvarint(uint64(len(v)) + 1)
	for _, i := range v {
		w.int32(i)
	}
}

func (w *writer) uuids(v []protocol.UUID) {
	if v == nil {
		w.uvarint(0)
		return
	}
	w.uvarint(uint64(len(v)) + 1)
	for _, u := range v {
		w.uuid(u)
	}
}

// notNull makes an empty array of nil, for fields that Kafka does not let be null.
func notNull[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// tagged begins n tagged fields, which follow by the methods below with ascending numbers; fields with their defaults are left out.
func (w *writer) tagged(n int) { w.uvarint(uint64(n)) }

func (w *writer) tagInt8(number uint64, v int8) {
	w.uvarint(number)
	w.uvarint(1)
	w.int8(v)
}

func (w *writer) tagInt32(number uint64, v int32) {
	w.uvarint(number)
	w.uvarint(4)
	w.int32(v)
}

// tagInt32s writes an array that is not nil; nil is left out.
func (w *writer) tagInt32s(number uint64, v []int32) {
	if v != nil {
		w.uvarint(number)
		w.uvarint(uint64(uvarintSize(uint64(len(v))+1) + 4*len(v)))
		w.int32s(v)
	}
}

// tagUUIDs writes an array that is not nil; nil is left out.
func (w *writer) tagUUIDs(number uint64, v []protocol.UUID) {
	if v != nil {
		w.uvarint(number)
		w.uvarint(uint64(uvarintSize(uint64(len(v))+1) + 16*len(v)))
		w.uuids(v)
	}
}

func uvarintSize(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// count returns how many are true.
func count(present ...bool) int {
	n := 0
	for _, p := range present {
		if p {
			n++
		}
	}
	return n
}

// reader reads Kafka's flexible encoding. After the first error every read gives zero, so decoders check once, at their end. No
// length from the bytes is trusted before it is compared with the bytes left.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: metadata record: %s", protocol.ErrMalformed, what)
	}
	r.b = nil
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail("cut short")
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<32-1 {
		r.fail("bad varint")
		return 0
	}
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

func (r *reader) bool() bool { return r.int8() != 0 }

func (r *reader) uuid() (u protocol.UUID) {
	copy(u[:], r.take(len(u)))
	return u
}

// length reads the length of a compact string or array whose elements have at least size bytes; -1 is null.
func (r *reader) length(size int) int {
	n := r.uvarint()
	if r.err != nil || n == 0 {
		return -1
	}
	if (n-1)*uint64(size) > uint64(len(r.b)) {
		r.fail("length beyond the record")
		return -1
	}
	return int(n - 1)
}

func (r *reader) string() string {
	s := r.nullableString()
	if s == nil {
		r.fail("null string")
		return ""
	}
	return *s
}

func (r *reader) nullableString() *string {
	n := r.length(1)
	if n < 0 {
		return nil
	}
	s := string(r.take(n))
	return &s
}

func (r *reader) nullableInt32s() []int32 {
	n := r.length(4)
	if n < 0 {
		return nil
	}
	v := make([]int32, n)
	for i := range v {
		v[i] = r.int32()
	}
	return v
}

func (r *reader) int32s() []int32 {
	v := r.nullableInt32s()
	if v == nil {
		r.fail("null array")
	}
	return v
}

func (r *reader) nullableUUIDs() []protocol.UUID {
	n := r.length(16)
	if n < 0 {
		return nil
	}
	v := make([]protocol.UUID, n)
	for i := range v {
		v[i] = r.uuid()
	}
	return v
}

func (r *reader) uuids() []protocol.UUID {
	v := r.nullableUUIDs()
	if v == nil {
		r.fail("null array")
	}
	return v
}

// tags reads tagged fields. field reads the value of a number it knows and returns whether it does; others are skipped.
func (r *reader) tags(field func(r *reader, number uint64) bool) {
	last := int64(-1)
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		number := r.uvarint()
		size := r.length0()
		if r.err != nil {
			return
		}
		if int64(number) <= last {
			r.fail("tagged fields out of order")
			return
		}
		last = int64(number)
		value := reader{b: r.take(size)}
		if field == nil || !field(&value, number) {
			continue
		}
		if value.err == nil && len(value.b) > 0 {
			value.fail("tagged field too long")
		}
		if value.err != nil {
			r.err, r.b = value.err, nil
			return
		}
	}
}

// length0 reads a length that is not offset by one.
func (r *reader) length0() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail("length beyond the record")
		return 0
	}
	return int(n)
}

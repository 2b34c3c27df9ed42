package txn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"weir/protocol"
)

// The records of Kafka 4.4. A key is its int16 type and the transactional id; a value begins with its int16 version: 0, or 1, which is
// flexible and has tags.
const typeTransaction int16 = 0

// The tags of version 1.
const (
	tagPrevID = 0
	tagNextID = 1
	tagClient = 2
)

var (
	errShort   = fmt.Errorf("%w: the record ends early", protocol.ErrMalformed)
	errUnknown = errors.New("record of a type that this broker does not know")
)

func append16(b []byte, v int16) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)) }
func append32(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func append64(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// appendKey appends the key of a transactional id, which the wire has held to math.MaxInt16 bytes.
func appendKey(b []byte, id string) []byte {
	return append(append16(append16(b, typeTransaction), int16(len(id))), id...)
}

// valueVersion is the version to write v in: 0 up to transaction.version 0, as in Kafka, unless version 0 cannot say it. Kafka forgets
// with version 0 that a producer id follows another, and how the client works, and so its answer to a client that asks again depends on
// who has crashed since.
func valueVersion(v *value, transactionVersion int16) int16 {
	if transactionVersion >= 1 || v.nextID != -1 || v.prevID != v.producerID || v.client != 0 {
		return 1
	}
	return 0
}

// appendCount appends the length of an array, -1 for none.
func appendCount(b []byte, n int, flexible bool) []byte {
	if flexible {
		return binary.AppendUvarint(b, uint64(n+1))
	}
	return append32(b, int32(n))
}

func appendString(b []byte, s string, flexible bool) []byte {
	if flexible {
		b = binary.AppendUvarint(b, uint64(len(s)+1))
	} else {
		b = append16(b, int16(len(s)))
	}
	return append(b, s...)
}

// topicEnd returns where the partitions end that have the topic of the first.
func topicEnd(parts []partition) int {
	n := 1
	for n < len(parts) && parts[n].topic == parts[0].topic {
		n++
	}
	return n
}

func appendValue(b []byte, v *value, version int16) []byte {
	flexible := version >= 1
	b = append64(append16(b, version), v.producerID)
	b = append32(append16(b, v.epoch), v.timeoutMs)
	b = append(b, byte(v.state))
	b = appendParts(b, v, flexible)
	b = append64(append64(b, v.updated), v.start)
	if !flexible {
		return b
	}
	tags := 0
	for _, is := range [...]bool{v.prevID != -1, v.nextID != -1, v.client != 0} {
		if is {
			tags++
		}
	}
	b = append(b, byte(tags))
	if v.prevID != -1 {
		b = append64(append(b, tagPrevID, 8), v.prevID)
	}
	if v.nextID != -1 {
		b = append64(append(b, tagNextID, 8), v.nextID)
	}
	if v.client != 0 {
		b = append16(append(b, tagClient, 2), v.client)
	}
	return b
}

func appendParts(b []byte, v *value, flexible bool) []byte {
	if v.state == empty {
		return appendCount(b, -1, flexible)
	}
	topics := 0
	for rest := v.parts; len(rest) > 0; topics++ {
		rest = rest[topicEnd(rest):]
	}
	b = appendCount(b, topics, flexible)
	for rest := v.parts; len(rest) > 0; {
		n := topicEnd(rest)
		b = appendCount(appendString(b, rest[0].topic, flexible), n, flexible)
		for _, p := range rest[:n] {
			b = append32(b, p.n)
		}
		if rest = rest[n:]; flexible {
			b = append(b, 0)
		}
	}
	return b
}

// decodeKey returns the transactional id. It is a slice of b.
func decodeKey(b []byte) (id []byte, err error) {
	r := reader{b: b}
	if kind := r.int16(); !r.bad && kind != typeTransaction {
		return nil, fmt.Errorf("%w: %d", errUnknown, kind)
	}
	if id = r.string(false); r.bad {
		return nil, errShort
	}
	return id, nil
}

// decodeValue reads any version. The partitions go to into, sorted; name makes a string of a topic.
func decodeValue(b []byte, into []partition, name func([]byte) string) (v value, err error) {
	r := reader{b: b}
	version := r.int16()
	if !r.bad && (version < 0 || version > 1) {
		return v, fmt.Errorf("%w: version %d of the value, the highest known is 1", protocol.ErrMalformed, version)
	}
	flexible := version >= 1
	v.producerID, v.epoch, v.timeoutMs = r.int64(), r.int16(), r.int32()
	v.prevID, v.nextID = v.producerID, -1
	if flexible {
		v.prevID = -1
	}
	if v.state = state(r.int8()); !r.bad && (v.state < empty || v.state > completeAbort) {
		return v, fmt.Errorf("%w: transaction status %d", protocol.ErrMalformed, v.state)
	}
	v.parts = r.parts(flexible, into, name)
	v.updated, v.start = r.int64(), r.int64()
	if flexible {
		r.tags(&v)
	}
	if r.bad {
		return v, errShort
	}
	if v.state == empty { // Kafka takes what is there for nothing
		v.parts = v.parts[:0]
	}
	if !slices.IsSortedFunc(v.parts, partition.compare) {
		slices.SortFunc(v.parts, partition.compare)
	}
	v.parts = slices.Compact(v.parts)
	return v, nil
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

// string reads a string, which may not be null, without copying it.
func (r *reader) string(flexible bool) []byte {
	if flexible {
		return r.take(r.uvarint() - 1)
	}
	return r.take(int(r.int16()))
}

// count reads the length of an array whose elements take at least size bytes each: more than there is room for is an error, so that a
// length makes nobody allocate. Null is no element.
func (r *reader) count(flexible bool, size int) int {
	var n int
	if flexible {
		n = r.uvarint() - 1
	} else {
		n = int(r.int32())
	}
	if n < -1 || n > len(r.b)/size {
		r.take(-1)
		return 0
	}
	return max(n, 0)
}

func (r *reader) parts(flexible bool, into []partition, name func([]byte) string) []partition {
	for topics := r.count(flexible, 2); topics > 0 && !r.bad; topics-- {
		topic := r.string(flexible)
		n := r.count(flexible, 4)
		if n > 0 {
			topic := name(topic)
			for range n {
				into = append(into, partition{topic, r.int32()})
			}
		}
		if flexible {
			r.skipTags()
		}
	}
	return into
}

// tags reads the tagged fields of a value. What is not known is skipped, as Kafka does.
func (r *reader) tags(v *value) {
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		tag := r.uvarint()
		field := reader{b: r.take(r.uvarint())}
		switch tag {
		case tagPrevID:
			v.prevID = field.int64()
		case tagNextID:
			v.nextID = field.int64()
		case tagClient:
			v.client = field.int16()
		}
		if field.bad {
			r.take(-1)
		}
	}
}

func (r *reader) skipTags() {
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		r.uvarint()
		r.take(r.uvarint())
	}
}

package record

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Header is one header of a record to be built. A nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// Builder makes one batch of records. The zero value makes plain batches without a producer id; fields may be set before Bytes is
// called. It is for tests, coordinators and markers; producers' batches are not built here.
type Builder struct {
	BaseOffset    int64
	LeaderEpoch   int32
	Codec         Codec
	Level         int  // of Codec; 0 is its default
	LogAppendTime bool // MaxTimestamp holds for all records
	Transactional bool
	Control       bool
	ProducerID    int64 // with HasProducer
	ProducerEpoch int16
	BaseSequence  int32
	HasProducer   bool

	body  []byte
	count int32
	first int64
	max   int64
}

// Reset drops the records and keeps their buffer and the fields.
func (b *Builder) Reset() { b.body, b.count = b.body[:0], 0 }

// Count is the number of records added.
func (b *Builder) Count() int { return int(b.count) }

// Size is the size of the batch without compression, in bytes.
func (b *Builder) Size() int { return HeaderSize + len(b.body) }

// Add adds a record with a timestamp in milliseconds. A nil key or value is null. Nothing of them is kept.
func (b *Builder) Add(timestamp int64, key, value []byte, headers ...Header) {
	if b.count == 0 {
		b.first, b.max = timestamp, math.MinInt64
	}
	b.max = max(b.max, timestamp)
	r := rawRecord{timestampDelta: timestamp - b.first, offsetDelta: b.count, key: key, value: value, headerCount: int32(len(headers))}
	for _, h := range headers {
		r.headers = binary.AppendVarint(r.headers, int64(len(h.Key)))
		r.headers = append(r.headers, h.Key...)
		r.headers = appendBytes(r.headers, h.Value)
	}
	b.body = r.append(b.body)
	b.count++
}

// AppendTo appends the batch to dst. A batch without records is well formed too: a log can keep one, no producer may send it.
func (b *Builder) AppendTo(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	level := b.Level
	if level == 0 {
		level = DefaultLevel
	}
	dst = b.Codec.Compress(dst, b.body, level)
	h := Batch(dst[at:])
	h.SetBaseOffset(b.BaseOffset)
	h.SetLeaderEpoch(b.LeaderEpoch)
	binary.BigEndian.PutUint32(h[posLength:], uint32(len(h)-lengthOverhead))
	h[posMagic] = 2
	attrs := uint16(b.Codec)
	for _, f := range [...]struct {
		on  bool
		bit uint16
	}{{b.LogAppendTime, attrLogAppendTime}, {b.Transactional, attrTransactional}, {b.Control, attrControl}} {
		if f.on {
			attrs |= f.bit
		}
	}
	binary.BigEndian.PutUint16(h[posAttributes:], attrs)
	first, latest := b.first, b.max
	if b.count == 0 {
		first, latest = -1, -1
	}
	binary.BigEndian.PutUint32(h[posLastOffsetDelta:], uint32(max(0, b.count-1)))
	binary.BigEndian.PutUint64(h[posFirstTimestamp:], uint64(first))
	binary.BigEndian.PutUint64(h[posMaxTimestamp:], uint64(latest))
	pid, epoch, seq := int64(-1), int16(-1), int32(-1)
	if b.HasProducer {
		pid, epoch, seq = b.ProducerID, b.ProducerEpoch, b.BaseSequence
	}
	binary.BigEndian.PutUint64(h[posProducerID:], uint64(pid))
	binary.BigEndian.PutUint16(h[posProducerEpoch:], uint16(epoch))
	binary.BigEndian.PutUint32(h[posBaseSequence:], uint32(seq))
	binary.BigEndian.PutUint32(h[posCount:], uint32(b.count))
	h.SetCRC()
	return dst
}

// Bytes returns the batch in memory of its own.
func (b *Builder) Bytes() Batch { return Batch(b.AppendTo(nil)) }

// The types of control records (org.apache.kafka.common.record.ControlRecordType) that end a transaction.
const (
	ControlAbort  int16 = 0
	ControlCommit int16 = 1
)

// Marker makes the control batch that ends a transaction of a producer in a partition. Offset and leader epoch are Assign's.
func Marker(control int16, producerID int64, producerEpoch int16, coordinatorEpoch int32, timestamp int64) Batch {
	key := binary.BigEndian.AppendUint16(make([]byte, 2, 4), uint16(control))            // version 0, type
	value := binary.BigEndian.AppendUint32(make([]byte, 2, 6), uint32(coordinatorEpoch)) // version 0, coordinator epoch
	b := Builder{Transactional: true, Control: true, HasProducer: true, ProducerID: producerID, ProducerEpoch: producerEpoch, BaseSequence: -1}
	b.Add(timestamp, key, value)
	return b.Bytes()
}

// ParseMarker reads a control record of a transaction. ok is false for other control records and for what is too short.
func ParseMarker(r *Record) (control int16, coordinatorEpoch int32, ok bool) {
	if len(r.Key) < 4 || len(r.Value) < 6 || r.Key[0]&0x80 != 0 || r.Value[0]&0x80 != 0 {
		return 0, 0, false
	}
	control = int16(binary.BigEndian.Uint16(r.Key[2:]))
	return control, int32(binary.BigEndian.Uint32(r.Value[2:])), control == ControlAbort || control == ControlCommit
}

// append appends the record with its length.
func (r *rawRecord) append(dst []byte) []byte {
	size := 1 + varlongSize(r.timestampDelta) + varintSize(r.offsetDelta) + bytesSize(r.key) + bytesSize(r.value) +
		varintSize(r.headerCount) + len(r.headers)
	dst = binary.AppendVarint(dst, int64(size))
	dst = append(dst, byte(r.attributes))
	dst = binary.AppendVarint(dst, r.timestampDelta)
	dst = binary.AppendVarint(dst, int64(r.offsetDelta))
	dst = appendBytes(dst, r.key)
	dst = appendBytes(dst, r.value)
	dst = binary.AppendVarint(dst, int64(r.headerCount))
	return append(dst, r.headers...)
}

func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 1) // -1, zig-zag
	}
	dst = binary.AppendVarint(dst, int64(len(b)))
	return append(dst, b...)
}

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return varintSize(int32(len(b))) + len(b)
}

func varintSize(v int32) int { return varlongSize(int64(v)) }

func varlongSize(v int64) int { return (bits.Len64(uint64(v<<1^v>>63)|1) + 6) / 7 }

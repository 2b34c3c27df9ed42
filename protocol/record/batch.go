package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"weir/protocol"
)

// HeaderSize is the size of a v2 batch up to its first record.
const HeaderSize = 61

// Where the fields of a v2 batch lie.
const (
	posBaseOffset      = 0
	posLength          = 8
	posLeaderEpoch     = 12
	posMagic           = 16
	posCRC             = 17
	posAttributes      = 21
	posLastOffsetDelta = 23
	posFirstTimestamp  = 27
	posMaxTimestamp    = 35
	posProducerID      = 43
	posProducerEpoch   = 51
	posBaseSequence    = 53
	posCount           = 57
)

// lengthOverhead is what the length field does not count: the base offset and itself.
const lengthOverhead = 12

// The bits of the attributes beside the codec.
const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is a view of one v2 batch, or of at least its header where a function says so. Accessors do not check the length: Next does.
type Batch []byte

func (b Batch) i32(at int) int32 { return int32(binary.BigEndian.Uint32(b[at:])) }
func (b Batch) i64(at int) int64 { return int64(binary.BigEndian.Uint64(b[at:])) }

// BaseOffset is the offset of the first record that the batch had when it was written.
func (b Batch) BaseOffset() int64 { return b.i64(posBaseOffset) }

// Size is the size of the whole batch in bytes by its length field, this field and the base offset included.
func (b Batch) Size() int { return int(b.i32(posLength)) + lengthOverhead }

// LeaderEpoch is the partition leader epoch in which the leader appended the batch; -1 is none.
func (b Batch) LeaderEpoch() int32 { return b.i32(posLeaderEpoch) }

// Magic is the message format version.
func (b Batch) Magic() int8 { return int8(b[posMagic]) }

// CRC is the stored CRC-32C of all from the attributes on.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[posCRC:]) }

// Attributes are the attribute bits.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[posAttributes:])) }

// Codec is how the records are compressed. It may be a number that no codec has.
func (b Batch) Codec() Codec { return Codec(b[posAttributes+1] & attrCodec) }

// LogAppendTime says that MaxTimestamp was set by the broker and holds for all records (message.timestamp.type).
func (b Batch) LogAppendTime() bool { return b[posAttributes+1]&attrLogAppendTime != 0 }

// Transactional says that the records belong to a transaction.
func (b Batch) Transactional() bool { return b[posAttributes+1]&attrTransactional != 0 }

// Control says that the records are control records, such as transaction markers.
func (b Batch) Control() bool { return b[posAttributes+1]&attrControl != 0 }

// DeleteHorizonMs is when compaction may remove tombstones and markers of the batch; ok is false where none is set (KIP-534).
func (b Batch) DeleteHorizonMs() (ms int64, ok bool) {
	if b[posAttributes+1]&attrDeleteHorizon == 0 {
		return 0, false
	}
	return b.FirstTimestamp(), true
}

// LastOffsetDelta is the last offset less the base offset. Compaction keeps it when it removes records.
func (b Batch) LastOffsetDelta() int32 { return b.i32(posLastOffsetDelta) }

// LastOffset is the last offset of the batch.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset after the last of the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// FirstTimestamp is what record timestamps are relative to, in milliseconds; the delete horizon where one is set.
func (b Batch) FirstTimestamp() int64 { return b.i64(posFirstTimestamp) }

// MaxTimestamp is the largest timestamp of the batch in milliseconds, -1 where there is none.
func (b Batch) MaxTimestamp() int64 { return b.i64(posMaxTimestamp) }

// ProducerID is the id of an idempotent producer, -1 is none.
func (b Batch) ProducerID() int64 { return b.i64(posProducerID) }

// ProducerEpoch is the epoch of the producer id, -1 is none.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[posProducerEpoch:])) }

// BaseSequence is the producer's sequence number of the first record, -1 is none.
func (b Batch) BaseSequence() int32 { return b.i32(posBaseSequence) }

// LastSequence is the sequence number of the last record, -1 is none. After the largest int32 comes 0.
func (b Batch) LastSequence() int32 {
	if s := b.BaseSequence(); s != -1 {
		return AddSequence(s, b.LastOffsetDelta())
	}
	return -1
}

// AddSequence adds to a sequence number, which wraps from the largest int32 to 0.
func AddSequence(seq, n int32) int32 {
	if seq > math.MaxInt32-n {
		return n - (math.MaxInt32 - seq) - 1
	}
	return seq + n
}

// Count is the number of records.
func (b Batch) Count() int32 { return b.i32(posCount) }

// Body is the records as they lie in the batch, compressed where Codec says so. b must be a whole batch.
func (b Batch) Body() []byte { return b[HeaderSize:] }

// CheckCRC compares the stored CRC-32C with that of the bytes. b must be a whole batch.
func (b Batch) CheckCRC() bool { return b.CRC() == crc32.Checksum(b[posAttributes:], castagnoli) }

// SetBaseOffset sets the base offset, which the CRC does not cover.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b[posBaseOffset:], uint64(offset))
}

// SetLeaderEpoch sets the leader epoch, which the CRC does not cover.
func (b Batch) SetLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[posLeaderEpoch:], uint32(epoch))
}

// SetAppendTime makes ms the timestamp of all records and computes the CRC anew. b must be a whole batch.
func (b Batch) SetAppendTime(ms int64) {
	if b.LogAppendTime() && b.MaxTimestamp() == ms {
		return
	}
	b[posAttributes+1] |= attrLogAppendTime
	b.setMax(ms)
}

// SetMaxTimestamp sets the largest timestamp of a batch of producer timestamps and, when that changes anything, computes the CRC
// anew. b must be a whole batch.
func (b Batch) SetMaxTimestamp(ms int64) {
	if !b.LogAppendTime() && b.MaxTimestamp() == ms {
		return
	}
	b[posAttributes+1] &^= attrLogAppendTime
	b.setMax(ms)
}

// setMax sets the largest timestamp and the CRC. The upper attribute byte is not used and is cleared, as Kafka does.
func (b Batch) setMax(ms int64) {
	b[posAttributes] = 0
	b[posAttributes+1] &^= 0x80
	binary.BigEndian.PutUint64(b[posMaxTimestamp:], uint64(ms))
	b.SetCRC()
}

// SetCRC computes the CRC-32C. b must be a whole batch.
func (b Batch) SetCRC() {
	binary.BigEndian.PutUint32(b[posCRC:], crc32.Checksum(b[posAttributes:], castagnoli))
}

// Next splits the first batch from a run of whole batches. It checks the size, the magic and that neither base nor last offset is
// negative or overflows, but neither CRC nor records. Errors wrap ErrMalformed; b and rest are nil then.
func Next(run []byte) (b Batch, rest []byte, err error) {
	if len(run) < HeaderSize {
		return nil, nil, fmt.Errorf("%w: batch header of %d bytes", protocol.ErrMalformed, len(run))
	}
	b = Batch(run)
	if n := b.i32(posLength); n < HeaderSize-lengthOverhead || int64(n)+lengthOverhead > int64(len(run)) {
		return nil, nil, fmt.Errorf("%w: batch of length %d in %d bytes", protocol.ErrMalformed, n, len(run))
	}
	if m := b.Magic(); m != 2 {
		return nil, nil, fmt.Errorf("%w: batch of magic %d", protocol.ErrMalformed, m)
	}
	if base, d := b.BaseOffset(), b.LastOffsetDelta(); base < 0 || d < 0 || base > math.MaxInt64-1-int64(d) {
		return nil, nil, fmt.Errorf("%w: batch at offset %d with last offset delta %d", protocol.ErrMalformed, base, d)
	}
	n := b.Size()
	return b[:n:n], run[n:], nil
}

// Assign gives consecutive offsets from base and the leader epoch to a run of whole batches that Validate has let through, in
// place, and returns the offset after the last.
func Assign(recs []byte, base int64, leaderEpoch int32) (next int64) {
	for len(recs) >= HeaderSize {
		b := Batch(recs)
		b.SetBaseOffset(base)
		b.SetLeaderEpoch(leaderEpoch)
		base = b.NextOffset()
		recs = recs[b.Size():]
	}
	return base
}

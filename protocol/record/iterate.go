package record

import (
	"errors"
	"fmt"
	"math"

	"weir/protocol"
)

// Record is a view of one record of a batch. Slices alias the batch or a buffer that is valid during the call only.
type Record struct {
	Offset      int64
	Timestamp   int64 // milliseconds; that of the batch where it has LogAppendTime
	Attributes  int8  // unused by Kafka so far
	Key, Value  []byte
	Headers     []byte // raw, behind their count
	HeaderCount int32
}

// EachHeader calls fn with the headers, in order, until it returns false. A nil value is null.
func (r *Record) EachHeader(fn func(key, value []byte) bool) {
	b := r.Headers
	for range r.HeaderCount {
		var key, value []byte
		var ok bool
		if key, b, ok = readBytes(b); !ok {
			return
		}
		if value, b, ok = readBytes(b); !ok || !fn(key, value) {
			return
		}
	}
}

// maxIterate bounds what Records, FindTimestamp and the like decompress: a batch that was once let in is never that large.
const maxIterate = 1 << 30

// Records calls fn with each record of a whole batch, in order, until it returns false. It decompresses where it has to. Errors
// wrap ErrMalformed; records before the bad one have been seen then.
func Records(b Batch, fn func(*Record) bool) error {
	body, buf, err := open(b, maxIterate)
	if err != nil {
		return err
	}
	defer buf.close()
	var raw rawRecord
	var rec Record
	base, first, appendTime := b.BaseOffset(), b.FirstTimestamp(), b.LogAppendTime()
	for n := b.Count(); n > 0; n-- {
		if body = raw.read(body); body == nil {
			return fmt.Errorf("%w: record %d of %d", protocol.ErrMalformed, b.Count()-n, b.Count())
		}
		rec = Record{
			Offset: base + int64(raw.offsetDelta), Timestamp: first + raw.timestampDelta, Attributes: raw.attributes,
			Key: raw.key, Value: raw.value, Headers: raw.headers, HeaderCount: raw.headerCount,
		}
		if appendTime {
			rec.Timestamp = b.MaxTimestamp()
		}
		if !fn(&rec) {
			return nil
		}
	}
	return nil
}

// FindTimestamp finds the first record at or above offset from whose timestamp is at least ms. With ms the batch's MaxTimestamp it
// finds the record that ListOffsets with -3 asks for. b is a whole batch.
func FindTimestamp(b Batch, ms, from int64) (offset, timestamp int64, ok bool, err error) {
	if b.MaxTimestamp() < ms || b.LastOffset() < from {
		return -1, -1, false, nil
	}
	offset, timestamp = -1, -1
	err = Records(b, func(r *Record) bool {
		if r.Timestamp < ms || r.Offset < from {
			return true
		}
		offset, timestamp, ok = r.Offset, r.Timestamp, true
		return false
	})
	return offset, timestamp, ok, err
}

// rawRecord is a record as it lies in the batch: relative.
type rawRecord struct {
	attributes     int8
	timestampDelta int64
	offsetDelta    int32
	key, value     []byte // nil: null
	headers        []byte
	headerCount    int32
}

// read parses the first record of b and returns what follows it; nil where the record is not well formed. It checks all of it,
// the headers too. What follows a last record is empty, not nil.
func (r *rawRecord) read(b []byte) []byte {
	size, n := varint(b)
	if n <= 0 || size < 0 || int(size) > len(b)-n {
		return nil
	}
	end := n + int(size)
	rest := b[end:]
	if b = b[n:end:end]; len(b) == 0 {
		return nil
	}
	r.attributes = int8(b[0])
	b = b[1:]
	if r.timestampDelta, n = varlong(b); n <= 0 {
		return nil
	}
	b = b[n:]
	if r.offsetDelta, n = varint(b); n <= 0 {
		return nil
	}
	b = b[n:]
	var ok bool
	if r.key, b, ok = readBytes(b); !ok {
		return nil
	}
	if r.value, b, ok = readBytes(b); !ok {
		return nil
	}
	if r.headerCount, n = varint(b); n <= 0 || r.headerCount < 0 || int(r.headerCount) > len(b)-n {
		return nil
	}
	b = b[n:]
	r.headers = b
	for i := r.headerCount; i > 0; i-- {
		var key []byte
		if key, b, ok = readBytes(b); !ok || key == nil {
			return nil
		}
		if _, b, ok = readBytes(b); !ok {
			return nil
		}
	}
	if len(b) != 0 {
		return nil
	}
	return rest
}

// readBytes reads a length and so many bytes. A negative length is null.
func readBytes(b []byte) (v, rest []byte, ok bool) {
	size, n := varint(b)
	if n <= 0 || int(size) > len(b)-n {
		return nil, nil, false
	}
	if b = b[n:]; size < 0 {
		return nil, b, true
	}
	return b[:size:size], b[size:], true
}

// varint reads a zig-zag varint of 32 bits; n is 0 where there is none.
func varint(b []byte) (v int32, n int) {
	var u uint32
	for i, c := range b {
		if i == 4 && c > 0x0f {
			return 0, 0
		}
		u |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			return int32(u>>1) ^ -int32(u&1), i + 1
		}
	}
	return 0, 0
}

// varlong reads a zig-zag varint of 64 bits; n is 0 where there is none.
func varlong(b []byte) (v int64, n int) {
	var u uint64
	for i, c := range b {
		if i == 9 && c > 1 {
			return 0, 0
		}
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
	}
	return 0, 0
}

// errOrder says that batches of a run do not follow one another.
var errOrder = errors.New("offsets out of order")

// Check walks a run of batches that a leader sent: size, magic, CRC, and offsets that rise from batch to batch. A last batch that
// is cut short, as a fetch may end, is left off run. Records are not looked at: the leader did. Errors wrap ErrMalformed, and
// valid is then what is good up to there.
func Check(run []byte) (valid []byte, s Set, err error) {
	s = Set{Base: -1, Next: -1, MaxTimestamp: -1, MaxTimestampOffset: -1, LeaderEpoch: -1}
	at := 0
	for rest := run; wholeBatch(rest); {
		var b Batch
		if b, rest, err = Next(rest); err != nil {
			return run[:at], s, err
		}
		if !b.CheckCRC() {
			return run[:at], s, fmt.Errorf("%w: CRC of the batch at offset %d", protocol.ErrMalformed, b.BaseOffset())
		}
		if b.BaseOffset() < s.Next {
			return run[:at], s, fmt.Errorf("%w: %w: %d after %d", protocol.ErrMalformed, errOrder, b.BaseOffset(), s.Next-1)
		}
		s.add(b)
		at += len(b)
	}
	return run[:at], s, nil
}

// wholeBatch says whether b begins with a batch that is not cut short, or with something that Next will refuse.
func wholeBatch(b []byte) bool {
	if len(b) < HeaderSize {
		return false
	}
	n := Batch(b).i32(posLength)
	return n < 0 || int64(n)+lengthOverhead <= int64(len(b))
}

// add takes a batch into the set.
func (s *Set) add(b Batch) {
	if s.Base < 0 {
		s.Base = b.BaseOffset()
	}
	s.Next = b.NextOffset()
	if t := b.MaxTimestamp(); t > s.MaxTimestamp {
		s.MaxTimestamp, s.MaxTimestampOffset = t, b.LastOffset()
	}
	s.LeaderEpoch = b.LeaderEpoch()
	if n := int64(s.Records) + int64(max(0, b.Count())); n <= math.MaxInt32 {
		s.Records = int32(n)
	}
}

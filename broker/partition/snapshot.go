package partition

import (
	"encoding/binary"
	"fmt"

	"weir/protocol"
)

// A snapshot is the hard state of a partition at one offset of its log: leader epochs and producers. It holds nothing that the log
// below that offset did not say; with it Load reads the headers after the offset only. All integers are big-endian:
//
//	version  int16 = 2
//	epochs   int32 n, then n times { epoch int32, start int64 }
//	producers int32 n, then n times { id int64, epoch int16, coordinator epoch int32, timestamp int64, first offset of the
//	         transaction int64, int8 m <= 5, then m times { last sequence int32, delta int32, last offset int64, timestamp int64 } }
//	the newest marker that aborted a transaction int64
//	ended    int32 n, then n times { first offset int64, marker int64 }: transactions whose marker was not replicated
//
// The log adds a checksum. An unknown version is not an error: the state is then read from the log.
const snapshotVersion = 2

const (
	epochBytes    = 12
	producerBytes = 31
	seqBatchBytes = 24
	endedBytes    = 16
)

func encodeState(dst []byte, c *epochCache, t *producers) []byte {
	be := binary.BigEndian
	dst = be.AppendUint16(dst, snapshotVersion)
	dst = be.AppendUint32(dst, uint32(len(c.entries)))
	for _, e := range c.entries {
		dst = be.AppendUint32(dst, uint32(e.epoch))
		dst = be.AppendUint64(dst, uint64(e.start))
	}
	dst = be.AppendUint32(dst, uint32(len(t.byID)))
	for _, id := range t.ids() {
		p := t.byID[id]
		dst = be.AppendUint64(dst, uint64(p.id))
		dst = be.AppendUint16(dst, uint16(p.epoch))
		dst = be.AppendUint32(dst, uint32(p.coordinatorEpoch))
		dst = be.AppendUint64(dst, uint64(p.timestampMs))
		dst = be.AppendUint64(dst, uint64(p.txnFirst))
		dst = append(dst, p.n)
		for i := range int(p.n) {
			b := p.at(i)
			dst = be.AppendUint32(dst, uint32(b.lastSeq))
			dst = be.AppendUint32(dst, uint32(b.delta))
			dst = be.AppendUint64(dst, uint64(b.lastOffset))
			dst = be.AppendUint64(dst, uint64(b.timestampMs))
		}
	}
	dst = be.AppendUint64(dst, uint64(t.lastAborted))
	dst = be.AppendUint32(dst, uint32(len(t.ended)))
	for _, e := range t.ended {
		dst = be.AppendUint64(dst, uint64(e.first))
		dst = be.AppendUint64(dst, uint64(e.marker))
	}
	return dst
}

// reader reads big-endian integers; short is set when there are not enough bytes, and all that is read is 0 from then on.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.b, r.short = nil, true
		return make([]byte, n)
	}
	x := r.b[:n]
	r.b = r.b[n:]
	return x
}

func (r *reader) i8() int8   { return int8(r.take(1)[0]) }
func (r *reader) i16() int16 { return int16(binary.BigEndian.Uint16(r.take(2))) }
func (r *reader) i32() int32 { return int32(binary.BigEndian.Uint32(r.take(4))) }
func (r *reader) i64() int64 { return int64(binary.BigEndian.Uint64(r.take(8))) }

// count reads the length of an array whose elements take at least size bytes.
func (r *reader) count(size int) int {
	n := int(r.i32())
	if n < 0 || n > len(r.b)/size {
		r.b, r.short = nil, true
		return 0
	}
	return n
}

// decodeState reads what encodeState wrote into c and t. After an error, which wraps ErrMalformed, both are empty.
func decodeState(state []byte, c *epochCache, t *producers) error {
	c.entries = c.entries[:0]
	t.clear()
	r := &reader{b: state}
	if v := r.i16(); v != snapshotVersion || r.short {
		return fmt.Errorf("%w: partition snapshot of version %d", protocol.ErrMalformed, v)
	}
	ok := true
	for range r.count(epochBytes) {
		e := epochStart{epoch: r.i32(), start: r.i64()}
		if n := len(c.entries); n > 0 && (c.entries[n-1].epoch >= e.epoch || c.entries[n-1].start >= e.start) {
			ok = false
		}
		c.entries = append(c.entries, e)
	}
	for range r.count(producerBytes) {
		p := &producer{id: r.i64(), epoch: r.i16(), coordinatorEpoch: r.i32(), timestampMs: r.i64(), txnFirst: r.i64()}
		n := r.i8()
		ok = ok && p.id >= 0 && n >= 0 && n <= retainedBatches
		for range min(max(n, 0), retainedBatches) {
			p.add(seqBatch{lastSeq: r.i32(), delta: r.i32(), lastOffset: r.i64(), timestampMs: r.i64()})
		}
		if t.byID == nil {
			t.byID = make(map[int64]*producer)
		}
		ok = ok && t.byID[p.id] == nil
		t.byID[p.id] = p
	}
	t.lastAborted = r.i64()
	for range r.count(endedBytes) {
		t.ended.add(endedTxn{first: r.i64(), marker: r.i64()})
	}
	if !ok || r.short || len(r.b) != 0 {
		c.entries = c.entries[:0]
		t.clear()
		return fmt.Errorf("%w: partition snapshot of %d bytes", protocol.ErrMalformed, len(state))
	}
	t.findOngoing()
	return nil
}

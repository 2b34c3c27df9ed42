package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"weir/protocol"
)

// Filter writes batches anew without some of their records, as log compaction does (Kafka's MemoryRecords.filterTo). The zero value is
// ready. It keeps its buffers from batch to batch; one goroutine at a time may use it.
type Filter struct {
	keep []bool
	body []byte
}

// Rewrite says what is to become of a batch.
type Rewrite struct {
	// Keep is asked for each record, in order, before anything is written.
	Keep func(r *Record) bool
	// Empty keeps the batch when all its records go, as a header: its offsets and its producer's last sequence number stay known.
	Empty bool
	// HorizonMs is the delete horizon (KIP-534) that a batch gets that has none and keeps a tombstone; Horizon gives it to any batch
	// that keeps a record.
	HorizonMs int64
	Horizon   bool
}

// Kept is what Append left.
type Kept struct {
	Records, Dropped int
	Changed          bool // the bytes are not those that came
}

// Append appends to dst what is left of a whole batch, which may be nothing. What stays keeps base offset, last offset, leader epoch,
// producer, sequence and codec. Errors wrap ErrMalformed, and dst is returned as it was.
func (f *Filter) Append(dst []byte, b Batch, w *Rewrite) ([]byte, Kept, error) {
	body, buf, err := open(b, maxIterate)
	if err != nil {
		return dst, Kept{}, err
	}
	defer buf.close()
	kept, tombstone, err := f.choose(b, body, w)
	if err != nil {
		return dst, Kept{}, err
	}
	_, has := b.DeleteHorizonMs()
	set := !has && (tombstone || w.Horizon)
	switch {
	case kept.Records == 0 && !w.Empty:
		kept.Changed = true
		return dst, kept, nil
	case kept.Dropped == 0 && (!set || kept.Records == 0) && (kept.Records > 0 || len(b) == HeaderSize):
		return append(dst, b...), kept, nil
	case kept.Records == 0:
		kept.Changed = true
		return appendEmpty(dst, b), kept, nil
	}
	kept.Changed = true
	return f.rewrite(dst, b, body, w, set || has, set), kept, nil
}

// choose asks Keep for each record.
func (f *Filter) choose(b Batch, body []byte, w *Rewrite) (kept Kept, tombstone bool, err error) {
	f.keep = f.keep[:0]
	var raw rawRecord
	var rec Record
	base, first, appendTime := b.BaseOffset(), b.FirstTimestamp(), b.LogAppendTime()
	for n := b.Count(); n > 0; n-- {
		if body = raw.read(body); body == nil {
			return kept, false, fmt.Errorf("%w: record %d of %d", protocol.ErrMalformed, b.Count()-n, b.Count())
		}
		rec = Record{
			Offset: base + int64(raw.offsetDelta), Timestamp: first + raw.timestampDelta, Attributes: raw.attributes,
			Key: raw.key, Value: raw.value, Headers: raw.headers, HeaderCount: raw.headerCount,
		}
		if appendTime {
			rec.Timestamp = b.MaxTimestamp()
		}
		keep := w.Keep(&rec)
		f.keep = append(f.keep, keep)
		if keep {
			kept.Records++
			tombstone = tombstone || raw.value == nil
		} else {
			kept.Dropped++
		}
	}
	return kept, tombstone, nil
}

// rewrite appends the batch with the records that choose kept. Where it has a delete horizon, that is what timestamps are relative to.
func (f *Filter) rewrite(dst []byte, b Batch, body []byte, w *Rewrite, horizon, set bool) []byte {
	first, latest := b.FirstTimestamp(), int64(math.MinInt64)
	if set {
		first = w.HorizonMs
	}
	f.body = f.body[:0]
	var raw rawRecord
	count, from := 0, b.FirstTimestamp()
	for _, keep := range f.keep {
		body = raw.read(body)
		if !keep {
			continue
		}
		ts := from + raw.timestampDelta
		if b.LogAppendTime() {
			ts = b.MaxTimestamp()
		}
		if count == 0 && !horizon {
			first = ts
		}
		latest = max(latest, ts)
		raw.timestampDelta = ts - first
		f.body = raw.append(f.body)
		count++
	}
	at := len(dst)
	dst = append(dst, b[:HeaderSize]...)
	dst = b.Codec().Compress(dst, f.body, DefaultLevel)
	h := Batch(dst[at:])
	binary.BigEndian.PutUint32(h[posLength:], uint32(len(h)-lengthOverhead))
	if h[posAttributes] = 0; horizon {
		h[posAttributes+1] |= attrDeleteHorizon
	}
	binary.BigEndian.PutUint64(h[posFirstTimestamp:], uint64(first))
	binary.BigEndian.PutUint64(h[posMaxTimestamp:], uint64(latest))
	binary.BigEndian.PutUint32(h[posCount:], uint32(count))
	h.SetCRC()
	if cap(f.body) > 2*smallBody {
		f.body = nil
	}
	return dst
}

// appendEmpty appends the header of b as that of a batch without records (DefaultRecordBatch.writeEmptyHeader).
func appendEmpty(dst []byte, b Batch) []byte {
	at := len(dst)
	dst = append(dst, b[:HeaderSize]...)
	h := Batch(dst[at:])
	binary.BigEndian.PutUint32(h[posLength:], uint32(HeaderSize-lengthOverhead))
	h[posAttributes] = 0
	h[posAttributes+1] &= attrLogAppendTime | attrTransactional | attrControl
	binary.BigEndian.PutUint64(h[posFirstTimestamp:], ^uint64(0)) // -1
	binary.BigEndian.PutUint32(h[posCount:], 0)
	h.SetCRC()
	return dst
}

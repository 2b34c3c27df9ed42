package memlog

import (
	"weir/protocol/record"
)

// Read puts whole batches into dst, from the one that holds from up to limit, and but for the first where atLeastOne is set not more
// than maxBytes. What dst points to is never changed.
func (l *Log) Read(dst *record.Data, from, limit int64, maxBytes int, atLeastOne bool) error {
	dst.Pieces, dst.Size = dst.Pieces[:0], 0
	if from < l.start || from > l.end {
		return ErrOutOfRange
	}
	return l.batches(from, func(b record.Batch) bool {
		if b.NextOffset() > limit || (dst.Size+len(b) > maxBytes && (dst.Size > 0 || !atLeastOne)) {
			return false
		}
		dst.Pieces = append(dst.Pieces, record.Piece{Bytes: b, N: len(b)})
		dst.Size += len(b)
		return true
	})
}

// Bytes is how many bytes a Read from from to limit has.
func (l *Log) Bytes(from, limit int64) int64 {
	n := int64(0)
	_ = l.batches(from, func(b record.Batch) bool {
		if b.NextOffset() > limit {
			return false
		}
		n += int64(len(b))
		return true
	})
	return n
}

// Size is how many bytes the log holds.
func (l *Log) Size() int64 {
	n := int64(0)
	for _, e := range l.entries {
		n += int64(len(e.recs))
	}
	return n
}

// SeekTimestamp returns the base offset of the first batch below limit whose largest timestamp is at least ms.
func (l *Log) SeekTimestamp(ms, limit int64) (offset int64, ok bool, err error) {
	err = l.batches(l.start, func(b record.Batch) bool {
		if b.BaseOffset() >= limit {
			return false
		}
		if b.MaxTimestamp() >= ms {
			offset, ok = b.BaseOffset(), true
		}
		return !ok
	})
	return offset, ok, err
}

// MaxTimestamp returns the largest timestamp and the offset of the last record of its batch, -1 and -1 for an empty log.
func (l *Log) MaxTimestamp() (ms, offset int64) {
	ms, offset = -1, -1
	_ = l.batches(l.start, func(b record.Batch) bool {
		if b.MaxTimestamp() > ms {
			ms, offset = b.MaxTimestamp(), b.LastOffset()
		}
		return true
	})
	return ms, offset
}

// Retain removes entries from the start, as wal does with segments: by size while at least keepBytes stay (-1: no bound), by time
// those whose newest record is older than olderMs, none at or above upto. removed says whether the start moved.
func (l *Log) Retain(keepBytes, olderMs, upto int64) (removed bool) {
	size := l.Size()
	for len(l.entries) > 0 {
		e := &l.entries[0]
		bySize := keepBytes >= 0 && size-int64(len(e.recs)) >= keepBytes
		byTime := e.set.MaxTimestamp < olderMs
		if e.set.Next > upto || !(bySize || byTime) {
			break
		}
		size -= int64(len(e.recs))
		_ = l.SetStart(e.set.Next)
		removed = true
	}
	return removed
}

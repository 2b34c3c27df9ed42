package memlog

import (
	"errors"
	"fmt"
	"slices"

	"weir/protocol/record"
)

var (
	// ErrFailed is what a failure that was asked for returns.
	ErrFailed = errors.New("memlog: failed as asked")
	// ErrOutOfRange is returned by Read for an offset below Start or above End.
	ErrOutOfRange = errors.New("memlog: offset out of range")
)

// entry is one Append.
type entry struct {
	recs []byte
	set  record.Set
}

type snapshot struct {
	at    int64
	state []byte
}

// Log is one log. The zero value is empty and starts at 0.
type Log struct {
	start, end, synced int64
	entries            []entry
	snapshots          []snapshot          // by at
	aborted            []record.AbortedTxn // by LastOffset
	// FailAppends makes the nth Append from now fail, 1 being the next; 0: none.
	FailAppends int
	// FailSync makes every Sync fail.
	FailSync bool
	// Appends and Syncs count calls that succeeded.
	Appends, Syncs int
}

// Start returns the log start offset.
func (l *Log) Start() int64 { return l.start }

// End returns the log end offset.
func (l *Log) End() int64 { return l.end }

// Synced returns the end of what Crash leaves.
func (l *Log) Synced() int64 { return l.synced }

// Append copies recs to the end.
func (l *Log) Append(recs []byte, set record.Set) error {
	if set.Base != l.end || set.Next <= set.Base || len(recs) < record.HeaderSize {
		return fmt.Errorf("memlog: append of %d bytes, %d..%d, at %d", len(recs), set.Base, set.Next, l.end)
	}
	if l.FailAppends > 0 {
		if l.FailAppends--; l.FailAppends == 0 {
			return ErrFailed
		}
	}
	l.entries = append(l.entries, entry{slices.Clone(recs), set})
	l.end = set.Next
	l.Appends++
	return nil
}

// Sync makes all that was appended before the call durable.
func (l *Log) Sync() error {
	if l.FailSync {
		return ErrFailed
	}
	l.synced = l.end
	l.Syncs++
	return nil
}

// Crash drops what is not synced, as the loss of power does, snapshots of it included.
func (l *Log) Crash() {
	l.truncate(l.synced)
}

// from returns the index of the entry that holds offset, len(entries) where there is none.
func (l *Log) from(offset int64) int {
	i, _ := slices.BinarySearchFunc(l.entries, offset, func(e entry, o int64) int {
		if e.set.Next <= o {
			return -1
		}
		return 1
	})
	return i
}

// batches calls fn with the batches from the one that holds offset on.
func (l *Log) batches(offset int64, fn func(b record.Batch) bool) error {
	for i := l.from(offset); i < len(l.entries); i++ {
		for rest := l.entries[i].recs; len(rest) > 0; {
			b, r, err := record.Next(rest)
			if err != nil {
				return err
			}
			if b.NextOffset() > offset && !fn(b) {
				return nil
			}
			rest = r
		}
	}
	return nil
}

// Scan calls fn with the header of each batch from the one that holds from on, or the whole of a small control batch.
func (l *Log) Scan(from int64, fn func(h record.Batch) bool) error {
	return l.batches(from, func(b record.Batch) bool {
		if b.Control() && len(b) <= record.MaxMarker {
			return fn(b)
		}
		return fn(b[:record.HeaderSize:record.HeaderSize])
	})
}

// TruncateTo removes all at and above offset, whole batches.
func (l *Log) TruncateTo(offset int64) error {
	l.truncate(offset)
	return nil
}

func (l *Log) truncate(offset int64) {
	if offset >= l.end {
		return
	}
	i := l.from(offset)
	var keep []byte
	set := record.Set{MaxTimestamp: -1, MaxTimestampOffset: -1, LeaderEpoch: -1}
	if i < len(l.entries) {
		set.Base, set.Next = l.entries[i].set.Base, l.entries[i].set.Base
		for rest := l.entries[i].recs; len(rest) > 0; {
			b, r, err := record.Next(rest)
			if err != nil || b.NextOffset() > offset {
				break
			}
			keep = append(keep, b...)
			set.Next, set.LeaderEpoch, set.Records = b.NextOffset(), b.LeaderEpoch(), set.Records+b.Count()
			if b.MaxTimestamp() > set.MaxTimestamp {
				set.MaxTimestamp, set.MaxTimestampOffset = b.MaxTimestamp(), b.LastOffset()
			}
			rest = r
		}
	}
	l.entries = slices.Clone(l.entries[:i])
	l.end = l.start
	if len(keep) > 0 {
		l.entries = append(l.entries, entry{keep, set})
		l.end = max(set.Next, l.start)
	} else if i > 0 {
		l.end = max(l.entries[i-1].set.Next, l.start)
	}
	l.synced = min(l.synced, l.end)
	l.dropSnapshots()
	l.aborted = slices.DeleteFunc(slices.Clone(l.aborted), func(t record.AbortedTxn) bool { return t.LastOffset >= l.end })
}

func (l *Log) dropSnapshots() {
	l.snapshots = slices.DeleteFunc(l.snapshots, func(s snapshot) bool { return s.at > l.end })
}

// Reset drops everything and starts again, empty, at start.
func (l *Log) Reset(start int64) error {
	l.start, l.end, l.synced, l.entries, l.snapshots, l.aborted = start, start, start, nil, nil, nil
	return nil
}

// SetStart moves the log start forward and drops entries that are below it as a whole.
func (l *Log) SetStart(offset int64) error {
	if offset > l.end {
		return fmt.Errorf("memlog: start %d above the end %d", offset, l.end)
	}
	l.start = max(l.start, offset)
	l.synced = max(l.synced, l.start)
	l.entries = slices.Clone(l.entries[l.from(l.start):])
	l.aborted = slices.DeleteFunc(slices.Clone(l.aborted), func(t record.AbortedTxn) bool { return t.LastOffset < l.start })
	return nil
}

// SaveSnapshot keeps state as that of the log at offset at.
func (l *Log) SaveSnapshot(at int64, state []byte) error {
	if at > l.end {
		return fmt.Errorf("memlog: snapshot at %d above the end %d", at, l.end)
	}
	l.snapshots = slices.DeleteFunc(l.snapshots, func(s snapshot) bool { return s.at >= at })
	l.snapshots = append(l.snapshots, snapshot{at, slices.Clone(state)})
	if n := len(l.snapshots); n > 2 {
		l.snapshots = l.snapshots[n-2:]
	}
	return nil
}

// Snapshot returns the newest snapshot at or below max.
func (l *Log) Snapshot(max int64) (at int64, state []byte, ok bool, err error) {
	for i := len(l.snapshots) - 1; i >= 0; i-- {
		if s := l.snapshots[i]; s.at <= max {
			return s.at, s.state, true, nil
		}
	}
	return 0, nil, false, nil
}

// AddAborted adds a transaction to the index of those that were aborted, unless it is there.
func (l *Log) AddAborted(t record.AbortedTxn) {
	if t.LastOffset > l.AbortedThrough() {
		l.aborted = append(l.aborted, t)
	}
}

// AbortedThrough is the LastOffset of the newest aborted transaction, -1 where there is none.
func (l *Log) AbortedThrough() int64 {
	if n := len(l.aborted); n > 0 {
		return l.aborted[n-1].LastOffset
	}
	return -1
}

// Aborted appends to dst the aborted transactions that may have a record from from on, in the next bytes of the log and below limit.
func (l *Log) Aborted(dst []record.AbortedTxn, from, limit int64, bytes int) ([]record.AbortedTxn, error) {
	upto := from
	_ = l.batches(from, func(b record.Batch) bool {
		upto = b.NextOffset()
		bytes -= len(b)
		return bytes > 0
	})
	for _, t := range l.aborted {
		if t.LastOffset >= from && t.FirstOffset < min(upto, limit) {
			dst = append(dst, t)
		}
	}
	return dst, nil
}

// LoseAborted loses what the index has from the marker at offset on.
func (l *Log) LoseAborted(offset int64) {
	l.aborted = slices.DeleteFunc(slices.Clone(l.aborted), func(t record.AbortedTxn) bool { return t.LastOffset >= offset })
}

// DropSnapshots loses all snapshots: the state has to be rebuilt from the log alone.
func (l *Log) DropSnapshots() { l.snapshots = nil }

// Clone returns a copy that shares no memory that changes.
func (l *Log) Clone() *Log {
	c := *l
	c.entries, c.snapshots, c.aborted = slices.Clone(l.entries), slices.Clone(l.snapshots), slices.Clone(l.aborted)
	return &c
}

package partition

import "weir/protocol/record"

// Log is one partition's log as the partition sees it. Offsets are Kafka's. Only one goroutine at a time calls the methods that
// change it; Start, End and Synced may be called at any time.
type Log interface {
	// Start is the log start offset, End the log end offset: the next to be written.
	Start() int64
	End() int64
	// Synced is the end of what a crash of the machine cannot take: Start() <= Synced() <= End().
	Synced() int64
	// Append writes recs, whole batches with their offsets and leader epochs already in place, as one entry. set.Base == End().
	// It does not keep recs. After an error nothing was appended and End has not moved.
	Append(recs []byte, set record.Set) error
	// Scan calls fn with each batch header from the batch that holds offset from to the end, until fn returns false. The view is
	// of the header only (record.HeaderSize bytes), but whole of a control batch up to record.MaxMarker, and valid during the call.
	Scan(from int64, fn func(h record.Batch) bool) error
	// TruncateTo removes all at and above offset: End() == offset afterwards. A batch that straddles offset is removed whole, and
	// End() is then that batch's base offset.
	TruncateTo(offset int64) error
	// Reset drops everything and starts again, empty, at start.
	Reset(start int64) error
	// SetStart moves the log start offset forward, durably; whole segments below it are unlinked.
	SetStart(offset int64) error
	// SaveSnapshot keeps state (with a checksum) as that of the log at offset at; old ones are dropped. Snapshot returns the newest
	// one at or below max that is whole; ok is false when there is none. TruncateTo and Reset drop those above End.
	SaveSnapshot(at int64, state []byte) error
	Snapshot(max int64) (at int64, state []byte, ok bool, err error)
	// AddAborted adds a transaction to the index of those that were aborted. They come in the order of their markers; one that is there
	// already is ignored. What is above End goes with TruncateTo and Reset, what is below Start at any time. AbortedThrough is the LastOffset
	// of the newest, -1 where there is none: all before it is there too. After a crash the index may end earlier than the log.
	AddAborted(t record.AbortedTxn)
	AbortedThrough() int64
}

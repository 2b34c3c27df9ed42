package replica

import (
	"weir/broker/partition"
	"weir/protocol/record"
	"weir/wal"
)

// Store is one log directory: *wal.Dir, or memory in tests. Its methods may be called from any goroutine.
type Store interface {
	// Log returns the log of that name. It is the same one until Remove. Nothing is written before the first Append.
	Log(name string) (Log, error)
	// Names returns the logs that exist, opened or not.
	Names() ([]string, error)
	// Size returns the bytes of a log, without opening it.
	Size(name string) (int64, error)
	// Remove deletes a log, if there is one.
	Remove(name string) error
	// Room returns the size of the file system and what may still be written to it, in bytes.
	Room() (total, usable int64, err error)
	// Checkpoint writes the hints of all logs that changed.
	Checkpoint() error
	// Close closes all logs. What was appended is synced.
	Close() error
}

// Log is one partition's log: *wal.Log, or memory in tests. What partition.Log does not have may be called from any goroutine.
type Log interface {
	partition.Log
	// Load makes the log ready. All else needs it.
	Load() error
	// SetHint keeps a small value, which the next Checkpoint writes; Hint returns it, after a restart too.
	SetHint(key string, value int64)
	Hint(key string) (value int64, ok bool)
	// Read puts whole batches from the one that holds from into dst, below limit and, but for the first where atLeastOne is set, not
	// more than maxBytes.
	Read(dst *record.Data, from, limit int64, maxBytes int, atLeastOne bool) error
	// Bytes estimates the bytes from the offset from up to limit, without I/O where that is possible.
	Bytes(from, limit int64) int64
	// SeekTimestamp returns the base offset of the first batch below limit whose maximum timestamp is at least ms; ok is false where
	// there is none.
	SeekTimestamp(ms, limit int64) (offset int64, ok bool, err error)
	// MaxTimestamp returns the largest timestamp and the offset of its batch's last record; -1 and -1 in an empty log.
	MaxTimestamp() (ms, offset int64)
	// Aborted appends to dst the aborted transactions that may have a record from from on, in the next bytes of the log and below
	// limit.
	Aborted(dst []record.AbortedTxn, from, limit int64, bytes int) ([]record.AbortedTxn, error)
	// Size is what the log takes in the directory.
	Size() int64
	// Sync returns when all below upTo is on the disk.
	Sync(upTo int64) error
	// SetPolicy changes how the log rolls.
	SetPolicy(p wal.Policy)
	// Retain removes what r lets go, whole segments from the start, and says whether the log start moved.
	Retain(r wal.Retention) (removed bool, err error)
	// Dirty says what compaction would find.
	Dirty(b wal.CleanBounds) (wal.Dirty, error)
	// Clean compacts the log once, with c's memory.
	Clean(c *wal.Cleaner, o wal.Cleaning) (wal.CleanStats, error)
}

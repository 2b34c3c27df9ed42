package wal

// This file fixes what the rest of the house calls. Bodies live beside it.

import (
	"errors"
	"log/slog"
	"time"

	"weir/wal/vfs"
)

var (
	// ErrOffline is wrapped by every error of a directory that a failed write or fsync took offline.
	ErrOffline = errors.New("log directory is offline")
	// ErrNoSpace is wrapped beside ErrOffline where the directory comes back by itself when there is space.
	ErrNoSpace = errors.New("no space")
	// ErrOffsetOutOfRange is returned by Read for an offset below Start or above End.
	ErrOffsetOutOfRange = errors.New("offset out of range")
	// ErrCorrupt is wrapped by errors that say that bytes on disk are not what was written.
	ErrCorrupt = errors.New("corrupt log")
	// ErrLocked is returned by OpenDir when another process has the directory.
	ErrLocked = errors.New("log directory is locked by another process")
	// ErrClosed is returned by every method of a log that was removed or whose directory was closed.
	ErrClosed = errors.New("log is closed")
)

// Options are the settings of a log directory. The zero value is usable.
type Options struct {
	FS     vfs.FS           // nil: the real file system
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discard
	// MaxOpen bounds the write handles and the read descriptors that are kept open, by LRU. 0: a default below 1,000 in all.
	MaxOpen int
	// OnOffline is called without locks when the directory goes offline, and again when one that was full (ErrNoSpace) is lost for
	// good; OnOnline is called when a full one has come back.
	OnOffline func(dir string, err error)
	OnOnline  func(dir string)
	// ReserveBytes is the free space below which appends are refused with an error wrapping syscall.ENOSPC. 0: the smaller of
	// 64 MiB and a hundredth of the file system. Negative: none.
	ReserveBytes int64

	publicOnly    bool          // tests: never lend the library a buffer (way A)
	probeInterval time.Duration // tests: how often a full directory is asked whether it has space again
	tailBudget    int64         // tests: way A's memory for tails, in bytes
}

// Space is the room of a log directory, in bytes.
type Space struct {
	Size   int64 // what its logs hold
	Total  int64 // the size of the file system
	Usable int64 // what may still be written to it
}

// Policy is what a log asks of its topic's configuration. It is read at each append and may be swapped at any time.
type Policy struct {
	SegmentBytes int64 // a file holds min(SegmentBytes, 64 MiB)
	SegmentMs    int64
	JitterMs     int64 // a file is rolled by up to so much earlier than SegmentMs says, each by another time
}

// Retention says what Retain may remove. A negative bound is no bound.
type Retention struct {
	Bytes int64 // keep at least the newest Bytes
	Ms    int64 // remove segments whose newest record is older
	Upto  int64 // never remove an offset at or above this one (the high watermark)
}

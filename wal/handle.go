package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	tidwall "github.com/tidwall/wal"

	"weir/internal/buffer"
)

// handle is an open tidwall/wal of one partition, positioned after its last entry. It is not safe for concurrent use: the log's
// mutex guards it. After any error but one of reopen it must be closed and never used again, because the library keeps the failed
// entry in memory and a part of it in the file.
type handle struct {
	wal    *tidwall.Log
	lend   bool
	parked bool  // way B: the library's object is kept, its descriptor is closed
	held   int64 // way A: bytes of the tail that the library keeps
}

// libraryOptions are the settings of every handle. Rolling is ours (a segment of the library never fills), and so is syncing. A
// fresh value each time: Open writes into it.
func libraryOptions() *tidwall.Options {
	return &tidwall.Options{
		NoSync: true, AllowEmpty: true, NoCopy: true, SegmentCacheSize: 1, SegmentSize: 1 << 50,
		DirPerms: 0o755, FilePerms: 0o644,
	}
}

// openHandle opens the library on dir, whose last file must be whole: the library reads all of it. next is the index that the next
// entry must get.
func openHandle(dir string, next uint64, lend bool) (*handle, error) {
	log, err := tidwall.Open(dir, libraryOptions())
	if err != nil {
		return nil, libraryError("open", dir, err)
	}
	if last, err := log.LastIndex(); err != nil || last+1 != next {
		log.Close()
		return nil, fmt.Errorf("open %s: next entry is %d, not %d (%v): %w", dir, last+1, next, err, ErrCorrupt)
	}
	h := &handle{wal: log, lend: lend}
	if lend {
		dropTail(log)
	}
	return h, nil
}

// loan is what one write lends to the library.
type loan struct {
	batch tidwall.Batch
	pos   [1]bounds
}

var loans = sync.Pool{New: func() any { return new(loan) }}

// append writes data as the entry index: one write(2), unless the file system takes less at a time.
func (h *handle) append(index uint64, data []byte) error {
	ln := loans.Get().(*loan)
	defer loans.Put(ln)
	if !h.lend {
		ln.batch.Clear()
		ln.batch.Write(index, data)
		if err := h.wal.WriteBatch(&ln.batch); err != nil {
			return libraryError("write", "", err)
		}
		return nil
	}
	buf := buffer.Get(len(data) + maxPrefix)
	lendBatch(&ln.batch, index, data)
	lendTail(h.wal, buf.B, &ln.pos)
	err := h.wal.WriteBatch(&ln.batch)
	dropTail(h.wal)
	takeBatch(&ln.batch)
	buf.Put()
	if err != nil {
		return libraryError("write", "", err)
	}
	return nil
}

// park closes the descriptor and keeps the rest, so that a log that is written to now and then costs no reading of its directory.
// It reports whether it could: the public API has no way.
func (h *handle) park() bool {
	if !h.lend {
		return false
	}
	if !h.parked {
		swapFile(h.wal, nil).Close()
		h.parked = true
	}
	return true
}

// unpark opens the descriptor again at the end of path, the tail file, whose size must be size.
func (h *handle) unpark(path string, size int64) error {
	if !h.parked {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err == nil && end != size {
		err = fmt.Errorf("%s has %d bytes, not %d: %w", path, end, size, ErrCorrupt)
	}
	if err != nil {
		f.Close()
		return err
	}
	swapFile(h.wal, f)
	h.parked = false
	return nil
}

// close gives the descriptor back. In way A the library syncs the file first; its error is of no interest, since durability is
// never taken from here.
func (h *handle) close() {
	if h.park() {
		return
	}
	h.wal.Close()
}

// libraryError makes an error of the library one of ours; the operating system's are passed on.
func libraryError(op, dir string, err error) error {
	if errors.Is(err, tidwall.ErrCorrupt) {
		return fmt.Errorf("tidwall/wal %s %s: %w: %w", op, dir, err, ErrCorrupt)
	}
	return fmt.Errorf("tidwall/wal %s %s: %w", op, dir, err)
}

package wal

import (
	"encoding/binary"
	"fmt"

	"weir/internal/buffer"
	"weir/protocol/record"
)

// batchReader reads the batches of a data file whole, in order.
type batchReader struct {
	file *readFile
	size int64
	io   int // what is read at a time, where no batch is larger
	step func(n int) error

	pos, end int64 // of the next batch, and of the entry it is in; equal between entries
	window   *buffer.Buffer
	at       int64
	n        int
}

// next returns the next batch, valid until the next call. There must be one.
func (r *batchReader) next() (record.Batch, error) {
	if r.pos == r.end {
		head, err := r.bytes(r.pos, min(maxPrefix, r.size-r.pos))
		if err != nil {
			return nil, err
		}
		length, n := binary.Uvarint(head)
		if n <= 0 || length == 0 || length > uint64(r.size-r.pos-int64(n)) {
			return nil, fmt.Errorf("entry at %d has length %d: %w", r.pos, length, ErrCorrupt)
		}
		r.pos += int64(n)
		r.end = r.pos + int64(length)
	}
	if r.end-r.pos < record.HeaderSize {
		return nil, fmt.Errorf("%d stray bytes at %d: %w", r.end-r.pos, r.pos, ErrCorrupt)
	}
	head, err := r.bytes(r.pos, record.HeaderSize)
	if err != nil {
		return nil, err
	}
	if err := checkHeader(head, r.end-r.pos, 0); err != nil {
		return nil, fmt.Errorf("at %d: %w", r.pos, err)
	}
	size := int64(record.Batch(head).Size())
	b, err := r.bytes(r.pos, size)
	r.pos += size
	return b, err
}

// bytes returns n bytes at pos, which must be in the file.
func (r *batchReader) bytes(pos, n int64) ([]byte, error) {
	if pos+n > r.at+int64(r.n) {
		if err := r.fill(pos, n); err != nil {
			return nil, err
		}
	}
	return r.window.B[pos-r.at : pos-r.at+n : pos-r.at+n], nil
}

// fill moves the window to pos, keeping what it has, and makes it larger for as long as n bytes need it.
func (r *batchReader) fill(pos, n int64) error {
	kept := r.window.B[min(pos-r.at, int64(r.n)):r.n]
	old := r.window
	if want := max(int(n), r.io); n > int64(len(old.B)) || len(old.B) > 2*r.io && want < len(old.B) {
		r.window = buffer.Get(want)
	}
	r.n = copy(r.window.B, kept)
	r.at = pos
	if r.window != old {
		old.Put()
	}
	got := int(min(int64(max(int(n), r.io)), r.size-pos)) - r.n
	if got <= 0 {
		return nil
	}
	if err := r.step(got); err != nil {
		return err
	}
	if _, err := r.file.ReadAt(r.window.B[r.n:r.n+got], pos+int64(r.n)); err != nil {
		return fmt.Errorf("at %d: %w", pos, unexpected(err))
	}
	r.n += got
	return nil
}

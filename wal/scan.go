package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"weir/internal/buffer"
	"weir/protocol/record"
)

const scanWindow = 256 << 10

// scanner reads a data file from an entry on and verifies all of it: framing, batch headers, the order of offsets, CRCs. It builds
// the index on the way.
type scanner struct {
	file io.ReaderAt
	base int64 // no batch may be below

	idx     indexer
	points  []point
	good    int64 // bytes up to which everything is whole
	entries uint64
	next    int64 // the offset after the last good batch; base before the first
	firstTs int64 // the largest timestamp of the first entry
	maxTs   int64

	window *buffer.Buffer
	at     int64 // file position of the window
	n      int   // bytes in the window
	end    int64
}

// run scans [pos, end). Its result is in the fields; the error is nil when everything up to end is whole, wraps ErrCorrupt at the first
// byte that is not, and is that of the file otherwise.
func (sc *scanner) run(pos, end int64) error {
	sc.window = buffer.Get(scanWindow)
	defer func() { sc.window.Put(); sc.window = nil }()
	sc.good, sc.end, sc.at, sc.n = pos, end, pos, 0
	sc.next, sc.firstTs, sc.maxTs = sc.base, -1, sc.idx.maxBefore
	for sc.good < end {
		if err := sc.entry(); err != nil {
			return err
		}
	}
	return nil
}

// entry takes one entry in, wholly or not at all.
func (sc *scanner) entry() error {
	pos := sc.good
	head, err := sc.bytes(pos, min(maxPrefix, sc.end-pos))
	if err != nil {
		return err
	}
	length, n := binary.Uvarint(head)
	// The library takes a zero for an entry of no bytes; we never write one, so it is a hole that a crash left.
	if n <= 0 || length == 0 || length > uint64(sc.end-pos-int64(n)) {
		return fmt.Errorf("entry at %d has length %d of %d: %w", pos, length, sc.end-pos, ErrCorrupt)
	}
	start, end := pos+int64(n), pos+int64(n)+int64(length)
	idx, points, next := sc.idx, len(sc.points), sc.next
	for at := start; at < end; {
		size, err := sc.batch(at, end, pos, at == start)
		if err != nil {
			sc.idx, sc.points, sc.next = idx, sc.points[:points], next
			return err
		}
		at += size
	}
	if sc.entries == 0 {
		sc.firstTs = sc.idx.maxBefore
	}
	sc.entries++
	sc.good, sc.maxTs = end, sc.idx.maxBefore
	return nil
}

// batch verifies the batch at a position inside the entry that begins at entry.
func (sc *scanner) batch(at, end, entry int64, first bool) (size int64, err error) {
	if end-at < record.HeaderSize {
		return 0, fmt.Errorf("%d stray bytes at %d: %w", end-at, at, ErrCorrupt)
	}
	b, err := sc.bytes(at, record.HeaderSize)
	if err != nil {
		return 0, err
	}
	h := record.Batch(b)
	if err := checkHeader(h, end-at, sc.next); err != nil {
		return 0, fmt.Errorf("at %d: %w", at, err)
	}
	size = int64(h.Size())
	base, next, maxTs, crc := h.BaseOffset(), h.NextOffset(), h.MaxTimestamp(), h.CRC()
	sum := crc32.Checksum(b[crcStart:], castagnoli)
	for done := int64(record.HeaderSize); done < size; {
		part, err := sc.bytes(at+done, min(size-done, scanWindow))
		if err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, part)
		done += int64(len(part))
	}
	if sum != crc {
		return 0, fmt.Errorf("batch at %d has CRC %08x, not %08x: %w", at, sum, crc, ErrCorrupt)
	}
	if first {
		if pt, ok := sc.idx.entry(entry, end-entry, base); ok {
			sc.points = append(sc.points, pt)
		}
	}
	if pt, ok := sc.idx.batch(at, size, base, maxTs); ok {
		sc.points = append(sc.points, pt)
	}
	sc.next = next
	return size, nil
}

// bytes returns n bytes, at most a window, at pos. They are valid until the next call.
func (sc *scanner) bytes(pos, n int64) ([]byte, error) {
	if pos < sc.at || pos+n > sc.at+int64(sc.n) {
		want := min(int64(len(sc.window.B)), sc.end-pos)
		got, err := sc.file.ReadAt(sc.window.B[:want], pos)
		if err != nil && (err != io.EOF || int64(got) < n) {
			return nil, fmt.Errorf("read at %d: %w", pos, err)
		}
		sc.at, sc.n = pos, got
	}
	off := pos - sc.at
	return sc.window.B[off : off+n], nil
}

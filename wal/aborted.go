package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"sort"
	"sync"

	"weir/protocol/record"
)

// The index of aborted transactions is a chain of files NNN.aborted, NNN being the offset of the marker that ends the first
// transaction in it:
//
//	0 magic "Wtx1" 4   4 CRC-32C of the rest 4   8 marker of the last transaction before this file, -1: none 8   16 transactions
//
//	transaction: producer id 8, first offset 8, offset of the marker 8   (little endian)
//
// They follow the markers, not the data files, so neither a roll nor compaction touches them: a file goes when the log start has passed
// its last marker. The newest file is written anew until it is full. None is synced: what a crash tears or loses breaks the chain, and
// the partition has the log give back what comes after the break.
const (
	abortedSuffix = ".aborted"
	abortedMagic  = 0x31787457
	abortedHead   = 16
	abortedEntry  = 24
	fullAborted   = 2048 // transactions of a file
)

// abortedIndex is what is in memory of it. Files are written and removed by who holds the log's mutex.
type abortedIndex struct {
	of *Log

	mu    sync.Mutex
	full  []abortedFile       // in order; replaced or added to, never changed
	open  []record.AbortedTxn // after those; added to, never changed
	saved int                 // how many of them are in the newest file
}

// abortedFile is a full one.
type abortedFile struct {
	first, last int64 // the first and the last marker
	from        int64 // no transaction in it begins below
}

func (f *files) abortedPath(first int64) string {
	return fmt.Sprintf("%s/%020d%s", f.path, first, abortedSuffix)
}

// through is the newest marker, -1 where there is none. x.mu is held.
func (x *abortedIndex) through() int64 {
	if n := len(x.open); n > 0 {
		return x.open[n-1].LastOffset
	}
	return x.before()
}

// before is the newest marker in a full file.
func (x *abortedIndex) before() int64 {
	if n := len(x.full); n > 0 {
		return x.full[n-1].last
	}
	return -1
}

func (x *abortedIndex) get() (full []abortedFile, open []record.AbortedTxn, through int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.full, x.open, x.through()
}

// AddAborted adds a transaction to the index. They come in the order of their markers; one that is there already is ignored. It is in a
// file when SaveSnapshot returns.
func (x *abortedIndex) AddAborted(t record.AbortedTxn) {
	l := x.of
	x.mu.Lock()
	if t.LastOffset <= x.through() {
		x.mu.Unlock()
		return
	}
	x.open = append(x.open, t)
	full := len(x.open) >= fullAborted
	x.mu.Unlock()
	if !full {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.usable() != nil {
		return
	}
	if err := l.saveAborted(false); err != nil {
		_ = l.dir.fail("write the index of aborted transactions of "+l.path, err) // that is logged, and the next one tries again
	}
}

// AbortedThrough returns the offset of the newest marker in the index, -1 where there is none.
func (x *abortedIndex) AbortedThrough() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.through()
}

// Aborted appends to dst the aborted transactions that may have a record from from on, in the next bytes of the log and below limit.
func (x *abortedIndex) Aborted(dst []record.AbortedTxn, from, limit int64, bytes int) ([]record.AbortedTxn, error) {
	l := x.of
	full, open, through := x.get()
	if through < from {
		return dst, nil
	}
	limit = l.reach(from, limit, bytes)
	for i := sort.Search(len(full), func(i int) bool { return full[i].last >= from }); i < len(full); i++ {
		if full[i].from >= limit {
			continue
		}
		_, txns, err := l.readAborted(full[i].first)
		if notExist(err) {
			continue // retention or truncation came between, and nobody may read what it is about
		}
		if err != nil {
			return dst, fmt.Errorf("aborted transactions of %s: %w", l.path, err)
		}
		dst = overlapping(dst, txns, from, limit)
	}
	return overlapping(dst, open, from, limit), nil
}

// overlapping appends those of txns, which are in order, that have something in [from, limit).
func overlapping(dst, txns []record.AbortedTxn, from, limit int64) []record.AbortedTxn {
	i := sort.Search(len(txns), func(i int) bool { return txns[i].LastOffset >= from })
	for _, t := range txns[i:] {
		if t.FirstOffset < limit {
			dst = append(dst, t)
		}
	}
	return dst
}

// reach returns an offset that a Read of so many bytes from from on up to limit does not go beyond. It is close: the next point of the
// index.
func (x *abortedIndex) reach(from, limit int64, bytes int) int64 {
	left := min(int64(bytes), 1<<40)
	left += left/12 + maxPrefix // entries have a prefix each, and no batch is smaller than twelve of those
	segs := x.of.view.Load().segs
	for i := findSegment(segs, from); i < len(segs) && segs[i].base < limit; i++ {
		s := segs[i]
		size := s.size.Load()
		pts, err := s.points()
		if err != nil {
			return limit
		}
		pos := int64(0)
		if from > s.base && len(pts) > 0 {
			pos = posAt(pts, findOffset(pts, from)+1, size)
		}
		if k := sort.Search(len(pts), func(k int) bool { return pts[k].pos >= pos+left }); k < len(pts) {
			return min(limit, pts[k].offset)
		}
		left -= size - pos
	}
	return limit
}

func encodeAborted(before int64, txns []record.AbortedTxn) []byte {
	le := binary.LittleEndian
	b := make([]byte, abortedHead, abortedHead+abortedEntry*len(txns))
	for _, t := range txns {
		b = le.AppendUint64(b, uint64(t.ProducerID))
		b = le.AppendUint64(b, uint64(t.FirstOffset))
		b = le.AppendUint64(b, uint64(t.LastOffset))
	}
	le.PutUint32(b, abortedMagic)
	le.PutUint64(b[8:], uint64(before))
	le.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

// readAborted reads a file of the chain; before is the marker that it follows. An error that is not of the file system wraps ErrCorrupt.
func (f *files) readAborted(first int64) (before int64, txns []record.AbortedTxn, err error) {
	b, err := readAll(f.dir.fs, f.abortedPath(first))
	if err != nil {
		return -1, nil, err
	}
	le := binary.LittleEndian
	n := len(b) - abortedHead
	if n < abortedEntry || n%abortedEntry != 0 || le.Uint32(b) != abortedMagic || le.Uint32(b[4:]) != crc32.Checksum(b[8:], castagnoli) {
		return -1, nil, fmt.Errorf("%s: %d bytes: %w", f.abortedPath(first), len(b), ErrCorrupt)
	}
	before = int64(le.Uint64(b[8:]))
	txns = make([]record.AbortedTxn, 0, n/abortedEntry)
	last := before
	for b = b[abortedHead:]; len(b) > 0; b = b[abortedEntry:] {
		t := record.AbortedTxn{ProducerID: int64(le.Uint64(b)), FirstOffset: int64(le.Uint64(b[8:])), LastOffset: int64(le.Uint64(b[16:]))}
		if t.LastOffset <= last || t.FirstOffset > t.LastOffset {
			return -1, nil, fmt.Errorf("%s: transaction %+v after %d: %w", f.abortedPath(first), t, last, ErrCorrupt)
		}
		last = t.LastOffset
		txns = append(txns, t)
	}
	if txns[0].LastOffset != first {
		return -1, nil, fmt.Errorf("%s begins at %d: %w", f.abortedPath(first), txns[0].LastOffset, ErrCorrupt)
	}
	return before, txns, nil
}

// saveAborted writes what is not in a file yet. The log's mutex is held.
func (x *abortedIndex) saveAborted(sync bool) error {
	l := x.of
	x.mu.Lock()
	open, saved, before := x.open, x.saved, x.before()
	x.mu.Unlock()
	if len(open) == saved {
		return nil
	}
	if err := writeWhole(l.dir.fs, l.abortedPath(open[0].LastOffset), encodeAborted(before, open), sync); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.saved = len(open)
	if len(open) >= fullAborted {
		x.full = append(x.full, fileOf(open))
		x.open, x.saved = slices.Clone(x.open[len(open):]), 0 // more may have come meanwhile
	}
	return nil
}

func fileOf(txns []record.AbortedTxn) abortedFile {
	f := abortedFile{first: txns[0].LastOffset, last: txns[len(txns)-1].LastOffset, from: txns[0].FirstOffset}
	for _, t := range txns {
		f.from = min(f.from, t.FirstOffset)
	}
	return f
}

// loadAborted reads the chain of files, which are in order, of a log that begins and ends where it does now. What comes after a break is
// dropped, and what the log has lost.
func (x *abortedIndex) loadAborted(firsts []int64) error {
	l := x.of
	start, end := l.start.Load(), l.end.Load()
	var stale []int64
	broken := false
	for _, first := range firsts {
		var before int64
		var txns []record.AbortedTxn
		if !broken {
			var err error
			if before, txns, err = l.readAborted(first); err != nil {
				l.dir.log.Warn("the index of aborted transactions is damaged and is made anew", "log", l.name, "err", err)
				broken = true
			}
		}
		switch {
		case broken:
		case txns[len(txns)-1].LastOffset < start:
			stale = append(stale, first) // a crash has brought it back
			continue
		case x.through() < 0 && before < start, x.through() >= 0 && before == x.through():
		default:
			l.dir.log.Warn("the index of aborted transactions has a gap and is made anew", "log", l.name, "after", x.through())
			broken = true
		}
		if broken || first >= end {
			stale = append(stale, first)
			broken = true
			continue
		}
		x.closeOpen()
		x.open, x.saved = txns, len(txns)
	}
	if len(x.open) >= fullAborted {
		x.closeOpen()
	}
	return l.cutAborted(end, stale)
}

// closeOpen makes a full file of the open one.
func (x *abortedIndex) closeOpen() {
	if len(x.open) > 0 {
		x.full = append(x.full, fileOf(x.open))
	}
	x.open, x.saved = nil, 0
}

// cutAborted forgets what ends at or above end, and removes those files and the stale ones, durably: one that came back after a crash
// would be taken for an index of what was appended instead. The log's mutex is held.
func (x *abortedIndex) cutAborted(end int64, stale []int64) error {
	l := x.of
	x.mu.Lock()
	full, open, saved := x.full, x.open, x.saved
	n := sort.Search(len(full), func(i int) bool { return full[i].last >= end })
	k := sort.Search(len(open), func(i int) bool { return open[i].LastOffset >= end })
	x.mu.Unlock()
	if n == len(full) && k == len(open) && len(stale) == 0 {
		return nil
	}
	stale = slices.Clone(stale)
	kept := open[:k]
	if n < len(full) {
		kept = nil
		if full[n].first < end {
			if _, txns, err := l.readAborted(full[n].first); err == nil { // else the partition makes it anew
				kept = txns[:sort.Search(len(txns), func(i int) bool { return txns[i].LastOffset >= end })]
			}
		}
	}
	for _, f := range full[n:] {
		stale = append(stale, f.first)
	}
	if saved > 0 {
		stale = append(stale, open[0].LastOffset)
	}
	x.mu.Lock()
	x.full, x.open, x.saved = full[:n:n], slices.Clone(kept), 0
	x.mu.Unlock()
	if len(kept) > 0 {
		if err := l.saveAborted(true); err != nil {
			return err
		}
	}
	return l.removeAborted(stale, kept)
}

// removeAborted removes files, but for that which holds kept, and syncs the directory.
func (f *files) removeAborted(firsts []int64, kept []record.AbortedTxn) error {
	for _, first := range firsts {
		if len(kept) > 0 && kept[0].LastOffset == first {
			continue
		}
		if err := f.dir.fs.Remove(f.abortedPath(first)); err != nil && !notExist(err) {
			return err
		}
	}
	return syncOrNil(f.dir.fs.SyncDir(f.path))
}

// trimAborted removes the files that are below the log start. The log's mutex is held.
func (x *abortedIndex) trimAborted() {
	l := x.of
	start := l.start.Load()
	x.mu.Lock()
	n := sort.Search(len(x.full), func(i int) bool { return x.full[i].last >= start })
	var gone []int64
	for _, f := range x.full[:n] {
		gone = append(gone, f.first)
	}
	x.full = x.full[n:]
	if len(x.open) > 0 && x.through() < start {
		if x.saved > 0 {
			gone = append(gone, x.open[0].LastOffset)
		}
		x.open, x.saved = nil, 0
	}
	x.mu.Unlock()
	for _, first := range gone {
		if err := l.dir.fs.Remove(l.abortedPath(first)); err != nil && !notExist(err) {
			l.dir.log.Warn("an index of aborted transactions stays", "log", l.name, "err", err) // the next start removes it
		}
	}
}

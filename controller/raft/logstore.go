package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"github.com/tidwall/wal"
)

// One Raft entry is one entry of the library's log, at the same index:
//
//	crc u32     CRC-32C of the index (u64) and everything after the crc
//	version u8  1
//	type u8
//	first u64   the index of the first entry that was written in the same call: see repair
//	term u64
//	time i64    AppendedAt in Unix nanoseconds, math.MinInt64 for none
//	size u32    of the data, which follows; the rest is Extensions
const (
	entryVersion = 1
	entryHeader  = 4 + 1 + 1 + 8 + 8 + 8 + 4
	noTime       = -1 << 63
)

// segmentBytes is when the log goes on in a new file. The library keeps the last file in memory, so it is small.
const segmentBytes = 1 << 20

// logStore is Raft's log on tidwall/wal. It implements raft.LogStore and raft.MonotonicLogStore. The library's traps are kept away:
// one mutex (a Read of a cold file is a data race), a CRC for each entry, torn tails are cut before Open, the directory is synced when
// a file appears, and after a failed write nothing is written any more: only one that found no space is undone, and may be tried again.
type logStore struct {
	dir    string
	failed func(error) // told of the first write that failed, and could not be undone
	full   func(error) // told of a write that found no space and was undone
	// running is set once Raft's goroutines are the callers. They panic when an entry cannot be read; instead the goroutine ends.
	running atomic.Bool

	mu     sync.Mutex
	log    *wal.Log
	first  uint64 // 0: empty
	last   uint64
	tail   int // bytes in the last file
	broken error
	buf    []byte
	batch  wal.Batch
}

var errCorrupt = errors.New("the entry is damaged")

// openLog repairs and opens the log. cut is how many bytes of a write that a crash cut short were removed.
func openLog(dir string, failed, full func(error)) (s *logStore, cut int64, err error) {
	s = &logStore{dir: dir, failed: failed, full: full}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, 0, err
	}
	cut, err = repair(dir)
	if err == nil {
		err = s.open()
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", dir, err)
	}
	return s, cut, nil
}

// open opens the directory and learns its bounds. An empty directory gets its first file.
func (s *logStore) open() error {
	_, path, err := lastSegment(s.dir)
	if err == nil && path == "" {
		err = createSegment(s.dir, 1)
	}
	if err != nil {
		return err
	}
	// A fresh value each time: the library writes into it.
	log, err := wal.Open(s.dir, &wal.Options{SegmentSize: 1 << 40, SegmentCacheSize: 1, NoCopy: true, AllowEmpty: true})
	if err != nil {
		return err
	}
	s.log = log
	return s.bounds()
}

func (s *logStore) bounds() error {
	first, err := s.log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := s.log.LastIndex()
	if err != nil {
		return err
	}
	s.first, s.last = first, last
	if first > last {
		s.first, s.last = 0, 0
	}
	s.tail = 0
	if _, path, err := lastSegment(s.dir); err == nil && path != "" {
		if info, err := os.Stat(path); err == nil {
			s.tail = int(info.Size())
		}
	}
	return nil
}

// fail remembers the first error and tells of it.
func (s *logStore) fail(err error) error {
	if s.broken == nil {
		s.broken = err
		s.failed(err)
	}
	return err
}

// FirstIndex returns the first index, 0 if there is none.
func (s *logStore) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.first, nil
}

// LastIndex returns the last index, 0 if there is none.
func (s *logStore) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, nil
}

// IsMonotonic says that the log has no gaps: Raft then removes all of it after it installed a snapshot.
func (s *logStore) IsMonotonic() bool { return true }

// GetLog reads an entry. What it gives is the caller's.
func (s *logStore) GetLog(index uint64, l *raft.Log) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == 0 || index < s.first || index > s.last {
		return raft.ErrLogNotFound
	}
	b, err := s.log.Read(index)
	if err == nil {
		_, err = decodeEntry(index, b, l)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: entry %d: %w", s.dir, index, err)
	if s.running.Load() {
		s.fail(err)
		runtime.Goexit()
	}
	return err
}

// StoreLog appends one entry.
func (s *logStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries and returns when they are on the disk. Entries that do not follow the last one begin the log anew, which
// is allowed only while it is empty.
func (s *logStore) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	next, err := s.log.LastIndex()
	if err != nil {
		return s.fail(err)
	}
	if first := logs[0].Index; first != next+1 {
		if s.first != 0 {
			return fmt.Errorf("entry %d does not follow entry %d", first, s.last)
		}
		if err := s.reset(first); err != nil {
			return s.fail(err)
		}
	} else if s.tail > segmentBytes {
		err = s.roll()
	}
	if err == nil {
		err = s.write(logs)
	}
	if noSpace(err) {
		if uerr := s.undo(); uerr != nil {
			return s.fail(errors.Join(err, uerr))
		}
		s.full(err)
		return err
	}
	if err != nil {
		return s.fail(err)
	}
	return nil
}

// undo brings the files back to what was stored before a write that found no space, which may have written a part, or rolled.
func (s *logStore) undo() error {
	first, last, tail := s.first, s.last, int64(s.tail)
	if err := s.log.Close(); err != nil && !errors.Is(err, wal.ErrClosed) {
		return err
	}
	index, path, err := lastSegment(s.dir)
	if err != nil {
		return err
	}
	if index > last && last > 0 {
		tail = 0 // the file is new: nothing was stored in it
	}
	if err := cutFile(path, tail); err != nil {
		return err
	}
	if err := s.open(); err != nil {
		return err
	}
	if s.first != first || s.last != last {
		return fmt.Errorf("%w: it holds entries %d to %d instead of %d to %d", errCorrupt, s.first, s.last, first, last)
	}
	return nil
}

func (s *logStore) write(logs []*raft.Log) error {
	size := 0
	for _, l := range logs {
		size += entryHeader + len(l.Data) + len(l.Extensions)
	}
	if cap(s.buf) < size {
		s.buf = make([]byte, 0, size)
	}
	b, stored := s.buf[:0], 0
	s.batch.Clear()
	var prefix [binary.MaxVarintLen64]byte
	for _, l := range logs {
		start := len(b)
		b = appendEntry(b, l, logs[0].Index)
		s.batch.Write(l.Index, b[start:len(b):len(b)])
		stored += binary.PutUvarint(prefix[:], uint64(len(b)-start)) + len(b) - start
	}
	err := s.log.WriteBatch(&s.batch)
	s.batch.Clear()
	if cap(s.buf) > segmentBytes/4 {
		s.buf, s.batch = nil, wal.Batch{}
	}
	if err != nil {
		return err
	}
	if s.first == 0 {
		s.first = logs[0].Index
	}
	s.last = logs[len(logs)-1].Index
	s.tail += stored
	return nil
}

func appendEntry(b []byte, l *raft.Log, first uint64) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, entryVersion, byte(l.Type))
	b = binary.BigEndian.AppendUint64(b, first)
	b = binary.BigEndian.AppendUint64(b, l.Term)
	at := int64(noTime)
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Data)))
	b = append(b, l.Data...)
	b = append(b, l.Extensions...)
	binary.BigEndian.PutUint32(b[start:], entrySum(l.Index, b[start+4:]))
	return b
}

func entrySum(index uint64, b []byte) uint32 {
	var i [8]byte
	binary.BigEndian.PutUint64(i[:], index)
	return crc32.Update(crc32.Checksum(i[:], castagnoli), castagnoli, b)
}

// decodeEntry reads an entry and returns the first index of its write. l may be nil.
func decodeEntry(index uint64, b []byte, l *raft.Log) (first uint64, err error) {
	if len(b) < entryHeader || binary.BigEndian.Uint32(b) != entrySum(index, b[4:]) {
		return 0, errCorrupt
	}
	if b[4] != entryVersion {
		return 0, newerFormat(b[4])
	}
	first = binary.BigEndian.Uint64(b[6:])
	n := uint64(binary.BigEndian.Uint32(b[30:]))
	if n > uint64(len(b)-entryHeader) {
		return 0, errCorrupt
	}
	if l == nil {
		return first, nil
	}
	*l = raft.Log{Index: index, Type: raft.LogType(b[5]), Term: binary.BigEndian.Uint64(b[14:])}
	if at := int64(binary.BigEndian.Uint64(b[22:])); at != noTime {
		l.AppendedAt = time.Unix(0, at)
	}
	rest := append([]byte(nil), b[entryHeader:]...)
	l.Data = rest[:n:n]
	if uint64(len(rest)) > n {
		l.Extensions = rest[n:]
	}
	return first, nil
}

// roll goes on in a new file. The old handle has nothing that is not on the disk.
func (s *logStore) roll() error {
	if err := s.log.Close(); err != nil {
		return err
	}
	if err := createSegment(s.dir, s.last+1); err != nil {
		return err
	}
	return s.open()
}

// reset empties the log so that it goes on at index.
func (s *logStore) reset(index uint64) error {
	if err := s.log.Close(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if err := createSegment(s.dir, index); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(s.dir)); err != nil {
		return err
	}
	return s.open()
}

// createSegment makes the empty file of a log that goes on at index.
func createSegment(dir string, index uint64) error {
	f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%020d", index)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncDir(dir)
}

// DeleteRange removes entries at the front, at the back or all of them.
func (s *logStore) DeleteRange(min, max uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.first == 0 || min > max || max < s.first || min > s.last {
		return nil
	}
	var err error
	switch {
	case min <= s.first && max >= s.last:
		err = s.reset(s.last + 1)
	case min <= s.first:
		err = s.log.TruncateFront(max + 1)
	case max >= s.last:
		err = s.log.TruncateBack(min - 1)
	default:
		return fmt.Errorf("cannot delete entries %d to %d from the middle of %d to %d", min, max, s.first, s.last)
	}
	if err == nil {
		err = syncDir(s.dir)
	}
	if err == nil {
		err = s.bounds()
	}
	if noSpace(err) && min <= s.first && max < s.last {
		return err // the library writes what remains beside the log first: nothing has changed
	}
	if err != nil {
		return s.fail(err)
	}
	return s.log.ClearCache()
}

// close closes the file. The store must not be used afterwards.
func (s *logStore) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = wal.ErrClosed
	}
	return s.log.Close()
}

// clearCache gives back the memory of files that were read.
func (s *logStore) clearCache() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.ClearCache()
}

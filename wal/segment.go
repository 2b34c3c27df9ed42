package wal

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"weir/protocol/record"
	"weir/wal/vfs"
)

// segment is one data file: a run of entries, each a length prefix (unsigned varint) and whole batches. The last of a log, its
// tail, grows; the others are sealed and change no more.
type segment struct {
	dir   *Dir
	log   *Log
	index uint64 // of its first entry in the library's count; the name of the file
	base  int64  // no offset in it is below; while it is empty, the offset that the next batch gets

	// Written by the appender before the log's end moves, read by anyone.
	size  atomic.Int64 // published bytes
	next  atomic.Int64 // the offset after its last
	maxTs atomic.Int64 // the largest timestamp in it, -1 when there is none

	// Appender's state, under the log's mutex.
	idx       indexer
	after     uint64 // the library's index after its last entry
	pad       int64  // entries that compaction took out of a cleaned file: so many zero bytes follow its data (cleanswap.go)
	firstTs   int64  // the first append's largest timestamp: what segment.ms counts from; -1 when there is none
	createdMs int64

	cum        atomic.Int64 // bytes of all segments before it since the log was loaded, to measure distances
	firstMs    atomic.Int64 // the largest timestamp of the first batch, for compaction; 0: not looked up
	syncedTo   atomic.Int64 // bytes that a sync has covered, or recovery has taken from the checkpoint
	hasSidecar atomic.Bool
	recent     *recentPositions // nil for segments that recovery found sealed

	pts  atomic.Pointer[points] // nil: to be loaded from the sidecar
	hot  atomic.Bool            // used since the clock hand passed: points and descriptor
	load sync.Mutex             // one goroutine loads points

	fdMu sync.Mutex
	fd   *readFile // nil: closed
	dead bool      // unlinked: it may not be opened again
}

func newSegment(l *Log, index uint64, base int64) *segment {
	s := &segment{dir: l.dir, log: l, index: index, after: index, base: base, idx: newIndexer(), firstTs: -1, createdMs: l.dir.nowMs()}
	s.next.Store(base)
	s.maxTs.Store(-1)
	s.pts.Store(newPoints(nil))
	s.recent = new(recentPositions)
	return s
}

// entries is how many entries the file has, those of no bytes not counted.
func (s *segment) entries() uint64 { return s.after - s.index - uint64(s.pad) }

func segmentName(index uint64) string { return fmt.Sprintf("%020d", index) }

func (s *segment) path() string { return s.log.walPath() + "/" + segmentName(s.index) }

// jitter is the segment's own share of most: from 0 up to it, and the same after a restart.
func (s *segment) jitter(most int64) int64 {
	if most <= 0 {
		return 0
	}
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(s.log.name) {
		h = (h ^ uint64(s.log.name[i])) * 1099511628211
	}
	h = (h ^ uint64(s.base)) * 1099511628211
	return int64((h ^ h>>32) % uint64(most))
}

// publish makes an entry at the end of the segment visible to readers. The file holds it already.
func (s *segment) publish(pos, size int64, recs []byte) {
	first := record.Batch(recs).BaseOffset()
	if pt, ok := s.idx.entry(pos, size, first); ok {
		s.pts.Store(s.pts.Load().add(pt))
	}
	at := pos + size - int64(len(recs))
	next := int64(0)
	for rest := recs; len(rest) > 0; {
		h := record.Batch(rest)
		n := int64(h.Size())
		if pt, ok := s.idx.batch(at, n, h.BaseOffset(), h.MaxTimestamp()); ok {
			s.pts.Store(s.pts.Load().add(pt))
		}
		at, next, rest = at+n, h.NextOffset(), rest[n:]
	}
	s.recent.put(first, pos)
	s.maxTs.Store(s.idx.maxBefore)
	s.next.Store(next)
	s.size.Store(pos + size)
}

// recentPositions remembers where the last entries of a tail begin, so that a reader at the end need not walk an index interval.
// One writer; a reader takes a slot only if its position was the same before and after: positions only rise.
type recentPositions struct {
	n     atomic.Uint32
	slots [16]struct{ offset, pos atomic.Int64 }
}

func (r *recentPositions) put(offset, pos int64) {
	n := r.n.Load()
	slot := &r.slots[n%uint32(len(r.slots))]
	slot.pos.Store(-1)
	slot.offset.Store(offset)
	slot.pos.Store(pos)
	r.n.Store(n + 1)
}

// find returns the position of the entry whose first batch has offset, -1 when it is not remembered.
func (r *recentPositions) find(offset int64) int64 {
	if r == nil {
		return -1
	}
	n := r.n.Load()
	for i := range min(n, uint32(len(r.slots))) {
		slot := &r.slots[(n-1-i)%uint32(len(r.slots))]
		pos := slot.pos.Load()
		if pos >= 0 && slot.offset.Load() == offset && slot.pos.Load() == pos {
			return pos
		}
	}
	return -1
}

// readFile is a descriptor with a count of its users; the segment is one of them while it keeps it open. It is closed with the
// last, so that an unlinked file gives its space back as soon as nobody reads it.
type readFile struct {
	vfs.File
	refs atomic.Int32
}

func (f *readFile) release() {
	if f.refs.Add(-1) == 0 {
		f.Close()
	}
}

// acquire returns the segment's read descriptor; the caller must release it. It fails with errGone after the segment was removed.
func (s *segment) acquire() (*readFile, error) {
	s.hot.Store(true)
	s.fdMu.Lock()
	defer s.fdMu.Unlock()
	if s.dead {
		return nil, errGone
	}
	if s.fd == nil {
		f, err := s.dir.fs.OpenFile(s.path(), os.O_RDONLY, 0)
		if err != nil {
			return nil, err
		}
		s.fd = &readFile{File: f}
		s.fd.refs.Store(1)
		s.dir.readers.add(s, 1)
	}
	s.fd.refs.Add(1)
	return s.fd, nil
}

// orGone makes an error of reading errGone where the segment was removed or cut meanwhile.
func (s *segment) orGone(err error) error {
	if err == nil {
		return nil
	}
	if s.gone() {
		return errGone
	}
	return err
}

// gone says that the segment was removed or cut.
func (s *segment) gone() bool {
	s.fdMu.Lock()
	defer s.fdMu.Unlock()
	return s.dead
}

// closeFD gives the segment's own descriptor back; users keep theirs.
func (s *segment) closeFD(forGood bool) {
	s.fdMu.Lock()
	defer s.fdMu.Unlock()
	s.dead = s.dead || forGood
	if s.fd != nil {
		s.fd.release()
		s.fd = nil
		s.dir.readers.remove(s)
	}
}

// evictFD is the clock's way to close the descriptor. It never waits.
func (s *segment) evictFD() bool {
	if !s.fdMu.TryLock() {
		return false
	}
	defer s.fdMu.Unlock()
	if s.fd != nil {
		s.fd.release()
		s.fd = nil
	}
	return true
}

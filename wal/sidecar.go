package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A sidecar holds what is to be known of a sealed segment, so that a start reads 64 bytes of it instead of 64 MiB of data:
//
//	 0 magic "Wix2" 4   4 CRC-32C of bytes 8..72 4   8 first entry 8  16 entry after the last 8  24 data bytes 8
//	32 base offset  8  40 next offset            8  48 largest timestamp 8
//	56 number of points 4   60 CRC-32C of the points 4   64 entries 8      72 points
//
// Entries are fewer than first and last say where compaction has left so many zero bytes behind the data.
//
//	point: offset 8, largest timestamp before it 8, then position (34 bits), entries before it (28) and kind (2)   (little endian)
//
// It is believed only below the checkpoint, and only if size and indexes fit those of the neighbours.
const (
	sidecarSuffix = ".idx"
	sidecarMagic  = 0x32786957
	sidecarHead   = 72
	sidecarPoint  = 24
	entryShift    = 34
	kindShift     = 62
)

// sidecarInfo is the fixed part.
type sidecarInfo struct {
	index, after uint64
	entries      uint64
	size         int64
	base, next   int64
	maxTs        int64
	points       int
	pointsCRC    uint32
}

func (f *files) sidecarPath(index uint64) string {
	return f.path + "/" + segmentName(index) + sidecarSuffix
}

func encodeSidecar(info sidecarInfo, pts []point) []byte {
	info.points = len(pts)
	b := make([]byte, sidecarHead, sidecarHead+sidecarPoint*len(pts))
	for _, pt := range pts {
		b = binary.LittleEndian.AppendUint64(b, uint64(pt.offset))
		b = binary.LittleEndian.AppendUint64(b, uint64(pt.maxBefore))
		b = binary.LittleEndian.AppendUint64(b, uint64(pt.pos)|uint64(pt.entry)<<entryShift|uint64(pt.kind)<<kindShift)
	}
	le := binary.LittleEndian
	le.PutUint32(b, sidecarMagic)
	le.PutUint64(b[8:], info.index)
	le.PutUint64(b[16:], info.after)
	le.PutUint64(b[24:], uint64(info.size))
	le.PutUint64(b[32:], uint64(info.base))
	le.PutUint64(b[40:], uint64(info.next))
	le.PutUint64(b[48:], uint64(info.maxTs))
	le.PutUint32(b[56:], uint32(info.points))
	le.PutUint64(b[64:], info.entries)
	le.PutUint32(b[60:], crc32.Checksum(b[sidecarHead:], castagnoli))
	le.PutUint32(b[4:], crc32.Checksum(b[8:sidecarHead], castagnoli))
	return b
}

func decodeSidecarHead(b []byte) (info sidecarInfo, ok bool) {
	le := binary.LittleEndian
	if len(b) < sidecarHead || le.Uint32(b) != sidecarMagic || le.Uint32(b[4:]) != crc32.Checksum(b[8:sidecarHead], castagnoli) {
		return info, false
	}
	info = sidecarInfo{
		index: le.Uint64(b[8:]), after: le.Uint64(b[16:]), size: int64(le.Uint64(b[24:])),
		base: int64(le.Uint64(b[32:])), next: int64(le.Uint64(b[40:])), maxTs: int64(le.Uint64(b[48:])),
		entries: le.Uint64(b[64:]), points: int(le.Uint32(b[56:])), pointsCRC: le.Uint32(b[60:]),
	}
	return info, info.index+info.entries <= info.after
}

func decodePoints(b []byte, info sidecarInfo) ([]point, bool) {
	if len(b) != info.points*sidecarPoint || crc32.Checksum(b, castagnoli) != info.pointsCRC {
		return nil, false
	}
	pts := make([]point, info.points)
	for i := range pts {
		p := b[i*sidecarPoint:]
		at := binary.LittleEndian.Uint64(p[16:])
		pts[i] = point{
			offset:    int64(binary.LittleEndian.Uint64(p)),
			maxBefore: int64(binary.LittleEndian.Uint64(p[8:])),
			pos:       int64(at & (1<<entryShift - 1)),
			entry:     uint32(at >> entryShift & (1<<(kindShift-entryShift) - 1)),
			kind:      pointKind(at >> kindShift),
		}
	}
	return pts, true
}

// readSidecarHead returns what the sidecar of a segment says; ok is false when there is none that is whole.
func (fl *files) readSidecarHead(index uint64) (info sidecarInfo, ok bool) {
	f, err := fl.dir.fs.OpenFile(fl.sidecarPath(index), os.O_RDONLY, 0)
	if err != nil {
		return info, false
	}
	defer f.Close()
	var head [sidecarHead]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return info, false
	}
	info, ok = decodeSidecarHead(head[:])
	return info, ok && info.index == index
}

// readSidecar returns the points as well.
func (f *files) readSidecar(index uint64) (info sidecarInfo, pts []point, ok bool) {
	data, err := readAll(f.dir.fs, f.sidecarPath(index))
	if err != nil {
		return info, nil, false
	}
	if info, ok = decodeSidecarHead(data); !ok || info.index != index {
		return info, nil, false
	}
	pts, ok = decodePoints(data[sidecarHead:], info)
	return info, pts, ok
}

// pad is how many bytes of zero the file has behind its data.
func (i *sidecarInfo) pad() int64 { return int64(i.after - i.index - i.entries) }

// writeSidecars writes those that are missing, for segments whose data is durable.
func (f *flusher) writeSidecars(segs []*segment) error {
	l := f.log
	l.side.Lock()
	defer l.side.Unlock()
	return f.putSidecars(segs)
}

// putSidecars is writeSidecars with l.side held.
func (f *flusher) putSidecars(segs []*segment) error {
	l := f.log
	tail := l.tail()
	wrote := false
	for _, s := range segs {
		pts := s.pts.Load()
		if s.hasSidecar.Load() || s.size.Load() == 0 || pts == nil || s.gone() {
			continue
		}
		info := sidecarInfo{index: s.index, after: s.after, entries: s.entries(), size: s.size.Load(),
			base: s.base, next: s.next.Load(), maxTs: s.maxTs.Load()}
		if err := writeWhole(l.dir.fs, l.sidecarPath(s.index), encodeSidecar(info, pts.all()), false); err != nil {
			return err
		}
		wrote = true
		if s.gone() {
			l.dir.fs.Remove(l.sidecarPath(s.index)) // it was removed meanwhile; a load would clean up as well
			continue
		}
		if s != tail {
			s.hasSidecar.Store(true)
			l.dir.indexes.add(s, int64(len(pts.arr))*sidecarPoint)
		}
	}
	if !wrote {
		return nil
	}
	if err := l.dir.fs.SyncDir(l.path); err != nil {
		return syncError(err)
	}
	return l.dropMarker(tail.index)
}

// points returns the segment's index, from memory, from the sidecar or, where that is damaged, by a scan of the data.
func (s *segment) points() ([]point, error) {
	if p := s.pts.Load(); p != nil {
		s.hot.Store(true)
		return p.all(), nil
	}
	s.load.Lock()
	defer s.load.Unlock()
	if p := s.pts.Load(); p != nil {
		return p.all(), nil
	}
	info, pts, ok := s.log.readSidecar(s.index)
	if !ok || info.size != s.size.Load() {
		f, err := s.acquire()
		if err != nil {
			return nil, err
		}
		defer f.release()
		sc := scanner{file: f, base: s.base, idx: newIndexer()}
		if err := sc.run(0, s.size.Load()); err != nil && err != io.EOF {
			return nil, fmt.Errorf("rebuild index of %s: %w", s.path(), err)
		}
		s.log.dir.log.Warn("index rebuilt", "file", s.path())
		s.hasSidecar.Store(false)
		pts = sc.points
	}
	p := newPoints(pts)
	s.pts.Store(p)
	s.hot.Store(true)
	s.dir.indexes.add(s, int64(len(pts))*sidecarPoint)
	return p.all(), nil
}

// evictPoints is the clock's way to free an index. Readers that have it keep it.
func (s *segment) evictPoints() bool {
	s.pts.Store(nil)
	return true
}

// forget gives up all that the segment holds; it will not be used again.
func (s *segment) forget() {
	s.closeFD(true)
	s.dir.indexes.remove(s)
}

package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"weir/protocol/record"
)

// testBatch makes a batch of count records that takes size bytes. Its CRC is right, its records are noise.
func testBatch(base int64, count int, size int, ts int64) []byte {
	size = max(size, record.HeaderSize+1)
	b := make([]byte, size)
	be := binary.BigEndian
	be.PutUint64(b, uint64(base))
	be.PutUint32(b[8:], uint32(size-12))
	be.PutUint32(b[12:], 1)
	b[16] = 2
	be.PutUint32(b[23:], uint32(count-1))
	be.PutUint64(b[27:], uint64(ts))
	be.PutUint64(b[35:], uint64(ts))
	be.PutUint64(b[43:], ^uint64(0))
	be.PutUint32(b[57:], uint32(count))
	x := uint64(base)*2654435761 + uint64(size)
	for i := record.HeaderSize; i < size; i++ {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b
}

func setOf(recs []byte) record.Set {
	s := record.Set{Base: record.Batch(recs).BaseOffset(), MaxTimestamp: -1}
	for rest := recs; len(rest) > 0; {
		h := record.Batch(rest)
		s.Next = h.NextOffset()
		s.Records += h.Count()
		if h.MaxTimestamp() > s.MaxTimestamp {
			s.MaxTimestamp, s.MaxTimestampOffset = h.MaxTimestamp(), h.LastOffset()
		}
		rest = rest[h.Size():]
	}
	return s
}

func open(t testing.TB, path string, o Options) *Dir {
	t.Helper()
	if o.ReserveBytes == 0 {
		o.ReserveBytes = -1
	}
	d, err := OpenDir(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func logOf(t testing.TB, d *Dir, name string) *Log {
	t.Helper()
	l, err := d.Log(name)
	if err == nil {
		err = l.Load()
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func appendBatch(t testing.TB, l *Log, count, size int, ts int64) []byte {
	t.Helper()
	b := testBatch(l.End(), count, size, ts)
	if err := l.Append(b, setOf(b)); err != nil {
		t.Fatal(err)
	}
	return b
}

// collect returns the bytes of a Read, descriptors included.
func collect(t testing.TB, d *record.Data) []byte {
	t.Helper()
	var out []byte
	for _, p := range d.Pieces {
		if p.Bytes != nil {
			out = append(out, p.Bytes...)
			continue
		}
		b := make([]byte, p.N)
		n, err := syscall.Pread(p.FD, b, p.Pos)
		if err != nil || n != p.N {
			t.Fatalf("pread of %d at %d: %d, %v", p.N, p.Pos, n, err)
		}
		out = append(out, b...)
	}
	if len(out) != d.Size {
		t.Fatalf("pieces have %d bytes, Size is %d", len(out), d.Size)
	}
	return out
}

func read(t testing.TB, l *Log, from, limit int64, maxBytes int, force bool) []byte {
	t.Helper()
	var d record.Data
	if err := l.Read(&d, from, limit, maxBytes, force); err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	return collect(t, &d)
}

// readAllOf reads the whole log in steps.
func readAllOf(t testing.TB, l *Log, step int) []byte {
	t.Helper()
	var out []byte
	for from := l.Start(); from < l.End(); {
		b := read(t, l, from, l.End(), step, true)
		if len(b) == 0 {
			t.Fatalf("nothing at %d of [%d, %d)", from, l.Start(), l.End())
		}
		from = setOf(b).Next
		out = append(out, b...)
	}
	return out
}

// ways runs a test with the lent buffer and with the public API alone.
func ways(t *testing.T, f func(t *testing.T, o Options)) {
	t.Run("lent", func(t *testing.T) { f(t, Options{}) })
	t.Run("public", func(t *testing.T) { f(t, Options{publicOnly: true}) })
}

func TestAppendReadRestart(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		for _, clean := range []bool{true, false} {
			t.Run(fmt.Sprintf("clean=%v", clean), func(t *testing.T) {
				path := t.TempDir()
				d := open(t, path, o)
				l := logOf(t, d, "t-0")
				l.SetPolicy(Policy{SegmentBytes: 1 << 20})
				var want []byte
				for i := range 400 {
					size := []int{70, 200, 5000, 20 << 10, 40 << 10, 70 << 10, 130 << 10}[i%7]
					var recs []byte
					for j := range i%3 + 1 {
						recs = append(recs, testBatch(l.End()+int64(j*2), 2, size/(i%3+1), int64(i))...)
					}
					if err := l.Append(recs, setOf(recs)); err != nil {
						t.Fatal(err)
					}
					want = append(want, recs...)
				}
				for _, step := range []int{1, 1000, 50 << 10, 1 << 20, 64 << 20} {
					if got := readAllOf(t, l, step); !bytes.Equal(got, want) {
						t.Fatalf("step %d: %d bytes, want %d", step, len(got), len(want))
					}
				}
				end := l.End()
				if clean {
					if err := d.Close(); err != nil {
						t.Fatal(err)
					}
				} else {
					crash(t, d)
				}
				d = open(t, path, o)
				l = logOf(t, d, "t-0")
				if l.End() != end || l.Start() != 0 {
					t.Fatalf("[%d, %d) after restart, want [0, %d)", l.Start(), l.End(), end)
				}
				if got := readAllOf(t, l, 1<<20); !bytes.Equal(got, want) {
					t.Fatalf("other bytes after restart")
				}
				want = append(want, appendBatch(t, l, 3, 1000, 1)...)
				if got := readAllOf(t, l, 1<<20); !bytes.Equal(got, want) {
					t.Fatalf("other bytes after an append")
				}
			})
		}
	})
}

// crash lets go of a directory as a killed process does: the lock is released, nothing is written.
func crash(t testing.TB, d *Dir) *Dir {
	t.Helper()
	d.work.wait()
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.health.stop()
	for _, l := range d.all() {
		l.mu.Lock()
		l.shut()
		l.mu.Unlock()
	}
	d.lock.Close()
	return d
}

func tailFile(t testing.TB, l *Log) string {
	t.Helper()
	files, err := filepath.Glob(l.walPath() + "/" + "????????????????????")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	return files[len(files)-1]
}

func TestOffsetOutOfRange(t *testing.T) {
	l := logOf(t, open(t, t.TempDir(), Options{}), "t-0")
	appendBatch(t, l, 10, 100, 1)
	var d record.Data
	for _, from := range []int64{-1, 11} {
		if err := l.Read(&d, from, 100, 100, true); !errors.Is(err, ErrOffsetOutOfRange) {
			t.Errorf("read at %d: %v", from, err)
		}
	}
	if err := l.Read(&d, 10, 100, 100, true); err != nil || d.Size != 0 {
		t.Errorf("read at the end: %v, %d bytes", err, d.Size)
	}
}

func TestLocked(t *testing.T) {
	path := t.TempDir()
	open(t, path, Options{})
	if _, err := OpenDir(path, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
}

func TestIdleCostsNothing(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{})
	for i := range 100 {
		logOf(t, d, fmt.Sprintf("t-%d", i))
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v: only the lock is expected", entries, err)
	}
}

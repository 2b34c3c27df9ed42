package wal

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"weir/protocol/record"
	"weir/wal/vfs"
)

// Side files that are whole, but of another time.

// build makes a log of one file with batches of size bytes, stops it cleanly and returns its directory.
func build(t *testing.T, n, size int, p Policy) string {
	t.Helper()
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(p)
	for i := range n {
		appendBatch(t, l, 1, size, int64(i))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A checkpoint and a sidecar that fit each other but not the data must not get it cut.
func TestStaleCheckpoint(t *testing.T) {
	old, data := build(t, 100, 1000, Policy{}), build(t, 100, 1777, Policy{})
	for _, name := range []string{"/" + journalName, "/t-0/" + segmentName(1) + sidecarSuffix} {
		copyFile(t, old+name, data+name)
	}
	l := logOf(t, open(t, data, Options{}), "t-0")
	if got := readAllOf(t, l, 1<<20); len(got) != 100*1777 {
		t.Fatalf("%d bytes are left", len(got))
	}
}

// A whole sidecar of other data is not believed.
func TestStaleSidecar(t *testing.T) {
	old, data := build(t, 100, 1000, Policy{SegmentBytes: 30000}), build(t, 100, 1007, Policy{SegmentBytes: 30000})
	name := "/t-0/" + segmentName(1) + sidecarSuffix
	copyFile(t, old+name, data+name)
	l := logOf(t, open(t, data, Options{}), "t-0")
	if got := readAllOf(t, l, 1<<20); len(got) != 100*1007 {
		t.Fatalf("%d bytes are left", len(got))
	}
}

// A seal that began before a truncation does not move the checkpoint over what was written since.
func TestStaleSeal(t *testing.T) {
	l := logOf(t, open(t, t.TempDir(), Options{}), "t-0")
	l.SetPolicy(Policy{SegmentBytes: 1})
	for range 5 {
		appendBatch(t, l, 1, 100, 1)
	}
	l.dir.work.wait()
	generation := l.flush.generation
	if err := l.TruncateTo(2); err != nil {
		t.Fatal(err)
	}
	if err := l.flush.move(generation, position{5, 0, 5, 4}); err != nil || l.flush.saved.pos.segment > 3 {
		t.Fatalf("%+v, %v", l.flush.saved.pos, err)
	}
}

// A log of the name of a removed one does not inherit its start, though the removal's record was not durable when it was made.
func TestStaleRemoval(t *testing.T) {
	rnd := rand.New(rand.NewPCG(newSeed(t), 9))
	path := t.TempDir()
	f := vfs.NewFault(vfs.OS, t.TempDir())
	d := open(t, path, Options{FS: f})
	l := logOf(t, d, "t-0")
	for range 10 {
		appendBatch(t, l, 1, 1000, 1)
	}
	if err := errors.Join(l.Sync(10), l.SetStart(7), d.Remove("t-0")); err != nil {
		t.Fatal(err)
	}
	l = logOf(t, d, "t-0")
	for range 10 {
		appendBatch(t, l, 1, 1000, 1)
	}
	if err := l.Sync(10); err != nil {
		t.Fatal(err)
	}
	crash(t, d)
	for range 30 {
		image := t.TempDir()
		if err := f.CrashImage(path, image, rnd); err != nil {
			t.Fatal(err)
		}
		if l := logOf(t, open(t, image, Options{}), "t-0"); l.Start() != 0 || l.End() != 10 {
			t.Fatalf("[%d, %d)", l.Start(), l.End())
		}
	}
}

// Names that a retention removed and a crash took back leave a gap. It is not taken for lost data.
func TestRetentionComesBackInPart(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 1})
	for range 10 {
		appendBatch(t, l, 1, 1000, 1)
	}
	l.SetPolicy(Policy{})
	for range 5 {
		appendBatch(t, l, 1, 1000, 1)
	}
	d.work.wait()
	kept := copyTree(t, path)
	if removed, err := l.Retain(Retention{Bytes: 8000, Ms: -1, Upto: 15}); err != nil || !removed {
		t.Fatal(removed, err)
	}
	start, want := l.Start(), readAllOf(t, l, 1<<20)
	crash(t, d)
	for _, back := range [][]uint64{{1}, {1, 3}, {2, 3}, {1, 2, 4, 5}} {
		for _, checkpoint := range []bool{true, false} {
			image := copyTree(t, path)
			for _, index := range back {
				name := "/t-0/wal/" + segmentName(index)
				copyFile(t, kept+name, image+name)
			}
			if !checkpoint {
				// The start is known, positions are not: a damaged checkpoint looks so.
				j, _, err := openJournal(vfs.OS, image)
				if err != nil {
					t.Fatal(err)
				}
				if err := j.put(map[string]state{"t-0": {start: start}}); err != nil {
					t.Fatal(err)
				}
				j.close()
			}
			l := logOf(t, open(t, image, Options{}), "t-0")
			if got := readAllOf(t, l, 1<<20); l.Start() != start || l.End() != 15 || !bytes.Equal(got, want) {
				t.Fatalf("%v: [%d, %d), %d bytes, want [%d, 15), %d", back, l.Start(), l.End(), len(got), start, len(want))
			}
		}
	}
}

// The log start of before a reset is not that of after it, though the checkpoint of before is what a crash left.
func TestStaleStart(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	for range 10 {
		appendBatch(t, l, 1, 1000, 1)
	}
	if err := l.SetStart(8); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path + "/" + journalName)
	if err == nil {
		err = l.Reset(3)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		appendBatch(t, l, 1, 1000, 1)
	}
	crash(t, d)
	if err := os.WriteFile(path+"/"+journalName, old, 0o644); err != nil {
		t.Fatal(err)
	}
	if l = logOf(t, open(t, path, Options{}), "t-0"); l.Start() != 3 || l.End() != 13 {
		t.Fatalf("[%d, %d)", l.Start(), l.End())
	}
}

// hookFS calls a function at the next read of a data file, which then fails.
type hookFS struct {
	vfs.FS
	hook func()
}
type hookFile struct {
	vfs.File
	fs *hookFS
}

func (h *hookFS) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := h.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.Contains(name, "/wal/") {
		return f, err
	}
	return hookFile{f, h}, nil
}

func (f hookFile) ReadAt(p []byte, off int64) (int, error) {
	if hook := f.fs.hook; hook != nil {
		f.fs.hook = nil
		hook()
		return 0, io.EOF
	}
	return f.File.ReadAt(p, off)
}

// A file that is removed or cut under a reader is no damage: the reader looks again.
func TestReaderIsOvertaken(t *testing.T) {
	h := &hookFS{FS: vfs.OS}
	l := logOf(t, open(t, t.TempDir(), Options{FS: h}), "t-0")
	l.SetPolicy(Policy{SegmentBytes: 1})
	for range 6 {
		appendBatch(t, l, 1, 1000, 1)
	}
	var d record.Data
	h.hook = func() {
		if err := l.SetStart(3); err != nil {
			t.Error(err)
		}
	}
	if err := l.Read(&d, 1, 6, 1<<20, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("removed: %v", err)
	}
	h.hook = func() {
		if err := l.TruncateTo(4); err != nil {
			t.Error(err)
		}
	}
	if err := l.Read(&d, 4, 6, 1<<20, true); err != nil || d.Size != 0 {
		t.Fatalf("cut: %v, %d bytes", err, d.Size)
	}
	h.hook = func() {
		if err := l.SetStart(4); err != nil {
			t.Error(err)
		}
	}
	n := 0
	if err := l.Scan(3, func(record.Batch) bool { n++; return true }); err != nil || n > 0 {
		t.Fatalf("scan: %v, %d batches", err, n)
	}
}

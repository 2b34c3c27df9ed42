package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	tidwall "github.com/tidwall/wal"

	"weir/protocol/record"
	"weir/wal/vfs"
)

// The traps of tidwall/wal, each with the guard that hides it.

func TestLayoutIsKnown(t *testing.T) {
	if !lendable() {
		t.Fatalf("tidwall/wal has another layout, way B is off: %v", peekErr)
	}
}

//lint:ignore U1000 only the layout counts
type strangeLog struct {
	segments []*strangeSegment
	sfile    *os.File
}

//lint:ignore U1000 only the layout counts
type strangeSegment struct {
	ebuf []byte
	epos []struct{ end, pos int } // swapped
}

func TestOtherLayoutIsRefused(t *testing.T) {
	if _, err := findLayout(reflect.TypeFor[strangeLog](), reflect.TypeFor[tidwall.Batch]()); err == nil {
		t.Error("positions of another layout were taken")
	}
	if _, err := findLayout(reflect.TypeFor[tidwall.Log](), reflect.TypeFor[struct{ entries []int }]()); err == nil {
		t.Error("a batch of another layout was taken")
	}
	if _, err := findLayout(reflect.TypeFor[struct{ segments int }](), reflect.TypeFor[tidwall.Batch]()); err == nil {
		t.Error("a log of another layout was taken")
	}
}

// The library keeps every byte of the tail in memory, and what it read at Open.
func TestTrapTailMemory(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	check := func() {
		t.Helper()
		tail := tailOf(l.handle.wal)
		if b, p := *(*[]byte)(unsafe.Add(tail, peeked.ebuf)), *(*[]bounds)(unsafe.Add(tail, peeked.epos)); b != nil || p != nil {
			t.Fatalf("the library keeps %d bytes and %d positions", cap(b), cap(p))
		}
	}
	for range 3 {
		appendBatch(t, l, 1, 10000, 1)
		check()
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	l = logOf(t, open(t, path, Options{}), "t-0")
	appendBatch(t, l, 1, 100, 1)
	check()
	// After a failed write too.
	swapFile(l.handle.wal, readOnly(t)).Close()
	h := l.handle
	if err := h.append(99, make([]byte, 10)); err == nil {
		t.Fatal("an entry out of order was written")
	}
	tail := tailOf(h.wal)
	if b := *(*[]byte)(unsafe.Add(tail, peeked.ebuf)); b != nil {
		t.Fatal("the library keeps the failed entry")
	}
}

func readOnly(t *testing.T) *os.File {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A batch of the library holds a copy of its data, and keeps the room for ever.
func TestTrapBatchCopy(t *testing.T) {
	var b tidwall.Batch
	data := make([]byte, 1000)
	lendBatch(&b, 1, data)
	got := *(*[]byte)(unsafe.Add(unsafe.Pointer(&b), peeked.payload))
	if &got[0] != &data[0] || len(got) != len(data) {
		t.Error("the batch has a copy")
	}
	takeBatch(&b)
	if got := *(*[]byte)(unsafe.Add(unsafe.Pointer(&b), peeked.payload)); cap(got) != 0 {
		t.Error("the batch keeps the caller's bytes")
	}
}

// The library syncs when a segment of its own is full, in the middle of a write.
func TestTrapCycle(t *testing.T) {
	o := libraryOptions()
	if !o.NoSync || !o.AllowEmpty || o.SegmentSize < 1<<40 || libraryOptions() == o {
		t.Fatalf("%+v", o) // Open writes into its options: two opens must not share one
	}
	d := open(t, t.TempDir(), Options{})
	l := logOf(t, d, "t-0")
	for range 100 {
		appendBatch(t, l, 1, 1<<20, 1)
	}
	for _, s := range l.view.Load().segs {
		if s.size.Load() > maxFileBytes {
			t.Errorf("file of %d bytes", s.size.Load())
		}
	}
}

// Open reads the whole of the last file.
func TestTrapOpenReadsTail(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		for _, size := range []int{maxReopenBytes / 2, 1 << 20} {
			path := t.TempDir()
			d := open(t, path, o)
			appendBatch(t, logOf(t, d, "t-0"), 1, size, 1)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			l := logOf(t, open(t, path, o), "t-0")
			appendBatch(t, l, 1, 100, 1)
			if rolled := l.tail().index != 1; rolled != (size > maxReopenBytes) {
				t.Errorf("tail of %d bytes: a new file is %v", size, rolled)
			}
		}
	})
}

// gatedFS lets every sync of a file wait.
type gatedFS struct {
	vfs.FS
	reached, gate chan struct{}
}
type gatedFile struct {
	vfs.File
	fs *gatedFS
}

func (g *gatedFS) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := g.FS.OpenFile(name, flag, perm)
	if err != nil || !strings.Contains(name, "/wal/") {
		return f, err
	}
	return gatedFile{f, g}, nil
}

func (f gatedFile) Sync() error {
	f.fs.reached <- struct{}{}
	<-f.fs.gate
	return f.File.Sync()
}

// The library's Sync holds its lock: appends and reads wait for the disk. And each caller pays for an fsync of its own.
func TestTrapSyncBlocks(t *testing.T) {
	g := &gatedFS{FS: vfs.OS, reached: make(chan struct{}), gate: make(chan struct{})}
	d := open(t, t.TempDir(), Options{FS: g})
	l := logOf(t, d, "t-0")
	appendBatch(t, l, 1, 100, 1)
	done := make(chan error, 100)
	go func() { done <- l.Sync(1) }()
	<-g.reached
	for range 50 {
		appendBatch(t, l, 1, 100, 1)
		read(t, l, 0, l.End(), 1<<20, true)
		end := l.End()
		go func() { done <- l.Sync(end) }()
	}
	if l.Synced() != 0 {
		t.Fatalf("synced %d while the disk works", l.Synced())
	}
	g.gate <- struct{}{}
	// All that came meanwhile share the next sync, but for those that come so late that they begin a third.
	for turns := 0; ; {
		select {
		case <-g.reached:
			if turns++; turns > 3 {
				t.Fatal("every caller has a sync of its own")
			}
			g.gate <- struct{}{}
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		}
		if l.Synced() == 51 {
			break
		}
	}
	go func() { // Close syncs once more, or not at all
		for range g.reached {
			g.gate <- struct{}{}
		}
	}()
}

// countingFS counts what is done to which directory.
type countingFS struct {
	vfs.FS
	mu    sync.Mutex
	count map[string]int
}

func (c *countingFS) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[what]++
}

func (c *countingFS) SyncDir(name string) error {
	c.note("syncdir " + filepath.Base(name))
	return c.FS.SyncDir(name)
}
func (c *countingFS) Stat(name string) (os.FileInfo, error) {
	c.note("stat")
	return c.FS.Stat(name)
}
func (c *countingFS) ReadDir(name string) ([]os.DirEntry, error) {
	c.note("readdir")
	return c.FS.ReadDir(name)
}
func (c *countingFS) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	c.note("open")
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &countingFile{f, c}, nil
}

type countingFile struct {
	vfs.File
	fs *countingFS
}

func (f *countingFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.note("read")
	n, err := f.File.ReadAt(p, off)
	f.fs.mu.Lock()
	f.fs.count["read bytes"] += n
	f.fs.mu.Unlock()
	return n, err
}

// The library never syncs a directory.
func TestTrapDirectorySync(t *testing.T) {
	c := &countingFS{FS: vfs.OS, count: map[string]int{}}
	path := t.TempDir()
	d := open(t, path, Options{FS: c})
	l := logOf(t, d, "t-0")
	appendBatch(t, l, 1, 100, 1)
	if err := l.Sync(1); err != nil {
		t.Fatal(err)
	}
	want := []string{"syncdir wal", "syncdir t-0", "syncdir " + filepath.Base(path)}
	for _, what := range want {
		if c.count[what] != 1 {
			t.Errorf("%s: %d times, want once", what, c.count[what])
		}
	}
	appendBatch(t, l, 1, 100, 1)
	if err := l.Sync(2); err != nil || c.count["syncdir wal"] != 1 {
		t.Errorf("a sync without a new name synced the directory, or failed: %v", err)
	}
	l.SetPolicy(Policy{SegmentBytes: 1})
	appendBatch(t, l, 1, 100, 1)
	d.work.wait()
	if c.count["syncdir wal"] != 2 {
		t.Error("the name of a new file was not synced")
	}
}

// full makes the handle of l write to a full device, or one that cannot be written at all.
func breakHandle(t *testing.T, l *Log, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	swapFile(l.handle.wal, f).Close()
}

// After a failed write the library keeps the entry that failed and would write the next one behind it.
func TestTrapFailedWrite(t *testing.T) {
	path := t.TempDir()
	events := make(chan string, 10)
	o := Options{
		probeInterval: time.Millisecond,
		OnOffline:     func(string, error) { events <- "offline" },
		OnOnline:      func(string) { events <- "online" },
	}
	d := open(t, path, o)
	l := logOf(t, d, "t-0")
	want := appendBatch(t, l, 1, 5000, 1)
	for range 5 {
		breakHandle(t, l, "/dev/full")
		b := testBatch(l.End(), 1, 3000, 1)
		err := l.Append(b, setOf(b))
		if !errors.Is(err, ErrOffline) || !errors.Is(err, syscall.ENOSPC) || l.End() != setOf(want).Next {
			t.Fatalf("append to a full disk: %v, end %d", err, l.End())
		}
		if e := <-events; e != "offline" {
			t.Fatal(e)
		}
		if e := <-events; e != "online" {
			t.Fatal(e)
		}
		want = append(want, appendBatch(t, l, 1, 4000, 7)...)
		if got := readAllOf(t, l, 1<<20); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d", len(got), len(want))
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	plain, err := tidwall.Open(path+"/t-0/wal", libraryOptions())
	if err != nil {
		t.Fatalf("the library cannot open the log: %v", err)
	}
	plain.Close()
	l = logOf(t, open(t, path, Options{}), "t-0")
	if got := readAllOf(t, l, 1<<20); !bytes.Equal(got, want) {
		t.Fatal("other bytes after a restart")
	}
}

// A write error that is not about space is for good, and tells once.
func TestWriteErrorTakesDirectoryOffline(t *testing.T) {
	events := make(chan error, 10)
	d := open(t, t.TempDir(), Options{OnOffline: func(_ string, err error) { events <- err }})
	l, other := logOf(t, d, "t-0"), logOf(t, d, "t-1")
	appendBatch(t, l, 1, 100, 1)
	appendBatch(t, other, 1, 100, 1)
	swapFile(l.handle.wal, readOnly(t)).Close()
	b := testBatch(1, 1, 100, 1)
	for range 3 {
		if err := l.Append(b, setOf(b)); !errors.Is(err, ErrOffline) {
			t.Fatal(err)
		}
	}
	if err := other.Append(b, setOf(b)); !errors.Is(err, ErrOffline) {
		t.Fatalf("another log of the directory: %v", err)
	}
	if err := other.Read(new(record.Data), 0, 1, 1, true); !errors.Is(err, ErrOffline) {
		t.Fatal(err)
	}
	if _, err := other.Retain(Retention{}); !errors.Is(err, ErrOffline) {
		t.Fatal(err)
	}
	if err := <-events; !errors.Is(err, ErrOffline) || len(events) != 0 {
		t.Fatal(err)
	}
}

// An fsync error is never retried: the second would succeed, and the data would be lost.
func TestSyncErrorIsForGood(t *testing.T) {
	for _, what := range []error{syscall.EIO, syscall.ENOSPC} {
		f := vfs.NewFault(vfs.OS, "")
		d := open(t, t.TempDir(), Options{FS: f, probeInterval: time.Millisecond})
		l := logOf(t, d, "t-0")
		appendBatch(t, l, 1, 100, 1)
		f.Fail(1, what, vfs.Only(vfs.Sync))
		if err := l.Sync(1); !errors.Is(err, ErrOffline) {
			t.Fatal(err)
		}
		d.probe()
		if err := l.Sync(1); !errors.Is(err, ErrOffline) || l.Synced() != 0 {
			t.Fatalf("second sync: %v, synced %d", err, l.Synced())
		}
	}
}

// When the next segment cannot be made the library's handle is dead.
func TestTrapRollFails(t *testing.T) {
	f := vfs.NewFault(vfs.OS, "")
	d := open(t, t.TempDir(), Options{FS: f})
	l := logOf(t, d, "t-0")
	want := appendBatch(t, l, 1, 100, 1)
	l.SetPolicy(Policy{SegmentBytes: 150})
	f.Fail(1, syscall.EMFILE, vfs.Only(vfs.Create))
	b := testBatch(1, 1, 100, 1)
	if err := l.Append(b, setOf(b)); !errors.Is(err, syscall.EMFILE) || errors.Is(err, ErrOffline) {
		t.Fatalf("out of descriptors: %v", err)
	}
	for range 5 {
		want = append(want, appendBatch(t, l, 1, 100, 1)...)
	}
	if got := readAllOf(t, l, 1<<20); !bytes.Equal(got, want) || len(l.view.Load().segs) != 6 {
		t.Fatalf("%d bytes, want %d", len(got), len(want))
	}
}

// The library's truncations need free space.
func TestTrapRetentionOnFullDisk(t *testing.T) {
	f := vfs.NewFault(vfs.OS, "")
	d := open(t, t.TempDir(), Options{FS: f, probeInterval: time.Hour})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 1000})
	for range 20 {
		appendBatch(t, l, 1, 600, 1)
	}
	d.work.wait()
	full := func(op vfs.Op) bool { return op.Kind == vfs.Write || op.Kind == vfs.Create }
	d.fail("test", syscall.ENOSPC)
	for n := range 3 {
		f.Fail(1, syscall.ENOSPC, full)
		removed, err := l.Retain(Retention{Bytes: int64(1200 * (3 - n)), Ms: -1, Upto: l.End()})
		if err != nil || !removed || !f.Fired() {
			t.Fatalf("retention on a full disk: %v, %v", removed, err)
		}
	}
	files, _ := filepath.Glob(l.walPath() + "/*")
	if len(files) > 3 {
		t.Fatalf("%d files are left", len(files))
	}
}

// The library writes the last file anew to truncate it.
func TestTrapTruncateRewrites(t *testing.T) {
	l := logOf(t, open(t, t.TempDir(), Options{}), "t-0")
	for range 100 {
		appendBatch(t, l, 1, 10000, 1)
	}
	before, _ := os.Stat(tailFile(t, l))
	if err := l.TruncateTo(50); err != nil || l.End() != 50 {
		t.Fatal(err, l.End())
	}
	after, _ := os.Stat(l.view.Load().segs[0].path())
	if !os.SameFile(before, after) {
		t.Error("the file was written anew")
	}
	appendBatch(t, l, 1, 100, 1)
}

// What an interrupted truncation of the library left is finished by the library; both kinds together can not be.
func TestTrapLibraryLeftovers(t *testing.T) {
	build := func() (string, []byte) {
		path := t.TempDir()
		d := open(t, path, Options{})
		l := logOf(t, d, "t-0")
		var want []byte
		for range 4 {
			want = append(want, appendBatch(t, l, 1, 100, 1)...)
		}
		crash(t, d)
		return path + "/t-0/wal/", want
	}
	dir, want := build()
	data, err := os.ReadFile(dir + segmentName(1))
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(dir+segmentName(1)+".END", data[:2*101], 0o644)
	os.WriteFile(dir+segmentName(9)+".START.TEMP", data, 0o644)
	l := logOf(t, open(t, filepath.Dir(filepath.Dir(filepath.Clean(dir))), Options{}), "t-0")
	if got := readAllOf(t, l, 1000); !bytes.Equal(got, want[:200]) {
		t.Fatalf("%d bytes", len(got))
	}
	if left, _ := filepath.Glob(dir + "*TEMP"); len(left) > 0 {
		t.Error("temporary file stays")
	}
	dir, _ = build()
	os.WriteFile(dir+segmentName(1)+".END", data[:101], 0o644)
	os.WriteFile(dir+segmentName(2)+".START", data[:101], 0o644)
	l, err = open(t, filepath.Dir(filepath.Dir(filepath.Clean(dir))), Options{}).Log("t-0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Load(); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("START and END: %v", err)
	}
}

// removingFS says of each removal whether the library may list the directory meanwhile.
type removingFS struct {
	vfs.FS
	l     *Log
	races int
}

func (r *removingFS) Remove(name string) error {
	if strings.Contains(name, "/wal/") && r.l.names.TryLock() {
		r.l.names.Unlock()
		r.races++
	}
	return r.FS.Remove(name)
}

// The library's Open lists the directory and fails when a name vanishes meanwhile.
func TestTrapListingRaces(t *testing.T) {
	r := &removingFS{FS: vfs.OS}
	l := logOf(t, open(t, t.TempDir(), Options{FS: r}), "t-0")
	r.l = l
	l.SetPolicy(Policy{SegmentBytes: 100})
	for range 20 {
		appendBatch(t, l, 1, 100, 1)
	}
	if _, err := l.Retain(Retention{Bytes: 500, Ms: -1, Upto: 1 << 60}); err != nil {
		t.Error(err)
	}
	if err := l.SetStart(18); err != nil {
		t.Error(err)
	}
	if files, _ := filepath.Glob(l.walPath() + "/*"); len(files) > 3 || r.races > 0 {
		t.Fatalf("%d files are left, %d were removed while the directory could be listed", len(files), r.races)
	}
}

// A descriptor of an unlinked file keeps its space.
func TestTrapUnlinkedFilesKeepSpace(t *testing.T) {
	l := logOf(t, open(t, t.TempDir(), Options{}), "t-0")
	l.SetPolicy(Policy{SegmentBytes: 100 << 10})
	for range 10 {
		appendBatch(t, l, 1, 90<<10, 1)
	}
	var d record.Data
	if err := l.Read(&d, 0, l.End(), 200<<10, true); err != nil {
		t.Fatal(err)
	}
	for from := int64(0); from < l.End(); from++ {
		read(t, l, from, l.End(), 1, true)
	}
	l.dir.work.wait()
	if _, err := l.Retain(Retention{Bytes: 0, Ms: -1, Upto: l.End()}); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, &d); len(got) != 180<<10 { // the reader that has them can go on
		t.Fatalf("%d bytes", len(got))
	}
	if n := deletedDescriptors(t, l.path); n == 0 {
		t.Fatal("the test sees no descriptor")
	}
	d.Release()
	l.dir.work.wait() // a sync may still have one
	if n := deletedDescriptors(t, l.path); n != 0 {
		t.Fatalf("%d descriptors of unlinked files are open", n)
	}
	if l.Start() != 10 || l.End() != 10 || l.Size() != 0 {
		t.Fatalf("[%d, %d), %d bytes", l.Start(), l.End(), l.Size())
	}
}

func deletedDescriptors(t *testing.T, below string) (n int) {
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Skip(err)
	}
	for _, link := range links {
		if to, _ := os.Readlink(link); strings.HasPrefix(to, below) && strings.HasSuffix(to, "(deleted)") {
			n++
		}
	}
	return n
}

var _ io.Closer = (*Dir)(nil)

func ExampleOpenDir() {
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		return
	}
	defer os.RemoveAll(dir)
	d, err := OpenDir(dir, Options{})
	if err != nil {
		return
	}
	defer d.Close()
	l, err := d.Log("topic-0")
	if err != nil {
		return
	}
	batch := testBatch(0, 3, 200, 1000)
	if err := l.Append(batch, setOf(batch)); err != nil {
		return
	}
	fmt.Println(l.Start(), l.End())
	// Output: 0 3
}

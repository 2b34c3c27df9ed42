package wal

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"weir/protocol/record"
	"weir/wal/vfs"
)

// history is what a workload has been told about its log.
type history struct {
	batches  map[int64][]byte // by base offset, as written last
	acked    int64            // the end of what Append accepted
	durable  int64            // the end of what Sync, Close or a truncation promised
	start    int64            // the log start that SetStart promised
	maxStart int64            // the highest that was asked for
	minEnd   int64            // while a truncation or reset is under way: where it may cut
}

func (h *history) append(l *Log, sizes ...int) error {
	var recs []byte
	base := l.End()
	for _, size := range sizes {
		b := testBatch(base, 2, size, base)
		h.batches[base] = b
		recs = append(recs, b...)
		base += 2
	}
	if err := l.Append(recs, setOf(recs)); err != nil {
		return err
	}
	h.acked = base
	h.minEnd = max(h.minEnd, 0)
	return nil
}

func (h *history) sync(l *Log) error {
	if err := l.Sync(h.acked); err != nil {
		return err
	}
	h.durable = h.acked
	return nil
}

// workload does a bit of everything and stops at the first error. Transient errors come back too.
func (h *history) workload(path string, fsys vfs.FS) (d *Dir, err error) {
	d, err = OpenDir(path, Options{FS: fsys, ReserveBytes: -1, MaxOpen: 4, probeInterval: time.Hour})
	if err != nil {
		return nil, err
	}
	l, err := d.Log("t-0")
	if err == nil {
		err = l.Load()
	}
	if err != nil {
		return d, err
	}
	l.SetPolicy(Policy{SegmentBytes: 20000})
	steps := []func() error{
		func() error { return h.append(l, 100, 200, 300) },
		func() error { return h.sync(l) },
		func() error { return h.append(l, 9000, 9000) },
		func() error { return h.append(l, 15000) },
		func() error { return h.sync(l) },
		func() error { return l.SaveSnapshot(l.End(), []byte("state")) },
		func() error { return h.append(l, 70000, 100) },
		func() error { return h.truncate(l, 15) },
		func() error { return h.append(l, 500, 500, 18000) },
		func() error { return h.truncate(l, 19) },
		func() error { return h.append(l, 500, 500, 18000) },
		func() error { return h.sync(l) },
		func() error { l.SetHint("hw", 3); return d.Checkpoint() },
		func() error { h.maxStart = 8; return l.SetStart(8) },
		func() error { h.start = 8; return h.append(l, 100) },
		func() error {
			h.maxStart = max(h.maxStart, l.End())
			_, err := l.Retain(Retention{Bytes: 30000, Ms: -1, Upto: l.End()})
			return err
		},
		func() error { return h.append(l, 19000) },
		func() error { d.work.wait(); return nil },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return d, err
		}
	}
	if err := d.Close(); err != nil {
		return d, err
	}
	h.durable = h.acked
	return nil, nil
}

func (h *history) truncate(l *Log, to int64) error {
	h.minEnd = to - 1
	h.acked, h.durable = min(h.acked, to-1), min(h.durable, to-1) // odd offsets straddle a batch
	return l.TruncateTo(to)
}

// check opens what is left and holds it against the history.
func (h *history) check(t *testing.T, path string, crashed bool) {
	t.Helper()
	d := open(t, path, Options{})
	defer d.Close()
	l := logOf(t, d, "t-0")
	start, end := l.Start(), l.End()
	least := h.acked
	if crashed {
		least = h.durable
	}
	if end < least || start < h.start || start > h.maxStart {
		t.Fatalf("[%d, %d): acknowledged %d, durable %d, start %d to %d", start, end, h.acked, h.durable, h.start, h.maxStart)
	}
	next := start
	if start < end {
		for rest := readAllOf(t, l, 1<<20); len(rest) > 0; {
			b := record.Batch(rest)
			if want := h.batches[b.BaseOffset()]; b.BaseOffset() > next || !bytes.Equal(b[:b.Size()], want) {
				t.Fatalf("other bytes at %d", b.BaseOffset())
			}
			next, rest = b.NextOffset(), rest[b.Size():]
		}
	}
	if next != end {
		t.Fatalf("data up to %d, the end is %d", next, end)
	}
	if _, state, ok, err := l.Snapshot(end); err != nil || ok && string(state) != "state" {
		t.Fatalf("snapshot %q, %v", state, err)
	}
	again := &history{batches: maps.Clone(h.batches)}
	if err := again.append(l, 1000); err != nil {
		t.Fatal(err)
	}
}

func newHistory() *history { return &history{batches: make(map[int64][]byte)} }

// Every operation fails once, in turn, with errors of the disk, of the process and of space. Nothing acknowledged is lost.
func TestEveryIOFails(t *testing.T) {
	for _, what := range []error{syscall.EIO, syscall.ENOSPC, syscall.EMFILE} {
		t.Run(what.Error(), func(t *testing.T) {
			for n := 1; ; n++ {
				h, path := newHistory(), t.TempDir()
				f := vfs.NewFault(vfs.OS, "")
				f.Fail(n, what, vfs.Any)
				d, err := h.workload(path, f)
				if d != nil {
					d.Close()
				}
				if !f.Fired() {
					if err != nil {
						t.Fatal(err)
					}
					t.Logf("%d operations", n-1)
					return
				}
				h.check(t, path, false)
				if t.Failed() {
					t.Fatalf("operation %d, error %v", n, err)
				}
			}
		})
	}
}

// The same, but the error is over at once: the log must go on where errors are of the process, and keep its promises.
func TestTransientErrorsAreOver(t *testing.T) {
	kinds := vfs.Only(vfs.Open, vfs.Create, vfs.ReadDir)
	for n := 1; ; n++ {
		path := t.TempDir()
		f := vfs.NewFault(vfs.OS, "")
		d := open(t, path, Options{FS: f})
		l := logOf(t, d, "t-0")
		l.SetPolicy(Policy{SegmentBytes: 5000})
		f.Fail(n, syscall.EMFILE, kinds)
		h := newHistory()
		for range 30 {
			if err := h.append(l, 1000); errors.Is(err, syscall.EMFILE) {
				err = h.append(l, 1000)
				if err != nil {
					t.Fatalf("operation %d: the second attempt: %v", n, err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
		}
		d.work.wait()
		if err := h.sync(l); err != nil {
			err = h.sync(l)
			if err != nil {
				t.Fatal(err)
			}
		}
		fired := f.Fired()
		d.Close()
		h.check(t, path, false)
		if !fired {
			return
		}
	}
}

// The machine crashes at every operation that makes something durable or changes a name, and keeps of the rest what it likes.
func TestCrashAtEveryPoint(t *testing.T) {
	seed := newSeed(t)
	rnd := rand.New(rand.NewPCG(seed, 2))
	points := vfs.Only(vfs.Sync, vfs.SyncDir, vfs.Rename, vfs.Remove, vfs.Create, vfs.Truncate, vfs.Write)
	images := 4
	if testing.Short() {
		images = 1
	}
	for n := 1; ; n++ {
		h, path := newHistory(), t.TempDir()
		f := vfs.NewFault(vfs.OS, t.TempDir())
		f.Crash(n, points)
		d, err := h.workload(path, f)
		if d != nil {
			crash(t, d)
		}
		if !f.Fired() {
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d crashes", n-1)
			return
		}
		for range images {
			image := t.TempDir()
			if err := f.CrashImage(path, image, rnd); err != nil {
				t.Fatal(err)
			}
			h.check(t, image, true)
			if t.Failed() {
				t.Fatalf("operation %d", n)
			}
			os.RemoveAll(image)
		}
	}
}

// Appends are refused below the reserve without harm: reads go on, the directory stays online, and space ends it.
func TestReserve(t *testing.T) {
	f := vfs.NewFault(vfs.OS, "")
	f.SetSpace(&vfs.Space{Total: 1 << 40, Usable: 11 << 20})
	d := open(t, t.TempDir(), Options{FS: f, ReserveBytes: 10 << 20})
	l := logOf(t, d, "t-0")
	want := appendBatch(t, l, 1, 100<<10, 1)
	f.SetSpace(&vfs.Space{Total: 1 << 40, Usable: 10<<20 + 100})
	var err error
	for range 20 {
		b := testBatch(l.End(), 1, 100<<10, 1)
		if err = l.Append(b, setOf(b)); err != nil {
			break
		}
		want = append(want, b...)
	}
	if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, ErrOffline) || d.Offline() != nil {
		t.Fatalf("%v, offline %v", err, d.Offline())
	}
	f.SetSpace(&vfs.Space{Total: 1 << 40, Usable: 1 << 30})
	want = append(want, appendBatch(t, l, 1, 100<<10, 1)...)
	if got := readAllOf(t, l, 1<<20); !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, want %d", len(got), len(want))
	}
}

func TestUnwritableDirectory(t *testing.T) {
	f := vfs.NewFault(vfs.OS, "")
	f.Fail(1, syscall.EROFS, vfs.Only(vfs.Create))
	if _, err := OpenDir(t.TempDir(), Options{FS: f}); !errors.Is(err, syscall.EROFS) {
		t.Fatal(err)
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, file + "/below"} {
		if _, err := OpenDir(path, Options{}); err == nil {
			t.Errorf("%s opened", path)
		} else {
			t.Log(err)
		}
	}
}

func ExampleDir_Offline() {
	var d Dir
	d.path = "/data"
	fmt.Println(d.Offline())
	// Output: <nil>
}

// A full directory that then fails for good says so a second time: who waits for space must hear that it will not come.
func TestFullThenLost(t *testing.T) {
	told := make(chan error, 2)
	d := open(t, t.TempDir(), Options{probeInterval: time.Hour, OnOffline: func(_ string, err error) { told <- err }})
	d.fail("write", syscall.ENOSPC)
	if err := <-told; !errors.Is(err, ErrNoSpace) || !errors.Is(err, ErrOffline) {
		t.Fatal(err)
	}
	d.fail("sync", syncError(syscall.EIO))
	if err := <-told; errors.Is(err, ErrNoSpace) || !errors.Is(err, ErrOffline) || !errors.Is(d.Offline(), syscall.EIO) {
		t.Fatal(err)
	}
	d.fail("write", syscall.ENOSPC)
	if err := d.Offline(); errors.Is(err, ErrNoSpace) {
		t.Fatalf("it comes back: %v", err)
	}
}

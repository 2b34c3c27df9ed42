package wal

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"weir/protocol/record"
	"weir/wal/vfs"
)

// abort appends a batch of data and a marker and adds a transaction that began at most back offsets before, as a partition does.
func abort(t testing.TB, l *Log, rnd *rand.Rand, back int64) record.AbortedTxn {
	t.Helper()
	appendBatch(t, l, 1+rnd.IntN(3), 100+rnd.IntN(3000), 1)
	m := record.Marker(record.ControlAbort, 7, 1, 2, 3)
	m.SetBaseOffset(l.End())
	if err := l.Append(m, setOf(m)); err != nil {
		t.Fatal(err)
	}
	last := l.End() - 1
	a := record.AbortedTxn{ProducerID: rnd.Int64N(5), FirstOffset: max(0, last-1-rnd.Int64N(back)), LastOffset: last}
	l.AddAborted(a)
	return a
}

// indexOf returns all that the index has.
func indexOf(t testing.TB, l *Log) []record.AbortedTxn {
	t.Helper()
	all, err := l.Aborted(nil, l.Start(), l.End(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// below are those of all whose marker is in [from, end).
func below(all []record.AbortedTxn, from, end int64) (out []record.AbortedTxn) {
	for _, a := range all {
		if a.LastOffset >= from && a.LastOffset < end {
			out = append(out, a)
		}
	}
	return out
}

// What a reader is told of is all that overlaps what it reads, and little more; over several files, and after a start.
func TestAborted(t *testing.T) {
	rnd := rand.New(rand.NewPCG(newSeed(t), 21))
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 1 << 20})
	var all []record.AbortedTxn
	for range fullAborted + 500 {
		all = append(all, abort(t, l, rnd, 40))
	}
	check := func(l *Log) {
		t.Helper()
		if got := indexOf(t, l); !slices.Equal(got, all) {
			t.Fatalf("%d transactions, want %d", len(got), len(all))
		}
		if got := l.AbortedThrough(); got != all[len(all)-1].LastOffset {
			t.Fatalf("through %d", got)
		}
		for range 300 {
			from, limit := rnd.Int64N(l.End()), rnd.Int64N(l.End()+1)
			data := read(t, l, from, limit, rnd.IntN(200<<10), true)
			if len(data) == 0 {
				continue
			}
			got, err := l.Aborted(nil, from, limit, len(data))
			if err != nil {
				t.Fatal(err)
			}
			end := from
			for rest := data; len(rest) > 0; {
				b, r, err := record.Next(rest)
				if err != nil {
					t.Fatal(err)
				}
				end, rest = b.NextOffset(), r
			}
			for _, a := range all {
				has := slices.Contains(got, a)
				if must := a.LastOffset >= from && a.FirstOffset < end; must && !has {
					t.Fatalf("%+v is missing from the list of [%d, %d)", a, from, end)
				}
				if far := a.LastOffset < from || a.FirstOffset > end+200; far && has {
					t.Fatalf("%+v is in the list of [%d, %d)", a, from, end)
				}
			}
		}
	}
	check(l)
	l.AddAborted(all[10])
	l.AddAborted(all[len(all)-1])
	if err := l.SaveSnapshot(l.End(), []byte("state")); err != nil {
		t.Fatal(err)
	}
	crash(t, d)
	d = open(t, path, Options{})
	l = logOf(t, d, "t-0")
	check(l)
	// more, without a snapshot: a start has what was written, and the rest is the partition's to add again
	more := []record.AbortedTxn{abort(t, l, rnd, 40), abort(t, l, rnd, 40)}
	crash(t, d)
	l = logOf(t, open(t, path, Options{}), "t-0")
	check(l)
	for _, a := range append(all[len(all)-3:len(all):len(all)], more...) {
		l.AddAborted(a)
	}
	all = append(all, more...)
	check(l)
}

// Truncation and retention take what they have to from the index, on the disk too.
func TestAbortedIsCut(t *testing.T) {
	rnd := rand.New(rand.NewPCG(newSeed(t), 22))
	for _, end := range []func(all []record.AbortedTxn) int64{
		func(all []record.AbortedTxn) int64 { return all[len(all)-1].LastOffset },            // in the open file
		func(all []record.AbortedTxn) int64 { return all[fullAborted].LastOffset },           // all of it
		func(all []record.AbortedTxn) int64 { return all[fullAborted/2].LastOffset },         // in a full one
		func(all []record.AbortedTxn) int64 { return all[0].LastOffset },                     // everything
		func(all []record.AbortedTxn) int64 { return all[fullAborted].LastOffset + 1 },       // all but the first of the open file
		func(all []record.AbortedTxn) int64 { return all[len(all)-1].LastOffset + 1000_000 }, // nothing
	} {
		path := t.TempDir()
		d := open(t, path, Options{})
		l := logOf(t, d, "t-0")
		l.SetPolicy(Policy{SegmentBytes: 1 << 20})
		var all []record.AbortedTxn
		for range fullAborted + 100 {
			all = append(all, abort(t, l, rnd, 3))
		}
		if err := l.SaveSnapshot(l.End(), nil); err != nil {
			t.Fatal(err)
		}
		to := end(all)
		if err := l.TruncateTo(to); err != nil {
			t.Fatal(err)
		}
		want := below(all, 0, to)
		if got := indexOf(t, l); !slices.Equal(got, want) {
			t.Fatalf("truncated to %d: %d transactions, want %d", to, len(got), len(want))
		}
		want = append(want, abort(t, l, rnd, 3))
		if err := l.SaveSnapshot(l.End(), nil); err != nil {
			t.Fatal(err)
		}
		crash(t, d)
		d = open(t, path, Options{})
		l = logOf(t, d, "t-0")
		if got := indexOf(t, l); !slices.Equal(got, want) {
			t.Fatalf("truncated to %d and started: %d transactions, want %d", to, len(got), len(want))
		}
		if err := l.SetStart(l.End() - 1); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(path + "/t-0/*" + abortedSuffix)
		if len(files) > 1 || len(indexOf(t, l)) > 1 {
			t.Fatalf("at start %d of %d: %v", l.Start(), l.End(), files)
		}
		if err := l.Reset(5); err != nil {
			t.Fatal(err)
		}
		if files, _ = filepath.Glob(path + "/t-0/*" + abortedSuffix); len(files) > 0 || l.AbortedThrough() != -1 {
			t.Fatalf("after a reset: %v", files)
		}
	}
}

// Whatever happens to the files, what is left of the index is right as far as it says.
func TestAbortedDamage(t *testing.T) {
	rnd := rand.New(rand.NewPCG(newSeed(t), 23))
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	var all []record.AbortedTxn
	for range 2*fullAborted + 100 {
		all = append(all, abort(t, l, rnd, 3))
	}
	if err := l.SaveSnapshot(l.End(), nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(path + "/t-0/*" + abortedSuffix)
	if len(files) != 3 {
		t.Fatalf("%v", files)
	}
	for i := range 60 {
		image := copyTree(t, path)
		rel, _ := filepath.Rel(path, files[i%3])
		name := image + "/" + rel
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		switch i / 3 % 4 {
		case 0:
			data[rnd.IntN(len(data))] ^= 1 << rnd.IntN(8)
		case 1:
			data = data[:rnd.IntN(len(data))]
		case 2:
			clear(data[rnd.IntN(len(data)-1):])
			data[len(data)-1] = 1
		case 3:
			os.Remove(name)
			data = nil
		}
		if data != nil {
			os.WriteFile(name, data, 0o644)
		}
		l := logOf(t, open(t, image, Options{}), "t-0")
		want := below(all, 0, l.AbortedThrough()+1)
		if got := indexOf(t, l); !slices.Equal(got, want) || len(got) != (i%3)*fullAborted {
			t.Fatalf("damage %d of %s: %d transactions, want %d", i/3%4, rel, len(got), len(want))
		}
		for _, a := range all {
			l.AddAborted(a)
		}
		if got := indexOf(t, l); !slices.Equal(got, all) {
			t.Fatalf("made anew it has %d transactions, want %d", len(got), len(all))
		}
	}
}

// The power goes and takes the end of the log, but not what was written of it beside: that must not be believed, nor come back when the log
// has grown over it.
func TestLostEnd(t *testing.T) {
	rnd := rand.New(rand.NewPCG(newSeed(t), 24))
	for range 20 {
		path := t.TempDir()
		d := open(t, path, Options{})
		l := logOf(t, d, "t-0")
		kept := []record.AbortedTxn{abort(t, l, rnd, 3)}
		if err := l.Sync(l.End()); err != nil {
			t.Fatal(err)
		}
		name := tailFile(t, l)
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		abort(t, l, rnd, 3)
		if err := l.SaveSnapshot(l.End(), []byte("lost")); err != nil {
			t.Fatal(err)
		}
		crash(t, d)
		if err := os.Truncate(name, info.Size()); err != nil {
			t.Fatal(err)
		}
		f := vfs.NewFault(vfs.OS, t.TempDir())
		if err := f.Settle(path); err != nil {
			t.Fatal(err)
		}
		d = open(t, path, Options{FS: f})
		l = logOf(t, d, "t-0")
		if got := indexOf(t, l); !slices.Equal(got, kept) {
			t.Fatalf("%v, want %v", got, kept)
		}
		for range 5 {
			appendBatch(t, l, 3, 100, 2)
		}
		if err := l.Sync(l.End()); err != nil {
			t.Fatal(err)
		}
		crash(t, d)
		image := t.TempDir()
		if err := f.CrashImage(path, image, rnd); err != nil {
			t.Fatal(err)
		}
		l = logOf(t, open(t, image, Options{}), "t-0")
		if got := indexOf(t, l); !slices.Equal(got, kept) {
			t.Fatalf("after another crash: %v, want %v", got, kept)
		}
		if at, state, ok, err := l.Snapshot(l.End()); ok || err != nil {
			t.Fatalf("snapshot at %d: %q, %v", at, state, err)
		}
	}
}

// Scan gives markers whole, wherever they lie.
func TestScanGivesMarkers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(newSeed(t), 25))
	l := logOf(t, open(t, t.TempDir(), Options{}), "t-0")
	for range 300 {
		abort(t, l, rnd, 3)
	}
	n := 0
	err := l.Scan(0, func(b record.Batch) bool {
		if b.Control() {
			n++
			want := record.Marker(record.ControlAbort, 7, 1, 2, 3)
			if control, epoch, ok := record.ReadMarker(b); !bytes.Equal(b[8:], want[8:]) || !ok || control != record.ControlAbort || epoch != 2 {
				t.Fatalf("marker %x", []byte(b))
			}
		} else if len(b) != record.HeaderSize {
			t.Fatalf("%d bytes of a batch of data", len(b))
		}
		return true
	})
	if err != nil || n != 300 {
		t.Fatalf("%d markers, %v", n, err)
	}
}

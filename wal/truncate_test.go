package wal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"weir/protocol/record"
	"weir/wal/vfs"
)

// After a truncation the checkpoint must not vouch for files that are written again under the old names: here the machine crashes,
// what the checkpoint was told later is lost, and a file in the middle is torn.
func TestTruncationLowersCheckpoint(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 1})
	for range 10 {
		appendBatch(t, l, 1, 1000, 1)
	}
	d.work.wait()
	if err := l.TruncateTo(2); err != nil {
		t.Fatal(err)
	}
	checkpoint, err := os.ReadFile(path + "/" + journalName)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		appendBatch(t, l, 1, 1000, 2)
	}
	crash(t, d)
	if err := os.WriteFile(path+"/"+journalName, checkpoint, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path+"/t-0/wal/"+segmentName(5), 500); err != nil {
		t.Fatal(err)
	}
	if l = logOf(t, open(t, path, Options{}), "t-0"); l.End() != 4 {
		t.Fatalf("end %d: a torn file was believed", l.End())
	}
}

// A snapshot that a truncation dropped does not come back: it would be taken for the state of what was appended instead.
func TestTruncationDropsSnapshots(t *testing.T) {
	rnd := rand.New(rand.NewPCG(newSeed(t), 8))
	path := t.TempDir()
	f := vfs.NewFault(vfs.OS, t.TempDir())
	d := open(t, path, Options{FS: f})
	l := logOf(t, d, "t-0")
	for range 10 {
		appendBatch(t, l, 1, 1000, 1)
	}
	if err := errors.Join(l.Sync(10), l.SaveSnapshot(10, []byte("old"))); err != nil {
		t.Fatal(err)
	}
	f.Settle(path)
	if err := f.SyncDir(path + "/t-0"); err != nil {
		t.Fatal(err)
	}
	if err := l.TruncateTo(5); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		appendBatch(t, l, 1, 1000, 2)
	}
	if err := l.Sync(15); err != nil {
		t.Fatal(err)
	}
	crash(t, d)
	for range 20 {
		image := t.TempDir()
		if err := f.CrashImage(path, image, rnd); err != nil {
			t.Fatal(err)
		}
		l := logOf(t, open(t, image, Options{}), "t-0")
		if at, state, ok, err := l.Snapshot(l.End()); ok || err != nil {
			t.Fatalf("snapshot at %d: %q, %v", at, state, err)
		}
	}
}

// A roll that made the next file but could not open it leaves a file that the next entry must not go to unnoticed.
func TestRollHalfDone(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		path := t.TempDir()
		d := open(t, path, o)
		l := logOf(t, d, "t-0")
		want := appendBatch(t, l, 1, 1000, 1)
		l.SetPolicy(Policy{SegmentBytes: 1})
		// What the library refuses to open.
		strange := []string{l.walPath() + "/" + segmentName(1) + ".END", l.walPath() + "/" + segmentName(2) + ".START"}
		for _, name := range strange {
			if err := os.WriteFile(name, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b := testBatch(1, 1, 100, 1)
		if err := l.Append(b, setOf(b)); !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		for _, name := range strange {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		l.SetPolicy(Policy{})
		for range 3 {
			want = append(want, appendBatch(t, l, 1, 1000, 1)...)
		}
		if got := readAllOf(t, l, 1<<20); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d", len(got), len(want))
		}
		crash(t, d)
		l = logOf(t, open(t, path, o), "t-0")
		if got := readAllOf(t, l, 1<<20); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes after a restart, want %d", len(got), len(want))
		}
	})
}

// What a truncation leaves: at a batch, inside an entry, inside a batch, in another file, at and below the start, at the end.
func TestTruncateTo(t *testing.T) {
	for _, c := range []struct{ to, start, end int64 }{
		{60, 5, 60}, {59, 5, 58}, {58, 5, 58}, {57, 5, 56}, {54, 5, 54}, {53, 5, 52}, {31, 5, 30}, {6, 5, 6}, {5, 4, 4}, {4, 4, 4}, {3, 2, 2}, {0, 0, 0},
	} {
		path := t.TempDir()
		d := open(t, path, Options{})
		l := logOf(t, d, "t-0")
		l.SetPolicy(Policy{SegmentBytes: 9000})
		for range 10 {
			var recs []byte // an entry of three batches of two records
			for j := range 3 {
				recs = append(recs, testBatch(l.End()+int64(2*j), 2, 1000, 1)...)
			}
			if err := l.Append(recs, setOf(recs)); err != nil {
				t.Fatal(err)
			}
		}
		want := readAllOf(t, l, 1<<20)
		if err := l.SetStart(5); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := l.TruncateTo(c.to); err != nil || l.Start() != c.start || l.End() != c.end {
				t.Fatalf("to %d: [%d, %d), %v", c.to, l.Start(), l.End(), err)
			}
			if l.Start() < l.End() {
				if got := readAllOf(t, l, 1<<20); !bytes.Equal(got, want[record.Batch(got).BaseOffset()*500:c.end*500]) {
					t.Fatalf("to %d: other bytes", c.to)
				}
			}
			crash(t, d)
			d = open(t, path, Options{})
			l = logOf(t, d, "t-0")
		}
		appendBatch(t, l, 1, 100, 1)
	}
}

package wal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/protocol/record"
)

// Kafka's rules of rolling: by size before a file would grow beyond its limit, by the time between records, and by the clock only
// where records have no time.
func TestRoll(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	for _, c := range []struct {
		name    string
		policy  Policy
		appends [][3]int64 // size, timestamp, clock
		files   int
	}{
		{"no policy", Policy{}, [][3]int64{{100, 1, 0}, {100, 1 << 40, 1 << 40}}, 1},
		{"fits exactly", Policy{SegmentBytes: 202}, [][3]int64{{100, 1, 0}, {100, 1, 0}}, 1},
		{"one byte too many", Policy{SegmentBytes: 200}, [][3]int64{{100, 1, 0}, {100, 1, 0}}, 2},
		{"larger than a file", Policy{SegmentBytes: 100}, [][3]int64{{1000, 1, 0}, {1000, 1, 0}, {1000, 1, 0}}, 3},
		{"record time, not yet", Policy{SegmentMs: 100}, [][3]int64{{100, 500, 0}, {100, 600, 9999}}, 1},
		{"record time", Policy{SegmentMs: 100}, [][3]int64{{100, 500, 0}, {100, 601, 0}}, 2},
		{"record time from the first", Policy{SegmentMs: 100}, [][3]int64{{100, 500, 0}, {100, 590, 0}, {100, 601, 0}}, 2},
		{"record time backwards", Policy{SegmentMs: 100}, [][3]int64{{100, 500, 0}, {100, 1, 0}}, 1},
		{"jitter", Policy{SegmentMs: 100, JitterMs: 100}, [][3]int64{{100, 500, 0}, {100, 600, 0}}, 2},
		{"jitter has a bound", Policy{SegmentMs: 100, JitterMs: 30}, [][3]int64{{100, 500, 0}, {100, 570, 0}}, 1},
		{"no record time, clock", Policy{SegmentMs: 100}, [][3]int64{{100, -1, 0}, {100, -1, 101}}, 2},
		{"no record time, clock, not yet", Policy{SegmentMs: 100}, [][3]int64{{100, -1, 0}, {100, -1, 100}}, 1},
	} {
		var clock atomic.Int64
		d := open(t, t.TempDir(), Options{Now: func() time.Time { return now.Add(time.Duration(clock.Load()) * time.Millisecond) }})
		l := logOf(t, d, "t-0")
		l.SetPolicy(c.policy)
		for _, a := range c.appends {
			clock.Store(a[2])
			appendBatch(t, l, 1, int(a[0]), a[1])
		}
		if n := len(l.view.Load().segs); n != c.files {
			t.Errorf("%s: %d files, want %d", c.name, n, c.files)
		}
		d.Close()
	}
}

func TestRetention(t *testing.T) {
	for _, c := range []struct {
		name      string
		r         Retention
		start     int64 // by SetStart before
		wantStart int64
		wantMore  bool // an empty file took the place of the last
	}{
		{"none", Retention{Bytes: -1, Ms: -1, Upto: 10}, 0, 0, false},
		{"bytes, all fits", Retention{Bytes: 10100, Ms: -1, Upto: 10}, 0, 0, false},
		{"bytes, one may go", Retention{Bytes: 9090, Ms: -1, Upto: 10}, 0, 1, false},
		{"bytes, one byte short of two", Retention{Bytes: 8090, Ms: -1, Upto: 10}, 0, 1, false},
		{"bytes, not above upto", Retention{Bytes: 0, Ms: -1, Upto: 4}, 0, 4, false},
		{"bytes, everything", Retention{Bytes: 0, Ms: -1, Upto: 10}, 0, 10, true},
		{"time", Retention{Bytes: -1, Ms: 4, Upto: 10}, 0, 5, false},
		{"time, everything", Retention{Bytes: -1, Ms: 0, Upto: 10}, 0, 9, false},
		{"time, not above upto", Retention{Bytes: -1, Ms: 0, Upto: 3}, 0, 3, false},
		{"start", Retention{Bytes: -1, Ms: -1, Upto: 10}, 7, 7, false},
	} {
		path := t.TempDir()
		// Record i has timestamp i, and the clock stands at 9: the age of file i is 9 - i.
		o := Options{Now: func() time.Time { return time.UnixMilli(9) }}
		d := open(t, path, o)
		l := logOf(t, d, "t-0")
		l.SetPolicy(Policy{SegmentBytes: 1})
		for i := range 10 {
			appendBatch(t, l, 1, 1008, int64(i)) // 1010 bytes with the prefix
		}
		if err := l.SetStart(c.start); err != nil {
			t.Fatal(err)
		}
		removed, err := l.Retain(c.r)
		if err != nil || l.Start() != c.wantStart || removed != (c.wantStart > c.start) || l.Size() != 1010*(10-c.wantStart) {
			t.Errorf("%s: start %d, removed %v, %d bytes, %v", c.name, l.Start(), removed, l.Size(), err)
		}
		files, _ := filepath.Glob(l.walPath() + "/*")
		if want := int(10 - c.wantStart); len(files) != want && !(c.wantMore && len(files) == 1) {
			t.Errorf("%s: %d files", c.name, len(files))
		}
		if err := l.Read(new(record.Data), c.wantStart-1, 10, 1, true); !errors.Is(err, ErrOffsetOutOfRange) {
			t.Errorf("%s: read below the start: %v", c.name, err)
		}
		for _, clean := range []bool{false, true} {
			if clean {
				d.Close()
			} else {
				crash(t, d)
			}
			d = open(t, path, o)
			if l = logOf(t, d, "t-0"); l.Start() != c.wantStart || l.End() != 10 {
				t.Errorf("%s: [%d, %d) after a restart", c.name, l.Start(), l.End())
			}
		}
		appendBatch(t, l, 1, 100, 1)
		d.Close()
	}
}

// The offset of an empty log is known after a restart, whatever is lost beside its files.
func TestResetSurvives(t *testing.T) {
	for _, lose := range []bool{false, true} {
		path := t.TempDir()
		d := open(t, path, Options{})
		l := logOf(t, d, "t-0")
		for range 10 {
			appendBatch(t, l, 1, 1000, 1)
		}
		if err := l.SetStart(5); err != nil {
			t.Fatal(err)
		}
		for _, start := range []int64{1000, 3, 77} {
			if err := l.Reset(start); err != nil || l.Start() != start || l.End() != start || l.Synced() != start || l.Size() != 0 {
				t.Fatalf("%v, [%d, %d), synced %d", err, l.Start(), l.End(), l.Synced())
			}
			crash(t, d)
			if lose {
				os.Remove(path + "/" + journalName)
			}
			d = open(t, path, Options{})
			if l = logOf(t, d, "t-0"); l.Start() != start || l.End() != start {
				t.Fatalf("[%d, %d) after a reset to %d and a kill", l.Start(), l.End(), start)
			}
		}
		appendBatch(t, l, 1, 1000, 1)
	}
}

func TestRemove(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	for range 3 {
		appendBatch(t, l, 1, 1000, 1)
	}
	if err := l.SetStart(2); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove("t-0"); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove("t-0"); err != nil {
		t.Fatalf("a log that is not there: %v", err)
	}
	b := testBatch(3, 1, 100, 1)
	for what, err := range map[string]error{
		"append": l.Append(b, setOf(b)), "read": l.Read(new(record.Data), 2, 3, 1, true), "sync": l.Sync(3), "reset": l.Reset(1),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s of a removed log: %v", what, err)
		}
	}
	// A new log of the same name has nothing of the old one, not even after a kill.
	l = logOf(t, d, "t-0")
	if l.Start() != 0 || l.End() != 0 {
		t.Fatalf("[%d, %d)", l.Start(), l.End())
	}
	appendBatch(t, l, 1, 1000, 1)
	crash(t, d)
	if left, _ := filepath.Glob(path + "/*" + deleteSuffix); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	// What a crash left half deleted goes at the next start.
	if err := os.MkdirAll(path+"/t-9.0123456789-delete/wal", 0o755); err != nil {
		t.Fatal(err)
	}
	d = open(t, path, Options{})
	d.work.wait()
	if _, err := os.Stat(path + "/t-9.0123456789-delete"); err == nil {
		t.Error("a half deleted log stays")
	}
	if l = logOf(t, d, "t-0"); l.Start() != 0 || l.End() != 1 {
		t.Fatalf("[%d, %d)", l.Start(), l.End())
	}
	for _, name := range []string{"", ".", "..", "a/b", "a\x00", "x-delete", string(bytes.Repeat([]byte("x"), 256))} {
		if _, err := d.Log(name); err == nil {
			t.Errorf("name %q", name)
		}
	}
	long := string(bytes.Repeat([]byte("x"), 255))
	appendBatch(t, logOf(t, d, long), 1, 100, 1)
	if err := d.Remove(long); err != nil {
		t.Error(err)
	}
}

func TestTornSnapshot(t *testing.T) {
	l := logOf(t, open(t, t.TempDir(), Options{}), "t-0")
	appendBatch(t, l, 10, 100, 1)
	for _, at := range []int64{3, 5, 7} {
		if err := l.SaveSnapshot(at, fmt.Append(nil, "state ", at)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(l.snapshotPath(3)); err == nil {
		t.Error("an old snapshot stays")
	}
	if at, _, ok, err := l.Snapshot(6); err != nil || !ok || at != 5 {
		t.Fatal(at, ok, err)
	}
	if err := os.Truncate(l.snapshotPath(7), 5); err != nil {
		t.Fatal(err)
	}
	if at, state, ok, err := l.Snapshot(10); err != nil || !ok || at != 5 || string(state) != "state 5" {
		t.Fatal(at, string(state), ok, err)
	}
}

func TestAppendRefusesNonsense(t *testing.T) {
	l := logOf(t, open(t, t.TempDir(), Options{}), "t-0")
	good := testBatch(0, 2, 100, 1)
	bad := map[string]func(b []byte, s *record.Set) []byte{
		"empty":         func(b []byte, s *record.Set) []byte { return nil },
		"cut":           func(b []byte, s *record.Set) []byte { return b[:99] },
		"cut header":    func(b []byte, s *record.Set) []byte { return b[:60] },
		"stray bytes":   func(b []byte, s *record.Set) []byte { return append(b, 1, 2, 3) },
		"magic":         func(b []byte, s *record.Set) []byte { b[16] = 1; return b },
		"length":        func(b []byte, s *record.Set) []byte { b[8] = 0xff; return b },
		"short length":  func(b []byte, s *record.Set) []byte { b[11] = 3; return b },
		"other next":    func(b []byte, s *record.Set) []byte { s.Next = 3; return b },
		"not at end":    func(b []byte, s *record.Set) []byte { s.Base = 1; b[7] = 1; s.Next = 3; return b },
		"delta":         func(b []byte, s *record.Set) []byte { b[23] = 0xff; return b },
		"below the end": func(b []byte, s *record.Set) []byte { b[0] = 0xff; return b },
	}
	for name, f := range bad {
		set := setOf(good)
		if err := l.Append(f(bytes.Clone(good), &set), set); err == nil {
			t.Errorf("%s was appended", name)
		}
	}
	if l.End() != 0 || l.Size() != 0 {
		t.Fatal("something was appended")
	}
}

// The hot paths do not allocate.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	d := open(t, t.TempDir(), Options{})
	for _, size := range []int{100, 16 << 10, 128 << 10} {
		l := logOf(t, d, fmt.Sprint("t-", size))
		recs := testBatch(0, 1, size, 1)
		set := setOf(recs)
		run := func() {
			record.Batch(recs).SetBaseOffset(set.Base)
			if err := l.Append(recs, set); err != nil {
				t.Fatal(err)
			}
			set.Base, set.Next = set.Base+1, set.Next+1
		}
		for range 130 {
			run()
		}
		if n := testing.AllocsPerRun(100, run); n >= 1 {
			t.Errorf("append of %d bytes: %v allocations", size, n)
		}
		var data record.Data
		if n := testing.AllocsPerRun(100, func() {
			if err := l.Read(&data, 5, l.End(), 300<<10, true); err != nil || data.Size == 0 {
				t.Fatal(err)
			}
			data.Release()
		}); n >= 1 {
			t.Errorf("read of %d bytes: %v allocations", size, n)
		}
	}
}

// Everything at once: appends, reads, retention, syncs, timestamps, evictions. The race detector looks on.
func TestConcurrent(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		o.MaxOpen = 6
		d := open(t, t.TempDir(), o)
		var wg sync.WaitGroup
		for i := range 5 {
			l := logOf(t, d, fmt.Sprintf("t-%d", i))
			l.SetPolicy(Policy{SegmentBytes: 300 << 10})
			stop := make(chan struct{})
			each := func(f func() error) {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if err := f(); err != nil && !errors.Is(err, ErrOffsetOutOfRange) {
							t.Error(err)
							return
						}
					}
				})
			}
			each(func() error { return l.Sync(l.End()) })
			each(func() error {
				_, err := l.Retain(Retention{Bytes: 1 << 20, Ms: -1, Upto: l.End()})
				return err
			})
			each(func() error { _, _, err := l.SeekTimestamp(l.End()-10, l.End()); return err })
			each(func() error {
				l.Bytes(l.Start(), l.End())
				return l.Scan(l.End()-5, func(record.Batch) bool { return true })
			})
			for range 2 {
				next := int64(0)
				each(func() error { return readNext(t, l, &next) })
			}
			wg.Go(func() {
				defer close(stop)
				for n := range 300 {
					appendBatch(t, l, 2, []int{100, 3000, 20000, 70000}[n%4], l.End())
				}
			})
		}
		wg.Wait()
	})
}

// readNext follows the log from next on and compares what it reads with what was written.
func readNext(t *testing.T, l *Log, next *int64) error {
	*next = max(*next, l.Start())
	var d record.Data
	if err := l.Read(&d, *next, l.End(), 100<<10, true); err != nil {
		return err
	}
	defer d.Release()
	for rest := collect(t, &d); len(rest) > 0; {
		b := record.Batch(rest)
		if b.BaseOffset() > *next && *next >= l.Start() || !b[:b.Size()].CheckCRC() {
			return fmt.Errorf("batch at %d, expected %d", b.BaseOffset(), *next)
		}
		*next, rest = b.NextOffset(), rest[b.Size():]
	}
	return nil
}

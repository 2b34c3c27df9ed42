package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tidwall "github.com/tidwall/wal"

	"weir/protocol/record"
)

// kv is a record as a reader sees it. An empty value is a tombstone.
type kv struct {
	offset, ts int64
	key, value string
}

// kvBatch makes a batch of records with consecutive offsets.
func kvBatch(codec record.Codec, recs []kv) []byte {
	b := record.Builder{BaseOffset: recs[0].offset, Codec: codec}
	for _, r := range recs {
		var value []byte
		if r.value != "" {
			value = []byte(r.value)
		}
		b.Add(r.ts, []byte(r.key), value)
	}
	return b.Bytes()
}

// recordsOf reads all records of the log at or above its start, and checks what every reader relies on.
func recordsOf(t testing.TB, l *Log) (out []kv) {
	t.Helper()
	next := int64(0)
	for rest := readAllOf(t, l, 64<<10); len(rest) > 0; {
		b, more, err := record.Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		if !b.CheckCRC() || b.BaseOffset() < next {
			t.Fatalf("batch at %d after %d, CRC %v", b.BaseOffset(), next, b.CheckCRC())
		}
		next, rest = b.NextOffset(), more
		if err := record.Records(b, func(r *record.Record) bool {
			if r.Offset >= l.Start() {
				out = append(out, kv{r.Offset, r.Timestamp, string(r.Key), string(r.Value)})
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// latest is the table that a log stands for: the last value of each key.
func latest(recs []kv) map[string]kv {
	m := make(map[string]kv)
	for _, r := range recs {
		if m[r.key] = r; r.value == "" {
			delete(m, r.key)
		}
	}
	return m
}

// testClock is the time of a test.
type testClock struct{ ms atomic.Int64 }

func newTestClock() *testClock {
	c := new(testClock)
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *testClock) now() time.Time { return time.UnixMilli(c.ms.Load()) }

// libraryReads opens a stopped log with the library and reads every entry: what it finds must be the batches that we find.
func libraryReads(t testing.TB, path string) (out []byte) {
	t.Helper()
	log, err := tidwall.Open(path+"/t-0/wal", libraryOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	first, err := log.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err := log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for i := first; i <= last; i++ {
		b, err := log.Read(i)
		if err != nil {
			t.Fatalf("entry %d of [%d, %d]: %v", i, first, last, err)
		}
		out = append(out, b...)
	}
	return out
}

func appendKV(t testing.TB, l *Log, codec record.Codec, recs ...kv) {
	t.Helper()
	b := kvBatch(codec, recs)
	if err := l.Append(b, setOf(b)); err != nil {
		t.Fatal(err)
	}
}

func clean(t testing.TB, l *Log, o Cleaning) CleanStats {
	t.Helper()
	stats, err := l.Clean(NewCleaner(1<<20, 0.9, 64<<10), o)
	if err != nil {
		t.Fatal(err)
	}
	return stats
}

// A tombstone outlives what it deletes by delete.retention.ms, and goes.
func TestTombstone(t *testing.T) {
	clock := newTestClock()
	d := open(t, t.TempDir(), Options{Now: clock.now})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 1})
	add := func(key, value string) {
		appendKV(t, l, record.Uncompressed, kv{l.End(), clock.ms.Load(), key, value})
	}
	o := Cleaning{CleanBounds: CleanBounds{Upto: 1 << 40}, DeleteRetentionMs: 1000}
	add("first", "stays")
	add("a", "1")
	add("a", "")
	add("b", "1")
	add("tail", "")
	clean(t, l, o)
	want := func(what string, keys ...string) {
		t.Helper()
		var got []string
		for _, r := range recordsOf(t, l) {
			got = append(got, r.key+"="+r.value)
		}
		if !slices.Equal(got, keys) {
			t.Fatalf("%s: %v, want %v", what, got, keys)
		}
	}
	want("after the first round", "first=stays", "a=", "b=1", "tail=")
	clock.ms.Add(999)
	add("c", "1")
	clean(t, l, o)
	want("before the horizon", "first=stays", "a=", "b=1", "tail=", "c=1")
	clock.ms.Add(1)
	add("c", "2")
	clean(t, l, o)
	want("at the horizon", "first=stays", "b=1", "tail=", "c=1", "c=2")
	clock.ms.Add(1000)
	add("c", "3")
	clean(t, l, o)
	want("the other one", "first=stays", "b=1", "c=2", "c=3")
	if l.Start() != 0 || l.End() != 8 {
		t.Fatalf("[%d, %d)", l.Start(), l.End())
	}
}

// What the bounds say stays: the last file, what is above the last stable offset, what is too young.
func TestCleanBounds(t *testing.T) {
	clock := newTestClock()
	d := open(t, t.TempDir(), Options{Now: clock.now})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 1})
	for i := range 10 {
		appendKV(t, l, record.Uncompressed, kv{l.End(), clock.ms.Load() + int64(i), "k", fmt.Sprint(i)})
	}
	for _, c := range []struct {
		name        string
		b           CleanBounds
		first, upto int64
	}{
		{"stable", CleanBounds{Upto: 5}, 0, 5},
		{"nothing stable", CleanBounds{Upto: 0}, 0, 0},
		{"all", CleanBounds{Upto: 10}, 0, 9},
		{"young", CleanBounds{Upto: 10, MinLagMs: 1}, 0, 0},
		{"too young", CleanBounds{Upto: 10, MinLagMs: 1000}, 0, 0},
	} {
		d, err := l.Dirty(c.b)
		if err != nil || d.First != c.first || d.Upto != c.upto {
			t.Fatalf("%s: %+v, %v", c.name, d, err)
		}
	}
	clock.ms.Add(5)
	if d, err := l.Dirty(CleanBounds{Upto: 10, MinLagMs: 1}); err != nil || d.Upto != 5 {
		t.Fatalf("%+v, %v", d, err)
	}
	overdue := func(want int64) { // the age of the oldest file that is not compacted
		t.Helper()
		for lag := want - 1; lag <= want; lag++ {
			if d, err := l.Dirty(CleanBounds{Upto: 10, MaxLagMs: lag}); err != nil || d.Overdue != (lag < want) {
				t.Fatalf("%d: %+v, %v", lag, d, err)
			}
		}
	}
	overdue(5)
	clean(t, l, Cleaning{CleanBounds: CleanBounds{Upto: 5}})
	var got []int64
	for _, r := range recordsOf(t, l) {
		got = append(got, r.offset)
	}
	if want := []int64{4, 5, 6, 7, 8, 9}; !slices.Equal(got, want) {
		t.Fatalf("offsets %v, want %v", got, want)
	}
	if d, _ := l.Dirty(CleanBounds{Upto: 10}); d.First != 5 || d.CleanBytes == 0 || d.Ratio() >= 1 {
		t.Fatalf("%+v", d)
	}
	clock.ms.Add(7)
	overdue(7)
}

// A map without room for all keys takes several rounds, and each leaves a good log.
func TestSmallMap(t *testing.T) {
	d := open(t, t.TempDir(), Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 64 << 10})
	var all []kv
	for i := range 20000 {
		r := kv{l.End(), 1, fmt.Sprintf("key %d", i*7919%6000), fmt.Sprint("value ", i)}
		all = append(all, r)
		appendKV(t, l, record.Uncompressed, r)
	}
	c, rounds := NewCleaner(1, 0.9, 1), 0
	for {
		stats, err := l.Clean(c, Cleaning{CleanBounds: CleanBounds{Upto: 1 << 40}})
		if err != nil {
			t.Fatal(err)
		}
		if stats.To == stats.From {
			break
		}
		if rounds++; rounds > 100 {
			t.Fatal("no progress")
		}
		if got, want := latest(recordsOf(t, l)), latest(all); len(got) != len(want) {
			t.Fatalf("%d keys, want %d", len(got), len(want))
		}
	}
	below := l.view.Load().segs[len(l.view.Load().segs)-1].base
	seen := map[string]bool{}
	recs := recordsOf(t, l)
	for _, r := range slices.Backward(recs) {
		if r != all[r.offset] || r.offset < below && seen[r.key] && r.offset >= 0 && newestBelow(all, r.key, below) != r.offset {
			t.Fatalf("%+v", r)
		}
		seen[r.key] = true
	}
	if rounds < 3 || len(recs) > 8000 {
		t.Fatalf("%d records after %d rounds", len(recs), rounds)
	}
}

func newestBelow(all []kv, key string, below int64) int64 {
	for _, r := range slices.Backward(all[:below]) {
		if r.key == key {
			return r.offset
		}
	}
	return -1
}

// The library opens and reads a cleaned log, and so does a start that has lost all side files.
func TestCleanedLogIsALog(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 10 << 10})
	for i := range 3000 {
		appendKV(t, l, record.Codec(i%5), kv{l.End(), int64(i), fmt.Sprint("key ", i%37), fmt.Sprint("value ", i)})
	}
	files := len(l.view.Load().segs)
	stats := clean(t, l, Cleaning{CleanBounds: CleanBounds{Upto: 2900}})
	if len(l.view.Load().segs) != files || stats.Files == 0 || stats.Kept >= stats.Records {
		t.Fatalf("%+v", stats)
	}
	stats = clean(t, l, Cleaning{CleanBounds: CleanBounds{Upto: 1 << 40}}) // what is small now is joined
	if n := len(l.view.Load().segs); n > 4 || stats.Files == 0 {
		t.Fatalf("%d files of %d, %+v", n, files, stats)
	}
	recs, bytesThen := recordsOf(t, l), readAllOf(t, l, 1<<20)
	size := l.Size()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := libraryReads(t, path); !bytes.Equal(got, bytesThen) {
		t.Fatalf("the library reads %d bytes, want %d", len(got), len(bytesThen))
	}
	for _, lost := range []string{"", "/" + journalName, "/t-0/*.idx", "both"} {
		image := copyTree(t, path)
		for _, pattern := range []string{"/" + journalName, "/t-0/*.idx"} {
			if lost == pattern || lost == "both" {
				removeAll(t, image+pattern)
			}
		}
		d := open(t, image, Options{})
		l := logOf(t, d, "t-0")
		if l.Start() != 0 || l.End() != 3000 || l.Size() != size {
			t.Fatalf("%q lost: [%d, %d), %d bytes, want %d", lost, l.Start(), l.End(), l.Size(), size)
		}
		if got := recordsOf(t, l); !slices.Equal(got, recs) {
			t.Fatalf("%q lost: %d records, want %d", lost, len(got), len(recs))
		}
		appendKV(t, l, 0, kv{l.End(), 1, "more", "value"})
	}
}

// Fetches, truncations and lookups at an offset that is in a gap find what follows it.
func TestGaps(t *testing.T) {
	for _, to := range []int64{1, 1234, 1900} {
		path := t.TempDir()
		d := open(t, path, Options{})
		l := logOf(t, d, "t-0")
		l.SetPolicy(Policy{SegmentBytes: 10 << 10})
		for i := range 2000 {
			appendKV(t, l, 0, kv{l.End(), int64(i), fmt.Sprint("key ", i%11), fmt.Sprint("value ", i)})
		}
		clean(t, l, Cleaning{CleanBounds: CleanBounds{Upto: 1500}})
		var offsets []int64
		for _, r := range recordsOf(t, l) {
			offsets = append(offsets, r.offset)
		}
		for from := int64(0); from < 2000; from += 3 {
			i, _ := slices.BinarySearch(offsets, from)
			var got record.Batch = read(t, l, from, l.End(), 1, true)
			for got.Count() == 0 { // one that stays as a header
				got = read(t, l, got.NextOffset(), l.End(), 1, true)
			}
			if got.BaseOffset() != offsets[i] {
				t.Fatalf("fetch at %d: %d, want %d", from, got.BaseOffset(), offsets[i])
			}
			if from%99 == 0 {
				at, ok, err := l.SeekTimestamp(from, l.End())
				if err != nil || !ok || at > offsets[i] {
					t.Fatalf("time %d: %d, %v, %v, want %d", from, at, ok, err, offsets[i])
				}
			}
		}
		if err := l.TruncateTo(to); err != nil {
			t.Fatal(err)
		}
		if l.End() != to {
			t.Fatalf("the end is %d after truncation to %d", l.End(), to)
		}
		appendKV(t, l, 0, kv{l.End(), 1, "key 1", "new"})
		crash(t, d)
		l = logOf(t, open(t, path, Options{}), "t-0")
		recs := recordsOf(t, l)
		i, _ := slices.BinarySearch(offsets, to)
		if len(recs) != i+1 || recs[i].offset != to || l.End() != to+1 {
			t.Fatalf("%d records up to %d after truncation to %d", len(recs), l.End(), to)
		}
		if n := len(l.view.Load().segs); n > 1 {
			clean(t, l, Cleaning{CleanBounds: CleanBounds{Upto: 1 << 40}})
		}
	}
}

// Whatever ends a round leaves the log as it was.
func TestCleanIsOvertaken(t *testing.T) {
	stop := errors.New("stop")
	for name, f := range map[string]func(d *Dir, l *Log) error{
		"step":     func(d *Dir, l *Log) error { return stop },
		"truncate": func(d *Dir, l *Log) error { return l.TruncateTo(1700) },
		"reset":    func(d *Dir, l *Log) error { return l.Reset(300) },
		"remove":   func(d *Dir, l *Log) error { return d.Remove(l.Name()) },
		"retain": func(d *Dir, l *Log) error {
			_, err := l.Retain(Retention{Bytes: 1, Ms: -1, Upto: 1 << 40})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir(), Options{})
			l := logOf(t, d, "t-0")
			l.SetPolicy(Policy{SegmentBytes: 10 << 10})
			for i := range 2000 {
				appendKV(t, l, 0, kv{l.End(), int64(i), fmt.Sprint("key ", i%11), fmt.Sprint("value ", i)})
			}
			want := latest(recordsOf(t, l))
			steps := 0
			_, err := l.Clean(NewCleaner(1<<20, 0.9, 64<<10), Cleaning{CleanBounds: CleanBounds{Upto: 1500}, Step: func(n int) error {
				if steps++; steps == 20 {
					return f(d, l)
				}
				return nil
			}})
			switch name {
			case "remove":
				if !errors.Is(err, ErrClosed) {
					t.Fatal(err)
				}
				return
			case "step":
				if !errors.Is(err, stop) || steps != 20 {
					t.Fatalf("%v after %d steps", err, steps)
				}
			case "truncate":
				for i := range int64(1700) {
					key := fmt.Sprint("key ", i%11)
					want[key] = kv{i, i, key, fmt.Sprint("value ", i)}
				}
				fallthrough
			default:
				if !errors.Is(err, ErrCleanedAway) {
					t.Fatal(err)
				}
			}
			if name == "reset" {
				want = nil
			}
			got := latest(recordsOf(t, l))
			for key, r := range want {
				if r.offset >= l.Start() && got[key] != r {
					t.Fatalf("%s: %+v, want %+v", key, got[key], r)
				}
			}
			if leftover := glob(t, l.path+"/*"+tmpSuffix); len(leftover) > 0 {
				t.Fatalf("left over: %v", leftover)
			}
			clean(t, l, Cleaning{CleanBounds: CleanBounds{Upto: l.End()}})
		})
	}
}

// A flipped bit is not written anew with a good CRC.
func TestCleanRefusesDamage(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 10 << 10})
	for i := range 2000 {
		appendKV(t, l, 0, kv{l.End(), int64(i), fmt.Sprint("key ", i%11), fmt.Sprint("value ", i)})
	}
	name := l.view.Load().segs[3].path()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[1+record.HeaderSize+10] ^= 1 // in the first record
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Clean(NewCleaner(1<<20, 0.9, 1), Cleaning{CleanBounds: CleanBounds{Upto: 1 << 40}}); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if d.Offline() != nil || l.view.Load().segs[0].size.Load() < 9000 {
		t.Fatalf("offline %v", d.Offline())
	}
}

func removeAll(t testing.TB, pattern string) {
	t.Helper()
	for _, name := range glob(t, pattern) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Readers, an appender, syncs and retention go on while rounds follow each other.
func TestCleanConcurrently(t *testing.T) {
	d := open(t, t.TempDir(), Options{MaxOpen: 6})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 20 << 10})
	const n = 6000
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			b := kvBatch(record.Codec(i%2), []kv{{l.End(), int64(i + 1), fmt.Sprint("key ", i%23), fmt.Sprint("value ", i)}})
			if err := l.Append(b, setOf(b)); err != nil {
				t.Error(err)
				return
			}
			if i%500 == 0 {
				if err := l.Sync(l.End()); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for seed := range uint64(2) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 1))
			for l.End() < n && !t.Failed() {
				readSome(t, l, rnd)
			}
		})
	}
	wg.Go(func() {
		c := NewCleaner(1<<20, 0.9, 1)
		for i := 0; l.End() < n && !t.Failed(); i++ {
			if _, err := l.Clean(c, Cleaning{CleanBounds: CleanBounds{Upto: l.End()}}); err != nil && !errors.Is(err, ErrCleanedAway) {
				t.Error(err)
			}
			if i%10 == 9 {
				if _, err := l.Retain(Retention{Bytes: 100 << 10, Ms: -1, Upto: l.End()}); err != nil {
					t.Error(err)
				}
			}
		}
	})
	wg.Wait()
	newest := latest(recordsOf(t, l))
	for i := range 23 {
		if r := newest[fmt.Sprint("key ", (n-1-i)%23)]; r.offset != int64(n-1-i) {
			t.Errorf("%+v at %d", r, n-1-i)
		}
	}
}

// readSome reads at a random offset and looks a time up: what comes is whole, and not before what was asked for.
func readSome(t *testing.T, l *Log, rnd *rand.Rand) {
	start, end := l.Start(), l.End()
	if start == end {
		return
	}
	from := start + rnd.Int64N(end-start)
	var data record.Data
	defer data.Release()
	if err := l.Read(&data, from, end, 30<<10, true); err != nil {
		if !errors.Is(err, ErrOffsetOutOfRange) {
			t.Error(err)
		}
		return
	}
	for rest := collect(t, &data); len(rest) > 0; {
		b, more, err := record.Next(rest)
		if err != nil || !b.CheckCRC() || b.NextOffset() <= from {
			t.Errorf("at %d: batch at %d, %v", from, b.BaseOffset(), err)
			return
		}
		from, rest = b.NextOffset(), more
	}
	if _, _, err := l.SeekTimestamp(from, end); err != nil {
		t.Error(err)
	}
	if _, err := l.Dirty(CleanBounds{Upto: end, MaxLagMs: 1}); err != nil && !errors.Is(err, ErrCleanedAway) {
		t.Error(err)
	}
	l.Bytes(start, end)
}

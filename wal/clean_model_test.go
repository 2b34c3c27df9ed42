package wal

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"weir/protocol/record"
	"weir/wal/vfs"
)

const testRetentionMs = 500

// table is a compacted log as the list of all records that were ever appended to it.
type table struct {
	all         []kv // by offset
	start       int64
	durable     int64 // the end of what a crash must leave
	startSynced int64
	startAsked  int64 // the highest start that was asked for
	minEnd      int64 // while a truncation is under way
	cleaned     int64 // the end of the last round
	touched     int64 // the highest that any round ended at
	clock       *testClock
}

func (m *table) end() int64 { return int64(len(m.all)) }

// append appends one batch of records with random keys.
func (m *table) append(l *Log, rnd *rand.Rand, keys int) error {
	var recs []kv
	for range rnd.IntN(6) + 1 {
		r := kv{m.end() + int64(len(recs)), m.clock.ms.Load() + int64(len(recs)), fmt.Sprint("key ", rnd.IntN(keys)), ""}
		if rnd.IntN(5) > 0 {
			r.value = fmt.Sprintf("%d %*s", r.offset, []int{1, 10, 200, 2000}[rnd.IntN(4)], "v")
		}
		recs = append(recs, r)
	}
	b := kvBatch(record.Codec(rnd.IntN(5)), recs)
	if err := l.Append(b, setOf(b)); err != nil {
		return err
	}
	m.all = append(m.all, recs...)
	return nil
}

func (m *table) sync(l *Log) error {
	if err := l.Sync(m.end()); err != nil {
		return err
	}
	m.durable = m.end()
	return nil
}

func (m *table) clean(l *Log, upto int64, mapBytes int64, step func(int) error) error {
	c := NewCleaner(mapBytes, 0.8, 1)
	stats, err := l.Clean(c, Cleaning{CleanBounds: CleanBounds{Upto: upto}, DeleteRetentionMs: testRetentionMs, Step: step})
	m.durable = max(m.durable, l.Synced())
	if err == nil {
		m.cleaned, m.touched = stats.To, max(m.touched, stats.To)
	}
	return err
}

func (m *table) truncate(l *Log, to int64) error {
	m.durable, m.minEnd = min(m.durable, to-6), to-6 // a batch that straddles it goes
	if err := l.TruncateTo(to); err != nil {
		return err
	}
	m.all = m.all[:l.End()]
	end := l.End()
	m.durable, m.cleaned, m.minEnd = min(m.durable, end), min(m.cleaned, end), 0
	m.start, m.startSynced = min(m.start, end), min(m.startSynced, end)
	return nil
}

func (m *table) setStart(l *Log, to int64) error {
	m.startAsked = max(m.startAsked, to)
	if err := l.SetStart(to); err != nil {
		return err
	}
	m.start, m.startSynced = to, to
	return nil
}

// check holds the log against the table; a crash may have taken what was not durable, and is adopted.
func (m *table) check(t *testing.T, l *Log, crashed bool) {
	t.Helper()
	start, end := l.Start(), l.End()
	least := m.end()
	if crashed {
		least = max(0, m.durable)
	}
	if end < least || end > m.end() || start < m.startSynced || start > max(m.startAsked, m.start) {
		t.Fatalf("[%d, %d) of [%d, %d), durable [%d, %d)", start, end, m.start, m.end(), m.startSynced, least)
	}
	m.all, m.start, m.cleaned, m.touched = m.all[:end], start, min(m.cleaned, end), min(m.touched, end)
	var recs []kv
	if start < end {
		recs = recordsOf(t, l)
	}
	newest := map[string]kv{}
	for _, r := range m.all[start:] {
		newest[r.key] = r
	}
	seen := map[string]kv{}
	for _, r := range recs {
		if r != m.all[r.offset] {
			t.Fatalf("%+v, was appended as %+v", r, m.all[r.offset])
		}
		seen[r.key] = r
	}
	for key, r := range newest {
		if seen[key] != r && !(r.value == "" && seen[key].key == "" && m.clock.ms.Load() >= r.ts+testRetentionMs-10) {
			t.Fatalf("%s: %+v, the newest is %+v", key, seen[key], r)
		}
	}
}

// checkCleaned holds what a whole round leaves: below its end every record is the newest of its key.
func (m *table) checkCleaned(t *testing.T, l *Log) {
	t.Helper()
	newest := map[string]int64{}
	for _, r := range m.all[:m.cleaned] {
		newest[r.key] = r.offset
	}
	for _, r := range recordsOf(t, l) {
		if r.offset < m.cleaned && newest[r.key] != r.offset {
			t.Fatalf("below %d: %+v, the newest is at %d", m.cleaned, r, newest[r.key])
		}
	}
}

// probe reads at a random offset, which may be in a gap.
func (m *table) probe(t *testing.T, l *Log, rnd *rand.Rand) {
	t.Helper()
	if m.start == m.end() {
		return
	}
	from := m.start + rnd.Int64N(m.end()-m.start)
	recs := recordsOf(t, l)
	i, _ := slices.BinarySearchFunc(recs, from, func(r kv, o int64) int { return int(r.offset - o) })
	first := int64(-1)
	for at := from; at < l.End() && first < 0; {
		run := read(t, l, at, l.End(), rnd.IntN(1000), true)
		if len(run) == 0 {
			break
		}
		b, _, err := record.Next(run)
		if err != nil {
			t.Fatal(err)
		}
		at = b.NextOffset()
		if err := record.Records(b, func(r *record.Record) bool { first = max(first, r.Offset); return r.Offset < from }); err != nil {
			t.Fatal(err)
		}
		if first < from {
			first = -1
		}
	}
	if i < len(recs) && first != recs[i].offset || i == len(recs) && first >= 0 {
		t.Fatalf("fetch at %d of %v: %d", from, recs, first)
	}
	if i < len(recs) {
		ms := recs[i].ts
		at, ok, err := l.SeekTimestamp(ms, l.End())
		if err != nil || !ok || at > recs[i].offset {
			t.Fatalf("time %d: %d, %v, %v", ms, at, ok, err)
		}
	}
}

// tableBed is a table with its log, which starts again and again.
type tableBed struct {
	*table
	t     *testing.T
	rnd   *rand.Rand
	opts  Options
	path  string
	fault *vfs.Fault
	d     *Dir
	l     *Log
	files int64
	out   lockedBuffer
}

func (x *tableBed) open() {
	if x.fault == nil {
		x.fault = vfs.NewFault(vfs.OS, x.t.TempDir())
		if err := x.fault.Settle(x.path); err != nil {
			x.t.Fatal(err)
		}
	}
	o := x.opts
	o.FS, o.Now, o.MaxOpen = x.fault, x.clock.now, 4
	x.out.Reset()
	o.Logger = slog.New(slog.NewTextHandler(&x.out, nil))
	x.d = open(x.t, x.path, o)
	x.l = logOf(x.t, x.d, "t-0")
	x.l.SetPolicy(Policy{SegmentBytes: x.files})
}

func (x *tableBed) step() (what string, err error) {
	l, rnd := x.l, x.rnd
	n := rnd.IntN(100)
	switch {
	case n < 60:
		for range rnd.IntN(12) {
			if err := x.append(l, rnd, 25); err != nil {
				return "append", err
			}
		}
		return "append", nil
	case n < 75:
		upto, mapBytes := x.end(), int64(1<<20)
		if rnd.IntN(3) == 0 {
			upto = rnd.Int64N(x.end() + 1)
		}
		if err := x.clean(l, upto, mapBytes, nil); err != nil {
			return "clean", err
		}
		x.checkCleaned(x.t, l)
		return "clean", nil
	case n < 80:
		x.clock.ms.Add(rnd.Int64N(400))
		return "time", nil
	case n < 84:
		return "sync", x.sync(l)
	case n < 87 && x.end() > x.touched:
		return "truncate", x.truncate(l, x.touched+rnd.Int64N(x.end()-x.touched+1))
	case n < 89:
		return "start", x.setStart(l, x.start+rnd.Int64N(min(20, x.end()-x.start)+1))
	case n < 91:
		_, err := l.Retain(Retention{Bytes: l.Size() - l.Size()/8, Ms: -1, Upto: x.cleaned})
		x.start, x.startAsked = l.Start(), max(x.startAsked, l.Start())
		return "retain", err
	case n < 93:
		err := x.d.Close()
		x.durable, x.startSynced = x.end(), x.start
		x.open()
		x.check(x.t, x.l, false)
		return "restart", err
	case n < 95:
		crash(x.t, x.d)
		x.open()
		x.check(x.t, x.l, false)
		return "kill", nil
	case n < 98:
		crash(x.t, x.d)
		image := x.t.TempDir()
		if err := x.fault.CrashImage(x.path, image, rnd); err != nil {
			return "crash", err
		}
		os.RemoveAll(x.path)
		x.path, x.fault = image, nil
		x.open()
		x.check(x.t, x.l, true)
		x.startSynced = x.start
		return "crash", nil
	}
	x.probe(x.t, l, rnd)
	return "probe", nil
}

// Random steps of all that touches a compacted log, against the list of what was appended.
func TestCompactionModel(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		seed := newSeed(t)
		rnd := rand.New(rand.NewPCG(seed, 7))
		x := &tableBed{table: &table{clock: newTestClock()}, t: t, rnd: rnd, opts: o, path: t.TempDir()}
		x.files = []int64{3000, 30000}[rnd.IntN(2)]
		x.open()
		steps := 400
		if testing.Short() {
			steps = 150
		}
		var last []string
		defer func() {
			if t.Failed() {
				t.Log(last)
				t.Log(x.out.String())
			}
		}()
		for range steps {
			what, err := x.step()
			if last = append(last[max(0, len(last)-30):], fmt.Sprintf("%s@[%d,%d)", what, x.start, x.end())); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			x.check(t, x.l, false)
		}
		if err := x.d.Close(); err != nil {
			t.Fatal(err)
		}
		libraryReads(t, x.path)
	})
}

// workload appends, compacts and does it again, and stops at the first error.
func (m *table) workload(path string, fsys vfs.FS) (d *Dir, err error) {
	d, err = OpenDir(path, Options{FS: fsys, Now: m.clock.now, ReserveBytes: -1, MaxOpen: 4, probeInterval: time.Hour})
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
	l.SetPolicy(Policy{SegmentBytes: 3000})
	rnd := rand.New(rand.NewPCG(1, 1))
	fill := func() error {
		for range 7 {
			if err := m.append(l, rnd, 8); err != nil {
				return err
			}
		}
		d.work.wait() // a roll is sealed in the background: the operations come in one order
		return nil
	}
	clean := func() error { return m.clean(l, m.end(), 1<<20, nil) }
	steps := []func() error{
		func() error { return m.append(l, rnd, 8) },
		func() error { return m.sync(l) },
		fill, clean, fill,
		func() error { m.clock.ms.Add(testRetentionMs); return nil },
		clean,
		func() error { return m.truncate(l, m.end()-3) },
		func() error { return m.setStart(l, 9) },
		fill, clean,
		func() error { return m.sync(l) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return d, err
		}
	}
	if err := d.Close(); err != nil {
		return d, err
	}
	m.durable = m.end()
	return nil, nil
}

func (m *table) checkDir(t *testing.T, path string, crashed bool) {
	t.Helper()
	d := open(t, path, Options{Now: m.clock.now})
	defer d.Close()
	l := logOf(t, d, "t-0")
	own := *m
	own.all = slices.Clone(m.all)
	if own.minEnd > 0 { // a truncation was not finished
		own.durable, crashed = min(own.durable, own.minEnd), true
	}
	own.check(t, l, crashed)
	rnd := rand.New(rand.NewPCG(3, 3))
	l.SetPolicy(Policy{SegmentBytes: 3000})
	for range 5 {
		if err := own.append(l, rnd, 8); err != nil {
			t.Fatal(err)
		}
	}
	if err := own.clean(l, own.end(), 1<<20, nil); err != nil {
		t.Fatal(err)
	}
	own.check(t, l, false)
	own.checkCleaned(t, l)
	if leftover := glob(t, l.path+"/*"+tmpSuffix); len(leftover) > 0 {
		t.Fatalf("left over: %v", leftover)
	}
}

// The machine crashes at every operation of compaction that makes something durable or changes a name, and keeps of the rest what
// it likes.
func TestCompactionCrashes(t *testing.T) {
	seed := newSeed(t)
	rnd := rand.New(rand.NewPCG(seed, 2))
	points := vfs.Only(vfs.Sync, vfs.SyncDir, vfs.Rename, vfs.Remove, vfs.Create, vfs.Truncate, vfs.Write)
	images := 3
	if testing.Short() {
		images = 1
	}
	for n := 1; ; n++ {
		m, path := &table{clock: newTestClock()}, t.TempDir()
		f := vfs.NewFault(vfs.OS, t.TempDir())
		f.Crash(n, points)
		d, err := m.workload(path, f)
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
			m.checkDir(t, image, true)
			if t.Failed() {
				t.Fatalf("operation %d", n)
			}
			os.RemoveAll(image)
		}
		os.RemoveAll(path)
	}
}

// Every operation fails once. What was acknowledged is there, and what can be done again is.
func TestCompactionIOFails(t *testing.T) {
	writes := vfs.Only(vfs.Write, vfs.Create, vfs.Truncate, vfs.Rename, vfs.Mkdir)
	for cause, match := range map[error]func(vfs.Op) bool{syscall.EIO: vfs.Any, syscall.ENOSPC: writes} {
		for n := 1; ; n++ {
			m, path := &table{clock: newTestClock()}, t.TempDir()
			f := vfs.NewFault(vfs.OS, "")
			f.Fail(n, cause, match)
			d, err := m.workload(path, f)
			if d != nil {
				crash(t, d)
			}
			if !f.Fired() {
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d failures", n-1)
				break
			}
			if err != nil && !errors.Is(err, cause) && !errors.Is(err, ErrOffline) {
				t.Fatalf("operation %d: %v", n, err)
			}
			m.checkDir(t, path, false)
			if t.Failed() {
				t.Fatalf("operation %d: %v", n, err)
			}
			os.RemoveAll(path)
		}
	}
}

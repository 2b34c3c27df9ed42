package wal

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/protocol/record"
	"weir/wal/vfs"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0: a new one")

func newSeed(t testing.TB) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed %d", seed)
	return seed
}

// model is a log as a plain slice of batches. What retention removed stays in the slice: a crash may bring it back.
type model struct {
	batches     [][]byte
	start, end  int64
	syncedEnd   int64 // what a crash of the machine must leave
	syncedStart int64
	hint        int64            // written by a Checkpoint
	snapshots   map[int64]string // all that were saved and not cut off
	aborted     []record.AbortedTxn
	kept        []int64 // those that are there, in order
}

// live returns the batches from the one that ends above from.
func (m *model) live(from int64) [][]byte {
	i := 0
	for i < len(m.batches) && record.Batch(m.batches[i]).NextOffset() <= from {
		i++
	}
	return m.batches[i:]
}

// expect returns what a read must begin with.
func (m *model) expect(from, limit int64, maxBytes int, force bool) (out []byte) {
	for _, b := range m.live(from) {
		if record.Batch(b).NextOffset() > limit || len(out)+len(b) > maxBytes && !(force && out == nil) {
			break
		}
		out = append(out, b...)
	}
	return out
}

// machine runs random operations on a log and on its model.
type machine struct {
	t      *testing.T
	rnd    *rand.Rand
	opts   Options
	fault  *vfs.Fault
	path   string
	d      *Dir
	l      *Log
	m      model
	ts     int64
	rounds int
	last   []string
	cuts   int // truncations and resets
	out    lockedBuffer
}

func (x *machine) open() {
	x.t.Helper()
	if x.rounds++; x.fault == nil {
		x.fault = vfs.NewFault(vfs.OS, x.t.TempDir())
		if err := x.fault.Settle(x.path); err != nil {
			x.t.Fatal(err)
		}
	}
	x.out.Reset()
	o := x.opts
	o.FS = x.fault
	o.MaxOpen = 4
	o.Logger = slog.New(slog.NewTextHandler(&x.out, nil))
	x.d = open(x.t, x.path, o)
	x.l = logOf(x.t, x.d, "t-0")
	x.l.SetPolicy(Policy{SegmentBytes: 200 << 10})
}

// lockedBuffer takes the log of the directory.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// step does one random operation.
func (x *machine) step() {
	x.t.Helper()
	ops := []struct {
		weight int
		f      func()
	}{
		{60, x.append}, {30, x.read}, {4, x.scan}, {6, x.seek}, {5, x.sync}, {3, x.truncate}, {3, x.setStart}, {4, x.retain},
		{1, x.reset}, {3, x.snapshot}, {2, x.restart}, {2, x.kill}, {2, x.crash}, {4, x.evict}, {4, x.hint},
		{30, x.abort},
	}
	n := 0
	for _, op := range ops {
		n += op.weight
	}
	n = x.rnd.IntN(n)
	for _, op := range ops {
		if n -= op.weight; n < 0 {
			x.note(op.f)
			break
		}
	}
	if x.t.Failed() {
		return
	}
	if s, e := x.l.Start(), x.l.End(); s != x.m.start || e != x.m.end {
		x.t.Fatalf("[%d, %d), the model has [%d, %d)", s, e, x.m.start, x.m.end)
	}
	if got, want := indexOf(x.t, x.l), below(x.m.aborted, x.m.start, x.m.end); !slices.Equal(got, want) {
		x.t.Fatalf("aborted %v, want %v", got, want)
	}
	if s := x.l.Synced(); s < x.l.Start() || s > x.l.End() {
		x.t.Fatalf("synced %d is not in [%d, %d]", s, x.l.Start(), x.l.End())
	}
}

// abort adds a transaction whose marker is the last record.
func (x *machine) abort() {
	last := x.m.end - 1
	if last < x.m.start || last <= x.l.AbortedThrough() {
		return
	}
	a := record.AbortedTxn{ProducerID: x.rnd.Int64N(3), FirstOffset: max(0, last-x.rnd.Int64N(50)), LastOffset: last}
	x.l.AddAborted(a)
	x.m.aborted = append(x.m.aborted, a)
}

// note keeps the names of the last operations for a failure's report.
func (x *machine) note(op func()) {
	name := runtime.FuncForPC(reflect.ValueOf(op).Pointer()).Name()
	name = strings.TrimSuffix(name[strings.LastIndex(name, ".")+1:], "-fm")
	x.last = append(x.last[max(0, len(x.last)-30):], fmt.Sprintf("%s@[%d,%d)", name, x.m.start, x.m.end))
	defer func() {
		if x.t.Failed() {
			x.t.Log(x.last)
			x.t.Log(x.out.String())
		}
	}()
	op()
}

func (x *machine) append() {
	for range x.rnd.IntN(12) + 1 {
		var recs []byte
		base := x.m.end
		if x.rnd.IntN(10) == 0 {
			base += int64(x.rnd.IntN(5)) // a gap, as compaction on the leader leaves it
		}
		for range []int{1, 1, 1, 2, 5, 30}[x.rnd.IntN(6)] {
			x.ts += int64(x.rnd.IntN(7)) - 2
			b := testBatch(base, x.rnd.IntN(5)+1, []int{62, 300, 3000, 12000, 50000}[x.rnd.IntN(5)]*(x.rnd.IntN(3)+1)/2, x.ts)
			base = record.Batch(b).NextOffset()
			recs = append(recs, b...)
			x.m.batches = append(x.m.batches, b)
		}
		set := setOf(recs)
		set.Base = x.m.end
		if err := x.l.Append(recs, set); err != nil {
			x.t.Fatal(err)
		}
		x.m.end = base
	}
}

func (x *machine) offset() int64 { return x.m.start + x.rnd.Int64N(x.m.end-x.m.start+1) }

func (x *machine) read() {
	from, limit := x.offset(), x.offset()
	maxBytes := []int{0, 1, 100, 5000, 70 << 10, 1 << 20, 1 << 30}[x.rnd.IntN(7)]
	force := x.rnd.IntN(2) == 0
	got := read(x.t, x.l, from, limit, maxBytes, force)
	want := x.m.expect(from, limit, maxBytes, force)
	if !bytes.HasPrefix(want, got) || len(got) < len(want) && len(got) < maxBytes/2 || len(got) == 0 && len(want) > 0 {
		x.t.Fatalf("read from %d to %d, %d bytes, force %v: %d bytes, want %d", from, limit, maxBytes, force, len(got), len(want))
	}
	// The estimate may be wrong by an interval or a batch at either end.
	n, exact := x.l.Bytes(from, limit), int64(len(x.m.expect(from, limit, 1<<40, true)))
	if d := n - exact; (d < -300<<10 || d > 300<<10) || (n > 0) != (from < limit) {
		x.t.Fatalf("estimate of [%d, %d): %d bytes, it has %d", from, limit, n, exact)
	}
}

func (x *machine) scan() {
	from := x.offset()
	var got, want []int64
	err := x.l.Scan(from, func(h record.Batch) bool { got = append(got, h.BaseOffset()); return true })
	if err != nil {
		x.t.Fatal(err)
	}
	for _, b := range x.m.live(from) {
		want = append(want, record.Batch(b).BaseOffset())
	}
	if !slices.Equal(got, want) {
		x.t.Fatalf("scan from %d: %v, want %v", from, got, want)
	}
}

func (x *machine) seek() {
	ms, limit := x.ts-x.rnd.Int64N(200)+20, x.offset()
	wantOffset, wantOK := int64(0), false
	maxMs, maxOffset := int64(-1), int64(-1)
	for _, b := range x.m.live(x.m.start) {
		h := record.Batch(b)
		if h.MaxTimestamp() >= ms && h.BaseOffset() < limit && !wantOK {
			wantOffset, wantOK = h.BaseOffset(), true
		}
		if h.MaxTimestamp() > maxMs {
			maxMs, maxOffset = h.MaxTimestamp(), h.LastOffset()
		}
	}
	offset, ok, err := x.l.SeekTimestamp(ms, limit)
	if err != nil || ok != wantOK || ok && offset != wantOffset {
		x.t.Fatalf("seek %d below %d: %d, %v, %v, want %d, %v", ms, limit, offset, ok, err, wantOffset, wantOK)
	}
	if gotMs, got := x.l.MaxTimestamp(); gotMs != maxMs || got != maxOffset {
		x.t.Fatalf("max timestamp %d at %d, want %d at %d", gotMs, got, maxMs, maxOffset)
	}
}

func (x *machine) sync() {
	upTo := x.offset()
	if err := x.l.Sync(upTo); err != nil {
		x.t.Fatal(err)
	}
	if s := x.l.Synced(); s < upTo {
		x.t.Fatalf("synced up to %d, is %d", upTo, s)
	}
	x.m.syncedEnd = max(x.m.syncedEnd, x.l.Synced())
}

func (x *machine) truncate() {
	to := x.m.end - x.rnd.Int64N(min(x.m.end-x.m.start, 200)+1)
	if x.rnd.IntN(20) == 0 {
		to = max(0, x.m.start-x.rnd.Int64N(3))
	}
	if err := x.l.TruncateTo(to); err != nil {
		x.t.Fatal(err)
	}
	asked := to
	for n := len(x.m.batches); n > 0; n-- {
		last := record.Batch(x.m.batches[n-1])
		if last.NextOffset() <= to {
			break
		}
		to = min(to, last.BaseOffset())
		x.m.batches = x.m.batches[:n-1]
	}
	x.m.end = min(x.m.end, to)
	if end := x.l.End(); asked < x.m.start && end > to && end <= asked {
		x.m.end = end // below the start there may be nothing any more that could straddle
	}
	x.m.start, x.m.syncedStart = min(x.m.start, x.m.end), min(x.m.syncedStart, x.m.end)
	x.m.syncedEnd = min(x.m.syncedEnd, x.m.end)
	x.dropSnapshots()
}

func (x *machine) setStart() {
	to := x.m.start + x.rnd.Int64N(min(x.m.end-x.m.start, 100)+1)
	if err := x.l.SetStart(to); err != nil {
		x.t.Fatal(err)
	}
	x.m.start, x.m.syncedStart = max(x.m.start, to), max(x.m.syncedStart, to)
}

func (x *machine) retain() {
	upto := x.m.end
	r := Retention{Bytes: -1, Ms: -1, Upto: x.offset()}
	switch x.rnd.IntN(3) {
	case 0:
		r.Bytes = x.rnd.Int64N(2 << 20)
	case 1:
		r.Ms = time.Now().UnixMilli() - x.ts + x.rnd.Int64N(300)
	}
	before := x.l.Size()
	removed, err := x.l.Retain(r)
	if err != nil {
		x.t.Fatal(err)
	}
	start := x.l.Start()
	if removed != (start > x.m.start) || start > max(x.m.start, min(upto, r.Upto)) || x.l.Size() > before {
		x.t.Fatalf("%+v moved the start from %d to %d, says %v", r, x.m.start, start, removed)
	}
	if r.Bytes >= 0 && removed && x.l.Size() < r.Bytes {
		x.t.Fatalf("%d bytes are left of %d, %d were to stay", x.l.Size(), before, r.Bytes)
	}
	x.m.start, x.m.syncedStart = start, max(x.m.syncedStart, start)
	x.m.syncedEnd = max(x.m.syncedEnd, min(start, x.l.Synced()))
}

func (x *machine) reset() {
	to := x.rnd.Int64N(x.m.end + 100)
	if err := x.l.Reset(to); err != nil {
		x.t.Fatal(err)
	}
	x.m = model{start: to, end: to, syncedEnd: to, syncedStart: to, hint: x.m.hint, snapshots: x.m.snapshots, kept: x.m.kept, aborted: x.m.aborted}
	x.dropSnapshots()
}

func (x *machine) dropSnapshots() {
	x.cuts++
	x.m.aborted = below(x.m.aborted, 0, x.m.end)
	for at := range x.m.snapshots {
		if at > x.m.end {
			delete(x.m.snapshots, at)
		}
	}
	x.m.kept = slices.DeleteFunc(x.m.kept, func(at int64) bool { return at > x.m.end })
}

func (x *machine) snapshot() {
	at := x.offset()
	state := fmt.Sprint("state ", at, " of ", x.cuts)
	if err := x.l.SaveSnapshot(at, []byte(state)); err != nil {
		x.t.Fatal(err)
	}
	if x.m.snapshots == nil {
		x.m.snapshots = make(map[int64]string)
	}
	x.m.snapshots[at] = state
	if !slices.Contains(x.m.kept, at) {
		x.m.kept = append(x.m.kept, at)
		slices.Sort(x.m.kept)
		x.m.kept = x.m.kept[max(0, len(x.m.kept)-2):]
	}
	x.checkSnapshots(false)
}

// checkSnapshots compares the newest with the model, which has all that were saved and not cut off. After a crash newer ones may
// be missing, but none may come back that was cut off.
func (x *machine) checkSnapshots(crashed bool) {
	at, state, ok, err := x.l.Snapshot(x.m.end)
	if err != nil || ok && x.m.snapshots[at] != string(state) {
		x.t.Fatalf("snapshot at %d: %q, %v, want %q", at, state, err, x.m.snapshots[at])
	}
	newest := int64(-1)
	if n := len(x.m.kept); n > 0 {
		newest = x.m.kept[n-1]
	}
	if !ok {
		at = -1
	}
	if at != newest && !crashed {
		x.t.Fatalf("snapshot at %d, want %d", at, newest)
	}
	if crashed {
		if x.m.kept, err = x.l.snapshots(); err != nil {
			x.t.Fatal(err)
		}
		if i := slices.Index(x.m.kept, at); i >= 0 {
			x.m.kept = x.m.kept[:i+1]
		} else {
			x.m.kept = nil
		}
		// Those that are torn are in the way of the comparison.
		if err := x.l.removeSnapshots(x.torn()); err != nil {
			x.t.Fatal(err)
		}
	}
}

// torn returns the snapshots that are damaged. None may be beyond the end.
func (x *machine) torn() (torn []int64) {
	all, err := x.l.snapshots()
	if err != nil {
		x.t.Fatal(err)
	}
	for _, at := range all {
		if at > x.m.end {
			x.t.Fatalf("a snapshot at %d is left, the end is %d", at, x.m.end)
		}
		if got, _, ok, _ := x.l.Snapshot(at); !ok || got != at {
			torn = append(torn, at)
			x.m.kept = slices.DeleteFunc(x.m.kept, func(have int64) bool { return have == at })
		}
	}
	return torn
}

func (x *machine) hint() {
	if !x.l.exists.Load() {
		return // hints are kept for logs that have a directory
	}
	x.m.hint = x.rnd.Int64N(1000)
	x.l.SetHint("hw", x.m.hint)
	if err := x.d.Checkpoint(); err != nil {
		x.t.Fatal(err)
	}
}

func (x *machine) evict() {
	for i := range 6 {
		appendBatch(x.t, logOf(x.t, x.d, fmt.Sprintf("other-%d", i)), 1, 100, 1)
	}
}

func (x *machine) restart() {
	if err := x.d.Close(); err != nil {
		x.t.Fatal(err)
	}
	x.m.syncedEnd, x.m.syncedStart = x.m.end, x.m.start
	x.open()
	x.adopt(false)
}

func (x *machine) kill() {
	crash(x.t, x.d)
	x.open()
	x.adopt(false)
}

func (x *machine) crash() {
	crash(x.t, x.d)
	image := x.t.TempDir()
	if err := x.fault.CrashImage(x.path, image, x.rnd); err != nil {
		x.t.Fatal(err)
	}
	os.RemoveAll(x.path)
	x.path, x.fault = image, nil
	x.open()
	x.adopt(true)
}

// adopt compares the log after a start with the model and makes it the model.
func (x *machine) adopt(crashed bool) {
	x.t.Helper()
	start, end := x.l.Start(), x.l.End()
	// An end in a gap that a truncation made cannot be known again.
	data := int64(0)
	if n := len(x.m.batches); n > 0 {
		data = record.Batch(x.m.batches[n-1]).NextOffset()
	}
	switch {
	case start < x.m.syncedStart || end < min(x.m.syncedEnd, data) || end > x.m.end:
		x.t.Fatalf("[%d, %d) after a crash of [%d, %d), durable were [%d, %d)", start, end, x.m.start, x.m.end, x.m.syncedStart, x.m.syncedEnd)
	case !crashed && (start != min(x.m.start, end) || end < data):
		x.t.Fatalf("[%d, %d) after a restart of [%d, %d)", start, end, x.m.start, x.m.end)
	}
	var got []byte
	if start < end {
		got = readAllOf(x.t, x.l, 1<<20)
	}
	x.m.start, x.m.end = start, end
	x.m.syncedStart, x.m.syncedEnd = min(x.m.syncedStart, start), min(x.m.syncedEnd, end)
	for n := len(x.m.batches); n > 0 && record.Batch(x.m.batches[n-1]).NextOffset() > end; n-- {
		x.m.batches = x.m.batches[:n-1]
	}
	if want := x.m.expect(start, end, 1<<40, true); !bytes.Equal(got, want) {
		x.t.Fatalf("%d bytes in [%d, %d), want %d", len(got), start, end, len(want))
	}
	if hw, _ := x.l.Hint("hw"); hw != x.m.hint && !crashed {
		x.t.Fatalf("hint %d, want %d", hw, x.m.hint)
	}
	x.m.hint, _ = x.l.Hint("hw")
	x.checkSnapshots(crashed)
	x.adoptAborted()
	x.d.work.wait()
	if tmp, _ := filepath.Glob(x.l.path + "/*" + tmpSuffix); len(tmp) > 0 {
		x.t.Fatalf("left over: %v", tmp)
	}
}

// adoptAborted wants the index to be right as far as it goes; the rest is added again.
func (x *machine) adoptAborted() {
	all := below(x.m.aborted, 0, x.m.end)
	through := x.l.AbortedThrough()
	if got, want := indexOf(x.t, x.l), below(all, x.m.start, through+1); !slices.Equal(got, want) {
		x.t.Fatalf("aborted %v after a start, want %v", got, want)
	}
	x.m.aborted = all
	for _, a := range all {
		if a.LastOffset >= x.m.start {
			x.l.AddAborted(a)
		}
	}
}

func TestModel(t *testing.T) {
	ways(t, func(t *testing.T, o Options) {
		seed := newSeed(t)
		o.tailBudget = 1 << 20
		x := &machine{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), opts: o, path: t.TempDir(), ts: 1000}
		x.open()
		steps := 250
		if testing.Short() {
			steps = 100
		}
		for range steps {
			x.step()
		}
		if err := x.d.Close(); err != nil && !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
		t.Logf("%d starts", x.rounds)
	})
}

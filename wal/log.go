package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"weir/protocol/record"
)

const (
	dataDir      = "wal"    // below a log's directory: the library's files, and nothing else
	maxFileBytes = 64 << 20 // a file is rolled before it grows beyond this, whatever the policy says
	// A tail up to this size is read by the library when a handle is opened on it; a larger one is rolled.
	maxReopenBytes = 64 << 10
	// Way A holds the tail in memory, so its files are smaller.
	maxPublicFileBytes = 16 << 20
)

// errGone says that a segment was removed between finding and opening it.
var errGone = errors.New("segment is gone")

// Log is one partition's log. Start, End, Synced, Size, Read and the other readers may be called at any time by anyone and share no
// lock with appends. The methods that change the log may be called by many too; they exclude each other. The first use loads it.
type Log struct {
	files
	abortedIndex
	hints hints

	start, end, synced, size atomic.Int64

	policy     atomic.Pointer[Policy]
	view       atomic.Pointer[view]
	loaded     atomic.Bool
	gone       atomic.Bool
	hot        atomic.Bool
	hintsDirty atomic.Bool

	cleaning sync.Mutex // one compaction at a time
	side     sync.Mutex // held while sidecars are written, or removed because their files are replaced; after flush.hold, before mu or by itself

	mu     sync.Mutex // held by all that changes the log, never during an fsync
	handle *handle    // nil: closed
	next   uint64     // the library's index of the next entry
	repair bool       // the files may hold more than was published

	flush flusher
}

// view is the list of segments in order; it is replaced, never changed. The last is the tail.
type view struct {
	segs []*segment
}

func newLog(d *Dir, name string) *Log {
	l := &Log{files: files{dir: d, name: name, path: d.path + "/" + name}}
	l.flush.log, l.abortedIndex.of = l, l
	l.flush.idle.L = &l.flush.mu
	return l
}

// Name returns the log's name in its directory.
func (l *Log) Name() string { return l.name }

func (l *Log) tail() *segment {
	segs := l.view.Load().segs
	return segs[len(segs)-1]
}

// ready loads the log at first use and says whether it can be used.
func (l *Log) ready() error {
	if l.gone.Load() {
		return fmt.Errorf("%s: %w", l.path, ErrClosed)
	}
	if err := l.dir.Offline(); err != nil {
		return err
	}
	if l.loaded.Load() {
		return nil
	}
	return l.Load()
}

// Start returns the log start offset.
func (l *Log) Start() int64 { return l.start.Load() }

// End returns the log end offset, the next to be written.
func (l *Log) End() int64 { return l.end.Load() }

// Synced returns the end of what a crash of the machine cannot take: Start() <= Synced() <= End().
func (l *Log) Synced() int64 {
	// The start is read last: it only rises while the log is not truncated, and Sync may be behind a start that was just set.
	return max(l.synced.Load(), l.start.Load())
}

// Size returns the bytes of the log's files; before the log was loaded, as the checkpoint saw them.
func (l *Log) Size() int64 {
	if !l.loaded.Load() {
		st, _ := l.dir.journal.get(l.name)
		return st.size
	}
	return l.size.Load()
}

// SetPolicy changes when files are rolled, from the next append on.
func (l *Log) SetPolicy(p Policy) { l.policy.Store(&p) }

// SetHint keeps a small value under a key, a high watermark say. It is written by the next Dir.Checkpoint or Dir.Close, and only
// for a log that has its directory.
func (l *Log) SetHint(key string, value int64) {
	if l.hints.set(key, value) && l.loaded.Load() {
		l.hintsDirty.Store(true)
	}
}

// Hint returns the value under key that was set last, before a restart or after. The log must have been loaded.
func (l *Log) Hint(key string) (value int64, ok bool) { return l.hints.get(key) }

// Append writes recs, whole batches with their offsets in place, as one entry at the end of the log. set.Base must be End(). recs
// is not kept. After an error nothing was appended and End has not moved; an error wrapping ENOSPC without ErrOffline says that
// the directory's reserve is reached.
func (l *Log) Append(recs []byte, set record.Set) error {
	if err := checkSet(recs, set); err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	if err := l.ready(); err != nil {
		return err
	}
	if err := l.dir.space.take(l.dir, int64(len(recs)+maxPrefix)); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone.Load() {
		return fmt.Errorf("%s: %w", l.path, ErrClosed)
	}
	if end := l.end.Load(); set.Base != end {
		return fmt.Errorf("%s: append at offset %d, the end is %d", l.path, set.Base, end)
	}
	return l.appendLocked(recs, set.MaxTimestamp)
}

func (l *Log) appendLocked(recs []byte, maxTimestamp int64) error {
	if l.shouldRoll(int64(len(recs)), maxTimestamp) {
		if err := l.roll(); err != nil {
			return l.dir.fail("roll "+l.path, err)
		}
	}
	if err := l.open(); err != nil {
		return l.dir.fail("open "+l.path, err)
	}
	l.hot.Store(true)
	tail := l.tail()
	if err := l.handle.append(l.next, recs); err != nil {
		l.drop()
		return l.dir.fail("append to "+l.path, err)
	}
	pos := tail.size.Load()
	size := int64(prefixLen(len(recs)) + len(recs))
	if pos == 0 {
		tail.firstTs = maxTimestamp
	}
	tail.publish(pos, size, recs)
	l.next++
	tail.after = l.next
	l.size.Add(size)
	l.end.Store(tail.next.Load())
	if l.dir.opts.publicOnly {
		l.boundTails(size)
	}
	return nil
}

// shouldRoll says whether n more bytes belong into a new file: Kafka's rules, by size and by the time of records.
func (l *Log) shouldRoll(n, maxTimestamp int64) bool {
	tail := l.tail()
	size := tail.size.Load()
	if size == 0 {
		return false
	}
	limit := int64(maxFileBytes)
	if l.dir.opts.publicOnly {
		limit = maxPublicFileBytes
	}
	p := l.policy.Load()
	if p != nil && p.SegmentBytes > 0 {
		limit = min(limit, p.SegmentBytes)
	}
	if size > limit-n {
		return true
	}
	if p == nil || p.SegmentMs <= 0 {
		return false
	}
	after := p.SegmentMs - tail.jitter(min(p.JitterMs, p.SegmentMs))
	if tail.firstTs >= 0 {
		return maxTimestamp-tail.firstTs > after
	}
	return l.dir.nowMs()-tail.createdMs > after
}

// open makes the handle ready to write at the end of the tail.
func (l *Log) open() error {
	if l.handle != nil && !l.repair {
		if !l.handle.parked {
			return nil
		}
		tail := l.tail()
		if err := l.handle.unpark(tail.path(), tail.size.Load()); err != nil {
			l.drop()
			return err
		}
		l.dir.writers.add(l, 1)
		return nil
	}
	l.drop()
	if err := l.mend(); err != nil {
		return err
	}
	if l.tail().size.Load() > maxReopenBytes {
		return l.roll()
	}
	return l.openHandle()
}

func (l *Log) openHandle() error {
	if err := l.makeDirs(l.tail().index); err != nil {
		return err
	}
	h, err := l.newHandle()
	if err != nil {
		l.repair = true
		return err
	}
	l.setHandle(h)
	return nil
}

func (l *Log) newHandle() (*handle, error) {
	l.names.Lock()
	defer l.names.Unlock()
	return openHandle(l.walPath(), l.next, !l.dir.opts.publicOnly)
}

func (l *Log) setHandle(h *handle) {
	l.handle = h
	l.dir.writers.add(l, 1)
}

// roll begins a new file: an empty one after the tail, and a handle that finds it. The old file is synced in the background.
func (l *Log) roll() error {
	if err := l.mend(); err != nil {
		return err
	}
	old := l.view.Load()
	tail := old.segs[len(old.segs)-1]
	if err := l.createFile(l.next); err != nil {
		l.repair = true
		return err
	}
	h, err := l.newHandle()
	if err != nil {
		l.drop() // the old handle would go on in a file that is not the last
		l.repair = true
		return err
	}
	if l.handle != nil {
		l.closeHandle()
	}
	l.setHandle(h)
	s := newSegment(l, l.next, tail.next.Load())
	s.cum.Store(tail.cum.Load() + tail.size.Load())
	l.view.Store(&view{segs: append(old.segs[:len(old.segs):len(old.segs)], s)})
	l.flush.sealLater()
	return nil
}

// drop closes the handle because the files may no longer be what it takes them for. The next append mends them first.
func (l *Log) drop() {
	if l.handle == nil {
		return
	}
	l.repair = true
	l.closeHandle()
	l.dir.writers.remove(l)
}

func (l *Log) closeHandle() {
	h := l.handle
	l.handle = nil
	if h.lend {
		h.close()
	} else {
		l.dir.tailBytes.Add(-h.held)
		l.dir.work.add(h.close) // way A syncs here
	}
}

// mend cuts the files to what was published: a failed write leaves a part of an entry, a failed roll an empty file.
func (l *Log) mend() error {
	if !l.repair {
		return nil
	}
	tail := l.tail()
	if l.exists.Load() {
		after, err := l.filesAfter(tail.index)
		if err != nil {
			return err
		}
		for i := len(after) - 1; i >= 0; i-- {
			if err := l.dir.fs.Remove(l.walPath() + "/" + segmentName(after[i])); err != nil {
				return err
			}
			l.dirDirty.Store(true)
		}
		if err := l.dir.fs.Truncate(tail.path(), tail.size.Load()); err != nil {
			return err
		}
	}
	l.repair = false
	return nil
}

// evictHandle is the clock's way to close a write handle. It never waits.
func (l *Log) evictHandle() bool {
	if !l.mu.TryLock() {
		return false
	}
	defer l.mu.Unlock()
	if l.handle != nil && !l.handle.park() {
		l.closeHandle()
	}
	return true
}

// boundTails keeps the memory that the library holds for tails within the budget of way A.
func (l *Log) boundTails(n int64) {
	l.handle.held += n
	d := l.dir
	for d.tailBytes.Add(n) > d.opts.tailBudget {
		if n = 0; !d.writers.evictOne(l) {
			l.closeHandle()
			d.writers.remove(l)
			return
		}
	}
}

// shut makes the log unusable. The mutex is held.
func (l *Log) shut() {
	l.gone.Store(true)
	if l.handle != nil {
		l.closeHandle()
		l.dir.writers.remove(l)
	}
	if v := l.view.Load(); v != nil {
		for _, s := range v.segs {
			s.forget()
		}
	}
}

func prefixLen(n int) int {
	k := 1
	for ; n >= 0x80; n >>= 7 {
		k++
	}
	return k
}

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

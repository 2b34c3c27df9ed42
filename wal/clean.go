package wal

import (
	"errors"
	"fmt"
	"math"

	"weir/internal/buffer"
	"weir/protocol/record"
)

// Compaction (Kafka's cleaner). Of the records with one key only the newest stays; a tombstone, a record without a value, stays for a
// while after everything before it is gone. Offsets and order are kept, so that a log has gaps afterwards. One round:
//
//	1  read the dirty part, from where the last round ended, into an offset map: for each key the newest offset
//	2  group files, from the start of the log on, so that the files of a group fit into one
//	3  write what the map lets stay of a group to a new file; sync it; let it take the place of the group (cleanswap.go)
//	4  note the end of the round, as a hint: where it is lost the whole log is dirty
//
// Beyond Kafka's rules, two batches of each file stay though nothing of them does, as headers: the first and the last. They say what
// offsets the file stands for: the log may begin with it one day, or end.
//
// What is appended, read, removed or cut meanwhile goes on; a group that was removed or cut in part is left as it is then.

const (
	cleanHint    = "clean"   // the end of the last round
	packBytes    = 128 << 10 // entries of a cleaned file are made of whole entries until they are so large
	minCleanerIO = 64 << 10
	maxCleanerIO = 64 << 20
)

// ErrCleanedAway is wrapped by the error of a Clean whose files were removed or cut meanwhile. What was cleaned before is good.
var ErrCleanedAway = errors.New("compaction was overtaken")

// CleanBounds say what of a log may be compacted.
type CleanBounds struct {
	Upto     int64 // no file with an offset at or above it: the last stable offset
	MinLagMs int64 // nor one with a record that is younger, nor any after it (min.compaction.lag.ms)
	MaxLagMs int64 // a record that is older should not wait for others (max.compaction.lag.ms); 0: it may wait for ever
}

// Dirty is what compaction would find in a log.
type Dirty struct {
	First, Upto int64 // the offsets of the dirty part that may be compacted
	CleanBytes  int64 // of files before First
	DirtyBytes  int64 // of files from there to Upto
	Overdue     bool  // a file that is not compacted yet is older than MaxLagMs
}

// Ratio is the dirty share of what may be compacted.
func (d Dirty) Ratio() float64 {
	if total := d.CleanBytes + d.DirtyBytes; total > 0 {
		return float64(d.DirtyBytes) / float64(total)
	}
	return 0
}

// Cleaning is what one round goes by.
type Cleaning struct {
	CleanBounds
	DeleteRetentionMs int64
	// Producers returns the last records of the producers that are still known, by id. nil: there are none.
	Producers func() map[int64]LastRecord
	// Step is told of bytes that were read or written. It may wait; its error ends the round. nil: nothing is done.
	Step func(n int) error
}

// CleanStats say what a round did.
type CleanStats struct {
	From, To                int64 // the dirty part that was compacted
	BytesRead, BytesWritten int64
	Records, Kept           int64
	Files                   int // that took the place of others
}

// Cleaner is the memory of compaction: an offset map and buffers. One goroutine at a time may use it, for any number of logs.
type Cleaner struct {
	keys   *offsetMap
	filter record.Filter
	io     int
	out    []byte
}

// NewCleaner returns a Cleaner. mapBytes bounds the offset map, load is how full it may get, and ioBytes is what is read at a time; a
// batch or an entry that is larger is still held whole.
func NewCleaner(mapBytes int64, load float64, ioBytes int) *Cleaner {
	return &Cleaner{keys: newOffsetMap(mapBytes, load), io: min(max(ioBytes, minCleanerIO), maxCleanerIO)}
}

// cleanable returns how many segments may be compacted, and the first dirty offset.
func cleanable(l *Log, segs []*segment, b CleanBounds) (n int, first int64) {
	start := l.start.Load()
	first, ok := l.hints.get(cleanHint)
	if !ok || first < start || first > l.end.Load() {
		first = start
	}
	for n < len(segs)-1 && segs[n+1].base <= b.Upto {
		if b.MinLagMs > 0 && segs[n+1].base > first && segs[n].newestMs() > l.dir.nowMs()-b.MinLagMs {
			break
		}
		n++
	}
	return n, first
}

// Dirty says what compaction would find. With a MaxLagMs it reads a header of each dirty file, once.
func (l *Log) Dirty(b CleanBounds) (Dirty, error) {
	if err := l.ready(); err != nil {
		return Dirty{}, err
	}
	segs := l.view.Load().segs
	n, first := cleanable(l, segs, b)
	d := Dirty{First: first, Upto: max(first, segs[n].base)}
	for i, s := range segs[:n] {
		if segs[i+1].base <= first {
			d.CleanBytes += s.size.Load()
		} else {
			d.DirtyBytes += s.size.Load()
		}
	}
	if b.MaxLagMs > 0 && b.MaxLagMs < math.MaxInt64 && d.DirtyBytes > 0 {
		var err error
		if d.Overdue, err = overdue(l, segs, first, b.MaxLagMs); err != nil {
			return Dirty{}, err
		}
	}
	return d, nil
}

// overdue says whether a file that has dirty records, the last one left out, begins with a batch that is older than maxLagMs.
func overdue(l *Log, segs []*segment, first, maxLagMs int64) (bool, error) {
	before := l.dir.nowMs() - maxLagMs
	for i, s := range segs[:len(segs)-1] {
		if segs[i+1].base <= first {
			continue
		}
		ms, err := s.firstBatchMs()
		if err != nil {
			return false, cleanError(l, s.orGone(err))
		}
		if ms > 0 && ms < before {
			return true, nil
		}
	}
	return false, nil
}

// firstBatchMs returns the largest timestamp of the first batch; -1 where there is none.
func (s *segment) firstBatchMs() (int64, error) {
	if ms := s.firstMs.Load(); ms != 0 || s.size.Load() == 0 {
		return ms, nil
	}
	ms := int64(-1)
	_, err := s.scan(s.base, math.MaxInt64, func(h record.Batch) bool {
		ms = h.MaxTimestamp()
		return false
	})
	if err == nil && ms != 0 {
		s.firstMs.Store(ms)
	}
	return ms, err
}

// Clean compacts the log once, with c's memory. One call at a time is served, others return at once. An error wraps what Step
// returned, ErrCleanedAway, ErrCorrupt, ErrOffline or what the file system said; the log is as good as before.
func (l *Log) Clean(c *Cleaner, o Cleaning) (CleanStats, error) {
	if err := l.ready(); err != nil {
		return CleanStats{}, err
	}
	if !l.cleaning.TryLock() {
		return CleanStats{}, nil
	}
	defer l.cleaning.Unlock()
	if len(l.view.Load().segs) == 1 {
		return CleanStats{}, nil
	}
	// Only what is below the checkpoint, which must not come back lower after a crash: a file that has taken the place of others is
	// whole, but does not look like one that was appended to.
	err := l.flush.seal()
	if err == nil {
		if err = l.dir.journal.sync(); err != nil {
			err = l.quiet("checkpoint", err)
		}
	}
	if err != nil {
		return CleanStats{}, cleanError(l, err)
	}
	r := cleanRound{log: l, c: c, o: &o, nowMs: l.dir.nowMs()}
	err = r.run()
	c.keys.clear()
	return r.stats, cleanError(l, err)
}

func cleanError(l *Log, err error) error {
	switch {
	case err == nil:
		return nil
	case l.gone.Load():
		return fmt.Errorf("%s: %w", l.path, ErrClosed)
	case errors.Is(err, errGone):
		return fmt.Errorf("compact %s: %w", l.path, ErrCleanedAway)
	}
	return l.quiet("compaction", err)
}

// cleanRound is one Clean.
type cleanRound struct {
	log   *Log
	c     *Cleaner
	o     *Cleaning
	nowMs int64
	// generation is that of the log when the round began: a truncation since then ends the round, for what the map calls newer may be gone.
	generation int
	segs       []*segment // that may be compacted, with what follows them
	n          int        // how many of them may be
	txns       *cleanedTxns
	last       map[int64]LastRecord
	stats      CleanStats
}

func (r *cleanRound) run() error {
	l := r.log
	release := l.flush.hold() // no truncation is half done
	r.segs = l.view.Load().segs
	l.flush.mu.Lock()
	checkpoint := l.flush.saved.pos.segment
	r.generation = l.flush.generation
	l.flush.mu.Unlock()
	release()
	var first int64
	r.n, first = cleanable(l, r.segs, r.o.CleanBounds)
	for r.n > 0 && r.segs[r.n-1].index >= checkpoint {
		r.n--
	}
	upto := r.segs[r.n].base
	r.stats.From, r.stats.To = first, first
	if r.n == 0 || upto <= first {
		return nil
	}
	if err := r.buildMap(first, upto); err != nil {
		return err
	}
	end := r.c.keys.latest + 1
	for r.n > 0 && r.segs[r.n-1].base >= end {
		r.n-- // the map was full before
	}
	r.last = nil
	if r.o.Producers != nil {
		r.last = r.o.Producers()
	}
	var err error
	if r.txns, err = r.transactions(r.segs[0].base, upto); err != nil {
		return err
	}
	for at := 0; at < r.n; {
		size := r.group(at)
		if err := r.cleanGroup(at, at+size, upto); err != nil {
			return err
		}
		at += size
	}
	if !l.flush.cleaned(r.generation, end) {
		return errGone
	}
	r.stats.To = end
	if err := l.dir.journal.put(map[string]state{l.name: l.flush.state()}); err != nil {
		return l.quiet("checkpoint", err)
	}
	return nil
}

// transactions begins to follow those that have a record in [from, upto).
func (r *cleanRound) transactions(from, upto int64) (*cleanedTxns, error) {
	aborted, err := r.log.Aborted(nil, from, upto, math.MaxInt)
	if err != nil {
		return nil, err
	}
	return newCleanedTxns(aborted), nil
}

// group counts the segments from at on that fit into one file.
func (r *cleanRound) group(at int) int {
	limit := int64(maxFileBytes)
	if p := r.log.policy.Load(); p != nil && p.SegmentBytes > 0 {
		limit = min(limit, p.SegmentBytes)
	}
	size, n := r.segs[at].size.Load(), 1
	for at+n < r.n && size+r.segs[at+n].size.Load() <= limit {
		size += r.segs[at+n].size.Load()
		n++
	}
	return n
}

func (r *cleanRound) step(n int) error {
	if r.log.gone.Load() {
		return ErrClosed
	}
	if r.o.Step == nil {
		return nil
	}
	return r.o.Step(n)
}

// buildMap notes the newest offset of each key from first on, up to upto or as far as the map has room.
func (r *cleanRound) buildMap(first, upto int64) error {
	keys := r.c.keys
	keys.clear()
	txns, err := r.transactions(first, upto)
	if err != nil {
		return err
	}
	full := false
	put := func(rec *record.Record) bool {
		if rec.Key != nil && rec.Offset >= first {
			full = !keys.put(rec.Key, rec.Offset)
		}
		return !full
	}
	for i, s := range r.segs[:r.n] {
		if r.segs[i+1].base <= first {
			continue
		}
		err := r.eachBatch(s, func(b record.Batch, _, _ bool) error {
			var err error
			switch {
			case b.Control():
				_, err = txns.marker(b)
			case txns.batch(b):
			case b.LastOffset() >= first:
				err = record.Records(b, put)
			}
			if err == nil && full {
				return errMapFull
			}
			if b.LastOffset() >= first {
				keys.latest = b.LastOffset()
			}
			return err
		})
		if err == errMapFull {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.path(), err)
		}
		keys.latest = max(keys.latest, r.segs[i+1].base-1) // there may be a gap
	}
	return nil
}

var errMapFull = errors.New("the offset map is full")

// eachBatch calls fn with each batch of a segment, whole and with a good CRC. entry is true for the last of an entry, last for the last
// of the segment.
func (r *cleanRound) eachBatch(s *segment, fn func(b record.Batch, entry, last bool) error) error {
	file, err := s.acquire()
	if err != nil {
		return err
	}
	defer file.release()
	rd := batchReader{file: file, size: s.size.Load(), window: buffer.Get(r.c.io), io: r.c.io, step: r.step}
	defer func() { rd.window.Put() }()
	for rd.pos < rd.size {
		b, err := rd.next()
		if err != nil {
			return s.orGone(err) // the file may have been cut
		}
		if !b.CheckCRC() {
			if s.gone() {
				return errGone
			}
			// Written anew it would have a good one.
			return fmt.Errorf("CRC of the batch at offset %d: %w", b.BaseOffset(), ErrCorrupt)
		}
		if err := fn(b, rd.pos == rd.end, rd.pos == rd.size); err != nil {
			return err
		}
	}
	return nil
}

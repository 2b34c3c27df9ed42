package replica

import (
	"errors"
	"math"
	"sync"
	"syscall"
	"time"

	"weir/broker/partition"
	"weir/wal"
)

// cleaner compacts the logs of topics with cleanup.policy=compact, as Kafka's LogCleaner does.
//
// Differs from Kafka: the first and the last batch of a compacted segment stay, without records where none of theirs is left. While the
// table of keys grows to log.cleaner.dedupe.buffer.size, half as much again is in use; what is not needed is not taken. A changed
// log.cleaner.threads acts at the next round, and any change of it is taken.
//
// Every log.cleaner.backoff.ms it starts as many workers as there are threads allowed and logs in need. A worker takes the log with the
// largest dirty share, then the next, until none is left, and ends. Logs that nobody has used since the start are not looked at:
// what loads them is Manager.visit.
type cleaner struct {
	m    *Manager
	stop chan struct{} // closed by Manager.Close

	mu       sync.Mutex
	workers  int
	freeAtMs int64 // when the bytes that were taken so far are paid for
}

// errCleanerStops ends a round because the broker stops or the partition is not what it was.
var errCleanerStops = errors.New("compaction was stopped")

// cleanerSettings are the broker's, as they are now.
type cleanerSettings struct {
	threads  int
	backoff  time.Duration
	mapBytes int64
	load     float64
	ioBytes  int
}

func (c *cleaner) settings() cleanerSettings {
	l := c.m.layers(c.m.image.Load())
	s := cleanerSettings{
		threads: int(l.Int64("log.cleaner.threads")),
		backoff: time.Duration(min(l.Int64("log.cleaner.backoff.ms"), math.MaxInt32)) * time.Millisecond,
		load:    l.Float("log.cleaner.io.buffer.load.factor"),
	}
	n := int64(max(1, s.threads))
	s.mapBytes, s.ioBytes = l.Int64("log.cleaner.dedupe.buffer.size")/n, int(l.Int64("log.cleaner.io.buffer.size")/n/2)
	return s
}

// start sets the timer of the first round.
func (c *cleaner) start() {
	m := c.m
	if m.cfg.Static.Bool("log.cleaner.enable") {
		m.every(func() time.Duration { return max(c.settings().backoff, time.Millisecond) }, c.round)
	}
}

// round starts workers, one for each log in need, as far as threads allow.
func (c *cleaner) round() {
	m := c.m
	s := c.settings()
	for {
		c.mu.Lock()
		free := c.workers < s.threads && !m.closed.Load()
		c.mu.Unlock()
		if !free {
			return
		}
		r, job := c.filthiest()
		if r == nil {
			return
		}
		c.mu.Lock()
		c.workers++
		c.mu.Unlock()
		m.busy.Add(1) // this is a timer's goroutine, which is counted itself
		go func() {
			defer m.busy.Done()
			c.work(s, r, job)
			c.mu.Lock()
			c.workers--
			c.mu.Unlock()
		}()
	}
}

// work compacts r and then whatever else is in need.
func (c *cleaner) work(s cleanerSettings, r *replica, job cleanJob) {
	m := c.m
	memory := wal.NewCleaner(s.mapBytes, s.load, s.ioBytes)
	for r != nil && !m.closed.Load() {
		c.clean(memory, r, job)
		r, job = c.filthiest()
	}
}

// cleanJob is a log that should be compacted.
type cleanJob struct {
	p     *partition.Partition
	log   Log
	topic *topic
	upto  int64
}

// filthiest finds the log with the largest dirty share of those that are in need of compaction, and claims it.
func (c *cleaner) filthiest() (*replica, cleanJob) {
	m := c.m
	var best *replica
	var bestJob cleanJob
	most := -1.0
	m.each(func(r *replica) {
		job, ratio, ok := r.dirty()
		if ok && ratio > most {
			best, bestJob, most = r, job, ratio
		}
	})
	if best == nil {
		return nil, cleanJob{}
	}
	best.mu.Lock()
	defer best.mu.Unlock()
	if best.p != bestJob.p || best.cleaning {
		return nil, cleanJob{} // the next round will see
	}
	best.cleaning = true
	return best, bestJob
}

// dirty says whether a log is in need of compaction, and how dirty it is.
func (r *replica) dirty() (job cleanJob, ratio float64, ok bool) {
	r.mu.Lock()
	if r.p == nil || !r.topic.cfg.CleanupCompact || r.cleaning || r.uncleanable || r.m.nowMs() < r.cleanAtMs {
		r.mu.Unlock()
		return job, 0, false
	}
	job = cleanJob{p: r.p, log: r.log, topic: r.topic, upto: r.p.LastStable()}
	r.mu.Unlock()
	cfg := job.topic.cfg
	d, err := job.log.Dirty(wal.CleanBounds{Upto: job.upto, MinLagMs: cfg.MinCompactionLagMs, MaxLagMs: cfg.MaxCompactionLagMs})
	if err != nil {
		r.cleanFailed(job.p, err)
		return job, 0, false
	}
	if d.DirtyBytes == 0 {
		return job, 0, false
	}
	return job, d.Ratio(), d.Overdue || d.Ratio() > cfg.MinCleanableDirtyRatio
}

// clean compacts one log.
func (c *cleaner) clean(memory *wal.Cleaner, r *replica, job cleanJob) {
	m := c.m
	r.mu.Lock()
	if r.p == job.p {
		// Epochs and producers of batches that compaction removes are not in the log any more.
		if err := job.p.SaveSnapshot(); err != nil {
			r.logError("partition state was not saved", err)
		}
	}
	r.mu.Unlock()
	stats, err := job.log.Clean(memory, wal.Cleaning{
		CleanBounds:       wal.CleanBounds{Upto: job.upto, MinLagMs: job.topic.cfg.MinCompactionLagMs},
		DeleteRetentionMs: job.topic.cfg.DeleteRetentionMs,
		Producers:         func() map[int64]wal.LastRecord { return r.lastRecords(job.p) },
		Step:              func(n int) error { return c.step(r, job.p, n) },
	})
	r.mu.Lock()
	r.cleaning = false
	if err != nil || stats.To == stats.From {
		r.cleanAtMs = m.nowMs() + c.settings().backoff.Milliseconds() // others first
	}
	r.mu.Unlock()
	if err != nil {
		r.cleanFailed(job.p, err)
		return
	}
	if stats.To > stats.From {
		m.log.Debug("log compacted", "log", r.name, "from", stats.From, "to", stats.To, "read", stats.BytesRead, "written", stats.BytesWritten,
			"records", stats.Records, "kept", stats.Kept)
	}
}

// lastRecords is what the log must go on saying of the producers that are known.
func (r *replica) lastRecords(p *partition.Partition) map[int64]wal.LastRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p != p {
		return nil
	}
	last := make(map[int64]wal.LastRecord, p.Producers())
	p.EachProducer(func(id int64, epoch int16, lastOffset int64) {
		last[id] = wal.LastRecord{Offset: lastOffset, Epoch: epoch}
	})
	return last
}

// cleanFailed leaves a log alone that cannot be compacted, after saying so once; errors that go away by themselves are no reason to.
func (r *replica) cleanFailed(p *partition.Partition, err error) {
	switch {
	case errors.Is(err, errCleanerStops), errors.Is(err, wal.ErrClosed), errors.Is(err, wal.ErrCleanedAway), errors.Is(err, wal.ErrOffline):
		return
	case errors.Is(err, syscall.ENOSPC):
		r.logError("log was not compacted", err)
		return
	}
	r.mu.Lock()
	news := r.p == p && !r.uncleanable
	if news {
		r.uncleanable = true
	}
	r.mu.Unlock()
	if news {
		r.m.log.Error("log cannot be compacted and is left alone until the next start", "log", r.name, "err", err)
	}
}

// step ends a round of a partition that is not what it was, and holds all workers together to log.cleaner.io.max.bytes.per.second.
func (c *cleaner) step(r *replica, p *partition.Partition, n int) error {
	m := c.m
	r.mu.Lock()
	same := r.p == p && r.topic.cfg.CleanupCompact
	r.mu.Unlock()
	if !same || m.closed.Load() {
		return errCleanerStops
	}
	return c.throttle(n)
}

// throttleSlack is how far ahead of the rate work may be: shorter waits are not worth a timer.
const throttleSlack = 300 * time.Millisecond

func (c *cleaner) throttle(n int) error {
	m := c.m
	l := m.layers(m.image.Load())
	rate := l.Float("log.cleaner.io.max.bytes.per.second")
	ms := float64(n) / rate * 1000
	if rate <= 0 || ms < 1e-6 {
		return nil // no limit worth the name
	}
	c.mu.Lock()
	now := m.nowMs()
	c.freeAtMs = max(c.freeAtMs, now) + int64(math.Ceil(min(ms, float64(time.Hour.Milliseconds()))))
	wait := time.Duration(c.freeAtMs-now) * time.Millisecond
	c.mu.Unlock()
	if wait < throttleSlack {
		return nil
	}
	done := make(chan struct{})
	t := m.cfg.AfterFunc(wait, func() { close(done) })
	select {
	case <-done:
		return nil
	case <-c.stop:
		t.Stop()
		return errCleanerStops
	}
}

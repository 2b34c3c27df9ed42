package replica

import (
	"math"
	"sync"
	"time"

	"weir/broker/partition"
	"weir/wal"
)

// timers are the repeated checks. Each runs on the goroutine of its timer and sets the timer again when it is done.
type timers struct {
	mu      sync.Mutex
	set     []Timer
	stopped bool
}

// every has fn called each d, which is asked each time, until stop.
func (m *Manager) every(d func() time.Duration, fn func()) {
	if d() <= 0 {
		return
	}
	t := &m.timers
	t.mu.Lock()
	i := len(t.set)
	t.set = append(t.set, nil)
	t.mu.Unlock()
	m.again(i, d, fn)
}

func (m *Manager) again(i int, d func() time.Duration, fn func()) {
	t := &m.timers
	wait := d()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	t.set[i] = m.cfg.AfterFunc(wait, func() {
		t.mu.Lock()
		if t.stopped {
			t.mu.Unlock()
			return
		}
		m.busy.Add(1)
		t.mu.Unlock()
		fn()
		m.busy.Done()
		m.again(i, d, fn)
	})
}

func (t *timers) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	for _, x := range t.set {
		if x != nil {
			x.Stop()
		}
	}
}

const (
	visitEvery = 20 * time.Millisecond // between two logs that are looked at for the first time since the start
	visitFirst = 30 * time.Second      // Kafka's delay before its first round of retention
)

func (m *Manager) startTimers() {
	s := m.cfg.Static
	ms := func(name string, part int64) func() time.Duration {
		d := time.Duration(s.Int64(name)/part) * time.Millisecond
		return func() time.Duration { return d }
	}
	m.every(ms("log.retention.check.interval.ms", 1), m.retainAll)
	m.every(ms("replica.high.watermark.checkpoint.interval.ms", 1), m.checkpoint)
	m.every(ms("replica.lag.time.max.ms", 2), m.findLaggards)
	m.every(ms("producer.id.expiration.check.interval.ms", 1), m.expireProducers)
	m.cleaner.start()
}

// visit has the logs that were not used since the start looked at, one at a time and slowly: a start with 10,000 idle partitions opens none
// of them at once.
func (m *Manager) visit(idle []partition.ID) {
	t := &m.timers
	t.mu.Lock()
	i := len(t.set)
	t.set = append(t.set, nil)
	m.unvisited = idle
	t.mu.Unlock()
	m.visitNext(i, visitFirst)
}

func (m *Manager) visitNext(i int, d time.Duration) {
	t := &m.timers
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped || len(m.unvisited) == 0 {
		m.unvisited = nil
		return
	}
	t.set[i] = m.cfg.AfterFunc(d, func() {
		t.mu.Lock()
		if t.stopped {
			t.mu.Unlock()
			return
		}
		n := len(m.unvisited) - 1
		id := m.unvisited[n]
		m.unvisited = m.unvisited[:n]
		m.busy.Add(1)
		t.mu.Unlock()
		if r, _, _ := m.lock(id); r != nil {
			r.mu.Unlock()
			r.retain()
		}
		m.busy.Done()
		m.visitNext(i, visitEvery)
	})
}

// retainAll removes what the topics' retention lets go. Partitions that are known to have nothing to remove are passed over.
func (m *Manager) retainAll() {
	now := m.nowMs()
	m.each(func(r *replica) {
		r.mu.Lock()
		due := now >= r.retainAtMs && r.log != nil
		r.mu.Unlock()
		if due {
			r.retain()
		}
	})
}

// retain lets retention remove whole segments of one log, below its high watermark.
func (r *replica) retain() {
	r.mu.Lock()
	if r.log == nil || r.gone {
		r.mu.Unlock()
		return
	}
	p, log, cfg := r.p, r.log, r.topic.cfg
	hw, start, end := r.offlineHW, log.Start(), log.End() // retention is what may bring a full directory back
	if p != nil {
		hw = p.HighWatermark()
	}
	r.mu.Unlock()
	if start == end {
		r.retainedUntil(p, end, math.MaxInt64)
		return
	}
	bounds := wal.Retention{Bytes: -1, Ms: -1, Upto: hw}
	if cfg.CleanupDelete {
		bounds.Bytes, bounds.Ms = cfg.RetentionBytes, cfg.RetentionMs
	}
	if bounds.Bytes < 0 && bounds.Ms < 0 {
		r.retainedUntil(p, end, math.MaxInt64)
		return
	}
	_, err := log.Retain(bounds)
	if err != nil {
		r.logError("retention failed", err)
		return
	}
	if p != nil && log.Start() != start {
		e := takeEffects()
		r.mu.Lock()
		if r.p == p {
			p.Retained(e)
			r.unlock(e)
		} else {
			r.mu.Unlock()
		}
		putEffects(e)
	}
	next := int64(math.MaxInt64) // by size there is nothing to remove until something is appended
	if bounds.Ms >= 0 {
		next = math.MinInt64 // what is loaded knows its segments' newest timestamps: asking again costs nothing
	}
	r.retainedUntil(p, end, next)
}

// retainedUntil remembers that nothing is to be removed before a time, unless something was appended meanwhile.
func (r *replica) retainedUntil(p *partition.Partition, end, atMs int64) {
	r.mu.Lock()
	if r.p == p {
		if r.log.End() == end {
			r.retainAtMs = atMs
		} else {
			r.retainAtMs = math.MinInt64
		}
	}
	r.mu.Unlock()
}

// checkpoint keeps the high watermarks of partitions with several replicas. With one replica it is the log's end.
func (m *Manager) checkpoint() {
	m.noteHighWatermarks()
	for _, d := range m.dirs {
		if d.offline.Load() {
			continue
		}
		if err := d.store.Checkpoint(); err != nil && !d.offline.Load() {
			m.log.Error("checkpoint failed", "dir", d.Path, "err", err)
		}
	}
}

func (m *Manager) noteHighWatermarks() {
	m.each(func(r *replica) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.p == nil || r.p.Replicas() == 1 {
			return
		}
		if hw := r.p.HighWatermark(); hw != r.savedHW {
			r.savedHW = hw
			r.log.SetHint(hwHint, hw)
		}
	})
}

// findLaggards has leaders look for followers that fell out of the in-sync replicas.
func (m *Manager) findLaggards() {
	m.tickAll(func(r *replica) bool { return r.p.Replicas() > 1 })
}

func (m *Manager) expireProducers() {
	m.tickAll(func(r *replica) bool { return r.p.Producers() > 0 })
}

func (m *Manager) tickAll(due func(r *replica) bool) {
	m.each(func(r *replica) {
		e := takeEffects()
		r.mu.Lock()
		if r.p != nil && due(r) {
			r.p.Tick(m.nowMs(), e)
			r.unlock(e)
		} else {
			r.mu.Unlock()
		}
		putEffects(e)
	})
}

// armFlush sets the timer of flush.ms after an append. r is locked.
func (r *replica) armFlush() {
	ms := r.topic.cfg.FlushMs
	if r.flushArmed || ms <= 0 || ms > math.MaxInt64/int64(time.Millisecond) || r.m.closed.Load() {
		return
	}
	r.flushArmed = true
	p := r.p
	r.m.cfg.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.p == p && p != nil {
			r.flushArmed = false
			r.startSync(r.log.End())
		}
	})
}

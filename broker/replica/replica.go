package replica

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/broker/partition"
	"weir/protocol"
	"weir/wal"
)

// hwHint is the key under which the high watermark is kept in the log.
const hwHint = "hw"

// replica is one partition of this broker: its lock, its state and its log.
//
// Lock order: replica.mu, then the shard's, the topic cache's or the log's. Waiters, completions and everything else in Effects is
// carried out with no lock held.
type replica struct {
	m    *Manager
	id   partition.ID
	name string // of its log in the directory

	mu    sync.Mutex
	p     *partition.Partition // nil: not loaded
	log   Log
	dir   atomic.Pointer[dir] // changed under mu
	topic *topic
	gone  bool // deleted, or not ours any more: look again

	syncing     bool  // a goroutine syncs the log
	syncUpTo    int64 // what it has to reach
	flushArmed  bool  // a flush.ms timer is set
	saving      bool  // a goroutine saves a snapshot
	brokenMs    int64 // when loading failed last
	offlineHW   int64 // the high watermark when the directory went offline
	savedHW     int64 // the high watermark that was checkpointed last
	cleaning    bool  // a worker compacts the log
	cleanAtMs   int64 // when it may be compacted again, after a round that came to nothing
	uncleanable bool  // compaction failed: the log is left alone
	retainAtMs  int64 // when retention has something to do at the earliest
}

// load makes the state from the newest image and the log. r is locked. It sets r.gone where the image does not give the partition to
// this broker.
func (r *replica) load() protocol.Code {
	m := r.m
	img := m.image.Load()
	t := img.TopicByID(r.id.Topic)
	meta := t.Partition(r.id.Partition)
	if meta == nil || m.closed.Load() {
		m.forget(r)
		return protocol.UnknownTopicOrPartition
	}
	i := slices.Index(meta.Replicas, m.cfg.NodeID)
	if i < 0 {
		m.forget(r)
		return protocol.NotLeaderOrFollower
	}
	d := m.dirOf(r.name, meta.Directories, i)
	if d == nil || d.offline.Load() {
		return protocol.KafkaStorageError
	}
	if now := m.nowMs(); now-r.brokenMs < brokenFor.Milliseconds() {
		return protocol.KafkaStorageError
	}
	log, err := d.store.Log(r.name)
	if err != nil {
		return r.broken(err)
	}
	topic := m.topic(t)
	log.SetPolicy(topic.policy)
	p := partition.New(r.id, m.cfg.NodeID, log, topic.cfg, m.settings.Load(), m)
	if err = log.Load(); err == nil {
		hw, ok := log.Hint(hwHint)
		if !ok {
			hw = -1
		}
		err = p.Load(hw)
	}
	if err != nil {
		return r.broken(err)
	}
	r.p, r.log, r.topic = p, log, topic
	r.dir.Store(d)
	r.syncing, r.syncUpTo, r.flushArmed, r.saving, r.uncleanable = false, 0, false, false, false
	e := takeEffects()
	r.become(meta.Leader, meta.LeaderEpoch, meta.PartitionEpoch, meta.Replicas, meta.ISR, e)
	// Nobody waits for a partition that was not there, so the effects are only those of its own log.
	r.startSync(e.SyncUpTo)
	putEffects(e)
	return protocol.None
}

// brokenFor is how long a log that could not be loaded is left alone: loading may read all of it.
const brokenFor = 5 * time.Second

// broken remembers that the log could not be loaded. r is locked.
func (r *replica) broken(err error) protocol.Code {
	if !errors.Is(err, wal.ErrOffline) {
		r.brokenMs = r.m.nowMs()
	}
	r.logError("log could not be loaded", err)
	return protocol.KafkaStorageError
}

// become takes the controller's word. r is locked.
func (r *replica) become(leader, leaderEpoch, partitionEpoch int32, replicas, isr []int32, e *partition.Effects) {
	md := partition.Metadata{Leader: leader, LeaderEpoch: leaderEpoch, PartitionEpoch: partitionEpoch, Replicas: replicas, ISR: isr}
	if leader == r.m.cfg.NodeID {
		r.p.BecomeLeader(r.m.nowMs(), &md, e)
	} else {
		r.p.BecomeFollower(&md, e)
	}
}

// fail gives up the state: the directory is offline. It is loaded again when that comes back. r is locked.
func (r *replica) fail(e *partition.Effects) {
	r.offlineHW = r.p.HighWatermark()
	r.p.Fail(protocol.KafkaStorageError, e)
	r.p = nil
}

// unlock lets go of r and carries out the effects.
func (r *replica) unlock(e *partition.Effects) {
	m := r.m
	if e.Policy {
		r.log.SetPolicy(r.topic.policy)
	}
	if e.SyncUpTo > 0 {
		r.startSync(e.SyncUpTo)
	}
	if e.Snapshot && !r.saving && !m.closed.Load() {
		r.saving = true
		m.busy.Add(1)
		go r.saveSnapshot(r.p)
	}
	r.mu.Unlock()
	if e.Alter != nil {
		r.propose(e.Alter)
	}
	finish(e)
}

// finish carries out what needs no lock and no partition.
func finish(e *partition.Effects) {
	for _, w := range e.Wake {
		w.Wake()
	}
	for _, d := range e.Done {
		d.To.Complete(d.Code)
	}
}

// saveSnapshot saves the state of p, if r is still that partition.
func (r *replica) saveSnapshot(p *partition.Partition) {
	defer r.m.busy.Done()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p != p {
		return
	}
	r.saving = false
	if err := p.SaveSnapshot(); err != nil {
		r.logError("producer state was not saved", err)
	}
}

// startSync has the log synced at least up to an offset. One goroutine does it for all that wait: what is appended while it syncs is the next
// group. r is locked.
func (r *replica) startSync(upTo int64) {
	r.syncUpTo = max(r.syncUpTo, upTo)
	if r.syncing || r.log == nil || min(r.syncUpTo, r.log.End()) <= r.log.Synced() || r.m.closed.Load() {
		return
	}
	r.syncing = true
	r.m.busy.Add(1)
	go r.sync(r.p, r.log, min(r.syncUpTo, r.log.End()))
}

// sync syncs the log until all that was asked for is on the disk.
func (r *replica) sync(p *partition.Partition, log Log, upTo int64) {
	m := r.m
	defer m.busy.Done()
	for {
		err := log.Sync(upTo)
		e := takeEffects()
		r.mu.Lock()
		if r.p != p || err != nil {
			if r.p == p {
				r.syncing = false
				if p != nil {
					r.fail(e)
				}
			}
			r.mu.Unlock()
			finish(e)
			putEffects(e)
			if err != nil {
				r.logError("log could not be synced", err)
			}
			return
		}
		p.Synced(m.nowMs(), e)
		upTo = min(r.syncUpTo, log.End()) // a truncation may have taken what was asked for
		more := upTo > log.Synced()
		r.syncing = more
		r.unlock(e)
		putEffects(e)
		if !more {
			return
		}
	}
}

func (r *replica) propose(q *partition.Proposal) {
	m := r.m
	if m.cfg.AlterISR == nil {
		return
	}
	m.cfg.AlterISR(q, func(a *partition.Answer) {
		e := takeEffects()
		r.mu.Lock()
		if r.p == nil {
			r.mu.Unlock()
		} else {
			r.p.AlterAnswered(m.nowMs(), q, a, e)
			r.unlock(e)
		}
		putEffects(e)
	})
}

// fullEvery is how often it is said that a directory has no space left: every append would say it.
const fullEvery = 10 * time.Second

// logError logs a fault of one partition. That a directory is offline was said when it went, that it is full is said now and then.
func (r *replica) logError(what string, err error) {
	if errors.Is(err, wal.ErrOffline) || errors.Is(err, wal.ErrClosed) {
		return
	}
	if d := r.dir.Load(); d != nil && errors.Is(err, syscall.ENOSPC) {
		now, last := r.m.nowMs(), d.fullMs.Load()
		if now-last < fullEvery.Milliseconds() || !d.fullMs.CompareAndSwap(last, now) {
			return
		}
	}
	r.m.log.Error(what, "partition", r.name, "err", err)
}

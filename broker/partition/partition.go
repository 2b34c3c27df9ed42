package partition

import (
	"fmt"

	"weir/config"
	"weir/protocol"
)

// Settings are what partitions need of the broker's configuration. They are shared and never changed.
type Settings struct {
	ReplicaLagMs     int64 // replica.lag.time.max.ms
	ProducerExpireMs int64 // producer.id.expiration.ms; at most 0: never
	SnapshotBytes    int64 // how many bytes are appended between two snapshots; 0: 32 MiB
}

const defaultSnapshotBytes = 32 << 20

// Partition is one partition's replica on this broker. Its methods are steps: they change the state, read and write the log, and add to
// the Effects. One goroutine at a time may call any of them. Now is milliseconds since 1970 wherever it is an argument.
//
// Hard state, a function of the log alone, is epochs and producers; everything else is soft and begins anew after a restart.
type Partition struct {
	hard
	members
	waiters

	id       ID
	topic    *config.Topic
	settings *Settings

	leaderID         int32 // -1: none or not known
	leaderEpoch      int32 // -1: none yet
	partitionEpoch   int32
	leader           bool
	epochStartOffset int64 // leader: the log's end when its epoch began; else -1

	hw     int64
	failed protocol.Code // not None: everything is answered with it
}

// New makes a partition over its log. Load must come next. topic and settings are shared and read-only; brokers may be nil where
// there is no other broker.
func New(id ID, self int32, log Log, topic *config.Topic, settings *Settings, brokers Brokers) *Partition {
	p := &Partition{
		hard: hard{log: log}, members: members{self: self, brokers: brokers}, id: id, topic: topic, settings: settings,
		leaderID: -1, leaderEpoch: -1, partitionEpoch: -1, epochStartOffset: -1,
	}
	p.producers.clear()
	return p
}

// Load rebuilds the hard state from the log: from the newest snapshot and the batch headers after it. hw is the checkpointed high
// watermark, -1 where there is none. Producers that have expired go with the next Tick. An error is the log's; the partition must not be
// used then.
func (p *Partition) Load(hw int64) error {
	if err := p.rebuild(); err != nil {
		return err
	}
	p.hw = min(max(hw, p.log.Start()), p.log.End())
	p.producers.ended.replicated(p.hw)
	return nil
}

// Leader returns the leader that is known here (-1: none) and its epoch.
func (p *Partition) Leader() (id, epoch int32) { return p.leaderID, p.leaderEpoch }

// HighWatermark is the offset up to which all in-sync replicas have the log.
func (p *Partition) HighWatermark() int64 { return p.hw }

// LastStable is the offset up to which readers of committed transactions may read.
func (p *Partition) LastStable() int64 {
	if u := p.producers.firstUnstable(); u >= 0 && u < p.hw {
		return max(u, p.log.Start())
	}
	return p.hw
}

// Replicas is how many replicas the leader counts, itself included; 0 on a follower.
func (p *Partition) Replicas() int {
	if !p.leader {
		return 0
	}
	return len(p.followers) + 1
}

// Configure puts another configuration of the topic, and other settings, in force.
func (p *Partition) Configure(nowMs int64, t *config.Topic, s *Settings, e *Effects) {
	p.settings = s
	if p.topic == t {
		return
	}
	if old := p.topic; old.SegmentBytes != t.SegmentBytes || old.SegmentMs != t.SegmentMs || old.SegmentJitterMs != t.SegmentJitterMs ||
		old.CleanupCompact != t.CleanupCompact || old.MaxCompactionLagMs != t.MaxCompactionLagMs {
		e.Policy = true
	}
	p.topic = t
	p.wantSync(e)
	p.advance(nowMs, e)
}

// Tick expires producers and finds followers that lag. It is due every few minutes, and on leaders with followers every half of
// replica.lag.time.max.ms.
func (p *Partition) Tick(nowMs int64, e *Effects) {
	if p.failed != protocol.None {
		return
	}
	if ms := p.settings.ProducerExpireMs; ms > 0 {
		p.producers.expire(nowMs, ms)
	}
	p.maybeShrink(nowMs, e)
	p.advance(nowMs, e)
}

// Fail answers everybody who waits, and from now on everybody who asks, with code: the log directory is offline. A partition that comes
// back is a new one.
func (p *Partition) Fail(code protocol.Code, e *Effects) {
	p.failed = code
	p.failAll(code, e)
	p.wakeAll(e)
}

// Stop ends the partition: its topic is deleted or this broker is not one of its replicas any more.
func (p *Partition) Stop(code protocol.Code, e *Effects) {
	p.leader, p.followers, p.epochStartOffset = false, nil, -1
	p.Fail(code, e)
}

// String is for messages.
func (p *Partition) String() string {
	return fmt.Sprintf("%v-%d leader %d epoch %d.%d log %d..%d hw %d", p.id.Topic, p.id.Partition,
		p.leaderID, p.leaderEpoch, p.partitionEpoch, p.log.Start(), p.log.End(), p.hw)
}

package partition

import "weir/protocol"

// ownEnd is how far this replica's own log counts for the high watermark: with flush.messages=1 only what is on the disk.
func (p *Partition) ownEnd() int64 {
	if p.topic.FlushMessages == 1 {
		return p.log.Synced()
	}
	return p.log.End()
}

// advance moves the leader's high watermark as far as the in-sync replicas allow, and completes what waited for it.
func (p *Partition) advance(nowMs int64, e *Effects) {
	if !p.leader {
		return
	}
	need := p.minISR()
	if len(p.isr.isr) >= need {
		if hw := p.replicated(p.ownEnd(), p.log.End(), nowMs, p.settings.ReplicaLagMs); hw > p.hw {
			p.setHW(hw, e)
		}
	}
	p.completeProduces(p.hw, p.log.Synced(), p.isr.maximal() >= need, e)
}

func (p *Partition) setHW(hw int64, e *Effects) {
	if hw == p.hw {
		return
	}
	p.hw = hw
	p.producers.ended.replicated(hw)
	e.HWMoved = true
	p.wakeReaders(p.limits(), e)
}

// wantSync asks for a sync where flush.messages says so, and returns whether the newest append has to wait for it.
func (p *Partition) wantSync(e *Effects) bool {
	end := p.log.End()
	if end-p.log.Synced() < p.topic.FlushMessages {
		return false
	}
	e.SyncUpTo = end
	return true
}

// Synced is the step after a sync of the log: what waited for the disk goes on. Where the sync failed the log is offline, which is
// Fail.
func (p *Partition) Synced(nowMs int64, e *Effects) {
	if p.failed == protocol.None {
		p.advance(nowMs, e)
	}
}

// Retained is the step after the log start has moved forward, by retention or by DeleteRecords.
func (p *Partition) Retained(e *Effects) {
	start := p.log.Start()
	p.dirty = true
	p.epochs.truncateFromStart(start)
	if p.hw < start {
		p.setHW(start, e)
	}
	p.completeDeletes(p.lowest(start), e)
}

// limits are where readers have to stop, by isolation level.
type limits [3]int64

// at is the limit of an isolation level, which may be any number that a request had: Kafka takes what is not 1 for READ_UNCOMMITTED.
func (l limits) at(i Isolation) int64 {
	if i < 0 || int(i) >= len(l) {
		i = ReadUncommitted
	}
	return l[i]
}

func (p *Partition) limits() limits {
	return limits{ReadUncommitted: p.hw, ReadCommitted: p.LastStable(), ReadToEnd: p.log.End()}
}

// minISR is min.insync.replicas as far as there are that many replicas.
func (p *Partition) minISR() int { return min(int(p.topic.MinInsyncReplicas), len(p.followers)+1) }

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
	p.moveHW(nowMs, e)
	p.completeProduces(e)
}

func (p *Partition) moveHW(nowMs int64, e *Effects) {
	if len(p.isr.isr) < p.minISR() {
		return
	}
	hw := p.ownEnd()
	end := p.log.End()
	for i := range p.followers {
		f := &p.followers[i]
		// A replica that is about to join counts too, or a busy leader would leave it behind for ever.
		if f.end < hw && (p.isr.inMaximal(f.id) || (f.caughtUp(end, nowMs, p.settings.ReplicaLagMs) && p.eligible(f))) {
			hw = f.end
		}
	}
	if hw > p.hw {
		p.setHW(hw, e)
	}
}

func (p *Partition) setHW(hw int64, e *Effects) {
	if hw == p.hw {
		return
	}
	p.hw = hw
	e.HWMoved = true
	p.wakeReaders(e)
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
		p.completeProduces(e)
	}
}

// lowWatermark is the smallest log start of this and all live replicas.
func (p *Partition) lowWatermark() int64 {
	low := p.log.Start()
	for i := range p.followers {
		if f := &p.followers[i]; f.start < low {
			if _, alive, _ := p.broker(f.id); alive {
				low = f.start
			}
		}
	}
	return low
}

// startMoved follows a log start that has moved forward, by DeleteRecords or by retention.
func (p *Partition) startMoved(e *Effects) {
	p.dirty = true
	p.epochs.truncateFromStart(p.log.Start())
	if p.hw < p.log.Start() {
		p.setHW(p.log.Start(), e)
	}
	p.completeDeletes(e)
}

// Retained is the step after retention has removed data from the log's start.
func (p *Partition) Retained(e *Effects) { p.startMoved(e) }

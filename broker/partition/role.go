package partition

import (
	"slices"

	"weir/protocol"
)

// Metadata is what the controller says of a partition. Slices are shared and read-only.
type Metadata struct {
	Leader         int32
	LeaderEpoch    int32
	PartitionEpoch int32
	Replicas, ISR  []int32
}

// BecomeLeader makes this replica the leader of m.LeaderEpoch, or tells the leader of newer metadata. Older metadata is ignored.
// Nobody must append as a follower any more.
func (p *Partition) BecomeLeader(nowMs int64, m *Metadata, e *Effects) {
	if m.PartitionEpoch < p.partitionEpoch || p.failed != protocol.None {
		return
	}
	newEpoch, newLeader := m.LeaderEpoch > p.leaderEpoch, !p.leader
	p.isr.commit(m.ISR)
	p.assign(m.Replicas)
	if newEpoch || newLeader {
		end := p.log.End()
		p.epochStartOffset = end
		p.epochs.assign(m.LeaderEpoch, end)
		for i := range p.followers {
			p.followers[i].leaderChanged(nowMs, end, newLeader, slices.Contains(m.ISR, p.followers[i].id))
		}
	}
	p.leader, p.leaderID = true, p.self
	p.leaderEpoch, p.partitionEpoch = m.LeaderEpoch, m.PartitionEpoch
	p.wantSync(e)
	p.advance(nowMs, e)
	if newEpoch || newLeader {
		p.wakeAll(e)
	}
}

// BecomeFollower makes this replica a follower of m.Leader, which may be -1. newEpoch says that fetching must begin anew, even from the
// same leader. Older metadata is ignored.
func (p *Partition) BecomeFollower(m *Metadata, e *Effects) (newEpoch bool) {
	if m.PartitionEpoch < p.partitionEpoch || p.failed != protocol.None {
		return false
	}
	newEpoch = m.LeaderEpoch > p.leaderEpoch
	changed := newEpoch || p.leader || p.leaderID != m.Leader
	p.leader, p.leaderID, p.epochStartOffset = false, m.Leader, -1
	p.leaderEpoch, p.partitionEpoch = m.LeaderEpoch, m.PartitionEpoch
	p.followers = nil
	p.isr = isrState{}
	if changed {
		p.failAll(protocol.NotLeaderOrFollower, e)
		p.wakeAll(e)
	}
	return newEpoch
}

// check is what Fetch, ListOffsets and OffsetForLeaderEpoch begin with: it compares the leader epoch that a client knows (-1: none) with
// that of this replica.
func (p *Partition) check(epoch int32, onlyLeader bool) protocol.Code {
	switch {
	case p.failed != protocol.None:
		return p.failed
	case epoch != -1 && epoch < p.leaderEpoch:
		return protocol.FencedLeaderEpoch
	case epoch > p.leaderEpoch:
		return protocol.UnknownLeaderEpoch
	case onlyLeader && !p.leader:
		return protocol.NotLeaderOrFollower
	}
	return protocol.None
}

package partition

import "weir/protocol"

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
	p.setFollowers(m.Replicas)
	if newEpoch || newLeader {
		end := p.log.End()
		p.epochStartOffset = end
		p.epochs.assign(m.LeaderEpoch, end)
		for i := range p.followers {
			p.followers[i].leaderChanged(nowMs, end, newLeader, contains(m.ISR, p.followers[i].id))
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
		p.failWaiters(protocol.NotLeaderOrFollower, e)
		p.wakeAll(e)
	}
	return newEpoch
}

// setFollowers drops followers that are no replicas any more and adds new ones, of which nothing is known.
func (p *Partition) setFollowers(replicas []int32) {
	kept := p.followers[:0]
	for _, f := range p.followers {
		if contains(replicas, f.id) {
			kept = append(kept, f)
		}
	}
	p.followers = kept
	for _, id := range replicas {
		if id != p.self && p.follower(id) == nil {
			p.followers = append(p.followers, follower{id: id, end: unknown, start: unknown, brokerEpoch: epochUnknown})
		}
	}
}

func contains(ids []int32, id int32) bool {
	for _, x := range ids {
		if x == id {
			return true
		}
	}
	return false
}

// checkEpoch compares the leader epoch that a client knows (-1: none) with that of this replica.
func (p *Partition) checkEpoch(epoch int32) protocol.Code {
	switch {
	case p.failed != protocol.None:
		return p.failed
	case epoch < 0 || epoch == p.leaderEpoch:
		return protocol.None
	case epoch < p.leaderEpoch:
		return protocol.FencedLeaderEpoch
	}
	return protocol.UnknownLeaderEpoch
}

// check is what Fetch, ListOffsets and OffsetForLeaderEpoch begin with.
func (p *Partition) check(epoch int32, onlyLeader bool) protocol.Code {
	if c := p.checkEpoch(epoch); c != protocol.None {
		return c
	}
	if onlyLeader && !p.leader {
		return protocol.NotLeaderOrFollower
	}
	return protocol.None
}

package partition

import (
	"slices"

	"weir/protocol"
)

const (
	unknown      = -1
	epochUnknown = -2 // no broker epoch was seen yet; -1 is a follower that does not send one
)

// follower is what the leader knows of another replica.
type follower struct {
	id          int32
	start, end  int64 // its log start and end, -1: unknown
	leaderEnd   int64 // the leader's end when it last fetched
	fetchMs     int64 // when that was
	caughtUpMs  int64 // when it last had everything
	brokerEpoch int64
}

// leaderChanged prepares for a new leader epoch.
func (f *follower) leaderChanged(nowMs, leaderEnd int64, newLeader, inSync bool) {
	at := int64(0)
	if inSync {
		at = nowMs
	}
	f.caughtUpMs = at
	if newLeader {
		*f = follower{id: f.id, start: unknown, end: unknown, caughtUpMs: at, brokerEpoch: epochUnknown}
		return
	}
	f.leaderEnd, f.fetchMs = leaderEnd, at
}

func (f *follower) caughtUp(leaderEnd, nowMs, lagMs int64) bool {
	return f.end == leaderEnd || nowMs-f.caughtUpMs <= lagMs
}

// members are the replicas as the leader sees them.
type members struct {
	self      int32
	brokers   Brokers
	isr       isrState
	followers []follower // the other replicas; none on a follower
}

// assign drops followers that are no replicas any more and adds new ones, of which nothing is known.
func (m *members) assign(replicas []int32) {
	kept := m.followers[:0]
	for _, f := range m.followers {
		if slices.Contains(replicas, f.id) {
			kept = append(kept, f)
		}
	}
	m.followers = kept
	for _, id := range replicas {
		if id != m.self && m.follower(id) == nil {
			m.followers = append(m.followers, follower{id: id, end: unknown, start: unknown, brokerEpoch: epochUnknown})
		}
	}
}

func (m *members) follower(id int32) *follower {
	for i := range m.followers {
		if m.followers[i].id == id {
			return &m.followers[i]
		}
	}
	return nil
}

func (m *members) broker(id int32) (epoch int64, alive, eligible bool) {
	if m.brokers == nil {
		return -1, true, true
	}
	return m.brokers.Broker(id)
}

// eligible says whether the follower may join the in-sync replicas: it is up, and it fetched in its present incarnation.
func (m *members) eligible(f *follower) bool {
	epoch, _, ok := m.broker(f.id)
	return ok && f.brokerEpoch != epochUnknown && (f.brokerEpoch == -1 || f.brokerEpoch == epoch)
}

// replicated is how far the replicas that count have the log, own being how far this one's own counts.
func (m *members) replicated(own, end, nowMs, lagMs int64) int64 {
	for i := range m.followers {
		f := &m.followers[i]
		// A replica that is about to join counts too, or a busy leader would leave it behind for ever.
		if f.end < own && (m.isr.inMaximal(f.id) || (f.caughtUp(end, nowMs, lagMs) && m.eligible(f))) {
			own = f.end
		}
	}
	return own
}

// lowest is the smallest log start of the live followers and own.
func (m *members) lowest(own int64) int64 {
	for i := range m.followers {
		if f := &m.followers[i]; f.start < own {
			if _, alive, _ := m.broker(f.id); alive {
				own = f.start
			}
		}
	}
	return own
}

// withEpochs are the replicas with the epochs that their brokers fetched with.
func (m *members) withEpochs(ids []int32) []Member {
	out := make([]Member, len(ids))
	for i, id := range ids {
		out[i] = Member{ID: id, Epoch: -1}
		if id == m.self {
			out[i].Epoch, _, _ = m.broker(id)
		} else if f := m.follower(id); f != nil && f.brokerEpoch != epochUnknown {
			out[i].Epoch = f.brokerEpoch
		}
	}
	return out
}

// isrChange is what is proposed to the controller.
type isrChange int8

const (
	committed isrChange = iota
	expanding
	shrinking
)

// isrState is the in-sync replicas as the controller has committed them, and the one change that is under way. Until the answer
// is known both outcomes are possible, so the high watermark waits for the larger set: for a joining replica, which may be committed
// already, and for leaving ones, which may not be (KIP-497).
type isrState struct {
	isr      []int32 // committed
	change   isrChange
	joining  int32
	proposal *Proposal
}

func (s *isrState) commit(isr []int32) { *s = isrState{isr: isr} }

func (s *isrState) inMaximal(id int32) bool {
	return slices.Contains(s.isr, id) || (s.change == expanding && s.joining == id)
}

func (s *isrState) maximal() int {
	if s.change == expanding {
		return len(s.isr) + 1
	}
	return len(s.isr)
}

// updateFollower notes that the follower fetched from offset, which says that it has everything below. leaderEnd is the end of
// the leader's log when it was read for it.
func (p *Partition) updateFollower(nowMs int64, f *follower, q *ReadRequest, leaderEnd int64, e *Effects) protocol.Code {
	if epoch, _, _ := p.broker(f.id); q.ReplicaEpoch != -1 && epoch > q.ReplicaEpoch {
		return protocol.NotLeaderOrFollower // an earlier incarnation of that broker
	}
	switch {
	case q.Offset >= leaderEnd:
		f.caughtUpMs = max(f.caughtUpMs, nowMs)
	case q.Offset >= f.leaderEnd:
		f.caughtUpMs = max(f.caughtUpMs, f.fetchMs)
	}
	moved := f.end != q.Offset
	f.start, f.end, f.brokerEpoch = q.ReplicaLogStart, q.Offset, q.ReplicaEpoch
	f.leaderEnd, f.fetchMs = max(leaderEnd, f.leaderEnd), nowMs
	p.maybeExpand(f, e)
	if moved {
		p.advance(nowMs, e)
	}
	p.completeDeletes(p.lowest(p.log.Start()), e)
	return protocol.None
}

func (p *Partition) maybeExpand(f *follower, e *Effects) {
	if p.isr.change != committed || slices.Contains(p.isr.isr, f.id) || f.end < p.hw || f.end < p.epochStartOffset || !p.eligible(f) {
		return
	}
	p.isr.change, p.isr.joining = expanding, f.id
	p.propose(append(append(make([]int32, 0, len(p.isr.isr)+1), p.isr.isr...), f.id), e)
}

func (p *Partition) maybeShrink(nowMs int64, e *Effects) {
	if !p.leader || p.isr.change != committed {
		return
	}
	end := p.log.End()
	kept := make([]int32, 0, len(p.isr.isr))
	for _, id := range p.isr.isr {
		if f := p.follower(id); id == p.self || (f != nil && f.caughtUp(end, nowMs, p.settings.ReplicaLagMs)) {
			kept = append(kept, id)
		}
	}
	if len(kept) < len(p.isr.isr) {
		p.isr.change = shrinking
		p.propose(kept, e)
	}
}

func (p *Partition) propose(isr []int32, e *Effects) {
	p.isr.proposal = &Proposal{ID: p.id, LeaderEpoch: p.leaderEpoch, PartitionEpoch: p.partitionEpoch, ISR: p.withEpochs(isr)}
	e.Alter = p.isr.proposal
}

// AlterAnswered takes the controller's answer to the proposal q. An answer to another one than that which is under way is late and
// ignored.
func (p *Partition) AlterAnswered(nowMs int64, q *Proposal, a *Answer, e *Effects) {
	if !p.leader || p.isr.change == committed || p.isr.proposal != q {
		return
	}
	switch a.Code {
	case protocol.None:
		if a.LeaderEpoch != p.leaderEpoch || a.PartitionEpoch < p.partitionEpoch {
			return // newer metadata is on its way
		}
		p.isr.commit(a.ISR)
		p.partitionEpoch = a.PartitionEpoch
		p.advance(nowMs, e)
	case protocol.IneligibleReplica, protocol.OperationNotAttempted:
		p.isr.commit(p.isr.isr)
		p.advance(nowMs, e)
	case protocol.UnknownTopicOrPartition, protocol.UnknownTopicID, protocol.FencedLeaderEpoch, protocol.InvalidUpdateVersion,
		protocol.InvalidRequest, protocol.NewLeaderElected:
		// It will never be accepted, and whether an earlier try was is not known: the next metadata says.
	default:
		e.Alter = q
	}
}

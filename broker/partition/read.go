package partition

import (
	"slices"

	"weir/protocol"
)

// ReadPlan says what to read for a Fetch, or why not.
type ReadPlan struct {
	Code          protocol.Code
	From, Limit   int64 // read whole batches from From up to Limit; nothing where From >= Limit
	HighWatermark int64 // these three as they were before the read; -1 with an error
	LastStable    int64
	LogStart      int64
	Diverging     EpochEnd // Epoch -1: none; else nothing is to be read
	Preferred     int32    // the replica to read from instead, and nothing is to be read here; -1: none
	LeaderID      int32    // with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH: the leader known here, else -1 (KIP-951)
	LeaderEpoch   int32
	InSync        bool // the reader is a follower that is in sync
}

// PlanRead decides what a Fetch may read, and takes what a follower's Fetch says of the follower.
func (p *Partition) PlanRead(nowMs int64, q *ReadRequest, r *ReadPlan, e *Effects) {
	*r = ReadPlan{HighWatermark: -1, LastStable: -1, LogStart: -1, Diverging: undefinedEnd, Preferred: -1, LeaderID: -1, LeaderEpoch: -1}
	if r.Code = p.planRead(nowMs, q, r, e); r.Code == protocol.None {
		return
	}
	*r = ReadPlan{Code: r.Code, HighWatermark: -1, LastStable: -1, LogStart: -1, Diverging: undefinedEnd, Preferred: -1, LeaderID: -1, LeaderEpoch: -1}
	if r.Code == protocol.NotLeaderOrFollower || r.Code == protocol.FencedLeaderEpoch {
		r.LeaderID, r.LeaderEpoch = p.leaderID, p.leaderEpoch
	}
}

func (p *Partition) planRead(nowMs int64, q *ReadRequest, r *ReadPlan, e *Effects) protocol.Code {
	if c := p.check(q.LeaderEpoch, q.OnlyLeader || q.ReplicaID >= 0); c != protocol.None {
		return c
	}
	var f *follower
	if q.ReplicaID >= 0 {
		if f = p.follower(q.ReplicaID); f == nil {
			if q.LeaderEpoch >= 0 {
				return protocol.UnknownLeaderEpoch // a reassignment has added it, and it heard of that first: it shall try again
			}
			return protocol.NotLeaderOrFollower
		}
	}
	start, end := p.log.Start(), p.log.End()
	r.HighWatermark, r.LastStable, r.LogStart = p.hw, p.LastStable(), start
	if p.leader && f == nil && len(q.Near) > 0 {
		if r.Preferred = p.nearest(q); r.Preferred >= 0 {
			return protocol.None
		}
	}
	if q.LastFetchedEpoch >= 0 {
		d := p.epochs.endOffsetFor(q.LastFetchedEpoch, end)
		if d.Epoch < 0 || d.End < 0 || q.Offset < start {
			return protocol.OffsetOutOfRange
		}
		if d.Epoch < q.LastFetchedEpoch || d.End < q.Offset {
			r.Diverging = d
			return protocol.None
		}
	}
	if q.Offset < start || q.Offset > end {
		return protocol.OffsetOutOfRange
	}
	r.From, r.Limit = q.Offset, p.limits().at(q.Isolation)
	if f != nil {
		r.Limit, r.InSync = end, slices.Contains(p.isr.isr, f.id)
		if !q.FromWait {
			return p.updateFollower(nowMs, f, q, end, e)
		}
	}
	return protocol.None
}

// nearest is the replica that a consumer should read from rather than from this leader, -1: none. It is one that is near, in sync and has the
// offset; of several, the one that has most, and was last known to have all: Kafka's RackAwareReplicaSelector.
func (m *members) nearest(q *ReadRequest) int32 {
	if slices.Contains(q.Near, m.self) {
		return -1
	}
	var best *follower
	for i := range m.followers {
		f := &m.followers[i]
		if !slices.Contains(q.Near, f.id) || !slices.Contains(m.isr.isr, f.id) || f.end < q.Offset || f.start > q.Offset {
			continue
		}
		if best == nil || f.end > best.end || f.end == best.end && f.caughtUpMs > best.caughtUpMs {
			best = f
		}
	}
	if best == nil {
		return -1
	}
	return best.id
}

// Readable is how far a Fetch at offset could read; ok is false where PlanRead would give an error: followers read from leaders only,
// consumers from any replica of a partition that has a leader.
func (p *Partition) Readable(offset int64, i Isolation) (limit int64, ok bool) {
	if p.failed != protocol.None || offset < p.log.Start() || offset > p.log.End() {
		return 0, false
	}
	if !p.leader && (i == ReadToEnd || p.leaderID < 0) {
		return 0, false
	}
	return p.limits().at(i), true
}

// EpochEnd answers OffsetForLeaderEpoch: where the largest epoch that is not above epoch ends.
func (p *Partition) EpochEnd(currentLeaderEpoch, epoch int32) (EpochEnd, protocol.Code) {
	if c := p.check(currentLeaderEpoch, true); c != protocol.None {
		return undefinedEnd, c
	}
	return p.epochs.endOffsetFor(epoch, p.log.End()), protocol.None
}

// OffsetBound is what ListOffsets needs to know before it looks into the log.
type OffsetBound struct {
	Code     protocol.Code
	Limit    int64 // offsets at or above it are not shown
	LogStart int64
	// Lagging is set while the high watermark of a new leader has not reached the start of its epoch: an offset at or above Limit, and
	// none at all, is then OFFSET_NOT_AVAILABLE.
	Lagging                  bool
	leaderEpoch, oldestEpoch int32
}

// ListBound begins a ListOffsets. With ReadToEnd the asker is a replica, to whom all is shown.
func (p *Partition) ListBound(i Isolation, leaderEpoch int32, onlyLeader bool) OffsetBound {
	if c := p.check(leaderEpoch, onlyLeader); c != protocol.None {
		return OffsetBound{Code: c, Limit: -1, LogStart: -1}
	}
	start := p.log.Start()
	return OffsetBound{
		Limit:       p.limits().at(i),
		LogStart:    start,
		Lagging:     i != ReadToEnd && p.epochStartOffset > p.hw,
		leaderEpoch: p.leaderEpoch,
		oldestEpoch: p.epochs.epochOf(start),
	}
}

// Latest answers ListOffsets -1.
func (b OffsetBound) Latest() OffsetResult {
	if b.Lagging {
		return OffsetResult{Code: protocol.OffsetNotAvailable, Offset: -1, TimestampMs: -1, LeaderEpoch: -1}
	}
	return OffsetResult{Offset: b.Limit, TimestampMs: -1, LeaderEpoch: b.leaderEpoch}
}

// Earliest answers ListOffsets -2, and -4 as there is no other storage than the local.
func (b OffsetBound) Earliest() OffsetResult {
	return OffsetResult{Offset: b.LogStart, TimestampMs: -1, LeaderEpoch: b.oldestEpoch}
}

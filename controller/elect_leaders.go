package controller

import (
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/protocol"
)

// The election types of ElectLeaders.
const (
	preferredElection = 0
	uncleanElection   = 1
)

// electLeaders decides ElectLeaders (KIP-183, KIP-460).
func (c *Controller) electLeaders(in Input, q *kmsg.ElectLeadersRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.ElectLeadersResponse)
	kind := electPreferred
	switch q.ElectionType {
	case preferredElection:
	case uncleanElection:
		kind = electUnclean
	default:
		r.ErrorCode = int16(protocol.InvalidRequest)
		return r, nil
	}
	var records []Record
	base := c.topicDefaults(in.Image)
	elect := func(a *kmsg.ElectLeadersResponseTopic, t *Topic, id int32, all bool) {
		rec, o := electOne(in.Image, base, t, a.Topic, id, kind)
		if rec != nil {
			records = append(records, rec)
		}
		if all && o.code == protocol.ElectionNotNeeded {
			return // of all partitions only those are told that are otherwise
		}
		p := kmsg.NewElectLeadersResponseTopicPartition()
		p.Partition, p.ErrorCode, p.ErrorMessage = id, int16(o.code), o.text()
		a.Partitions = append(a.Partitions, p)
	}
	if q.Topics == nil {
		for t := range in.Image.Topics() {
			a := kmsg.NewElectLeadersResponseTopic()
			a.Topic = t.Name
			for id := range t.Partitions {
				elect(&a, t, int32(id), true)
			}
			r.Topics = append(r.Topics, a)
		}
	}
	for i := range q.Topics {
		a := kmsg.NewElectLeadersResponseTopic()
		a.Topic = clone(q.Topics[i].Topic)
		for _, id := range q.Topics[i].Partitions {
			elect(&a, in.Image.Topic(a.Topic), id, false)
		}
		r.Topics = append(r.Topics, a)
	}
	if len(records) > MaxRecordsPerUserOp {
		r.ErrorCode, r.Topics = int16(tooManyRecords.code), nil
		return r, nil
	}
	return r, records
}

func electOne(m *Image, base *config.Topic, t *Topic, name string, id int32, kind election) (*PartitionChangeRecord, outcome) {
	p := t.Partition(id)
	switch {
	case t == nil:
		return nil, outcome{protocol.UnknownTopicOrPartition, "No such topic as " + name}
	case p == nil:
		return nil, outcome{protocol.UnknownTopicOrPartition, "No such partition as " + name + "-" + decimal(id)}
	case kind == electPreferred && p.hasPreferredLeader(), kind == electUnclean && p.Leader != noLeader:
		return nil, outcome{protocol.ElectionNotNeeded, protocol.ElectionNotNeeded.Message()}
	}
	change := changeOf(m, t, id)
	change.election, change.minISR = kind, minISROf(m, t, base)
	rec := change.build()
	if rec != nil {
		return rec, outcome{}
	}
	code := protocol.PreferredLeaderNotAvailable
	if kind == electUnclean {
		code = protocol.EligibleLeadersNotAvailable
	}
	return nil, outcome{code, code.Message()}
}

func (p *Partition) hasPreferredLeader() bool {
	return len(p.Replicas) > 0 && p.Leader == p.Replicas[0]
}

// maxElections is how many leaders one round of upkeep changes: what is left follows at once, and users' requests get in between.
const maxElections = 1000

// upkeep is what the controller looks after from time to time: that partitions are led by their preferred replica
// (auto.leader.rebalance.enable), and that those without a leader get one where records may be lost for it.
type upkeep struct {
	balanceMs int64 // when it is due, 0: not said yet
	uncleanMs int64
}

// electUncleanSoon has leaderless partitions looked at by the next Tick: somebody may have allowed unclean elections.
func (c *Controller) electUncleanSoon() { c.upkeep.uncleanMs = 1 }

// plan says when the next rounds are. There is nothing to look after where there is only one broker.
func (c *Controller) plan(m *Image, nowMs int64) {
	u := &c.upkeep
	if len(m.brokers) < 2 {
		*u = upkeep{}
		return
	}
	if u.balanceMs == 0 {
		u.balanceMs = nowMs + c.balanceEveryMs(m)
	}
	if u.uncleanMs == 0 {
		u.uncleanMs = nowMs + c.layers(m, nil).Int64("unclean.leader.election.interval.ms")
	}
}

func (c *Controller) balanceEveryMs(m *Image) int64 {
	return c.layers(m, nil).Int64("leader.imbalance.check.interval.seconds") * 1000
}

// nextMs is when the next round is due.
func (u *upkeep) nextMs() int64 {
	next := int64(math.MaxInt64)
	if u.balanceMs != 0 {
		next = u.balanceMs
	}
	if u.uncleanMs != 0 {
		next = min(next, u.uncleanMs)
	}
	return next
}

// lookAfter does a round that is due. What is due was planned by track.
func (c *Controller) lookAfter(in Input) []Record {
	u := &c.upkeep
	switch {
	case u.uncleanMs != 0 && in.NowMs >= u.uncleanMs:
		u.uncleanMs = in.NowMs + c.layers(in.Image, nil).Int64("unclean.leader.election.interval.ms")
		records := c.electEverywhere(in.Image, electUnclean, leaderless)
		if len(records) >= maxElections {
			u.uncleanMs = in.NowMs
		}
		return records
	case u.balanceMs != 0 && in.NowMs >= u.balanceMs:
		u.balanceMs = in.NowMs + c.balanceEveryMs(in.Image)
		if !c.layers(in.Image, nil).Bool("auto.leader.rebalance.enable") {
			return nil
		}
		records := c.electEverywhere(in.Image, electPreferred, func(p *Partition) bool { return !p.hasPreferredLeader() })
		if len(records) >= maxElections {
			u.balanceMs = in.NowMs
		}
		return records
	}
	return nil
}

// electEverywhere elects leaders for partitions that which picks, at most maxElections of them.
func (c *Controller) electEverywhere(m *Image, kind election, which func(*Partition) bool) []Record {
	base := c.topicDefaults(m)
	var records []Record
	for t := range m.Topics() {
		if !slices.ContainsFunc(t.Partitions, which) || kind == electUnclean && electionOf(m, t, base) != electUnclean {
			continue
		}
		for id, p := range t.Partitions {
			if !which(p) {
				continue
			}
			change := changeOf(m, t, int32(id))
			change.election, change.minISR = kind, minISROf(m, t, base)
			if rec := change.build(); rec != nil {
				records = append(records, rec)
			}
			if len(records) >= maxElections {
				return records
			}
		}
	}
	return records
}

package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// maxSweep is how many bytes of records an operation over all groups makes before it lets others have their turn: well below
// max.message.bytes, for the records of one operation are one batch.
const maxSweep = 256 << 10

// OffsetDelete (47): the reply is a *kmsg.OffsetDeleteResponse.
func (m *Machine) OffsetDelete(now int64, t coordinator.Token, r *kmsg.OffsetDeleteRequest) coordinator.Effects {
	s := m.begin(now)
	resp := kmsg.NewPtrOffsetDeleteResponse()
	resp.Version = r.Version
	s.reply(t, resp)
	g := m.groups[r.Group]
	if g == nil {
		resp.ErrorCode = int16(protocol.GroupIDNotFound)
		return s.e
	}
	s.keep(g)
	p := g.protocol()
	if code := p.checkDelete(); code != protocol.None {
		resp.ErrorCode = int16(code)
		return s.e
	}
	for _, topic := range r.Topics {
		out := kmsg.OffsetDeleteResponseTopic{Topic: topic.Topic}
		subscribed := p.subscribed(topic.Topic)
		for _, part := range topic.Partitions {
			answer := kmsg.OffsetDeleteResponseTopicPartition{Partition: part.Partition}
			if subscribed {
				answer.ErrorCode = int16(protocol.GroupSubscribedToTopic)
			} else if g.offsets.has(topic.Topic, part.Partition) {
				s.removeOffset(g.id, topic.Topic, part.Partition)
			}
			out.Partitions = append(out.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return s.e
}

// has says whether there is an offset to delete: a committed one, or one of a transaction that has not ended.
func (o *offsets) has(topic string, partition int32) bool {
	return o.get(topic, partition) != nil || len(o.open[openKey{topic, partition}]) > 0
}

// keep gives a group that has offsets alone its empty classic group, so that it outlives them: it goes when it expires or is deleted.
func (s *step) keep(g *group) {
	if g.protocol() == nil {
		g.classic = newClassicGroup(g.id, s.now)
	}
}

// deleteAllOffsets writes the tombstones of all that a group committed.
func (s *step) deleteAllOffsets(g *group) {
	for i := range g.offsets.topics {
		t := &g.offsets.topics[i]
		for j := range t.parts {
			s.removeOffset(g.id, t.name.name, t.parts[j].partition)
		}
	}
	for _, k := range g.offsets.openKeys() {
		if g.offsets.get(k.topic, k.partition) == nil {
			s.removeOffset(g.id, k.topic, k.partition)
		}
	}
}

// DeletedTopic is a topic that is no more.
type DeletedTopic struct {
	Name string
	ID   protocol.UUID
}

// DeleteTopicOffsets forgets what groups committed for topics that were deleted.
func (m *Machine) DeleteTopicOffsets(now int64, topics []DeletedTopic) coordinator.Effects {
	s := m.begin(now)
	m.deleted = append(m.deleted, deletedTopics{topics: slices.Clone(topics)})
	s.sweepDeleted()
	return s.e
}

// deletedTopics are topics whose offsets are being forgotten, group by group: from is the first group to look at.
type deletedTopics struct {
	topics []DeletedTopic
	from   string
}

// sweepDeleted goes on with the deleted topics, as far as one operation may.
func (s *step) sweepDeleted() {
	for len(s.m.deleted) > 0 {
		d := &s.m.deleted[0]
		for _, id := range s.m.ids() {
			if id < d.from {
				continue
			}
			if !s.forgetTopics(s.m.groups[id], d.topics) {
				d.from = id
				s.arm(timer(timerDeleted, "", ""), s.now)
				return
			}
		}
		s.m.deleted = s.m.deleted[1:]
	}
	s.m.deleted = nil
}

// forgetTopics says whether it came to the end of the group.
func (s *step) forgetTopics(g *group, topics []DeletedTopic) bool {
	for _, t := range topics {
		if i, ok := g.offsets.find([]byte(t.Name)); ok {
			s.keep(g)
			for j := range g.offsets.topics[i].parts {
				if len(s.buf) > maxSweep {
					return false
				}
				if c := &g.offsets.topics[i].parts[j]; t.has(c.topicID) {
					s.removeOffset(g.id, t.Name, c.partition)
				}
			}
		}
		for _, k := range g.offsets.openKeys() {
			if k.topic != t.Name || g.offsets.get(k.topic, k.partition) != nil {
				continue
			}
			for _, producer := range g.offsets.open[k] {
				if t.has(s.m.pending[producer][pendingKey{g.id, k}].topicID) {
					s.removeOffset(g.id, t.Name, k.partition)
					break
				}
			}
		}
	}
	return true
}

// has says whether an offset that was committed with that topic id is of this topic: those of old clients have none.
func (t *DeletedTopic) has(id protocol.UUID) bool { return id == protocol.UUID{} || id == t.ID }

// expire forgets the offsets whose time has come, and the groups that have nothing left: every offsets.retention.check.interval.ms.
func (s *step) expire() {
	for _, id := range s.m.ids() {
		if id < s.m.expireFrom {
			continue
		}
		if !s.expireGroup(s.m.groups[id]) {
			s.m.expireFrom = id
			s.arm(timer(timerExpire, "", ""), s.now)
			return
		}
	}
	s.m.expireFrom = ""
	s.arm(timer(timerExpire, "", ""), s.now+s.m.cfg.OffsetsRetentionCheckMs)
}

// expireGroup says whether it came to the end of the group.
func (s *step) expireGroup(g *group) bool {
	p := side(g)
	all := len(g.offsets.open) == 0
	if len(g.offsets.topics) > 0 {
		since, byCommit, ok := p.expiresFrom()
		if !ok {
			return true
		}
		for i := range g.offsets.topics {
			t := &g.offsets.topics[i]
			if p.subscribed(t.name.name) {
				all = false
				continue
			}
			for j := range t.parts {
				if len(s.buf) > maxSweep {
					return false
				}
				c := &t.parts[j]
				base := since
				if byCommit {
					base = c.committed
				}
				if s.expired(c, base) && len(g.offsets.open[openKey{t.name.name, c.partition}]) == 0 {
					s.removeOffset(g.id, t.name.name, c.partition)
				} else {
					all = false
				}
			}
		}
	}
	if all && p.empty() {
		s.endGroup(g)
	}
	return true
}

// expired says whether an offset that has aged since base is too old. A client of old may have said itself when that is.
func (s *step) expired(c *committed, base int64) bool {
	if c.expires != -1 {
		return s.now >= c.expires
	}
	return s.now-base >= s.m.cfg.OffsetsRetentionMs
}

// endGroup writes the records that end a group without members.
func (s *step) endGroup(g *group) {
	if p := g.protocol(); p != nil {
		p.tombstones(s)
		return
	}
	s.endClassic(g.id)
}

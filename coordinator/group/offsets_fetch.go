package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// OffsetFetch (9) of one group, in the form of version 8 and later: the reply is a *kmsg.OffsetFetchResponseGroup. Topics nil: all, and
// the topics of the response have no ids. Else the handler has given the topics their names, and ids where it knows them.
func (m *Machine) OffsetFetch(now int64, t coordinator.Token, version int16, r *kmsg.OffsetFetchRequestGroup, requireStable bool) coordinator.Effects {
	s := m.begin(now)
	resp := &kmsg.OffsetFetchResponseGroup{Group: r.Group}
	s.reply(t, resp)
	g := m.groups[r.Group]
	if g == nil { // not an error: nothing is committed
		g = &group{id: r.Group}
	} else if p := g.protocol(); p != nil {
		if code := p.checkFetch(r.MemberID, r.MemberEpoch); code != protocol.None {
			fetchError(resp, version, r, code)
			return s.e
		}
	}
	f := fetch{&g.offsets, requireStable, new(string)}
	if r.Topics == nil {
		f.all(resp)
	} else {
		f.some(resp, r.Topics)
	}
	return s.e
}

// fetchError answers with an error for the group, which version 1 knows only for partitions.
func fetchError(resp *kmsg.OffsetFetchResponseGroup, version int16, r *kmsg.OffsetFetchRequestGroup, code protocol.Code) {
	if version >= 2 {
		resp.ErrorCode = int16(code)
		return
	}
	empty := new(string)
	for _, t := range r.Topics {
		topic := kmsg.OffsetFetchResponseGroupTopic{Topic: t.Topic, TopicID: t.TopicID}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, notCommitted(p, code, empty))
		}
		resp.Topics = append(resp.Topics, topic)
	}
}

func notCommitted(partition int32, code protocol.Code, empty *string) kmsg.OffsetFetchResponseGroupTopicPartition {
	return kmsg.OffsetFetchResponseGroupTopicPartition{Partition: partition, Offset: -1, LeaderEpoch: -1, Metadata: empty, ErrorCode: int16(code)}
}

// fetch is one OffsetFetch under way. empty is the metadata of most offsets.
type fetch struct {
	offsets *offsets
	stable  bool // a transaction that has not ended makes an offset unstable
	empty   *string
}

func (f *fetch) all(resp *kmsg.OffsetFetchResponseGroup) {
	resp.Topics = make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(f.offsets.topics))
	for i := range f.offsets.topics {
		t := &f.offsets.topics[i]
		parts := make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(t.parts))
		for j := range t.parts {
			parts = append(parts, f.partition(t.name.name, t.parts[j].partition, protocol.UUID{}, &t.parts[j]))
		}
		resp.Topics = append(resp.Topics, kmsg.OffsetFetchResponseGroupTopic{Topic: t.name.name, Partitions: parts})
	}
}

func (f *fetch) some(resp *kmsg.OffsetFetchResponseGroup, topics []kmsg.OffsetFetchRequestGroupTopic) {
	resp.Topics = make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(topics))
	for i := range topics {
		t := &topics[i]
		parts := make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(t.Partitions))
		for _, p := range t.Partitions {
			parts = append(parts, f.partition(t.Topic, p, t.TopicID, f.offsets.get(t.Topic, p)))
		}
		resp.Topics = append(resp.Topics, kmsg.OffsetFetchResponseGroupTopic{Topic: t.Topic, TopicID: t.TopicID, Partitions: parts})
	}
}

// partition answers for one partition. An offset of a topic that was there before, by the same name, is none.
func (f *fetch) partition(topic string, partition int32, id protocol.UUID, c *committed) kmsg.OffsetFetchResponseGroupTopicPartition {
	if f.stable && f.offsets.open != nil && len(f.offsets.open[openKey{topic, partition}]) > 0 {
		return notCommitted(partition, protocol.UnstableOffsetCommit, f.empty)
	}
	none := protocol.UUID{}
	if c == nil || (c.topicID != none && id != none && c.topicID != id) {
		return notCommitted(partition, protocol.None, f.empty)
	}
	p := kmsg.OffsetFetchResponseGroupTopicPartition{Partition: partition, Offset: c.offset, LeaderEpoch: c.leaderEpoch, Metadata: f.empty}
	if c.metadata != "" {
		metadata := c.metadata // a copy: the response outlives the operation, and the offset may change meanwhile
		p.Metadata = &metadata
	}
	return p
}

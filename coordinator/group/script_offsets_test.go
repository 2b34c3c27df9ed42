package group

import (
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// partitionArg is TOPIC/PARTITION, and what follows: =OFFSET, =OFFSET:METADATA.
func partitionArg(a args, s string) (topic string, partition int32, offset int64, metadata string) {
	name, value, _ := strings.Cut(s, "=")
	topic, p, _ := strings.Cut(name, "/")
	n, err := strconv.Atoi(p)
	if err != nil {
		a.t.Fatalf("%s: %s is not TOPIC/PARTITION", a.d.Pos, s)
	}
	value, metadata, _ = strings.Cut(value, ":")
	offset, _ = strconv.ParseInt(value, 10, 64)
	return topic, int32(n), offset, metadata
}

// topicID is the id of a topic by the metadata, as a handler looks it up.
func (s *script) topicID(name string) [16]byte {
	id, _ := s.md.TopicID(name)
	return id
}

// commit: g, member, instance, gen (default -1), v, retention; a line for each partition: TOPIC/PARTITION=OFFSET:METADATA.
func (s *script) commit(a args) {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID = int16(a.int("v", 9)), a.str("g"), a.str("member"), a.opt("instance")
	r.Generation, r.RetentionTimeMillis = int32(a.int("gen", -1)), a.int("retention", -1)
	for _, line := range strings.Fields(a.d.Input) {
		topic, partition, offset, metadata := partitionArg(a, line)
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, int32(a.int("epoch", -1)), &metadata
		if n := len(r.Topics); n == 0 || r.Topics[n-1].Topic != topic {
			r.Topics = append(r.Topics, kmsg.OffsetCommitRequestTopic{Topic: topic, TopicID: s.topicID(topic)})
		}
		t := &r.Topics[len(r.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.OffsetCommit(s.now, t, r) })
}

// txn-commit: the same, with producer.
func (s *script) commitTxn(a args) {
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID = int16(a.int("v", 5)), a.str("g"), a.str("member"), a.opt("instance")
	r.Generation, r.ProducerID, r.TransactionalID = int32(a.int("gen", -1)), a.int("producer", 1), "txn"
	for _, line := range strings.Fields(a.d.Input) {
		topic, partition, offset, metadata := partitionArg(a, line)
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = partition, offset, &metadata
		r.Topics = append(r.Topics, kmsg.TxnOffsetCommitRequestTopic{Topic: topic, TopicID: s.topicID(topic), Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}})
	}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.TxnOffsetCommit(s.now, t, r) })
}

// marker: producer, abort.
func (s *script) endTxn(a args) { s.marker(a.int("producer", 1), !a.has("abort")) }

// fetch: g, member, epoch, v, stable; without lines all, else a line for each partition. no-topics is an empty list.
func (s *script) fetch(a args) {
	r := kmsg.NewOffsetFetchRequestGroup()
	r.Group, r.MemberID, r.MemberEpoch = a.str("g"), a.opt("member"), int32(a.int("epoch", -1))
	if a.has("no-topics") {
		r.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for _, line := range strings.Fields(a.d.Input) {
		topic, partition, _, _ := partitionArg(a, line)
		r.Topics = append(r.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: topic, TopicID: s.topicID(topic), Partitions: []int32{partition}})
	}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects {
		return m.OffsetFetch(s.now, t, int16(a.int("v", 9)), &r, a.has("stable"))
	})
}

// delete-offsets: g; a line for each partition.
func (s *script) deleteOffsets(a args) {
	r := kmsg.NewPtrOffsetDeleteRequest()
	r.Group = a.str("g")
	for _, line := range strings.Fields(a.d.Input) {
		topic, partition, _, _ := partitionArg(a, line)
		r.Topics = append(r.Topics, kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: partition}}})
	}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.OffsetDelete(s.now, t, r) })
}

// delete-topic: name, id.
func (s *script) deleteTopic(a args) {
	topics := []DeletedTopic{{Name: a.str("name"), ID: protocol.UUID{15: byte(a.int("id", 1))}}}
	s.md = s.md.with(a.str("name"), 0, 0)
	s.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(s.now, s.md) })
	s.do(func(m *Machine) coordinator.Effects { return m.DeleteTopicOffsets(s.now, topics) })
}

// describe: g, v.
func (s *script) describe(a args) {
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects {
		return m.DescribeGroup(s.now, t, int16(a.int("v", 6)), a.str("g"))
	})
}

// list: states, types.
func (s *script) list(a args) {
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects {
		return m.ListGroups(s.now, t, a.list("states"), a.list("types"))
	})
}

// delete: g.
func (s *script) delete(a args) {
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.DeleteGroup(s.now, t, a.str("g")) })
}

package group

import (
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// OffsetCommit (8): the reply is a *kmsg.OffsetCommitResponse. Topics have names, and ids as far as the handler knows them.
func (m *Machine) OffsetCommit(now int64, t coordinator.Token, r *kmsg.OffsetCommitRequest) coordinator.Effects {
	s := m.begin(now)
	resp := newCommitResponse(r)
	s.reply(t, resp)
	if code := s.commit(r, resp); code != protocol.None {
		s.e.Records = s.e.Records[:0]
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				resp.Topics[i].Partitions[j].ErrorCode = int16(code)
			}
		}
	}
	return s.e
}

// commit writes the records. A code is the whole request's.
func (s *step) commit(r *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse) protocol.Code {
	g := s.m.groups[r.Group]
	if g == nil && r.Generation >= 0 {
		if r.Version >= 9 {
			return protocol.GroupIDNotFound
		}
		return protocol.IllegalGeneration
	}
	check, code := side(g).checkCommit(r.MemberID, r.InstanceID, r.Generation, false, r.Version)
	if code != protocol.None {
		return code
	}
	if g != nil && g.consumer == nil && g.classic != nil {
		s.renewByCommit(g.classic, r.MemberID)
	}
	expires := int64(-1)
	if r.RetentionTimeMillis != -1 && r.Version >= 2 && r.Version <= 4 {
		expires = s.now + r.RetentionTimeMillis
	}
	for i := range r.Topics {
		topic := &r.Topics[i]
		for j := range topic.Partitions {
			p := &topic.Partitions[j]
			if s.m.metadataTooLarge(p.Metadata) {
				resp.Topics[i].Partitions[j].ErrorCode = int16(protocol.OffsetMetadataTooLarge)
				continue
			}
			if check != nil {
				if code := check.check(topic.Topic, topic.TopicID, p.Partition); code != protocol.None {
					return code
				}
			}
			s.putOffset(r.Group, topic.Topic, p.Partition, p.Offset, p.LeaderEpoch, text(p.Metadata), expires, topic.TopicID)
		}
	}
	return protocol.None
}

// simple is what a group with offsets and without members is to those who ask: a classic group in state Empty without a protocol.
var simple = &classicGroup{state: stateEmpty, since: -1}

// side returns who checks a commit. No group is as good as one that has no members.
func side(g *group) protocolGroup {
	if g != nil {
		if p := g.protocol(); p != nil {
			return p
		}
	}
	return simple
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (s *step) putOffset(group, topic string, partition int32, offset int64, epoch int32, metadata string, expires int64, id protocol.UUID) {
	from := len(s.buf)
	s.buf = appendOffsetKey(s.buf, group, topic, partition)
	mid := len(s.buf)
	s.buf = appendOffsetValue(s.buf, offset, max(epoch, -1), metadata, s.now, expires, id)
	s.record(from, mid)
}

func (s *step) removeOffset(group, topic string, partition int32) {
	from := len(s.buf)
	s.buf = appendOffsetKey(s.buf, group, topic, partition)
	s.tombstone(from)
}

// metadataTooLarge counts as Kafka does, in UTF-16 code units.
func (m *Machine) metadataTooLarge(metadata *string) bool {
	limit := int(m.cfg.OffsetMetadataMaxBytes)
	if metadata == nil || len(*metadata) <= limit {
		return false
	}
	n := utf8.RuneCountInString(*metadata)
	for _, r := range *metadata {
		if r > 0xffff {
			n++
		}
	}
	return n > limit
}

// commitResponse is a response with room for what most commits have, so that it is one allocation.
type commitResponse struct {
	kmsg.OffsetCommitResponse
	topics [1]kmsg.OffsetCommitResponseTopic
	parts  [10]kmsg.OffsetCommitResponseTopicPartition
}

// newCommitResponse returns a response with every partition of the request and no error.
func newCommitResponse(r *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	var resp *kmsg.OffsetCommitResponse
	var parts []kmsg.OffsetCommitResponseTopicPartition
	n := 0
	for i := range r.Topics {
		n += len(r.Topics[i].Partitions)
	}
	if len(r.Topics) == 1 && n <= 10 {
		c := new(commitResponse)
		resp, parts = &c.OffsetCommitResponse, c.parts[:n]
		resp.Topics = c.topics[:]
	} else {
		resp, parts = new(kmsg.OffsetCommitResponse), make([]kmsg.OffsetCommitResponseTopicPartition, n)
		resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(r.Topics))
	}
	resp.Version = r.Version
	for i := range r.Topics {
		t := &r.Topics[i]
		n := len(t.Partitions)
		resp.Topics[i] = kmsg.OffsetCommitResponseTopic{Topic: t.Topic, TopicID: t.TopicID, Partitions: parts[:n:n]}
		for j := range t.Partitions {
			parts[j].Partition = t.Partitions[j].Partition
		}
		parts = parts[n:]
	}
	return resp
}

// TxnOffsetCommit (28): the reply is a *kmsg.TxnOffsetCommitResponse. The records are the producer's and count when its transaction ends.
func (m *Machine) TxnOffsetCommit(now int64, t coordinator.Token, r *kmsg.TxnOffsetCommitRequest) coordinator.Effects {
	s := m.begin(now)
	resp := kmsg.NewPtrTxnOffsetCommitResponse()
	resp.Version = r.Version
	for i := range r.Topics {
		topic := kmsg.TxnOffsetCommitResponseTopic{Topic: r.Topics[i].Topic, TopicID: r.Topics[i].TopicID}
		topic.Partitions = make([]kmsg.TxnOffsetCommitResponseTopicPartition, len(r.Topics[i].Partitions))
		for j := range topic.Partitions {
			topic.Partitions[j].Partition = r.Topics[i].Partitions[j].Partition
		}
		resp.Topics = append(resp.Topics, topic)
	}
	s.reply(t, resp)
	if code := s.commitTxn(r, resp); code != protocol.None {
		if code == protocol.StaleMemberEpoch && r.Version < 6 {
			code = protocol.IllegalGeneration
		}
		s.e.Records = s.e.Records[:0]
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				resp.Topics[i].Partitions[j].ErrorCode = int16(code)
			}
		}
	}
	if len(s.e.Records) > 0 {
		s.e.Producer = &coordinator.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch, TransactionalID: r.TransactionalID}
	}
	return s.e
}

func (s *step) commitTxn(r *kmsg.TxnOffsetCommitRequest, resp *kmsg.TxnOffsetCommitResponse) protocol.Code {
	g := s.m.groups[r.Group]
	if g == nil && r.Generation >= 0 {
		if r.Version >= 6 {
			return protocol.GroupIDNotFound
		}
		return protocol.IllegalGeneration
	}
	check, code := side(g).checkCommit(r.MemberID, r.InstanceID, r.Generation, true, r.Version)
	if code != protocol.None {
		return code
	}
	for i := range r.Topics {
		topic := &r.Topics[i]
		for j := range topic.Partitions {
			p := &topic.Partitions[j]
			if s.m.metadataTooLarge(p.Metadata) {
				resp.Topics[i].Partitions[j].ErrorCode = int16(protocol.OffsetMetadataTooLarge)
				continue
			}
			if check != nil {
				if code := check.check(topic.Topic, topic.TopicID, p.Partition); code != protocol.None {
					return code
				}
			}
			s.putOffset(r.Group, topic.Topic, p.Partition, p.Offset, p.LeaderEpoch, text(p.Metadata), -1, topic.TopicID)
		}
	}
	return protocol.None
}

package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// OffsetCommit (8), v2-10. Answered by the group coordinator.
//
// Versions: 2 retention time · 5 without it · 6 leader epochs · 7 static members (KIP-345) · 8 flexible · 9 consumer groups (KIP-848) ·
// 10 topic ids (KIP-848).
// Needs: READ on Group, READ on each Topic.
// Differs from Kafka:
//   - a commit of nothing leaves no group behind; Kafka leaves an empty one

func offsetCommit(s *Server, c *Call, q *kmsg.OffsetCommitRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.OffsetCommitResponse)
	if !s.mayGroup(c.Session, Read, q.Group) {
		return refuseCommits(resp, new(topicPlaces), q.Topics, protocol.GroupAuthorizationFailed), nil
	}
	img := s.Image()
	kept, places := q.Topics[:0], new(topicPlaces)
	for _, t := range q.Topics {
		topic, code := checkCommit(s, c.Session, img, &t.Topic, &t.TopicID, q.Version >= 10)
		if code != protocol.None {
			refuseCommit(resp, places, &t, t.Partitions, code)
			continue
		}
		if t.Partitions = knownPartitions(topic, resp, places, &t); len(t.Partitions) > 0 {
			kept = append(kept, t)
		}
	}
	if q.Topics = kept; len(kept) == 0 {
		return resp, nil
	}
	a := newAsking(1)
	a.do(s, 0, q.Group, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.OffsetCommit(now, t, q)
	})
	return a.then(func(outcomes []answerOf) Response {
		if o := &outcomes[0]; o.code != protocol.None {
			return refuseCommits(resp, places, q.Topics, o.code)
		} else if answer := o.response.(*kmsg.OffsetCommitResponse); len(resp.Topics) > 0 {
			return mergeCommits(resp, places, answer)
		} else {
			return answer
		}
	}), nil
}

// checkCommit finds a topic by its name, or by its id, sets the other of the two, and says why offsets of it cannot be committed.
func checkCommit(s *Server, who *Session, img *controller.Image, name *string, id *[16]byte, byID bool) (*controller.Topic, protocol.Code) {
	var topic *controller.Topic
	if byID {
		if topic = img.TopicByID(*id); topic == nil {
			return nil, protocol.UnknownTopicID
		}
		*name = topic.Name
	} else if topic = img.Topic(*name); topic != nil {
		*id = topic.ID
	}
	switch {
	case !s.mayTopic(who, Read, *name):
		return topic, protocol.TopicAuthorizationFailed
	case topic == nil:
		return nil, protocol.UnknownTopicOrPartition
	}
	return topic, protocol.None
}

// knownPartitions returns the partitions that there are, and refuses the others.
func knownPartitions(topic *controller.Topic, resp *kmsg.OffsetCommitResponse, places *topicPlaces, t *kmsg.OffsetCommitRequestTopic) []kmsg.OffsetCommitRequestTopicPartition {
	unknown := func(p kmsg.OffsetCommitRequestTopicPartition) bool { return topic.Partition(p.Partition) == nil }
	if !slices.ContainsFunc(t.Partitions, unknown) {
		return t.Partitions
	}
	var known, not []kmsg.OffsetCommitRequestTopicPartition
	for _, p := range t.Partitions {
		if unknown(p) {
			not = append(not, p)
		} else {
			known = append(known, p)
		}
	}
	refuseCommit(resp, places, t, not, protocol.UnknownTopicOrPartition)
	return known
}

func refuseCommits(resp *kmsg.OffsetCommitResponse, places *topicPlaces, topics []kmsg.OffsetCommitRequestTopic, code protocol.Code) Response {
	for i := range topics {
		refuseCommit(resp, places, &topics[i], topics[i].Partitions, code)
	}
	return resp
}

// refuseCommit answers partitions with a code. A topic that is in the response already is there once.
func refuseCommit(resp *kmsg.OffsetCommitResponse, places *topicPlaces, t *kmsg.OffsetCommitRequestTopic, partitions []kmsg.OffsetCommitRequestTopicPartition, code protocol.Code) {
	rt := commitTopic(resp, places, t.Topic, t.TopicID)
	for i := range partitions {
		rp := kmsg.NewOffsetCommitResponseTopicPartition()
		rp.Partition, rp.ErrorCode = partitions[i].Partition, int16(code)
		rt.Partitions = append(rt.Partitions, rp)
	}
}

// commitTopic finds a topic in a response, or adds it.
func commitTopic(resp *kmsg.OffsetCommitResponse, places *topicPlaces, name string, id [16]byte) *kmsg.OffsetCommitResponseTopic {
	i := places.of(name, id, len(resp.Topics))
	if i == len(resp.Topics) {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic, rt.TopicID = name, id
		resp.Topics = append(resp.Topics, rt)
	}
	return &resp.Topics[i]
}

// mergeCommits adds the coordinator's answer to what was refused before it.
func mergeCommits(resp *kmsg.OffsetCommitResponse, places *topicPlaces, answer *kmsg.OffsetCommitResponse) Response {
	for i := range answer.Topics {
		t := &answer.Topics[i]
		rt := commitTopic(resp, places, t.Topic, t.TopicID)
		rt.Partitions = append(rt.Partitions, t.Partitions...)
	}
	return resp
}

package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// OffsetDelete (47), v0. Answered by the group coordinator.
//
// Needs: DELETE on Group, READ on each Topic.
// Differs from Kafka: nothing known.

func offsetDelete(s *Server, c *Call, q *kmsg.OffsetDeleteRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.OffsetDeleteResponse)
	if !s.mayGroup(c.Session, Delete, q.Group) {
		resp.ErrorCode = int16(protocol.GroupAuthorizationFailed)
		return resp, nil
	}
	img := s.Image()
	kept := q.Topics[:0]
	for _, t := range q.Topics {
		topic, code := img.Topic(t.Topic), protocol.UnknownTopicOrPartition
		if !s.mayTopic(c.Session, Read, t.Topic) {
			topic, code = nil, protocol.TopicAuthorizationFailed
		}
		var known []kmsg.OffsetDeleteRequestTopicPartition
		for _, p := range t.Partitions {
			if topic.Partition(p.Partition) != nil {
				known = append(known, p)
				continue
			}
			rp := kmsg.NewOffsetDeleteResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, int16(code)
			rt := deleteTopic(resp, t.Topic)
			rt.Partitions = append(rt.Partitions, rp)
		}
		if t.Partitions = known; len(known) > 0 {
			kept = append(kept, t)
		}
	}
	if q.Topics = kept; q.Group == "" {
		resp.ErrorCode, resp.Topics = int16(protocol.InvalidGroupID), nil
		return resp, nil
	}
	a := newAsking(1)
	a.do(s, 0, q.Group, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.OffsetDelete(now, t, q)
	})
	return a.then(func(outcomes []answerOf) Response {
		if o := &outcomes[0]; o.code != protocol.None {
			resp.ErrorCode, resp.Topics = int16(o.code), nil
			return resp
		}
		answer := outcomes[0].response.(*kmsg.OffsetDeleteResponse)
		if answer.ErrorCode != 0 || len(resp.Topics) == 0 {
			return answer
		}
		for i := range answer.Topics {
			rt := deleteTopic(resp, answer.Topics[i].Topic)
			rt.Partitions = append(rt.Partitions, answer.Topics[i].Partitions...)
		}
		return resp
	}), nil
}

// deleteTopic finds a topic in a response, or adds it.
func deleteTopic(resp *kmsg.OffsetDeleteResponse, name string) *kmsg.OffsetDeleteResponseTopic {
	for i := range resp.Topics {
		if resp.Topics[i].Topic == name {
			return &resp.Topics[i]
		}
	}
	rt := kmsg.NewOffsetDeleteResponseTopic()
	rt.Topic = name
	resp.Topics = append(resp.Topics, rt)
	return &resp.Topics[len(resp.Topics)-1]
}

package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// OffsetFetch (9), v1-10. Answered by the group coordinator.
//
// Versions: 2 null for all topics, an error for the whole · 5 leader epochs · 6 flexible · 7 require stable (KIP-447) · 8 many groups · 9
// consumer groups (KIP-848) · 10 topic ids (KIP-848).
// Needs: DESCRIBE on Group, DESCRIBE on each Topic.
// Differs from Kafka: groups that do not fit into one answer are answered INVALID_REQUEST.

func offsetFetch(s *Server, c *Call, q *kmsg.OffsetFetchRequest) (Response, error) {
	groups := q.Groups
	if q.Version < 8 {
		groups = []kmsg.OffsetFetchRequestGroup{oneGroup(q)}
	}
	img, answers := s.Image(), make([]fetchedGroup, len(groups))
	a, err := newWeighed(c, len(groups), weighOffsets)
	if err != nil {
		return nil, err
	}
	for i := range groups {
		f := &answers[i]
		f.asked = &groups[i]
		if !s.mayGroup(c.Session, Describe, groups[i].Group) {
			a.done(i, nil, protocol.GroupAuthorizationFailed)
			continue
		}
		f.all = groups[i].Topics == nil
		r := groups[i]
		if !f.all {
			r.Topics = f.check(s, c.Session, img, q.Version)
		}
		a.do(s, i, r.Group, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
			return m.OffsetFetch(now, t, q.Version, &r, q.RequireStable)
		})
	}
	return a.then(func(outcomes []answerOf) Response {
		resp := q.ResponseKind().(*kmsg.OffsetFetchResponse)
		for i := range outcomes {
			resp.Groups = append(resp.Groups, answers[i].answer(s, c.Session, &outcomes[i], q.Version))
		}
		if q.Version < 8 {
			oldFetch(resp, q)
		}
		return resp
	}), nil
}

// oneGroup is a request of a version that knows one group.
func oneGroup(q *kmsg.OffsetFetchRequest) kmsg.OffsetFetchRequestGroup {
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = q.Group
	if q.Topics != nil || q.Version < 2 {
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for i := range q.Topics {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = q.Topics[i].Topic, q.Topics[i].Partitions
		g.Topics = append(g.Topics, t)
	}
	return g
}

// fetchedGroup is one group of a request under way.
type fetchedGroup struct {
	asked   *kmsg.OffsetFetchRequestGroup
	all     bool
	refused []kmsg.OffsetFetchResponseGroupTopic
}

// check gives the topics their names and ids, refuses those that the client may not see, and returns the others.
func (f *fetchedGroup) check(s *Server, who *Session, img *controller.Image, version int16) []kmsg.OffsetFetchRequestGroupTopic {
	kept := make([]kmsg.OffsetFetchRequestGroupTopic, 0, len(f.asked.Topics))
	for _, t := range f.asked.Topics {
		code := protocol.None
		if version >= 10 {
			if topic := img.TopicByID(t.TopicID); topic != nil {
				t.Topic = topic.Name
			} else {
				code = protocol.UnknownTopicID
			}
		} else if topic := img.Topic(t.Topic); topic != nil {
			t.TopicID = topic.ID
		}
		if code == protocol.None && !s.mayTopic(who, Describe, t.Topic) {
			code = protocol.TopicAuthorizationFailed
		}
		if code == protocol.None {
			kept = append(kept, t)
		} else {
			f.refused = append(f.refused, refusedFetch(&t, code))
		}
	}
	return kept
}

func refusedFetch(t *kmsg.OffsetFetchRequestGroupTopic, code protocol.Code) kmsg.OffsetFetchResponseGroupTopic {
	rt := kmsg.NewOffsetFetchResponseGroupTopic()
	rt.Topic, rt.TopicID = t.Topic, t.TopicID
	for _, p := range t.Partitions {
		rp := kmsg.NewOffsetFetchResponseGroupTopicPartition()
		rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata, rp.ErrorCode = p, -1, -1, new(string), int16(code)
		rt.Partitions = append(rt.Partitions, rp)
	}
	return rt
}

// answer is the group's part of the response.
func (f *fetchedGroup) answer(s *Server, who *Session, o *answerOf, version int16) kmsg.OffsetFetchResponseGroup {
	g := kmsg.NewOffsetFetchResponseGroup()
	if o.code == protocol.None {
		g = *o.response.(*kmsg.OffsetFetchResponseGroup)
	} else {
		g.Group, g.ErrorCode = f.asked.Group, int16(o.code)
	}
	switch {
	case g.ErrorCode != 0 && version < 2: // there is no field for it but the partitions'
		for i := range f.asked.Topics {
			g.Topics = append(g.Topics, refusedFetch(&f.asked.Topics[i], protocol.Code(g.ErrorCode)))
		}
	case g.ErrorCode != 0:
	case f.all:
		g.Topics = s.visibleOffsets(who, g.Topics, version)
	default:
		g.Topics = append(g.Topics, f.refused...)
	}
	return g
}

// visibleOffsets leaves the topics that the client may see and, with version 10, those whose id is known.
func (s *Server) visibleOffsets(who *Session, topics []kmsg.OffsetFetchResponseGroupTopic, version int16) []kmsg.OffsetFetchResponseGroupTopic {
	img, kept := s.Image(), topics[:0]
	for _, t := range topics {
		if !s.mayTopic(who, Describe, t.Topic) {
			continue
		}
		if t.TopicID == (protocol.UUID{}) && version >= 10 {
			topic := img.Topic(t.Topic)
			if topic == nil {
				continue
			}
			t.TopicID = topic.ID
		}
		kept = append(kept, t)
	}
	return kept
}

// oldFetch moves the one group to where versions before 8 have it.
func oldFetch(resp *kmsg.OffsetFetchResponse, q *kmsg.OffsetFetchRequest) {
	g := &resp.Groups[0]
	resp.ErrorCode = g.ErrorCode
	for i := range g.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = g.Topics[i].Topic
		for _, p := range g.Topics[i].Partitions {
			op := kmsg.NewOffsetFetchResponseTopicPartition()
			op.Partition, op.Offset, op.LeaderEpoch, op.Metadata, op.ErrorCode = p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode
			t.Partitions = append(t.Partitions, op)
		}
		resp.Topics = append(resp.Topics, t)
	}
	resp.Groups = nil
}

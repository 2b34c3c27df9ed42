package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// ConsumerGroupDescribe (69), v0-1. Answered by the group coordinator (KIP-848).
//
// Versions: 1 member type.
// Needs: DESCRIBE on Group, DESCRIBE on each Topic that a member is subscribed to or has. group.version must be finalized at 1.
// Differs from Kafka: groups that do not fit into one answer are answered INVALID_REQUEST.

func consumerGroupDescribe(s *Server, c *Call, q *kmsg.ConsumerGroupDescribeRequest) (Response, error) {
	served := s.servesGroups("consumer")
	a, err := newWeighed(c, len(q.Groups), weighConsumerGroup)
	if err != nil {
		return nil, err
	}
	for i, id := range q.Groups {
		switch {
		case !served:
			a.done(i, nil, protocol.UnsupportedVersion)
		case !s.mayGroup(c.Session, Describe, id):
			a.done(i, nil, protocol.GroupAuthorizationFailed)
		case id == "":
			a.done(i, nil, protocol.InvalidGroupID)
		default:
			a.do(s, i, id, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
				return m.ConsumerGroupDescribe(now, t, id)
			})
		}
	}
	return a.then(func(outcomes []answerOf) Response {
		resp := q.ResponseKind().(*kmsg.ConsumerGroupDescribeResponse)
		resp.Groups = make([]kmsg.ConsumerGroupDescribeResponseGroup, 0, len(outcomes))
		resp.Groups = make([]kmsg.ConsumerGroupDescribeResponseGroup, 0, len(outcomes))
		for _, first := range []bool{true, false} { // those that were not asked about come first, as in Kafka
			for i := range outcomes {
				o := &outcomes[i]
				if (o.code == protocol.GroupAuthorizationFailed || q.Groups[i] == "") != first {
					continue
				}
				g := kmsg.NewConsumerGroupDescribeResponseGroup()
				if o.code == protocol.None {
					g = s.describedGroup(c.Session, o.response.(*kmsg.ConsumerGroupDescribeResponseGroup), q.IncludeAuthorizedOperations)
				} else {
					g.Group, g.ErrorCode = q.Groups[i], int16(o.code)
				}
				resp.Groups = append(resp.Groups, g)
			}
		}
		return resp
	}), nil
}

// describedGroup is the description as far as the client may see it: not at all, when there is a topic in it that it may not.
func (s *Server) describedGroup(who *Session, g *kmsg.ConsumerGroupDescribeResponseGroup, operations bool) kmsg.ConsumerGroupDescribeResponseGroup {
	if g.ErrorCode != 0 {
		return *g
	}
	if operations {
		g.AuthorizedOperations = s.authorizedOperations(who, GroupResource, g.Group)
	}
	visible := func(topics []kmsg.AssignmentTopicPartition) bool {
		for i := range topics {
			if !s.mayTopic(who, Describe, topics[i].Topic) {
				return false
			}
		}
		return true
	}
	for i := range g.Members {
		m := &g.Members[i]
		ok := visible(m.Assignment.TopicPartitions) && visible(m.TargetAssignment.TopicPartitions)
		for _, topic := range m.SubscribedTopics {
			ok = ok && s.mayTopic(who, Describe, topic)
		}
		if !ok {
			g.ErrorCode = int16(protocol.TopicAuthorizationFailed)
			g.ErrorMessage = text("The group has described topic(s) that the client is not authorized to describe.")
			g.Members = nil
			break
		}
	}
	return *g
}

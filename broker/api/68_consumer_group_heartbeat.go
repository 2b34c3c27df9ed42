package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// ConsumerGroupHeartbeat (68), v0-1. Answered by the group coordinator (KIP-848).
//
// Versions: 1 regular expressions, member ids made by the client.
// Needs: READ on Group; DESCRIBE on each Topic that is subscribed to by name. group.version must be finalized at 1, and
// group.coordinator.rebalance.protocols must have consumer.
// Differs from Kafka:
//   - a regular expression that compiles to more than about 10,000 instructions is INVALID_REGULAR_EXPRESSION
//   - a tie of the votes for an assignor goes to the one that is configured first
//   - the hash of the topics' metadata in the records is FNV-1a, not XXH3; member ids that the broker makes have another form

func consumerGroupHeartbeat(s *Server, c *Call, q *kmsg.ConsumerGroupHeartbeatRequest) (Response, error) {
	failed := func(code protocol.Code) Response {
		resp := q.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
		resp.ErrorCode = int16(code)
		return resp
	}
	who := client(s, c)
	switch {
	case !s.servesGroups("consumer"):
		return failed(protocol.UnsupportedVersion), nil
	case !s.mayGroup(c.Session, Read, q.Group):
		return failed(protocol.GroupAuthorizationFailed), nil
	case slices.ContainsFunc(q.SubscribedTopicNames, func(topic string) bool { return !who.MayDescribe(topic) }):
		return failed(protocol.TopicAuthorizationFailed), nil
	}
	if q.MemberID == "" {
		who.NewID = s.NewID().String()
	}
	return s.ask(q.Group, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.ConsumerGroupHeartbeat(now, t, who, q)
	}, failed), nil
}

// servesGroups says whether groups of a protocol beside classic are served.
func (s *Server) servesGroups(name string) bool {
	return s.Image().Feature("group.version") >= 1 && slices.Contains(s.Config.List("group.coordinator.rebalance.protocols"), name)
}

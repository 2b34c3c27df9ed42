package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// Heartbeat (12), v0-4. Answered by the group coordinator.
//
// Versions: 3 static members (KIP-345) · 4 flexible.
// Needs: READ on Group.
// Differs from Kafka: nothing known.

func heartbeat(s *Server, c *Call, q *kmsg.HeartbeatRequest) (Response, error) {
	failed := func(code protocol.Code) Response {
		resp := q.ResponseKind().(*kmsg.HeartbeatResponse)
		if code != protocol.CoordinatorLoadInProgress { // the member shall stay: who is in the group will be known soon
			resp.ErrorCode = int16(code)
		}
		return resp
	}
	switch {
	case !s.mayGroup(c.Session, Read, q.Group):
		return failed(protocol.GroupAuthorizationFailed), nil
	case q.Group == "":
		return failed(protocol.InvalidGroupID), nil
	}
	return s.ask(q.Group, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.Heartbeat(now, t, q)
	}, failed), nil
}

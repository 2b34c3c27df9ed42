package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// LeaveGroup (13), v0-5. Answered by the group coordinator.
//
// Versions: 3 many members, static ones too (KIP-345) · 4 flexible · 5 reason (KIP-800).
// Needs: READ on Group.
// Differs from Kafka: nothing known.

func leaveGroup(s *Server, c *Call, q *kmsg.LeaveGroupRequest) (Response, error) {
	failed := func(code protocol.Code) Response {
		resp := q.ResponseKind().(*kmsg.LeaveGroupResponse)
		resp.ErrorCode = int16(code)
		return resp
	}
	switch {
	case !s.mayGroup(c.Session, Read, q.Group):
		return failed(protocol.GroupAuthorizationFailed), nil
	case q.Group == "":
		return failed(protocol.InvalidGroupID), nil
	}
	return s.ask(q.Group, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.LeaveGroup(now, t, q)
	}, failed), nil
}

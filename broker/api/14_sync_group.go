package api

import (
	"bytes"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// SyncGroup (14), v0-5. Answered by the group coordinator, when the leader has sent the assignment.
//
// Versions: 3 static members (KIP-345) · 4 flexible · 5 protocol type and name (KIP-559).
// Needs: READ on Group.
// Differs from Kafka:
//   - a member that asks again gets its earlier request answered with REBALANCE_IN_PROGRESS; Kafka never answers that one
//   - a request that waits when its member is removed is answered UNKNOWN_MEMBER_ID; Kafka lets it hang
//   - the group is stable for the next request at once, and answers when the record is committed; Kafka waits for the append

func syncGroup(s *Server, c *Call, q *kmsg.SyncGroupRequest) (Response, error) {
	failed := func(code protocol.Code) Response {
		resp := q.ResponseKind().(*kmsg.SyncGroupResponse)
		resp.ErrorCode, resp.MemberAssignment = int16(code), []byte{}
		return resp
	}
	switch {
	case q.Version >= 5 && (q.ProtocolType == nil || q.Protocol == nil):
		return failed(protocol.InconsistentGroupProtocol), nil
	case !s.mayGroup(c.Session, Read, q.Group):
		return failed(protocol.GroupAuthorizationFailed), nil
	case q.Group == "":
		return failed(protocol.InvalidGroupID), nil
	}
	for i := range q.GroupAssignment { // the machine keeps them, and the frame goes
		q.GroupAssignment[i].MemberAssignment = bytes.Clone(q.GroupAssignment[i].MemberAssignment)
	}
	return s.ask(q.Group, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.SyncGroup(now, t, q)
	}, failed), nil
}

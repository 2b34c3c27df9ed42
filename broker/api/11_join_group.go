package api

import (
	"bytes"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// JoinGroup (11), v0-9. Answered by the group coordinator, when the group's members are there.
//
// Versions: 1 rebalance timeout · 4 MEMBER_ID_REQUIRED (KIP-394) · 5 static members (KIP-345) · 6 flexible · 7 protocol type · 8 reason
// (KIP-800) · 9 the leader may skip its assignment (KIP-814).
// Needs: READ on Group.
// Differs from Kafka: nothing known.

func joinGroup(s *Server, c *Call, q *kmsg.JoinGroupRequest) (Response, error) {
	failed := func(code protocol.Code) Response {
		resp := q.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode, resp.Generation = int16(code), -1
		resp.Protocol = new(string)
		if code == protocol.InvalidGroupID {
			resp.MemberID = q.MemberID
		}
		return resp
	}
	switch {
	case !s.mayGroup(c.Session, Read, q.Group):
		resp := failed(protocol.GroupAuthorizationFailed).(*kmsg.JoinGroupResponse)
		if q.Version >= 7 {
			resp.Protocol = nil
		}
		return resp, nil
	case q.Group == "":
		return failed(protocol.InvalidGroupID), nil
	}
	for i := range q.Protocols { // the machine keeps them, and the frame goes
		q.Protocols[i].Metadata = bytes.Clone(q.Protocols[i].Metadata)
	}
	who := client(c)
	if q.MemberID == "" {
		id := s.NewID()
		who.NewID = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	}
	return s.ask(q.Group, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.JoinGroup(now, t, who, q)
	}, failed), nil
}

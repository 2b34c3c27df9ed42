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
// Differs from Kafka:
//   - a member that asks again gets its earlier request answered with REBALANCE_IN_PROGRESS; Kafka never answers that one
//   - ties in the vote for a protocol and for the leader go by the order of joining, a protocol named twice counts once
//   - a static member that restarts while others wait for its SyncGroup causes no further rebalance

func joinGroup(s *Server, c *Call, q *kmsg.JoinGroupRequest) (Response, error) {
	failed := func(code protocol.Code) Response {
		resp := q.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode, resp.Generation = int16(code), -1
		if code == protocol.InvalidGroupID {
			resp.MemberID = q.MemberID
		}
		return resp
	}
	switch {
	case !s.mayGroup(c.Session, Read, q.Group):
		return failed(protocol.GroupAuthorizationFailed), nil
	case q.Group == "":
		return failed(protocol.InvalidGroupID), nil
	}
	for i := range q.Protocols { // the machine keeps them, and the frame goes
		q.Protocols[i].Metadata = bytes.Clone(q.Protocols[i].Metadata)
	}
	if q.Version == 0 { // it has no field for it
		q.RebalanceTimeoutMillis = q.SessionTimeoutMillis
	}
	who := client(s, c)
	if q.MemberID == "" {
		id := s.NewID()
		who.NewID = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	}
	a := newAsking(1)
	a.do(s, 0, q.Group, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.JoinGroup(now, t, who, q)
	})
	return a.then(func(outcomes []answerOf) Response {
		if o := &outcomes[0]; o.code != protocol.None {
			return failed(o.code)
		}
		resp := outcomes[0].response.(*kmsg.JoinGroupResponse)
		if resp.ErrorCode != 0 && resp.Version >= 7 {
			resp.Protocol = nil
		}
		return resp
	}), nil
}

package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// LeaveGroup (13), one member or many: the reply is a *kmsg.LeaveGroupResponse.
func (m *Machine) LeaveGroup(now int64, t coordinator.Token, r *kmsg.LeaveGroupRequest) coordinator.Effects {
	s := m.begin(now)
	g := m.groups[r.Group]
	if g != nil && g.consumer != nil {
		s.consumerClassicLeave(g, t, r)
		return s.e
	}
	if r.Group == "" {
		s.reply(t, &kmsg.LeaveGroupResponse{Version: r.Version, ErrorCode: int16(protocol.InvalidGroupID)})
		return s.e
	}
	members := leaving(r)
	results := make([]kmsg.LeaveGroupResponseMember, 0, len(members))
	left := false
	for _, x := range members {
		code := protocol.UnknownMemberID
		if g != nil && g.classic != nil {
			code = s.classic(g.classic).leave(x.MemberID, x.InstanceID)
		}
		left = left || code == protocol.None
		results = append(results, kmsg.LeaveGroupResponseMember{MemberID: x.MemberID, InstanceID: x.InstanceID, ErrorCode: int16(code)})
	}
	if left && g.classic.state != stateEmpty {
		s.classic(g.classic).rebalanceOrComplete()
	}
	s.reply(t, leaveResponse(r.Version, results))
	return s.e
}

// leaving returns who leaves: up to version 2 the request is of one member.
func leaving(r *kmsg.LeaveGroupRequest) []kmsg.LeaveGroupRequestMember {
	if r.Version <= 2 {
		return []kmsg.LeaveGroupRequestMember{{MemberID: r.MemberID}}
	}
	return r.Members
}

func leaveResponse(version int16, results []kmsg.LeaveGroupResponseMember) *kmsg.LeaveGroupResponse {
	resp := &kmsg.LeaveGroupResponse{Version: version, Members: results}
	if version <= 2 {
		resp.ErrorCode, resp.Members = results[0].ErrorCode, nil
	}
	return resp
}

// leave takes a member out, which is named by its id, its instance id or both. A pending member id may leave, too.
func (s classicStep) leave(id string, instance *string) protocol.Code {
	if id == "" {
		if instance == nil || s.c.instances[*instance] == nil {
			return protocol.UnknownMemberID
		}
		id = s.c.instances[*instance].id
	} else if _, pending := s.c.pending[id]; !pending {
		if code := s.c.checkMember(id, instance); code != protocol.None {
			return code
		}
	}
	s.remove(id)
	return protocol.None
}

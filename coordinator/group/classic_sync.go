package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// SyncGroup (14): the reply is a *kmsg.SyncGroupResponse. It comes when the leader has sent the assignment.
func (m *Machine) SyncGroup(now int64, t coordinator.Token, r *kmsg.SyncGroupRequest) coordinator.Effects {
	s := m.begin(now)
	g := m.groups[r.Group]
	switch {
	case r.Group == "":
		s.reply(t, syncError(r.Version, protocol.InvalidGroupID))
	case g == nil || g.protocol() == nil || g.protocol().empty():
		s.reply(t, syncError(r.Version, protocol.UnknownMemberID))
	case g.consumer != nil:
		s.consumerClassicSync(g, t, r)
	default:
		s.classic(g.classic).syncGroup(t, r)
	}
	return s.e
}

func syncError(version int16, code protocol.Code) *kmsg.SyncGroupResponse {
	return &kmsg.SyncGroupResponse{Version: version, ErrorCode: int16(code)}
}

func (s classicStep) syncGroup(t coordinator.Token, r *kmsg.SyncGroupRequest) {
	c := s.c
	if code := c.checkSync(r); code != protocol.None {
		s.reply(t, syncError(r.Version, code))
		return
	}
	m := c.byID[r.MemberID]
	if c.synced(m); c.unsynced == 0 {
		s.cancel(timer(timerClassicSync, c.id, ""))
	}
	if c.state == stateStable {
		s.reply(t, c.assigned(m, r.Version))
		return
	}
	s.answerSync(m, protocol.RebalanceInProgress) // one that waited before is over: its client has sent this one
	m.sync = waiting{t, r.Version}
	if c.leader == m.id {
		s.assign(r.GroupAssignment)
	}
}

// checkSync says whether a member may ask for its assignment.
func (c *classicGroup) checkSync(r *kmsg.SyncGroupRequest) protocol.Code {
	differs := func(said *string, is string) bool { return said != nil && is != "" && *said != is }
	if code := c.checkMember(r.MemberID, r.InstanceID); code != protocol.None {
		return code
	}
	switch {
	case r.Generation != c.generation:
		return protocol.IllegalGeneration
	case differs(r.ProtocolType, c.protocolType) || differs(r.Protocol, c.protocol):
		return protocol.InconsistentGroupProtocol
	case c.state == statePreparing:
		return protocol.RebalanceInProgress
	}
	return protocol.None
}

// assign takes over the leader's assignment: the group is Stable once its record is committed, and no reply leaves before.
func (s classicStep) assign(list []kmsg.SyncGroupRequestGroupAssignment) {
	c := s.c
	for _, m := range c.members {
		m.assignment = nil
	}
	for i := range list {
		if m := c.byID[list[i].MemberID]; m != nil {
			m.assignment = list[i].MemberAssignment
		}
	}
	s.persist(c.value())
	s.answerSyncs(protocol.None)
	s.enter(stateStable)
}

// assigned is the response to a member of a group that has its assignment.
func (c *classicGroup) assigned(m *classicMember, version int16) *kmsg.SyncGroupResponse {
	name, kind := c.protocol, c.protocolType
	return &kmsg.SyncGroupResponse{Version: version, ProtocolType: &kind, Protocol: &name, MemberAssignment: m.assignment}
}

// answerSyncs ends the wait of all members for their assignment.
func (s classicStep) answerSyncs(code protocol.Code) {
	for _, m := range s.c.members {
		if m.sync.to != 0 {
			s.answerSync(m, code)
			s.renew(m)
		}
	}
}

// answerSync ends the wait of a member's SyncGroup, if there is one.
func (s classicStep) answerSync(m *classicMember, code protocol.Code) {
	if m.sync.to == 0 {
		return
	}
	resp := syncError(m.sync.version, code)
	if code == protocol.None {
		resp = s.c.assigned(m, m.sync.version)
	}
	s.reply(m.sync.to, resp)
	m.sync = waiting{}
}

// Heartbeat (12): the reply is a *kmsg.HeartbeatResponse.
func (m *Machine) Heartbeat(now int64, t coordinator.Token, r *kmsg.HeartbeatRequest) coordinator.Effects {
	s := m.begin(now)
	g := m.groups[r.Group]
	if g != nil && g.consumer != nil {
		s.consumerClassicHeartbeat(g, t, r)
		return s.e
	}
	code := protocol.UnknownMemberID
	switch {
	case r.Group == "":
		code = protocol.InvalidGroupID
	case g != nil && g.classic != nil:
		code = s.classic(g.classic).heartbeat(r)
	}
	s.reply(t, &kmsg.HeartbeatResponse{Version: r.Version, ErrorCode: int16(code)})
	return s.e
}

func (s classicStep) heartbeat(r *kmsg.HeartbeatRequest) protocol.Code {
	c := s.c
	if code := c.checkMember(r.MemberID, r.InstanceID); code != protocol.None {
		return code
	}
	if r.Generation != c.generation {
		return protocol.IllegalGeneration
	}
	s.renew(c.byID[r.MemberID])
	if c.state == statePreparing {
		return protocol.RebalanceInProgress
	}
	return protocol.None
}

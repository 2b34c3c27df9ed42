package group

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// DescribeGroup (15) of one group: the reply is a *kmsg.DescribeGroupsResponseGroup, without authorized operations.
func (m *Machine) DescribeGroup(now int64, t coordinator.Token, version int16, id string) coordinator.Effects {
	s := m.begin(now)
	resp := kmsg.NewDescribeGroupsResponseGroup()
	resp.Group = id
	s.reply(t, &resp)
	g := m.groups[id]
	if g == nil || g.consumer != nil {
		resp.State = "Dead"
		if version >= 6 {
			message := "Group " + id + " not found."
			if g != nil {
				message = "Group " + id + " is not a classic group."
			}
			resp.ErrorCode, resp.ErrorMessage = int16(protocol.GroupIDNotFound), &message
		}
		return s.e
	}
	c := g.classic
	if c == nil {
		c = simple
	}
	resp.State, resp.ProtocolType = c.stateName(), c.protocolType
	if c.state == stateStable {
		resp.Protocol = c.protocol
	}
	for _, x := range c.members {
		member := kmsg.DescribeGroupsResponseGroupMember{MemberID: x.id, InstanceID: x.instance, ClientID: x.clientID, ClientHost: x.clientHost, MemberAssignment: x.assignment}
		if c.state == stateStable {
			member.ProtocolMetadata = x.metadata(c.protocol)
		}
		resp.Members = append(resp.Members, member)
	}
	return s.e
}

// ListGroups (16) in this partition: the reply is a []kmsg.ListGroupsResponseGroup, sorted. No filter: all.
func (m *Machine) ListGroups(now int64, t coordinator.Token, states, types []string) coordinator.Effects {
	s := m.begin(now)
	list := []kmsg.ListGroupsResponseGroup{}
	in := func(filter []string, name string) bool {
		return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, name) })
	}
	trimmed := make([]string, 0, len(states))
	for _, f := range states {
		trimmed = append(trimmed, strings.TrimSpace(f))
	}
	for _, id := range m.ids() {
		p := side(m.groups[id])
		if in(trimmed, p.stateName()) && in(types, p.kind()) {
			list = append(list, kmsg.ListGroupsResponseGroup{Group: id, ProtocolType: p.typeName(), GroupState: p.stateName(), GroupType: p.kind()})
		}
	}
	s.reply(t, list)
	return s.e
}

// DeleteGroup (42) of one group: the reply is a *kmsg.DeleteGroupsResponseGroup.
func (m *Machine) DeleteGroup(now int64, t coordinator.Token, id string) coordinator.Effects {
	s := m.begin(now)
	resp := &kmsg.DeleteGroupsResponseGroup{Group: id}
	s.reply(t, resp)
	g := m.groups[id]
	code := protocol.GroupIDNotFound
	if g != nil {
		code = side(g).checkDeleteGroup()
	}
	if code != protocol.None {
		resp.ErrorCode = int16(code)
		return s.e
	}
	s.deleteAllOffsets(g)
	s.endGroup(g)
	return s.e
}

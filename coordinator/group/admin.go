package group

import "weir/coordinator"

// DescribeGroup (15) of one group: the reply is a *kmsg.DescribeGroupsResponseGroup, without authorized operations.
func (m *Machine) DescribeGroup(now int64, t coordinator.Token, version int16, id string) coordinator.Effects {
	return m.begin(now).e
}

// ListGroups (16) in this partition: the reply is a []kmsg.ListGroupsResponseGroup. No filter: all.
func (m *Machine) ListGroups(now int64, t coordinator.Token, states, types []string) coordinator.Effects {
	return m.begin(now).e
}

// DeleteGroup (42) of one group: the reply is a *kmsg.DeleteGroupsResponseGroup.
func (m *Machine) DeleteGroup(now int64, t coordinator.Token, id string) coordinator.Effects {
	return m.begin(now).e
}

package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

type classicGroup struct{}

func (c *classicGroup) kind() string         { return "classic" }
func (c *classicGroup) protocolType() string { return "" }
func (c *classicGroup) stateName() string    { return "" }
func (c *classicGroup) empty() bool          { return true }
func (c *classicGroup) checkCommit(memberID string, instanceID *string, generation int32, transactional bool, version int16) (partitionCheck, protocol.Code) {
	return nil, protocol.None
}
func (c *classicGroup) checkFetch(memberID *string, epoch int32) protocol.Code { return protocol.None }
func (c *classicGroup) checkDelete() protocol.Code                             { return protocol.None }
func (c *classicGroup) checkDeleteGroup() protocol.Code                        { return protocol.None }
func (c *classicGroup) subscribed(topic string) bool                           { return false }
func (c *classicGroup) expiresFrom() (since int64, byCommit, ok bool)          { return 0, false, false }
func (c *classicGroup) tombstones(s *step)                                     {}

// JoinGroup (11): the reply is a *kmsg.JoinGroupResponse.
func (m *Machine) JoinGroup(now int64, t coordinator.Token, c Client, r *kmsg.JoinGroupRequest) coordinator.Effects {
	return m.begin(now).e
}

// SyncGroup (14): the reply is a *kmsg.SyncGroupResponse.
func (m *Machine) SyncGroup(now int64, t coordinator.Token, r *kmsg.SyncGroupRequest) coordinator.Effects {
	return m.begin(now).e
}

// Heartbeat (12): the reply is a *kmsg.HeartbeatResponse.
func (m *Machine) Heartbeat(now int64, t coordinator.Token, r *kmsg.HeartbeatRequest) coordinator.Effects {
	return m.begin(now).e
}

// LeaveGroup (13), one member or many: the reply is a *kmsg.LeaveGroupResponse.
func (m *Machine) LeaveGroup(now int64, t coordinator.Token, r *kmsg.LeaveGroupRequest) coordinator.Effects {
	return m.begin(now).e
}

func (s *step) loadClassic(g *group)                            {}
func (s *step) unloadClassic(g *group)                          {}
func (s *step) classicExpired(g *group, k coordinator.TimerKey) {}

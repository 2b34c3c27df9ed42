package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// consumerGroup is a group of the consumer protocol (KIP-848).
type consumerGroup struct{}

func (c *consumerGroup) kind() string         { return "consumer" }
func (c *consumerGroup) protocolType() string { return "consumer" }
func (c *consumerGroup) stateName() string    { return "" }
func (c *consumerGroup) empty() bool          { return true }
func (c *consumerGroup) checkCommit(memberID string, instanceID *string, generation int32, transactional bool, version int16) (partitionCheck, protocol.Code) {
	return nil, protocol.None
}
func (c *consumerGroup) checkFetch(memberID *string, epoch int32) protocol.Code { return protocol.None }
func (c *consumerGroup) checkDelete() protocol.Code                             { return protocol.None }
func (c *consumerGroup) checkDeleteGroup() protocol.Code                        { return protocol.None }
func (c *consumerGroup) subscribed(topic string) bool                           { return false }
func (c *consumerGroup) expiresFrom() (since int64, byCommit, ok bool)          { return 0, false, false }
func (c *consumerGroup) tombstones(s *step)                                     {}

// ConsumerGroupHeartbeat (68): the reply is a *kmsg.ConsumerGroupHeartbeatResponse.
func (m *Machine) ConsumerGroupHeartbeat(now int64, t coordinator.Token, c Client, r *kmsg.ConsumerGroupHeartbeatRequest) coordinator.Effects {
	return m.begin(now).e
}

// ConsumerGroupDescribe (69) of one group: the reply is a *kmsg.ConsumerGroupDescribeResponseGroup.
func (m *Machine) ConsumerGroupDescribe(now int64, t coordinator.Token, id string) coordinator.Effects {
	return m.begin(now).e
}

// replayConsumer takes over a record of types 3 to 8 or 16.
func (m *Machine) replayConsumer(k *recordKey, value []byte) error { return nil }

func (s *step) loadConsumer(g *group)                            {}
func (s *step) consumerExpired(g *group, k coordinator.TimerKey) {}

// consumerMetadataChanged is called when s.m.md is new.
func (s *step) consumerMetadataChanged(old Metadata) {}

// The classic protocol spoken to a consumer group (online upgrade).

func (s *step) consumerClassicJoin(g *group, t coordinator.Token, c Client, r *kmsg.JoinGroupRequest) {
}
func (s *step) consumerClassicSync(g *group, t coordinator.Token, r *kmsg.SyncGroupRequest)      {}
func (s *step) consumerClassicHeartbeat(g *group, t coordinator.Token, r *kmsg.HeartbeatRequest) {}
func (s *step) consumerClassicLeave(g *group, t coordinator.Token, r *kmsg.LeaveGroupRequest)    {}

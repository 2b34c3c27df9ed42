package group

import (
	"bytes"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// The classic protocol spoken to a consumer group: such a member joins, gets its assignment with SyncGroup, and is told with its
// heartbeats to join again when there is more to do. To the group it is a member like the others; its subscription and what it owns
// come out of the protocol that clients embed ("consumer").

func (s *step) consumerClassicJoin(g *group, t coordinator.Token, c Client, r *kmsg.JoinGroupRequest) {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Version = r.Version
	if err := s.consumer(g.consumer).classicJoin(g, c, r, resp); err != nil {
		s.undo()
		resp = consumerJoinError(r, "", err.code)
	}
	s.reply(t, resp)
}

func (s consumerStep) classicJoin(g *group, client Client, r *kmsg.JoinGroupRequest, resp *kmsg.JoinGroupResponse) *refusal {
	c := g.consumer
	if s.m.cfg.ConsumerMigrationPolicy == "disabled" {
		return refuse(protocol.InconsistentGroupProtocol, "Cannot join the consumer group %s with the classic protocol because the group migration is disabled.", c.id)
	}
	o := &change{consumerStep: s, client: client}
	memberID, unknown := r.MemberID, r.MemberID == ""
	if unknown {
		memberID = client.NewID
	}
	if err := o.checkFull(memberID, r.InstanceID); err != nil {
		return err
	}
	if !c.supports(r) {
		return refuse(protocol.InconsistentGroupProtocol, "Member %s's protocols are not supported.", memberID)
	}
	if unknown && r.InstanceID == nil && r.Version >= 4 {
		*resp = *consumerJoinError(r, memberID, protocol.MemberIDRequired)
		return nil
	}
	joins := epochJoin
	if r.InstanceID != nil && !unknown {
		joins = epochLeave // no epoch that creates: the member must be there
	}
	if err := o.openMember(memberID, r.InstanceID, joins, []kmsg.ConsumerGroupHeartbeatRequestTopic{}, true); err != nil {
		return err
	}
	there := c.staticMember(r.InstanceID)
	down := there != nil && o.mayDowngradeFor(there)
	sub, ok := decodeSubscription(r.Protocols[0].Metadata)
	if !ok {
		return refuse(protocol.InconsistentGroupProtocol, "Malformed embedded consumer protocol in subscription deserialization.")
	}
	o.update(func(v *consumerMemberValue) { updateFromJoin(v, client, r, sub) })
	if err := o.subscribe(); err != nil {
		return err
	}
	owned := s.ownedOfNames(sub.OwnedPartitions)
	if down {
		if stale := c.assignmentEpoch < o.epoch; !stale {
			o.reconcile(c.assignmentEpoch, o.oldTarget(), owned, true)
			s.downgrade(g, nil, o.next, false)
		} else {
			s.downgrade(g, nil, o.next, true)
		}
	} else {
		epoch, target := o.assign()
		o.reconcile(epoch, target, owned, true)
		o.done()
		o.armClassicJoin(o.next, r)
	}
	answerJoin(resp, o.next)
	return nil
}

// consumerJoinError names no protocol, where it may be null.
func consumerJoinError(r *kmsg.JoinGroupRequest, memberID string, code protocol.Code) *kmsg.JoinGroupResponse {
	resp := joinError(r.Version, memberID, code)
	if r.Version >= 7 {
		resp.Protocol = nil
	}
	return resp
}

// armClassicJoin: the member has joined, and must send SyncGroup next.
func (s consumerStep) armClassicJoin(m *consumerMember, r *kmsg.JoinGroupRequest) {
	c := s.c
	delete(c.joinTimers, m.id)
	s.cancel(timer(timerConsumerJoin, c.id, m.id))
	s.arm(timer(timerConsumerSession, c.id, m.id), s.now+int64(r.SessionTimeoutMillis))
	s.arm(timer(timerConsumerSync, c.id, m.id), s.now+int64(r.RebalanceTimeoutMillis))
}

func answerJoin(resp *kmsg.JoinGroupResponse, m *consumerMember) {
	kind := "consumer"
	resp.MemberID, resp.Generation = m.id, m.epoch
	resp.ProtocolType, resp.Protocol = &kind, &m.classic.protocols[0].name
}

// supports says whether the member has a protocol that all classic members have.
func (c *consumerGroup) supports(r *kmsg.JoinGroupRequest) bool {
	if r.ProtocolType != "consumer" || len(r.Protocols) == 0 {
		return false
	}
	return slices.ContainsFunc(r.Protocols, func(p kmsg.JoinGroupRequestProtocol) bool {
		return int(c.classicProtocols[p.Name]) == c.classicMembers
	})
}

func updateFromJoin(v *consumerMemberValue, client Client, r *kmsg.JoinGroupRequest, sub *kmsg.ConsumerMemberMetadata) {
	if r.InstanceID != nil {
		v.instanceID = r.InstanceID
	}
	if sub.Rack != nil && *sub.Rack != "" {
		v.rackID = sub.Rack
	}
	if r.RebalanceTimeoutMillis != -1 {
		v.rebalanceMs = r.RebalanceTimeoutMillis
	}
	v.topics, v.regex = sortedSet(sub.Topics), &noRegex
	v.clientID, v.clientHost = client.ID, client.Host
	v.classic = &consumerClassicValue{sessionMs: r.SessionTimeoutMillis}
	for _, p := range r.Protocols {
		v.classic.protocols = append(v.classic.protocols, classicProtocol{p.Name, p.Metadata})
	}
}

// ownedOfNames is what a member says it has, without topics that are gone.
func (s consumerStep) ownedOfNames(list []kmsg.ConsumerMemberMetadataOwnedPartition) []topicPartitions {
	var out []topicPartitions
	for _, tp := range list {
		if id, ok := s.m.md.TopicID(tp.Topic); ok {
			out = append(out, topicPartitions{topic: id, partitions: tp.Partitions})
		}
	}
	return sortedOwned(out, 0)
}

// classicMember finds the member that a request of the classic protocol is of.
func (c *consumerGroup) classicMember(id string, instanceID *string, generation int32) (*consumerMember, protocol.Code) {
	m := c.member(id)
	if instanceID != nil {
		m = c.staticMember(instanceID)
	}
	switch {
	case m == nil:
		return nil, protocol.UnknownMemberID
	case m.id != id:
		return nil, protocol.FencedInstanceID
	case m.classic == nil:
		return nil, protocol.UnknownMemberID
	case m.epoch != generation:
		return nil, protocol.IllegalGeneration
	}
	return m, protocol.None
}

func (s *step) consumerClassicSync(g *group, t coordinator.Token, r *kmsg.SyncGroupRequest) {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.Version = r.Version
	c := g.consumer
	cs := s.consumer(c)
	m, code := c.classicMember(r.MemberID, r.InstanceID, r.Generation)
	switch {
	case code != protocol.None:
	case r.ProtocolType != nil && *r.ProtocolType != "consumer", r.Protocol != nil && *r.Protocol != m.classic.protocols[0].name:
		code = protocol.InconsistentGroupProtocol
	case c.assignmentEpoch > m.epoch && m.state != memberUnrevoked:
		cs.armJoin(m)
		code = protocol.RebalanceInProgress
	default:
		s.cancel(timer(timerConsumerSync, c.id, m.id))
		s.arm(timer(timerConsumerSession, c.id, m.id), s.now+int64(m.classic.sessionMs))
		resp.ProtocolType, resp.Protocol = r.ProtocolType, r.Protocol
		resp.MemberAssignment = cs.encodeAssignment(m.assigned, subscriptionVersion(m.classic.protocols[0].metadata))
	}
	resp.ErrorCode = int16(code)
	s.reply(t, resp)
}

func (s *step) consumerClassicHeartbeat(g *group, t coordinator.Token, r *kmsg.HeartbeatRequest) {
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.Version = r.Version
	c := g.consumer
	m, code := c.classicMember(r.MemberID, r.InstanceID, r.Generation)
	if code == protocol.None {
		s.arm(timer(timerConsumerSession, c.id, m.id), s.now+int64(m.classic.sessionMs))
		if m.epoch < c.assignmentEpoch || m.state == memberUnrevoked || m.state == memberUnreleased && !c.waits(m) {
			s.consumer(c).armJoin(m)
			code = protocol.RebalanceInProgress
		}
	}
	resp.ErrorCode = int16(code)
	s.reply(t, resp)
}

// waits says whether something of the member's target is not given up yet.
func (c *consumerGroup) waits(m *consumerMember) bool {
	for _, tp := range c.targets[m.id] {
		for _, p := range tp.Partitions {
			id := partitionID{tp.Topic, p}
			if !isIn(m.assigned, id) && c.owners[id] > 0 {
				return true
			}
		}
	}
	return false
}

func (s *step) consumerClassicLeave(g *group, t coordinator.Token, r *kmsg.LeaveGroupRequest) {
	c := g.consumer
	var results []kmsg.LeaveGroupResponseMember
	var gone []*consumerMember
	for _, who := range leaving(r) {
		m, code := c.member(who.MemberID), protocol.None
		if who.InstanceID != nil {
			m = c.staticMember(who.InstanceID)
		}
		switch {
		case m == nil:
			code = protocol.UnknownMemberID
		case who.InstanceID != nil && who.MemberID != "" && who.MemberID != m.id:
			code = protocol.FencedInstanceID
		case !slices.Contains(gone, m):
			gone = append(gone, m)
		}
		answer := kmsg.NewLeaveGroupResponseMember()
		answer.MemberID, answer.InstanceID, answer.ErrorCode = who.MemberID, who.InstanceID, int16(code)
		results = append(results, answer)
	}
	s.consumer(c).fence(g, gone)
	s.reply(t, leaveResponse(r.Version, results))
}

// The protocol that consumers embed in the classic one: Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment. Versions beyond the
// highest known one are read as that.

const (
	maxSubscriptionVersion = 3
	maxAssignmentVersion   = 3
)

func subscriptionVersion(b []byte) int16 {
	r := reader{b: b}
	return r.int16()
}

func decodeSubscription(b []byte) (*kmsg.ConsumerMemberMetadata, bool) {
	var v kmsg.ConsumerMemberMetadata
	b, ok := knownVersion(b, maxSubscriptionVersion)
	if !ok || v.ReadFrom(b) != nil {
		return nil, false
	}
	return &v, true
}

func decodeAssignment(b []byte) (*kmsg.ConsumerMemberAssignment, bool) {
	var v kmsg.ConsumerMemberAssignment
	b, ok := knownVersion(b, maxAssignmentVersion)
	if !ok || v.ReadFrom(b) != nil {
		return nil, false
	}
	return &v, true
}

// knownVersion lowers the version that b begins with to highest.
func knownVersion(b []byte, highest int16) ([]byte, bool) {
	r := reader{b: b}
	switch v := r.int16(); {
	case r.bad || v < 0:
		return nil, false
	case v > highest:
		b = bytes.Clone(b)
		append16(b[:0], highest)
	}
	return b, true
}

// encodeAssignment is the embedded form of partitions, without topics that are gone.
func (s consumerStep) encodeAssignment(list []topicPartitions, version int16) []byte {
	v := kmsg.ConsumerMemberAssignment{Version: min(version, maxAssignmentVersion)}
	for _, tp := range list {
		if name, ok := s.m.md.TopicName(tp.topic); ok {
			v.Topics = append(v.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: name, Partitions: tp.partitions})
		}
	}
	return v.AppendTo(nil)
}

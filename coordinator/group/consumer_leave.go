package group

import (
	"maps"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// consumerLeave is the heartbeat of a member that goes: for good, or, if it is static, to come back.
func (s *step) consumerLeave(r *kmsg.ConsumerGroupHeartbeatRequest) (*kmsg.ConsumerGroupHeartbeatResponse, *refusal) {
	g := s.m.groups[r.Group]
	switch {
	case g == nil:
		return nil, refuse(protocol.GroupIDNotFound, "Group %s not found.", r.Group)
	case g.consumer == nil:
		return nil, refuse(protocol.GroupIDNotFound, "Group %s is not a consumer group.", r.Group)
	}
	c := g.consumer
	m := c.member(r.MemberID)
	if r.InstanceID != nil {
		m = c.staticMember(r.InstanceID)
	}
	switch {
	case m == nil && r.InstanceID == nil:
		return nil, refuse(protocol.UnknownMemberID, "Member %s is not a member of group %s.", r.MemberID, r.Group)
	case m == nil:
		return nil, refuse(protocol.UnknownMemberID, "Instance id %s is unknown.", *r.InstanceID)
	case r.InstanceID != nil && m.id != r.MemberID:
		return nil, fenced(m, r.MemberID, *r.InstanceID)
	}
	cs := s.consumer(c)
	resp := newHeartbeatResponse(r)
	resp.MemberID, resp.MemberEpoch = &r.MemberID, r.MemberEpoch
	if r.InstanceID == nil || r.MemberEpoch != epochStaticLeave {
		cs.fence(g, []*consumerMember{m})
		return resp, nil
	}
	// It keeps its partitions, and its session timer. Whatever epoch comes back may commit them.
	away := m.current()
	away.epoch, away.pendingRevocation = epochStaticLeave, nil
	away.assigned = make([]topicPartitions, len(m.assigned))
	for i, tp := range m.assigned {
		away.assigned[i] = topicPartitions{tp.topic, tp.partitions, make([]int32, len(tp.epochs))}
	}
	cs.appendMember(typeConsumerCurrent, m.id, away)
	return resp, nil
}

// remove takes a member's records away.
func (s consumerStep) remove(id string) {
	s.appendMember(typeConsumerCurrent, id, nil)
	s.appendMember(typeConsumerTargetMember, id, nil)
	s.appendMember(typeConsumerMember, id, nil)
	s.cancelMember(id)
}

// cancelMember cancels all timers of a member.
func (s consumerStep) cancelMember(id string) {
	c := s.c
	for _, kind := range [4]uint8{timerConsumerSession, timerConsumerRebalance, timerConsumerSync, timerConsumerJoin} {
		s.cancel(timer(kind, c.id, id))
	}
	delete(c.joinTimers, id)
}

// fence removes members, for whatever reason, and lets the others share what they had. If all others speak the classic protocol, the group becomes
// a classic one.
func (s consumerStep) fence(g *group, gone []*consumerMember) {
	if len(gone) == 0 {
		return
	}
	c := s.c
	if s.mayDowngrade(gone) {
		s.downgrade(g, gone, nil, true)
		return
	}
	topics := maps.Clone(c.topics)
	regexes := map[string]int32{}
	for _, m := range gone {
		s.remove(m.id)
		addNames(topics, m.topics, -1)
		if *m.regex != "" {
			regexes[*m.regex]++
		}
	}
	for _, regex := range sortedKeys(regexes) {
		if c.regexes[regex] == regexes[regex] {
			s.appendMember(typeConsumerRegex, regex, nil)
			addRegexes(topics, c.resolved[regex].topics, -1)
		}
	}
	s.appendConsumer(typeConsumerMetadata, &consumerMetadataValue{c.epoch + 1, s.m.metadataHash(topics)})
	if len(gone) == len(c.members) {
		s.appendConsumer(typeConsumerTarget, &consumerTargetValue{epoch: c.epoch + 1})
	}
}

// consumerExpired: a timer of a member, or the group's for regular expressions.
func (s *step) consumerExpired(g *group, k coordinator.TimerKey) {
	c := g.consumer
	if k.Kind == timerConsumerJoin {
		delete(c.joinTimers, k.Part)
	}
	m := c.member(k.Part)
	if m == nil || k.Kind == timerConsumerRebalance && (m.state != memberUnrevoked || m.epoch < 0) {
		return
	}
	s.consumer(c).fence(g, []*consumerMember{m})
}

// loadConsumer gives every member a whole session, and those that revoke a whole rebalance timeout.
func (s *step) loadConsumer(g *group) {
	session := int64(s.m.cfg.Group(g.id).ConsumerSessionMs)
	for _, m := range g.consumer.members {
		s.arm(timer(timerConsumerSession, g.id, m.id), s.now+session)
		if m.state == memberUnrevoked {
			s.arm(timer(timerConsumerRebalance, g.id, m.id), s.now+int64(m.rebalanceMs))
		}
	}
}

// armJoin gives a classic member time to join again, unless it has it already.
func (s consumerStep) armJoin(m *consumerMember) {
	c := s.c
	if _, set := c.joinTimers[m.id]; set {
		return
	}
	if c.joinTimers == nil {
		c.joinTimers = map[string]struct{}{}
	}
	c.joinTimers[m.id] = struct{}{}
	s.arm(timer(timerConsumerJoin, c.id, m.id), s.now+int64(m.rebalanceMs))
}

package group

import (
	"slices"

	"weir/protocol"
)

// upgrade makes a consumer group of a classic one whose members are consumers, while they go on: each keeps what it has, and its generation is its member
// epoch. The group exists in o alone until the records are replayed.
func (o *change) upgrade(g *group) *refusal {
	from := g.classic
	cannot := func(why string) *refusal {
		return refuse(protocol.GroupIDNotFound, "Cannot upgrade classic group %s to consumer group because %s", g.id, why)
	}
	switch policy := o.m.cfg.ConsumerMigrationPolicy; {
	case policy != "bidirectional" && policy != "upgrade":
		return cannot("online upgrade is disabled.")
	case from.protocolType != consumerType:
		return cannot("the group does not use the consumer embedded protocol.")
	case len(from.members) > int(o.m.cfg.ConsumerMaxSize):
		return cannot("the group size exceeds the consumer group maximum size.")
	case from.protocol == "":
		// The first rebalance is not over. Kafka finds no protocol name and fails.
		return refuse(protocol.UnknownServerError, "No value present")
	}
	c := newConsumerGroup(g.id)
	c.epoch, c.assignmentEpoch = from.generation, from.generation
	for _, m := range from.members {
		member, custom, ok := o.fromClassic(m, from)
		switch {
		case custom:
			return cannot("an unsupported custom assignor is in use. Please refer to the documentation or switch to a default assignor before re-attempting the upgrade.")
		case !ok:
			return cannot("the embedded consumer protocol is malformed.")
		}
		c.targets[m.id] = toAssignment(member.assigned)
		c.setMember(nil, member)
	}
	c.metadataHash = o.m.metadataHash(c.topics)
	o.c, o.from = c, from
	o.endClassic(g.id)
	o.appendGroup()
	for _, m := range c.members {
		o.arm(timer(timerConsumerSession, c.id, m.id), o.now+int64(m.classic.sessionMs))
	}
	return nil
}

// fromClassic makes a member of a classic one. custom says that its assignor gave it data that would be lost.
func (s consumerStep) fromClassic(m *classicMember, from *classicGroup) (out *consumerMember, custom, ok bool) {
	out = newConsumerMember(m.id)
	out.epoch, out.previousEpoch = from.generation, from.generation
	if len(m.assignment) > 0 {
		a, ok := decodeAssignment(m.assignment)
		if !ok {
			return nil, false, false
		}
		if len(a.UserData) > 0 {
			return nil, true, false
		}
		var list []topicPartitions
		for _, t := range a.Topics {
			if id, ok := s.m.md.TopicID(t.Topic); ok {
				list = append(list, topicPartitions{topic: id, partitions: t.Partitions})
			}
		}
		out.assigned = sortedOwned(list, from.generation)
	}
	sub, ok := decodeSubscription(m.metadata(from.protocol))
	if !ok {
		return nil, false, false
	}
	if sub.Rack != nil && *sub.Rack != "" {
		out.rackID = sub.Rack
	}
	out.instanceID, out.clientID, out.clientHost = m.instance, m.clientID, m.clientHost
	out.rebalanceMs, out.topics = m.rebalanceMs, sortedSet(sub.Topics)
	out.classic = &consumerClassicValue{sessionMs: m.sessionMs, protocols: slices.Clone(m.protocols)}
	return out, false, true
}

// appendGroup appends all records of a group.
func (s consumerStep) appendGroup() {
	c := s.c
	for _, m := range c.members {
		s.appendMember(typeConsumerMember, m.id, &m.consumerMemberValue)
	}
	s.appendConsumer(typeConsumerMetadata, &consumerMetadataValue{c.epoch, c.metadataHash})
	for _, m := range c.members {
		s.appendMember(typeConsumerTargetMember, m.id, &consumerTargetMemberValue{fromAssignment(c.targets[m.id])})
	}
	s.appendConsumer(typeConsumerTarget, &consumerTargetValue{c.assignmentEpoch, c.assignedAt})
	for _, m := range c.members {
		s.appendMember(typeConsumerCurrent, m.id, m.current())
	}
}

// upgraded ends what the classic group was doing: members hear that they must join again, and do so as members of the consumer group.
func (o *change) upgraded() {
	s := o.classic(o.from)
	for _, m := range o.from.members {
		s.answerJoin(m, joinError(m.join.version, m.id, protocol.RebalanceInProgress))
		s.answerSync(m, protocol.RebalanceInProgress)
	}
	s.cancelTimers()
}

// cancelTimers cancels all timers of a classic group that ends.
func (s classicStep) cancelTimers() {
	for _, m := range s.c.members {
		s.cancel(timer(timerClassicSession, s.c.id, m.id))
	}
	for _, id := range sortedKeys(s.c.pending) {
		s.cancel(timer(timerClassicSession, s.c.id, id))
	}
	s.cancel(timer(timerClassicJoin, s.c.id, ""))
	s.cancel(timer(timerClassicSync, s.c.id, ""))
}

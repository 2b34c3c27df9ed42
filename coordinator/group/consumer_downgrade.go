package group

// mayDowngrade says whether the group becomes a classic one when these members are gone: the rest speak the classic protocol.
func (s consumerStep) mayDowngrade(gone []*consumerMember) bool {
	c := s.c
	classic, left := c.classicMembers, len(c.members)-len(gone)
	for _, m := range gone {
		if m.classic != nil {
			classic--
		}
	}
	return classic == left && left > 0 && s.downgrades() && left <= int(s.m.cfg.MaxSize)
}

// mayDowngradeFor is the same when a classic member takes the place of a static one.
func (s consumerStep) mayDowngradeFor(replaced *consumerMember) bool {
	c := s.c
	return c.classicMembers == len(c.members)-1 && replaced.classic == nil && s.downgrades() && len(c.members) <= int(s.m.cfg.MaxSize)
}

func (s consumerStep) downgrades() bool {
	policy := s.m.cfg.ConsumerMigrationPolicy
	return policy == "bidirectional" || policy == "downgrade"
}

// downgrade makes a classic group of a consumer group, without the members that are gone. joining takes the place of a static member that has its
// instance id. The generation is the group's epoch and assignments are the targets, so that members need not
// join again unless rebalance says so.
func (s consumerStep) downgrade(g *group, gone []*consumerMember, joining *consumerMember, rebalance bool) {
	c := s.c
	to := newClassicGroup(c.id, s.now)
	to.state, to.generation = stateStable, c.epoch
	targetOf := map[string]string{}
	left := map[string]bool{}
	for _, m := range gone {
		left[m.id] = true
	}
	if joining != nil {
		replaced := c.staticMember(joining.instanceID)
		left[replaced.id] = true
		targetOf[joining.id] = replaced.id
		c.end(s, replaced.id, joining.id)
	} else {
		c.end(s, "", "")
	}
	for _, m := range c.members {
		s.cancelMember(m.id)
		if !left[m.id] {
			to.add(m.toClassic(), consumerType)
			targetOf[m.id] = m.id
		}
	}
	if joining != nil {
		to.add(joining.toClassic(), consumerType)
	}
	to.protocol = to.selectProtocol()
	to.learnTopics()
	cs := s.classic(to)
	for _, m := range to.members {
		m.assignment = s.encodeAssignment(fromAssignment(c.targets[targetOf[m.id]]), subscriptionVersion(m.metadata(to.protocol)))
		cs.renew(m)
	}
	cs.persist(to.value())
	g.classic = to
	if rebalance {
		cs.prepare()
	}
}

func (m *consumerMember) toClassic() *classicMember {
	return &classicMember{
		id: m.id, instance: m.instanceID, clientID: m.clientID, clientHost: m.clientHost,
		rebalanceMs: m.rebalanceMs, sessionMs: m.classic.sessionMs, protocols: m.classic.protocols,
	}
}

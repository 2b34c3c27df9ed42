package group

import (
	"slices"

	"weir/coordinator"
	"weir/protocol"
)

// rebalanceOrComplete begins a rebalance, or ends the join phase of the one under way if everybody is there.
func (s classicStep) rebalanceOrComplete() {
	if s.c.state == statePreparing {
		s.completeIfAllJoined()
	} else {
		s.prepare()
	}
}

// prepare begins a rebalance: members hear of it by their heartbeat, and have the rebalance time-out to join again.
func (s classicStep) prepare() {
	c := s.c
	if c.state == stateCompleting {
		for _, m := range c.members {
			m.assignment = nil
		}
		s.answerSyncs(protocol.RebalanceInProgress)
	}
	s.forgetSyncs()
	initial := c.state == stateEmpty
	s.enter(statePreparing)
	if initial {
		c.delayMs = s.m.cfg.InitialRebalanceDelayMs
		c.remainingMs = max(int32(c.rebalanceMs())-c.delayMs, 0)
		s.armJoin(int64(c.delayMs))
	} else if c.allJoined() {
		s.completeJoin()
	} else {
		s.armJoin(c.rebalanceMs())
	}
}

func (s classicStep) armJoin(ms int64) { s.arm(timer(timerClassicJoin, s.c.id, ""), s.now+ms) }

// forgetSyncs ends the wait for members that have not sent SyncGroup.
func (s classicStep) forgetSyncs() {
	for _, m := range s.c.members {
		m.unsynced = false
	}
	s.c.unsynced = 0
	s.cancel(timer(timerClassicSync, s.c.id, ""))
}

// completeIfAllJoined ends the join phase early. The first rebalance of a group is not ended early: others are about to come.
func (s classicStep) completeIfAllJoined() {
	if s.c.state == statePreparing && s.c.previous != stateEmpty && s.c.allJoined() {
		s.completeJoin()
	}
}

// joinExpired is the end of a join phase, or of the delay of a first one, which goes on while members come.
func (s classicStep) joinExpired() {
	c := s.c
	if c.state != statePreparing {
		return
	}
	if c.previous == stateEmpty && c.newMemberAdded && c.remainingMs != 0 {
		c.newMemberAdded = false
		passed := c.delayMs
		c.delayMs = min(s.m.cfg.InitialRebalanceDelayMs, c.remainingMs)
		c.remainingMs = max(c.remainingMs-passed, 0)
		s.armJoin(int64(c.delayMs))
		return
	}
	s.completeJoin()
}

// completeJoin begins the next generation with those who have joined. Static members need not have: they are expected back until their
// session ends.
func (s classicStep) completeJoin() {
	c := s.c
	s.cancel(timer(timerClassicJoin, c.id, ""))
	for _, m := range slices.Clone(c.members) {
		if m.join.to == 0 && m.instance == nil {
			s.remove(m.id)
		}
	}
	if len(c.members) > 0 && !c.electJoined() {
		s.armJoin(c.rebalanceMs()) // static members alone, and none has come: wait for one of them or for their sessions to end
		return
	}
	c.newMemberAdded = false
	c.generation++
	if len(c.members) == 0 {
		c.protocol = ""
		c.learnTopics()
		s.enter(stateEmpty)
		s.forgetSyncs()
		s.persist(c.value())
		return
	}
	c.protocol = c.selectProtocol()
	c.learnTopics()
	s.enter(stateCompleting)
	for _, m := range c.members {
		s.answerJoin(m, c.joined(m, m.join.version, c.leader == m.id))
		s.renew(m)
		m.isNew, m.unsynced = false, true
	}
	c.unsynced = len(c.members)
	s.arm(timer(timerClassicSync, c.id, ""), s.now+c.rebalanceMs())
}

// electJoined makes sure that the leader is one who has joined.
func (c *classicGroup) electJoined() bool {
	if m := c.byID[c.leader]; m != nil && m.join.to != 0 {
		return true
	}
	for _, m := range c.members {
		if m.join.to != 0 {
			c.leader = m.id
			return true
		}
	}
	return false
}

// syncExpired removes those who joined and did not ask for their assignment: the others begin anew without them.
func (s classicStep) syncExpired() {
	if s.c.state != stateCompleting && s.c.state != stateStable || s.c.unsynced == 0 {
		return
	}
	for _, m := range slices.Clone(s.c.members) {
		if m.unsynced {
			s.remove(m.id)
		}
	}
	s.prepare()
}

// sessionExpired removes a member that was not heard of for its session time-out, or a member id that was handed out and not used. A
// parked request is as good as a heartbeat.
func (s classicStep) sessionExpired(id string) {
	c := s.c
	_, pending := c.pending[id]
	m := c.byID[id]
	if !pending {
		if m == nil || !m.isNew && (m.join.to != 0 || m.sync.to != 0) {
			return
		}
	}
	s.remove(id)
	switch {
	case c.state == statePreparing:
		if c.allJoined() {
			s.completeJoin()
		}
	case !pending && c.state != stateEmpty:
		s.prepare()
	}
}

// classicExpired is called when a timer of a classic group fires.
func (s *step) classicExpired(g *group, k coordinator.TimerKey) {
	c := s.classic(g.classic)
	switch k.Kind {
	case timerClassicSession:
		c.sessionExpired(k.Part)
	case timerClassicJoin:
		c.joinExpired()
	case timerClassicSync:
		c.syncExpired()
	}
}

// loadClassic makes the running group from its record. Members begin a session: they may not know yet that the coordinator is another.
func (s *step) loadClassic(g *group) {
	if g.metadata == nil {
		return
	}
	v, err := decodeGroupValue(g.metadata)
	if err != nil { // cannot be: Replay has decoded it
		return
	}
	c := &classicGroup{id: g.id, since: v.since, generation: v.generation, leader: text(v.leader), protocol: text(v.protocol)}
	g.classic = c
	for i := range v.members {
		x := &v.members[i]
		if c.byID[x.id] != nil {
			continue
		}
		m := &classicMember{id: x.id, instance: x.instance, clientID: x.clientID, clientHost: x.clientHost, sessionMs: x.sessionMs, rebalanceMs: x.rebalanceMs}
		if m.rebalanceMs == -1 {
			m.rebalanceMs = m.sessionMs
		}
		m.protocols, m.assignment = []classicProtocol{{c.protocol, x.subscription}}, x.assignment
		c.add(m, v.protocolType)
		s.classic(c).renew(m)
	}
	c.protocolType = v.protocolType
	if len(c.members) > 0 {
		c.state = stateStable
	}
	c.learnTopics()
	if len(c.members) > int(s.m.cfg.MaxSize) {
		s.classic(c).prepare() // so that they commit, before those that are too many are refused
	}
}

// unloadClassic answers those who wait: another broker is the coordinator.
func (s *step) unloadClassic(g *group) {
	c := s.classic(g.classic)
	for _, m := range g.classic.members {
		c.answerJoin(m, joinError(m.join.version, m.id, protocol.NotCoordinator))
		c.answerSync(m, protocol.NotCoordinator)
	}
}

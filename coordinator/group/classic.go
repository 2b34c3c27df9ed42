package group

import (
	"slices"

	"weir/coordinator"
	"weir/protocol"
)

// state is where a classic group stands. Kafka's Dead does not exist: a machine that is unloaded is not used again.
type state uint8

const (
	stateEmpty state = iota
	statePreparing
	stateCompleting
	stateStable
)

var stateNames = [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}

// classicGroup is the running state of a group of the classic protocol: soft, for a rebalance does not survive its coordinator. What
// survives is the record that is written when a group becomes Stable or Empty; loadClassic makes this from it.
type classicGroup struct {
	id              string
	state, previous state
	since           int64 // of the state, in milliseconds, -1: not known
	generation      int32
	protocolType    string // "": no member ever joined
	protocol        string // "": none selected
	leader          string // "": none

	members   []*classicMember // in the order they came: what has to pick one picks the first
	byID      map[string]*classicMember
	instances map[string]*classicMember // static members
	pending   map[string]struct{}       // member ids that were handed out and have not joined yet
	supported map[string]int            // how many members support a protocol
	joining   int                       // members that wait for their JoinGroup
	unsynced  int                       // members that have joined this generation and sent no SyncGroup

	// The first rebalance of a group waits for others to come: at most remainingMs beyond the delayMs that run now.
	newMemberAdded       bool
	delayMs, remainingMs int32

	topics      []string // that its members subscribe to, sorted
	topicsKnown bool
}

// classicMember is one member of a classicGroup.
type classicMember struct {
	id                     string
	instance               *string
	clientID, clientHost   string
	rebalanceMs, sessionMs int32
	protocols              []classicProtocol
	assignment             []byte
	join, sync             waiting
	isNew                  bool // it has not completed a join: a parked JoinGroup does not keep it alive
	unsynced               bool
}

// waiting is a request that has not been answered; a zero token is none.
type waiting struct {
	to      coordinator.Token
	version int16
}

func newClassicGroup(id string, now int64) *classicGroup {
	return &classicGroup{id: id, state: stateEmpty, since: now}
}

func (c *classicGroup) kind() string      { return "classic" }
func (c *classicGroup) typeName() string  { return c.protocolType }
func (c *classicGroup) stateName() string { return stateNames[c.state] }
func (c *classicGroup) empty() bool       { return c.state == stateEmpty }

func (c *classicGroup) checkCommit(memberID string, instanceID *string, generation int32, transactional bool, _ int16) (partitionCheck, protocol.Code) {
	switch {
	case generation < 0 && c.state == stateEmpty:
		return nil, protocol.None
	case generation >= 0 || memberID != "" || instanceID != nil:
		if code := c.checkMember(memberID, instanceID); code != protocol.None {
			return nil, code
		}
		if generation != c.generation {
			return nil, protocol.IllegalGeneration
		}
	case !transactional: // the group has members, and who asks is none
		return nil, protocol.UnknownMemberID
	}
	if !transactional && c.state == stateCompleting {
		return nil, protocol.RebalanceInProgress
	}
	return nil, protocol.None
}

// checkMember says whether that member is in the group, and is the one that its instance id stands for.
func (c *classicGroup) checkMember(memberID string, instanceID *string) protocol.Code {
	if instanceID != nil {
		switch m := c.instances[*instanceID]; {
		case m == nil:
			return protocol.UnknownMemberID
		case m.id != memberID:
			return protocol.FencedInstanceID
		}
	}
	if c.byID[memberID] == nil {
		return protocol.UnknownMemberID
	}
	return protocol.None
}

func (c *classicGroup) checkFetch(*string, int32) protocol.Code { return protocol.None }

func (c *classicGroup) checkDelete() protocol.Code {
	if c.state != stateEmpty && c.protocolType != consumerType {
		return protocol.NonEmptyGroup
	}
	return protocol.None
}

func (c *classicGroup) checkDeleteGroup() protocol.Code {
	if c.state != stateEmpty {
		return protocol.NonEmptyGroup
	}
	return protocol.None
}

// consumerType is the protocol type of consumers: the one whose subscriptions the coordinator can read.
const consumerType = "consumer"

func (c *classicGroup) subscribed(topic string) bool {
	if !c.topicsKnown {
		return c.protocolType == consumerType
	}
	_, ok := slices.BinarySearch(c.topics, topic)
	return ok
}

func (c *classicGroup) expiresFrom() (since int64, byCommit, ok bool) {
	switch {
	case c.protocolType == "":
		return 0, true, true
	case c.state == stateEmpty:
		return c.since, c.since == -1, true
	}
	return 0, true, c.protocolType == consumerType && c.topicsKnown && c.state == stateStable
}

func (c *classicGroup) tombstones(s *step) { s.endClassic(c.id) }

func (s *step) endClassic(id string) {
	from := len(s.buf)
	s.buf = appendGroupKey(s.buf, typeGroupMetadata, id)
	s.tombstone(from)
}

// classicStep is a step on a classic group.
type classicStep struct {
	*step
	c *classicGroup
}

func (s *step) classic(c *classicGroup) classicStep { return classicStep{s, c} }

// enter changes the state.
func (s classicStep) enter(to state) {
	s.c.previous, s.c.state, s.c.since = s.c.state, to, s.now
}

// renew gives a member its whole session time-out from now.
func (s classicStep) renew(m *classicMember) { s.renewFor(m, m.sessionMs) }

func (s classicStep) renewFor(m *classicMember, ms int32) {
	s.arm(timer(timerClassicSession, s.c.id, m.id), s.now+int64(ms))
}

// renewByCommit renews a member whose commit was accepted, where Kafka does.
func (s *step) renewByCommit(c *classicGroup, memberID string) {
	if c.state != stateStable && c.state != statePreparing {
		return
	}
	if m := c.byID[memberID]; m != nil {
		s.classic(c).renew(m)
	}
}

// add takes in a member.
func (c *classicGroup) add(m *classicMember, protocolType string) {
	if c.byID == nil {
		c.byID, c.supported = map[string]*classicMember{}, map[string]int{}
	}
	if len(c.members) == 0 {
		c.protocolType = protocolType
	}
	if c.leader == "" {
		c.leader = m.id
	}
	if m.instance != nil {
		if c.instances == nil {
			c.instances = map[string]*classicMember{}
		}
		c.instances[*m.instance] = m
	}
	c.members = append(c.members, m)
	c.byID[m.id] = m
	c.support(m, 1)
	delete(c.pending, m.id)
}

// support counts the protocols of a member, each once, in or out.
func (c *classicGroup) support(m *classicMember, n int) {
	for i, p := range m.protocols {
		if slices.ContainsFunc(m.protocols[:i], func(q classicProtocol) bool { return q.name == p.name }) {
			continue
		}
		if c.supported[p.name] += n; c.supported[p.name] == 0 {
			delete(c.supported, p.name)
		}
	}
}

// remove takes a member or a pending member id out. Whatever the member waits for is answered: it is not a member any more.
func (s classicStep) remove(id string) {
	c := s.c
	delete(c.pending, id)
	s.cancel(timer(timerClassicSession, c.id, id))
	m := c.byID[id]
	if m == nil {
		return
	}
	s.answerJoin(m, joinError(m.join.version, "", protocol.UnknownMemberID))
	s.answerSync(m, protocol.UnknownMemberID)
	delete(c.byID, id)
	c.members = slices.DeleteFunc(c.members, func(x *classicMember) bool { return x == m })
	c.support(m, -1)
	if m.instance != nil {
		delete(c.instances, *m.instance)
	}
	c.synced(m)
	if c.leader == id {
		if c.leader = ""; len(c.members) > 0 {
			c.leader = c.members[0].id
		}
	}
}

// synced takes note of a SyncGroup.
func (c *classicGroup) synced(m *classicMember) {
	if m.unsynced {
		m.unsynced = false
		c.unsynced--
	}
}

// allJoined says whether a join phase need not wait for anybody.
func (c *classicGroup) allJoined() bool { return len(c.members) == c.joining && len(c.pending) == 0 }

// rebalanceMs is how long a join phase may last.
func (c *classicGroup) rebalanceMs() int64 {
	ms := int32(0)
	for _, m := range c.members {
		ms = max(ms, m.rebalanceMs)
	}
	return int64(ms)
}

// supports says whether a member with these protocols can be in the group: all must have one in common.
func (c *classicGroup) supports(protocolType string, protocols []classicProtocol) bool {
	if c.state == stateEmpty {
		return protocolType != "" && len(protocols) > 0
	}
	return c.protocolType == protocolType && slices.ContainsFunc(protocols, func(p classicProtocol) bool {
		return c.supported[p.name] == len(c.members)
	})
}

// selectProtocol lets every member vote for the first of its protocols that all support. Of those with most votes the first one
// voted for wins.
func (c *classicGroup) selectProtocol() string {
	type vote struct {
		name string
		n    int
	}
	var votes []vote
	for _, m := range c.members {
		for _, p := range m.protocols {
			if c.supported[p.name] != len(c.members) {
				continue
			}
			i := slices.IndexFunc(votes, func(v vote) bool { return v.name == p.name })
			if i < 0 {
				i, votes = len(votes), append(votes, vote{name: p.name})
			}
			votes[i].n++
			break
		}
	}
	best := vote{}
	for _, v := range votes {
		if v.n > best.n {
			best = v
		}
	}
	return best.name
}

// metadata is what a member said with a protocol.
func (m *classicMember) metadata(name string) []byte {
	for _, p := range m.protocols {
		if p.name == name {
			return p.metadata
		}
	}
	return nil
}

// learnTopics reads the subscriptions of the members, if they are consumers. One that cannot be read leaves the topics unknown.
func (c *classicGroup) learnTopics() {
	c.topics, c.topicsKnown = nil, false
	if c.protocolType != consumerType || len(c.members) > 0 && c.protocol == "" {
		return
	}
	seen := map[string]struct{}{}
	for _, m := range c.members {
		if !subscription(m.metadata(c.protocol), seen) {
			c.topics = nil
			return
		}
	}
	for t := range seen {
		c.topics = append(c.topics, t)
	}
	slices.Sort(c.topics)
	c.topicsKnown = true
}

// subscription adds the topics of a ConsumerProtocolSubscription: its version and then, in every version, the topics and user data first.
func subscription(b []byte, topics map[string]struct{}) bool {
	r := reader{b: b}
	r.int16()
	n := r.count(false, 2)
	for i := 0; i < n && !r.bad; i++ {
		if t, ok := r.raw(false); !ok {
			r.take(-1)
		} else if _, seen := topics[string(t)]; !seen {
			topics[string(t)] = struct{}{}
		}
	}
	if size := r.int32(); size > 0 {
		r.take(int(size))
	}
	return !r.bad
}

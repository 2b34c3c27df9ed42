package group

import (
	"bytes"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// newMemberJoinMs is how long a member that is new may wait for its first join to end: it sends no heartbeat yet, and its client may be
// gone (group.new.member.join.timeout, a constant of Kafka's).
const newMemberJoinMs = 5 * 60 * 1000

// JoinGroup (11): the reply is a *kmsg.JoinGroupResponse. It comes when the join phase ends.
func (m *Machine) JoinGroup(now int64, t coordinator.Token, c Client, r *kmsg.JoinGroupRequest) coordinator.Effects {
	s := m.begin(now)
	g := m.groups[r.Group]
	switch {
	case r.Group == "":
		s.reply(t, joinError(r.Version, r.MemberID, protocol.InvalidGroupID))
	case r.SessionTimeoutMillis < m.cfg.MinSessionMs || r.SessionTimeoutMillis > m.cfg.MaxSessionMs:
		s.reply(t, joinError(r.Version, r.MemberID, protocol.InvalidSessionTimeout))
	case g != nil && g.consumer != nil && !g.consumer.empty():
		s.consumerClassicJoin(g, t, c, r)
	default:
		s.joinClassic(g, t, c, r)
	}
	return s.e
}

// joinError is a response that says nothing but the code.
func joinError(version int16, memberID string, code protocol.Code) *kmsg.JoinGroupResponse {
	return &kmsg.JoinGroupResponse{Version: version, ErrorCode: int16(code), Generation: -1, Protocol: new(string), MemberID: memberID}
}

// joinClassic finds the group or makes it. A consumer group without members becomes a classic one.
func (s *step) joinClassic(g *group, t coordinator.Token, c Client, r *kmsg.JoinGroupRequest) {
	isNew := g == nil || g.consumer != nil
	if isNew && r.MemberID != "" {
		s.reply(t, joinError(r.Version, r.MemberID, protocol.UnknownMemberID))
		return
	}
	if g == nil {
		g = &group{id: r.Group}
		s.m.groups[g.id] = g
	}
	if g.consumer != nil {
		g.consumer.tombstones(s)
	}
	if g.classic == nil {
		g.classic = newClassicGroup(g.id, s.now)
	}
	j := &join{classicStep: s.classic(g.classic), t: t, client: c, r: r, protocols: make([]classicProtocol, 0, len(r.Protocols))}
	for _, p := range r.Protocols {
		j.protocols = append(j.protocols, classicProtocol{p.Name, p.Metadata})
	}
	j.run()
	if isNew { // so that the group is there after a load
		j.persist(&groupValue{since: g.classic.since})
	}
}

// join is one JoinGroup under way.
type join struct {
	classicStep
	t         coordinator.Token
	client    Client
	r         *kmsg.JoinGroupRequest
	protocols []classicProtocol
}

func (j *join) fail(memberID string, code protocol.Code) {
	j.reply(j.t, joinError(j.r.Version, memberID, code))
}

func (j *join) run() {
	switch c := j.c; {
	case !j.accept():
		j.remove(j.r.MemberID)
		j.fail("", protocol.GroupMaxSizeReached)
	case !c.supports(j.r.ProtocolType, j.protocols):
		j.fail(j.r.MemberID, protocol.InconsistentGroupProtocol)
	case j.r.MemberID != "":
		j.known()
	case j.r.InstanceID == nil:
		j.dynamic(newMemberID(j.client.ID, j.client.NewID))
	default:
		id := newMemberID(*j.r.InstanceID, j.client.NewID)
		if old := c.instances[*j.r.InstanceID]; old != nil {
			j.replace(old, id)
		} else {
			j.add(id)
		}
	}
}

// newMemberID is what Kafka makes of a client id or an instance id, cut where it could not be written.
func newMemberID(prefix, uuid string) string {
	if most := math.MaxInt16 - len(uuid) - 1; len(prefix) > most {
		prefix = prefix[:max(most, 0)]
	}
	return prefix + "-" + uuid
}

// accept holds group.max.size. Who is in the group already may stay.
func (j *join) accept() bool {
	limit := int(j.m.cfg.MaxSize)
	m := j.c.byID[j.r.MemberID]
	switch j.c.state {
	case stateEmpty:
		return true
	case statePreparing:
		return m != nil && m.join.to != 0 || j.c.joining < limit
	}
	return m != nil || len(j.c.members) < limit
}

// dynamic is the first request of a member without an instance id. Since version 4 it must come again with the id that it gets here, so
// that a client that gave up leaves no member behind (KIP-394).
func (j *join) dynamic(id string) {
	if j.r.Version < 4 {
		j.add(id)
		return
	}
	if j.c.pending == nil {
		j.c.pending = map[string]struct{}{}
	}
	j.c.pending[id] = struct{}{}
	j.arm(timer(timerClassicSession, j.c.id, id), j.now+int64(j.r.SessionTimeoutMillis))
	j.fail(id, protocol.MemberIDRequired)
}

// known is a request with a member id.
func (j *join) known() {
	c, id := j.c, j.r.MemberID
	if _, ok := c.pending[id]; ok {
		if j.r.InstanceID != nil { // Kafka: an exception that nobody expects
			j.fail("", protocol.UnknownServerError)
			return
		}
		j.add(id)
		return
	}
	if code := c.checkMember(id, j.r.InstanceID); code != protocol.None {
		e := joinError(j.r.Version, id, code)
		if j.r.Version >= 7 {
			e.Protocol = nil
		}
		j.reply(j.t, e)
		return
	}
	m := c.byID[id]
	same := slices.EqualFunc(m.protocols, j.protocols, func(a, b classicProtocol) bool {
		return a.name == b.name && bytes.Equal(a.metadata, b.metadata)
	})
	switch {
	case c.state == stateCompleting && same:
		// The response to its last request was lost, or it wants to hear it again.
		j.reply(j.t, c.joined(m, j.r.Version, c.leader == id))
	case c.state == stateStable && same && c.leader != id:
		// The leader may ask for a rebalance by joining again: topics have changed. Followers may not.
		j.reply(j.t, c.joined(m, j.r.Version, false))
	default:
		j.update(m)
		j.rebalanceOrComplete()
	}
}

// joined is the response to a member of the current generation; the leader gets everybody's metadata.
func (c *classicGroup) joined(m *classicMember, version int16, withMembers bool) *kmsg.JoinGroupResponse {
	name, kind := c.protocol, c.protocolType
	resp := &kmsg.JoinGroupResponse{Version: version, Generation: c.generation, ProtocolType: &kind, Protocol: &name, LeaderID: c.leader, MemberID: m.id}
	if withMembers {
		resp.Members = make([]kmsg.JoinGroupResponseMember, 0, len(c.members))
		for _, x := range c.members {
			resp.Members = append(resp.Members, kmsg.JoinGroupResponseMember{MemberID: x.id, InstanceID: x.instance, ProtocolMetadata: x.metadata(name)})
		}
	}
	return resp
}

// add takes in a member that is new.
func (j *join) add(id string) {
	c := j.c
	m := &classicMember{id: id, instance: j.r.InstanceID, clientID: j.client.ID, clientHost: j.client.Host, isNew: true}
	m.protocols, m.rebalanceMs, m.sessionMs = j.protocols, j.r.RebalanceTimeoutMillis, j.r.SessionTimeoutMillis
	if c.state == statePreparing && c.previous == stateEmpty {
		c.newMemberAdded = true
	}
	c.add(m, j.r.ProtocolType)
	j.park(m)
	j.renewFor(m, newMemberJoinMs)
	j.rebalanceOrComplete()
}

// update takes over what a member says now.
func (j *join) update(m *classicMember) {
	j.c.support(m, -1)
	m.protocols, m.rebalanceMs, m.sessionMs = j.protocols, j.r.RebalanceTimeoutMillis, j.r.SessionTimeoutMillis
	j.c.support(m, 1)
	j.park(m)
}

// park lets the request wait. One that waited before is over: its client has sent this one.
func (j *join) park(m *classicMember) {
	j.answerJoin(m, joinError(m.join.version, m.id, protocol.RebalanceInProgress))
	m.join = waiting{j.t, j.r.Version}
	j.c.joining++
}

// replace is a static member that starts again: it takes the place of its former self, and where the protocol stays there is no rebalance.
func (j *join) replace(old *classicMember, id string) {
	c, leader := j.c, j.c.leader
	fenced := joinError(old.join.version, old.id, protocol.FencedInstanceID)
	if fenced.Version >= 7 {
		fenced.Protocol = nil
	}
	j.answerJoin(old, fenced)
	j.answerSync(old, protocol.FencedInstanceID)
	j.cancel(timer(timerClassicSession, c.id, old.id))
	m := &classicMember{}
	*m = *old
	m.id, m.isNew = id, false
	delete(c.byID, old.id)
	c.byID[id], c.instances[*m.instance] = m, m
	c.members[slices.Index(c.members, old)] = m
	if c.leader == old.id {
		c.leader = id
	}
	j.renew(m)
	j.update(m)
	switch {
	case c.state == stateStable && c.selectProtocol() == c.protocol:
		resp := c.joined(m, j.r.Version, j.r.Version >= 9 && c.leader == id)
		if j.r.Version >= 9 { // KIP-814: a leader that starts again must not assign anew
			resp.SkipAssignment = c.leader == id
		} else {
			resp.LeaderID = leader // it must not think that it leads: nobody waits for its assignment
		}
		j.answerJoin(m, resp)
		j.persist(c.value())
	case c.state == stateStable || c.state == stateCompleting:
		j.prepare()
	default:
		j.completeIfAllJoined()
	}
}

// answerJoin ends the wait of a member's JoinGroup, if there is one.
func (s classicStep) answerJoin(m *classicMember, resp *kmsg.JoinGroupResponse) {
	if m.join.to != 0 {
		s.reply(m.join.to, resp)
		m.join = waiting{}
		s.c.joining--
	}
}

func (s classicStep) persist(v *groupValue) {
	from := len(s.buf)
	s.buf = appendGroupKey(s.buf, typeGroupMetadata, s.c.id)
	mid := len(s.buf)
	s.buf = appendGroupValue(s.buf, v)
	s.record(from, mid)
}

// value is the record of the group as it stands.
func (c *classicGroup) value() *groupValue {
	v := &groupValue{protocolType: c.protocolType, generation: c.generation, since: c.since}
	if c.protocol != "" {
		v.protocol = &c.protocol
	}
	if c.leader != "" {
		v.leader = &c.leader
	}
	v.members = make([]memberValue, 0, len(c.members))
	for _, m := range c.members {
		v.members = append(v.members, memberValue{
			id: m.id, instance: m.instance, clientID: m.clientID, clientHost: m.clientHost, rebalanceMs: m.rebalanceMs, sessionMs: m.sessionMs,
			subscription: m.metadata(c.protocol), assignment: m.assignment,
		})
	}
	return v
}

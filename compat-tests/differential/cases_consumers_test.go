package differential

import (
	"encoding/binary"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerMember is a member of a group of the consumer protocol, as a client keeps it.
type consumerMember struct {
	s      *session
	group  string
	id     string
	epoch  int32
	topics []string // subscribed to by name
	regex  *string
	static *string
	owned  []kmsg.ConsumerGroupHeartbeatRequestTopic
}

// consumer is the n-th member of a group, which has not joined yet. The group's coordinator knows the topics then.
func (s *session) consumer(group string, n int, topics ...string) *consumerMember {
	s.t.Helper()
	m := &consumerMember{s: s, group: s.topic(group), id: strings.Repeat(itoa(n), 22)}
	for _, t := range topics {
		m.topics = append(m.topics, s.topic(t))
	}
	if len(topics) == 0 || s.groups[m.group] {
		s.coordinate(m.group)
		return m
	}
	if s.groups == nil {
		s.groups = map[string]bool{}
	}
	s.groups[m.group] = true
	s.probe(m)
	return m
}

// probe makes the group and deletes it again, with a member that is like m. Coordinators hear of a new topic a moment later, and who has
// joined before gets its partitions with another epoch.
func (s *session) probe(m *consumerMember) {
	s.t.Helper()
	s.coordinate(m.group)
	probe := *m
	probe.id = strings.Repeat("p", 22)
	s.until(func() bool {
		probe.beat()
		return len(probe.owned) == len(m.topics)
	})
	s.quiet(1, probe.heartbeat(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -1 }))
	if r := s.quiet(2, &kmsg.DeleteGroupsRequest{Groups: []string{m.group}}).(*kmsg.DeleteGroupsResponse); r.Groups[0].ErrorCode != 0 {
		s.t.Fatalf("%s: the group is not deleted: error %d", s.name, r.Groups[0].ErrorCode)
	}
}

// heartbeat is the member's next, with everything in it.
func (m *consumerMember) heartbeat(changes ...func(r *kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatRequest {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Group, r.MemberID, r.MemberEpoch, r.RebalanceTimeoutMillis, r.InstanceID = m.group, m.id, m.epoch, 10_000, m.static
	r.SubscribedTopicNames, r.SubscribedTopicRegex = m.topics, m.regex
	r.Topics = append([]kmsg.ConsumerGroupHeartbeatRequestTopic{}, m.owned...)
	for _, change := range changes {
		change(r)
	}
	return r
}

// beat sends a heartbeat and takes over the answer.
func (m *consumerMember) beat() {
	m.s.t.Helper()
	r := m.s.quiet(1, m.heartbeat()).(*kmsg.ConsumerGroupHeartbeatResponse)
	if r.ErrorCode != 0 {
		m.s.t.Fatalf("%s: a heartbeat of %s: error %d", m.s.name, m.id, r.ErrorCode)
	}
	m.take(r)
}

// take takes over an answer.
func (m *consumerMember) take(r *kmsg.ConsumerGroupHeartbeatResponse) {
	m.epoch = r.MemberEpoch
	if r.Assignment != nil {
		m.owned = m.owned[:0]
		for _, t := range r.Assignment.Topics {
			m.owned = append(m.owned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
}

// stable sends heartbeats of all members until the group has nothing more to do. When it does what is each broker's affair.
func (s *session) stable(members ...*consumerMember) {
	s.t.Helper()
	s.until(func() bool {
		for _, m := range members {
			m.beat()
		}
		g := s.quiet(1, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{members[0].group}}).(*kmsg.ConsumerGroupDescribeResponse).Groups[0]
		if g.State != "Stable" || g.Epoch != g.AssignmentEpoch || len(g.Members) != len(members) {
			return false
		}
		for _, m := range members {
			if m.epoch != g.Epoch {
				return false
			}
		}
		return true
	})
}

// subscription is the metadata of a classic consumer: version 1, topics, no user data, and what it has.
func subscription(topics ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = binary.BigEndian.AppendUint16(b, uint16(len(t)))
		b = append(b, t...)
	}
	b = binary.BigEndian.AppendUint32(b, 0xffffffff)
	return binary.BigEndian.AppendUint32(b, 0)
}

// classicConsumer is a JoinGroup of a client that subscribes to a topic.
func classicConsumer(group, member, topic string) *kmsg.JoinGroupRequest {
	r := joinGroup(group, member, 10_000, "consumer", "range")
	r.Protocols[0].Metadata = subscription(topic)
	return r
}

func (s *session) describeConsumers(what string, version int16, group string) {
	s.t.Helper()
	s.ask(what, version, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{group}})
}

var consumerScripts = []script{
	{"consumers' heartbeats", 68, 0, 1, func(s *session, v int16) {
		s.create("a", 4)
		one := s.consumer("g", 1, "a")
		type request = *kmsg.ConsumerGroupHeartbeatRequest
		with := func(change func(r request)) request { return one.heartbeat(change) }
		s.ask("a blank group", v, with(func(r request) { r.Group = "  " }))
		s.ask("a long group that is not there", v, with(func(r request) { r.Group, r.MemberEpoch = strings.Repeat("g", 300), 1 }))
		s.ask("a blank member id", v, with(func(r request) { r.MemberID, r.MemberEpoch = " ", 1 }))
		s.ask("an empty instance", v, with(func(r request) { r.InstanceID = ptr("") }))
		s.ask("an empty rack", v, with(func(r request) { r.RackID = ptr("") }))
		s.ask("an empty assignor", v, with(func(r request) { r.ServerAssignor = ptr("") }))
		s.ask("no partitions at all", v, with(func(r request) { r.Topics = nil }))
		s.stable(one)
		two := s.consumer("g", 2, "a")
		s.stable(one, two)
		s.describeConsumers("two of them", v, one.group)
		s.written("records of two", one.group)
		s.ask("an epoch too many", v, with(func(r request) { r.MemberEpoch++ }))
		s.ask("the epoch before, with what it has", v, with(func(r request) { r.MemberEpoch-- }))
		s.ask("the epoch before, with what it has not", v, with(func(r request) { r.MemberEpoch, r.Topics = r.MemberEpoch-1, two.owned }))
		s.ask("the epoch before, and nothing said", v, with(func(r request) { r.MemberEpoch, r.Topics = r.MemberEpoch-1, nil }))
		s.ask("its epoch", v, with(func(r request) {}))
		s.ask("nothing new", v, with(func(r request) { r.Topics, r.SubscribedTopicNames, r.RebalanceTimeoutMillis = nil, nil, -1 }))
		s.ask("another's partitions", v, with(func(r request) { r.Topics = two.owned }))
		s.ask("an instance id afterwards", v, with(func(r request) { r.InstanceID = ptr("i") }))
		s.ask("an unknown assignor", v, with(func(r request) { r.ServerAssignor = ptr("best") }))
		s.ask("the group's classic face: heartbeat", 4, heartbeat(one.group, one.id, one.epoch))
		s.ask("the group's classic face: sync", 5, syncGroup(one.group, one.id, one.epoch))
		s.ask("the group's classic face: leave", 5, leaveGroup(one.group, one.id))
		s.ask("the group's classic face: leave of a stranger", 5, leaveGroup(one.group, "x"))
	}},
	{"commits of consumers", 8, 9, 10, func(s *session, v int16) {
		s.create("a", 2)
		one := s.consumer("g", 1, "a")
		s.stable(one)
		s.ask("its epoch", v, s.commit(one.group, one.id, one.epoch, "a", 0))
		s.ask("an old epoch", v, s.commit(one.group, one.id, one.epoch-1, "a", 0))
		s.ask("an epoch to come", v, s.commit(one.group, one.id, one.epoch+1, "a", 0))
		s.ask("an epoch of -1", v, s.commit(one.group, one.id, -1, "a", 0))
		s.ask("a stranger", v, s.commit(one.group, "x", one.epoch, "a", 0))
		s.ask("nobody", v, s.commit(one.group, "", -1, "a", 0))
		s.ask("a version that knows no epochs", 8, s.commit(one.group, one.id, one.epoch, "a", 0))
		fetch := func(id string, epoch int32) *kmsg.OffsetFetchRequest {
			r := s.offsets(9, one.group, "a")
			r.Groups[0].MemberID, r.Groups[0].MemberEpoch = &id, epoch
			return r
		}
		s.ask("fetched by it", 9, fetch(one.id, one.epoch))
		s.ask("fetched with an old epoch", 9, fetch(one.id, one.epoch-1))
		s.ask("fetched with an epoch to come", 9, fetch(one.id, one.epoch+1))
		s.ask("fetched by a stranger", 9, fetch("x", one.epoch))
		s.ask("fetched by nobody", 9, fetch("", -1))
		one.static = nil
		remove := &kmsg.OffsetDeleteRequest{Group: one.group, Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: s.topic("a"),
			Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}}
		s.ask("deleted while subscribed", 0, remove)
		s.ask("it leaves", 1, one.heartbeat(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -1 }))
		s.ask("deleted", 0, remove)
		s.ask("committed by nobody to the empty group", v, s.commit(one.group, "", -1, "a", 1))
		s.written("records in the end", one.group)
		s.ask("committed by who has left", v, s.commit(one.group, one.id, 1, "a", 1))
	}},
	{"static consumers", 68, 0, 1, func(s *session, v int16) {
		s.create("a", 2)
		one := s.consumer("g", 1, "a")
		one.static = ptr("i")
		s.stable(one)
		leave := func(m *consumerMember, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
			return m.heartbeat(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = epoch })
		}
		two := s.consumer("g", 2, "a")
		two.static = one.static
		s.ask("its instance is taken", v, two.heartbeat())
		s.ask("another leaves with its instance", v, leave(two, -2))
		s.ask("an unknown instance leaves", v, one.heartbeat(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch, r.InstanceID = -2, ptr("j") }))
		s.ask("it goes for a while", v, leave(one, -2))
		s.describeConsumers("gone for a while", v, one.group)
		s.ask("it commits meanwhile", 9, s.commit(one.group, one.id, 1, "a", 0))
		if r, ok := s.ask("another comes in its place", v, two.heartbeat()).(*kmsg.ConsumerGroupHeartbeatResponse); ok {
			two.take(r)
		}
		s.stable(two)
		s.describeConsumers("replaced", v, one.group)
		s.ask("the former one", v, one.heartbeat())
		s.ask("the former one commits", 9, s.commit(one.group, one.id, one.epoch, "a", 0))
		s.ask("the former one leaves", v, leave(one, -1))
		s.written("records before it leaves", one.group)
		s.ask("the instance leaves", v, leave(two, -1))
		s.written("records after it has left", one.group)
		s.ask("the instance leaves again", v, leave(two, -1))
	}},
	{"more consumers than there may be", 68, 0, 1, func(s *session, v int16) {
		s.create("a", 3)
		members := []*consumerMember{s.consumer("g", 1, "a"), s.consumer("g", 2, "a"), s.consumer("g", 3, "a")}
		s.stable(members...)
		s.ask("one too many", v, s.consumer("g", 4, "a").heartbeat())
		s.ask("one too many, classic", 5, classicConsumer(members[0].group, "", s.topic("a")))
		s.ask("one of them comes again", v, members[0].heartbeat(func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.MemberEpoch, r.Topics = 0, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		}))
	}},
	{"regular expressions", 68, 1, 1, func(s *session, v int16) {
		s.create("orders", 2)
		s.create("other", 1)
		one := s.consumer("g", 1, "orders", "other")
		one.topics = nil
		one.regex = ptr(s.prefix + "or.*")
		s.stable(one)
		if len(one.owned) == 0 { // what an expression matches is found later
			s.until(func() bool { one.beat(); return len(one.owned) > 0 })
			s.stable(one)
		}
		s.describeConsumers("by an expression", v, one.group)
		for _, wrong := range []string{"[", "(?P<n", "a**", "(?=a)", "\\", "x{2,1}", "(a"} {
			s.ask("changed to "+wrong, v, one.heartbeat(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicRegex = &wrong }))
		}
		s.ask("still there", v, one.heartbeat())
		two := s.consumer("g", 2, "other")
		two.regex = one.regex
		s.stable(one, two)
		s.describeConsumers("names and an expression", v, one.group)
		one.regex, one.topics = ptr(""), []string{s.topic("other")}
		s.stable(one, two)
		s.describeConsumers("names instead", v, one.group)
		three := s.consumer("h", 3)
		three.regex = ptr("nothing-of-" + s.prefix + ".*")
		s.stable(three)
		s.describeConsumers("an expression of nothing", v, three.group)
		empty := s.consumer("i", 4)
		empty.regex = ptr("")
		s.ask("an empty expression and no names", v, empty.heartbeat())
		none := s.consumer("j", 5)
		none.topics = []string{}
		s.ask("no names and no expression", v, none.heartbeat())
		s.written("records of g", one.group)
		s.written("records of h", three.group)
	}},
	{"from classic to consumer and back", 68, 0, 1, func(s *session, v int16) {
		s.create("a", 2)
		one := s.consumer("g", 1, "a")
		join := classicConsumer(one.group, "", s.topic("a"))
		join.MemberID = s.quiet(5, join).(*kmsg.JoinGroupResponse).MemberID
		s.ask("a classic member", 5, join)
		sync := syncGroup(one.group, join.MemberID, 1)
		assignment := subscription(s.topic("a"))[:2+4+2+len(s.topic("a"))]
		assignment = binary.BigEndian.AppendUint32(assignment, 2)
		assignment = binary.BigEndian.AppendUint64(assignment, 1) // partitions 0 and 1
		sync.GroupAssignment[0].MemberAssignment = binary.BigEndian.AppendUint32(assignment, 0xffffffff)
		s.ask("its sync", 5, sync)
		s.ask("its commit", 9, s.commit(one.group, join.MemberID, 1, "a", 0))
		s.ask("described as a consumer group", v, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{one.group}})
		s.ask("a consumer comes", v, one.heartbeat())
		s.ask("the classic member's heartbeat", 4, heartbeat(one.group, join.MemberID, 1))
		s.ask("an unknown classic member's heartbeat", 4, heartbeat(one.group, "x", 1))
		s.ask("described as a classic group", 5, &kmsg.DescribeGroupsRequest{Groups: []string{one.group}})
		s.ask("another protocol", 5, joinGroup(one.group, join.MemberID, 10_000, "connect", "range"))
		s.ask("a subscription that is none", 5, joinGroup(one.group, join.MemberID, 10_000, "consumer", "range"))
		s.ask("the classic member's old commit", 9, s.commit(one.group, join.MemberID, 0, "a", 0))
		s.ask("the consumer leaves", v, one.heartbeat(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -1 }))
		s.until(func() bool {
			g := s.quiet(6, &kmsg.DescribeGroupsRequest{Groups: []string{one.group}}).(*kmsg.DescribeGroupsResponse).Groups[0]
			return g.ErrorCode == 0 && g.State != ""
		})
		s.ask("a classic group again", 5, &kmsg.DescribeGroupsRequest{Groups: []string{one.group}})
		s.ask("the offsets stay", 7, s.offsets(7, one.group, "a"))
	}},
	{"consumers among connectors", 68, 0, 1, func(s *session, v int16) {
		s.create("a", 1)
		one := s.consumer("g", 1, "a")
		join := joinGroup(one.group, "", 10_000, "connect", "range")
		join.MemberID = s.quiet(5, join).(*kmsg.JoinGroupResponse).MemberID
		s.quiet(5, join)
		s.ask("a consumer comes to another kind of group", v, one.heartbeat())
		strange := s.consumer("h", 2, "a")
		classic := joinGroup(strange.group, "", 10_000, "consumer", "range") // whose subscription cannot be read
		classic.MemberID = s.quiet(5, classic).(*kmsg.JoinGroupResponse).MemberID
		s.quiet(5, classic)
		s.ask("a consumer comes to members that cannot be read", v, strange.heartbeat())
	}},
}

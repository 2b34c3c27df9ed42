package differential

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func findCoordinator(kind int8, keys ...string) *kmsg.FindCoordinatorRequest {
	request := kmsg.NewPtrFindCoordinatorRequest()
	request.CoordinatorType, request.CoordinatorKeys = kind, keys
	if len(keys) > 0 {
		request.CoordinatorKey = keys[0]
	}
	return request
}

// coordinate waits until a group has its coordinator, loaded.
func (s *session) coordinate(group string) {
	s.t.Helper()
	s.until(func() bool {
		response := s.quiet(3, findCoordinator(0, group)).(*kmsg.FindCoordinatorResponse)
		return response.ErrorCode == 0 && s.quiet(5, &kmsg.DescribeGroupsRequest{Groups: []string{group}}).(*kmsg.DescribeGroupsResponse).Groups[0].ErrorCode == 0
	})
}

func (s *session) commit(group, member string, generation int32, topic string, partitions ...int32) *kmsg.OffsetCommitRequest {
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.MemberID, request.Generation = group, member, generation
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID = s.topic(topic), s.ids[topic]
	for _, p := range partitions {
		x := kmsg.NewOffsetCommitRequestTopicPartition()
		x.Partition, x.Offset, x.Metadata = p, 7, ptr("m")
		t.Partitions = append(t.Partitions, x)
	}
	request.Topics = append(request.Topics, t)
	return request
}

// fetch asks for partitions 0 and 1 of topics; of all where none is named.
func (s *session) offsets(v int16, group string, topics ...string) *kmsg.OffsetFetchRequest {
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Group = group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	for _, topic := range topics {
		request.Topics = append(request.Topics, kmsg.OffsetFetchRequestTopic{Topic: s.topic(topic), Partitions: []int32{0, 1}})
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: s.topic(topic), TopicID: s.ids[topic], Partitions: []int32{0, 1}})
	}
	request.Groups = append(request.Groups, g)
	return request
}

func joinGroup(group, member string, sessionMs int32, protocolType string, protocols ...string) *kmsg.JoinGroupRequest {
	request := kmsg.NewPtrJoinGroupRequest()
	request.Group, request.MemberID, request.SessionTimeoutMillis, request.RebalanceTimeoutMillis = group, member, sessionMs, 10_000
	request.ProtocolType = protocolType
	for _, p := range protocols {
		request.Protocols = append(request.Protocols, kmsg.JoinGroupRequestProtocol{Name: p, Metadata: []byte("x")})
	}
	return request
}

// member makes a group of one member that has its assignment, and returns its id.
func (s *session) member(group string) string {
	s.t.Helper()
	s.coordinate(group)
	request := joinGroup(group, "", 10_000, "consumer", "range", "roundrobin")
	request.MemberID = s.quiet(5, request).(*kmsg.JoinGroupResponse).MemberID
	joined := s.quiet(5, request).(*kmsg.JoinGroupResponse)
	if joined.ErrorCode != 0 || joined.Generation != 1 {
		s.t.Fatalf("%s: joining: error %d, generation %d", s.name, joined.ErrorCode, joined.Generation)
	}
	synced := s.quiet(3, syncGroup(group, request.MemberID, 1)).(*kmsg.SyncGroupResponse)
	if synced.ErrorCode != 0 {
		s.t.Fatalf("%s: syncing: error %d", s.name, synced.ErrorCode)
	}
	return request.MemberID
}

func syncGroup(group, member string, generation int32) *kmsg.SyncGroupRequest {
	request := kmsg.NewPtrSyncGroupRequest()
	request.Group, request.MemberID, request.Generation = group, member, generation
	request.ProtocolType, request.Protocol = ptr("consumer"), ptr("range")
	request.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: member, MemberAssignment: []byte("a")}}
	return request
}

func heartbeat(group, member string, generation int32) *kmsg.HeartbeatRequest {
	request := kmsg.NewPtrHeartbeatRequest()
	request.Group, request.MemberID, request.Generation = group, member, generation
	return request
}

func leaveGroup(group string, members ...string) *kmsg.LeaveGroupRequest {
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group = group
	for _, m := range members {
		request.MemberID = m
		request.Members = append(request.Members, kmsg.LeaveGroupRequestMember{MemberID: m})
	}
	return request
}

var groupScripts = []script{
	{"finding a coordinator", 10, 0, 6, func(s *session, v int16) {
		s.coordinate(s.topic("g"))
		for _, key := range []string{"g", "", strings.Repeat("g", 300), "\U0001F600"} {
			s.ask("group "+key, v, findCoordinator(0, key))
		}
		if v >= 1 {
			s.ask("no such type", v, findCoordinator(7, "g"))
		}
		if v >= 1 && v < 6 {
			s.ask("share groups, too early", v, findCoordinator(2, "g"))
		}
		if v >= 4 {
			s.ask("many", v, findCoordinator(0, "a", "b", "a"))
			s.ask("none", v, findCoordinator(0))
		}
	}},
	{"commits", 8, 2, 10, func(s *session, v int16) {
		s.create("a", 2)
		simple := s.topic("simple")
		s.coordinate(simple)
		s.ask("of nobody", v, s.commit(simple, "", -1, "a", 0, 1))
		s.ask("beside", v, s.commit(simple, "", -1, "a", 0, 2, -1))
		s.ask("of no topic", v, s.commit(simple, "", -1, "b", 0))
		s.ask("of a stranger", v, s.commit(simple, "x", 3, "a", 0))
		s.ask("of a stranger to no group", v, s.commit(s.topic("none"), "x", 3, "a", 0))
		s.ask("without a group", v, s.commit("", "", -1, "a", 0))
		long := s.commit(simple, "", -1, "a", 0, 1)
		long.Topics[0].Partitions[0].Metadata = ptr(strings.Repeat("m", 5000))
		s.ask("with too much to say", v, long)
		negative := s.commit(simple, "", -1, "a", 0)
		negative.Topics[0].Partitions[0].Offset, negative.Topics[0].Partitions[0].Metadata = -5, nil
		s.ask("of a negative offset", v, negative)
		nothing := s.commit(simple, "", -1, "a")
		s.ask("of nothing", v, nothing)
		nothing.Topics = nil
		s.ask("of no topics", v, nothing)
		group := s.topic("members")
		id := s.member(group)
		s.ask("of a member", v, s.commit(group, id, 1, "a", 0))
		s.ask("of an old generation", v, s.commit(group, id, 0, "a", 0))
		s.ask("of a generation to come", v, s.commit(group, id, 2, "a", 0))
		s.ask("of a stranger among members", v, s.commit(group, "x", 1, "a", 0))
		s.ask("of nobody among members", v, s.commit(group, "", -1, "a", 0))
		s.ask("what is there", 7, s.offsets(7, simple, "a"))
		s.written("records of offsets", simple)
		s.written("records of members", group)
	}},
	{"fetching offsets", 9, 1, 10, func(s *session, v int16) {
		s.create("a", 2)
		s.create("b", 2)
		group := s.topic("g")
		s.coordinate(group)
		s.quiet(8, s.commit(group, "", -1, "a", 0))
		s.ask("one topic", v, s.offsets(v, group, "a"))
		s.ask("two topics", v, s.offsets(v, group, "a", "b"))
		s.ask("no topic", v, s.offsets(v, group, "none"))
		if v >= 2 {
			s.ask("all", v, s.offsets(v, group))
			s.ask("all of no group", v, s.offsets(v, s.topic("nobody")))
		}
		s.ask("no group", v, s.offsets(v, s.topic("nobody"), "a"))
		s.ask("the empty group", v, s.offsets(v, "", "a"))
		if v >= 7 {
			stable := s.offsets(v, group, "a")
			stable.RequireStable = true
			s.ask("stable", v, stable)
		}
		if v >= 8 {
			many := s.offsets(v, group, "a")
			many.Groups = append(many.Groups, s.offsets(v, s.topic("nobody"), "a").Groups...)
			s.ask("many groups", v, many)
			many.Groups = nil
			s.ask("no groups", v, many)
		}
		if v >= 9 {
			member := s.offsets(v, group, "a")
			member.Groups[0].MemberID, member.Groups[0].MemberEpoch = ptr("x"), 3
			s.ask("by a stranger", v, member)
			member.Groups[0].Group = s.topic("nobody")
			s.ask("by a member of no group", v, member)
		}
	}},
	{"joining", 11, 0, 9, func(s *session, v int16) {
		group := s.topic("g")
		s.coordinate(group)
		s.ask("no group", v, joinGroup("", "", 10_000, "consumer", "range"))
		s.ask("a short session", v, joinGroup(group, "", 5_999, "consumer", "range"))
		s.ask("a long session", v, joinGroup(group, "", 1_800_001, "consumer", "range"))
		s.ask("no protocols", v, joinGroup(group, "", 10_000, "consumer"))
		s.ask("no protocol type", v, joinGroup(group, "", 10_000, "", "range"))
		s.ask("a stranger", v, joinGroup(group, "x", 10_000, "consumer", "range"))
		first := joinGroup(group, "", 10_000, "consumer", "range")
		first.MemberID = s.ask("the first", v, first).(*kmsg.JoinGroupResponse).MemberID
		if v >= 4 {
			s.ask("the first, by its name", v, first)
		}
		s.ask("another protocol type", v, joinGroup(group, "", 10_000, "connect", "range"))
		s.ask("another protocol", v, joinGroup(group, "", 10_000, "consumer", "sticky"))
		if v >= 5 {
			static := joinGroup(s.topic("static"), "", 10_000, "consumer", "range")
			static.InstanceID = ptr("i")
			s.ask("a static member", v, static)
			static.MemberID = "x"
			s.ask("its instance under another name", v, static)
		}
	}},
	{"syncing", 14, 0, 5, func(s *session, v int16) {
		group := s.topic("g")
		id := s.member(group)
		s.ask("again", v, syncGroup(group, id, 1))
		s.ask("an old generation", v, syncGroup(group, id, 0))
		s.ask("a stranger", v, syncGroup(group, "x", 1))
		s.ask("no group", v, syncGroup("", id, 1))
		s.ask("another group", v, syncGroup(s.topic("none"), id, 1))
		if v >= 5 {
			other := syncGroup(group, id, 1)
			other.Protocol = ptr("sticky")
			s.ask("another protocol", v, other)
			other.Protocol, other.ProtocolType = ptr("range"), ptr("connect")
			s.ask("another protocol type", v, other)
			other.Protocol = nil
			s.ask("no protocol", v, other)
		}
	}},
	{"heartbeats", 12, 0, 4, func(s *session, v int16) {
		group := s.topic("g")
		id := s.member(group)
		s.ask("of a member", v, heartbeat(group, id, 1))
		s.ask("of an old generation", v, heartbeat(group, id, 0))
		s.ask("of a stranger", v, heartbeat(group, "x", 1))
		s.ask("to no group", v, heartbeat("", id, 1))
		s.ask("to another group", v, heartbeat(s.topic("none"), id, 1))
	}},
	{"leaving", 13, 0, 5, func(s *session, v int16) {
		group := s.topic("g")
		id := s.member(group)
		s.ask("a stranger", v, leaveGroup(group, "x"))
		s.ask("no group", v, leaveGroup("", id))
		s.ask("another group", v, leaveGroup(s.topic("none"), id))
		if v >= 3 {
			s.ask("nobody", v, leaveGroup(group))
			static := leaveGroup(group, "")
			static.Members[0].InstanceID = ptr("i")
			s.ask("a static stranger", v, static)
			s.ask("two", v, leaveGroup(group, id, "x"))
		}
		s.ask("a member", v, leaveGroup(group, id))
		s.ask("a member, again", v, leaveGroup(group, id))
		s.ask("what is left", 5, &kmsg.DescribeGroupsRequest{Groups: []string{group}})
		s.written("records", group)
	}},
	{"describing", 15, 0, 6, func(s *session, v int16) {
		group := s.topic("g")
		s.member(group)
		s.create("a", 1)
		s.quiet(8, s.commit(s.topic("simple"), "", -1, "a", 0))
		for _, id := range []string{group, s.topic("simple"), s.topic("none"), ""} {
			s.ask("group "+strings.TrimPrefix(id, s.prefix), v, &kmsg.DescribeGroupsRequest{Groups: []string{id}, IncludeAuthorizedOperations: v >= 3})
		}
		s.ask("none", v, &kmsg.DescribeGroupsRequest{})
	}},
	{"deleting", 42, 0, 3, func(s *session, v int16) {
		group := s.topic("g")
		s.member(group)
		s.create("a", 1)
		s.quiet(8, s.commit(s.topic("simple"), "", -1, "a", 0))
		for _, ids := range [][]string{{group}, {s.topic("simple")}, {s.topic("simple")}, {s.topic("none"), s.topic("none")}, {""}, {}} {
			s.ask("groups "+strings.ReplaceAll(strings.Join(ids, ","), s.prefix, ""), v, &kmsg.DeleteGroupsRequest{Groups: ids})
		}
		s.ask("what is left", 7, s.offsets(7, s.topic("simple"), "a"))
		s.written("records", s.topic("simple"))
	}},
	{"deleting offsets", 47, 0, 0, func(s *session, v int16) {
		group := s.topic("g")
		s.create("a", 2)
		s.coordinate(group)
		s.quiet(8, s.commit(group, "", -1, "a", 0))
		members := s.topic("members")
		s.quiet(8, s.commit(members, s.member(members), 1, "a", 0))
		of := func(group, topic string, partitions ...int32) *kmsg.OffsetDeleteRequest {
			request := &kmsg.OffsetDeleteRequest{Group: group, Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: s.topic(topic)}}}
			for _, p := range partitions {
				request.Topics[0].Partitions = append(request.Topics[0].Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
			}
			return request
		}
		s.ask("one", v, of(group, "a", 0, 1, 2))
		s.ask("of no topic", v, of(group, "none", 0))
		s.ask("of no group", v, of(s.topic("nobody"), "a", 0))
		s.ask("of the empty group", v, of("", "a", 0))
		s.ask("of a group with members", v, of(members, "a", 0))
		s.ask("what is left", 7, s.offsets(7, group, "a"))
		s.written("records", group)
	}},
	{"the consumer protocol", 68, 0, 1, func(s *session, v int16) {
		s.create("a", 2)
		group := s.topic("g")
		s.coordinate(s.topic("other"))
		of := func(change func(r *kmsg.ConsumerGroupHeartbeatRequest)) *kmsg.ConsumerGroupHeartbeatRequest {
			r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			r.Group, r.MemberID, r.RebalanceTimeoutMillis = group, "aaaaaaaaaaaaaaaaaaaaaa", 10_000
			r.SubscribedTopicNames, r.Topics = []string{s.topic("a")}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			change(r)
			return r
		}
		s.until(func() bool {
			r := s.quiet(1, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group, r.MemberEpoch = s.topic("other"), 5 }))
			return r.(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode != 14 && r.(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode != 16
		})
		s.ask("no group", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }))
		s.ask("no subscription", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }))
		s.ask("no rebalance timeout", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 }))
		s.ask("partitions of a newcomer", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) {
			r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: s.ids["a"], Partitions: []int32{0}}}
		}))
		s.ask("an unknown assignor", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = ptr("best") }))
		s.ask("a stranger", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 3 }))
		s.ask("a member that leaves no group", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -1 }))
		s.ask("an epoch of -3", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 }))
		s.ask("a static member without a name", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -2 }))
		if v >= 1 {
			s.ask("an invalid expression", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) {
				r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, ptr("[")
			}))
			s.ask("no member id", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = "" }))
		}
		var epoch int32 // of a newcomer, when it has its partitions: when that is, is the broker's affair
		s.until(func() bool {
			r := s.quiet(v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = epoch })).(*kmsg.ConsumerGroupHeartbeatResponse)
			epoch = r.MemberEpoch
			return r.ErrorCode != 0 || r.Assignment != nil && len(r.Assignment.Topics) > 0
		})
		s.ask("a commit of it", 9, s.commit(group, "aaaaaaaaaaaaaaaaaaaaaa", epoch, "a", 0))
		s.ask("a commit of an old epoch", 9, s.commit(group, "aaaaaaaaaaaaaaaaaaaaaa", 0, "a", 0))
		s.ask("a commit of a stranger", 9, s.commit(group, "x", 1, "a", 0))
		s.ask("a newer epoch than there is", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = 9 }))
		s.ask("described", v, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{group, s.topic("none"), ""}, IncludeAuthorizedOperations: true})
		s.ask("described as a classic group", 5, &kmsg.DescribeGroupsRequest{Groups: []string{group}})
		s.ask("a classic member", 5, joinGroup(group, "", 10_000, "consumer", "range"))
		s.ask("deleted with a member", 2, &kmsg.DeleteGroupsRequest{Groups: []string{group}})
		s.ask("it leaves", v, of(func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -1 }))
		s.ask("deleted", 2, &kmsg.DeleteGroupsRequest{Groups: []string{group}})
	}},
	{"settings of groups", 44, 0, 1, func(s *session, v int16) {
		alter := func(name, key, value string, op kmsg.IncrementalAlterConfigOp) *kmsg.IncrementalAlterConfigsRequest {
			return &kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: 32, ResourceName: name,
				Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Value: &value, Op: op}}}}}
		}
		group := s.topic("g")
		set := kmsg.IncrementalAlterConfigOpSet
		s.ask("within the bounds", v, alter(group, "consumer.session.timeout.ms", "50000", set))
		s.ask("below", v, alter(group, "consumer.session.timeout.ms", "1000", set))
		s.ask("above", v, alter(group, "consumer.heartbeat.interval.ms", "99999", set))
		s.ask("no number", v, alter(group, "consumer.heartbeat.interval.ms", "soon", set))
		s.ask("no such setting", v, alter(group, "no.such", "1", set))
		s.ask("of no group", v, alter("", "consumer.session.timeout.ms", "50000", set))
		s.ask("added to what is no list", v, alter(group, "consumer.session.timeout.ms", "5", kmsg.IncrementalAlterConfigOpAppend))
		s.ask("of a share group", v, alter(group, "share.auto.offset.reset", "earliest", set))
		seen := func(key, value string) { // Kafka's own metadata follows its answer
			s.until(func() bool {
				r := s.quiet(4, &kmsg.DescribeConfigsRequest{Resources: []kmsg.DescribeConfigsRequestResource{{ResourceType: 32, ResourceName: group,
					ConfigNames: []string{key}}}}).(*kmsg.DescribeConfigsResponse)
				return *r.Resources[0].Configs[0].Value == value
			})
		}
		seen("share.auto.offset.reset", "earliest")
		s.ask("described", 4, &kmsg.DescribeConfigsRequest{IncludeSynonyms: true, Resources: []kmsg.DescribeConfigsRequestResource{{ResourceType: 32, ResourceName: group}}})
		s.ask("taken back", v, alter(group, "consumer.session.timeout.ms", "", kmsg.IncrementalAlterConfigOpDelete))
		seen("consumer.session.timeout.ms", "45000")
		s.ask("taken back, described", 4, &kmsg.DescribeConfigsRequest{Resources: []kmsg.DescribeConfigsRequestResource{{ResourceType: 32, ResourceName: group}}})
		s.ask("replaced", 2, &kmsg.AlterConfigsRequest{Resources: []kmsg.AlterConfigsRequestResource{{ResourceType: 32, ResourceName: group,
			Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "consumer.heartbeat.interval.ms", Value: ptr("6000")}}}}})
		seen("consumer.heartbeat.interval.ms", "6000")
		s.ask("replaced, described", 4, &kmsg.DescribeConfigsRequest{Resources: []kmsg.DescribeConfigsRequestResource{{ResourceType: 32, ResourceName: group}}})
	}},
	{"resources with settings", 74, 0, 1, func(s *session, v int16) {
		s.ask("client metrics", v, &kmsg.ListConfigResourcesRequest{ResourceTypes: map[bool][]int8{true: {16}}[v >= 1]})
		if v >= 1 {
			s.ask("brokers", v, &kmsg.ListConfigResourcesRequest{ResourceTypes: []int8{4}})
			s.ask("loggers and brokers", v, &kmsg.ListConfigResourcesRequest{ResourceTypes: []int8{8, 4}})
			s.ask("no such type", v, &kmsg.ListConfigResourcesRequest{ResourceTypes: []int8{1}})
		}
	}},
}

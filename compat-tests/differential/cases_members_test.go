package differential

import (
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// later sends a request that is answered when others have come: on a connection of its own. wait keeps the answer.
func (s *session) later(what string, version int16, request kmsg.Request) (wait func() kmsg.Response) {
	s.t.Helper()
	other := &session{t: s.t, name: s.name, addr: s.addr, prefix: s.prefix}
	type outcome struct {
		response kmsg.Response
		err      error
	}
	done := make(chan outcome, 1)
	go func() {
		defer other.close()
		response, err := other.send(version, request)
		done <- outcome{response, err}
	}()
	return func() kmsg.Response {
		o := <-done
		s.answers = append(s.answers, answer{what, request.Key(), version, o.response, o.err})
		return o.response
	}
}

// awaitHeartbeat waits until a member's heartbeat has that outcome.
func (s *session) awaitHeartbeat(group, member string, generation int32, code int16) {
	s.t.Helper()
	s.until(func() bool {
		return s.quiet(3, heartbeat(group, member, generation)).(*kmsg.HeartbeatResponse).ErrorCode == code
	})
}

const rebalanceInProgress = 27

// named joins a group and returns the member id that it got, without a place in it yet.
func (s *session) named(group string) string {
	return s.quiet(5, joinGroup(group, "", 10_000, "consumer", "range", "roundrobin")).(*kmsg.JoinGroupResponse).MemberID
}

func staticJoin(group, member, instance string) *kmsg.JoinGroupRequest {
	request := joinGroup(group, member, 10_000, "consumer", "range", "roundrobin")
	request.InstanceID = &instance
	return request
}

// askGroups is ask for ListGroups, of which only the groups of this case are kept.
func (s *session) askGroups(what string, version int16, states, types []string) {
	s.t.Helper()
	request := &kmsg.ListGroupsRequest{StatesFilter: states, TypesFilter: types}
	if r, ok := s.ask(what, version, request).(*kmsg.ListGroupsResponse); ok {
		r.Groups = slices.DeleteFunc(r.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return !strings.HasPrefix(g.Group, s.prefix) })
	}
}

var memberScripts = []script{
	{"a rebalance", 14, 0, 5, func(s *session, v int16) {
		s.create("a", 1)
		group := s.topic("g")
		one := s.member(group)
		two := s.named(group)
		join := func(id string) *kmsg.JoinGroupRequest {
			return joinGroup(group, id, 10_000, "consumer", "range", "roundrobin")
		}
		joined := s.later("the second joins", 5, join(two))
		s.awaitHeartbeat(group, one, 1, rebalanceInProgress)
		s.ask("while they join: heartbeat", 4, heartbeat(group, one, 1))
		s.ask("while they join: heartbeat of an old generation", 4, heartbeat(group, one, 0))
		s.ask("while they join: sync", v, syncGroup(group, one, 1))
		s.ask("while they join: commit", 9, s.commit(group, one, 1, "a", 0))
		s.ask("while they join: commit of an old generation", 9, s.commit(group, one, 0, "a", 0))
		s.ask("while they join: described", 5, &kmsg.DescribeGroupsRequest{Groups: []string{group}})
		s.ask("while they join: deleted", 2, &kmsg.DeleteGroupsRequest{Groups: []string{group}})
		s.ask("the first joins again", 5, join(one))
		joined()
		s.ask("while they sync: heartbeat", 4, heartbeat(group, one, 2))
		s.ask("while they sync: commit", 9, s.commit(group, one, 2, "a", 0))
		s.ask("while they sync: an old sync", v, syncGroup(group, one, 1))
		s.ask("while they sync: described", 5, &kmsg.DescribeGroupsRequest{Groups: []string{group}})
		follower := syncGroup(group, two, 2)
		follower.GroupAssignment = nil
		synced := s.later("the second syncs", v, follower)
		leader := syncGroup(group, one, 2)
		leader.GroupAssignment = append(leader.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: two, MemberAssignment: []byte("b")})
		leader.GroupAssignment = append(leader.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: "stranger", MemberAssignment: []byte("c")})
		s.ask("the first syncs", v, leader)
		synced()
		s.ask("stable: described", 5, &kmsg.DescribeGroupsRequest{Groups: []string{group}})
		s.ask("stable: a follower joins again", 5, join(two))
		s.ask("stable: commit of the old generation", 9, s.commit(group, two, 1, "a", 0))
		s.ask("the second leaves", 5, leaveGroup(group, two))
		s.ask("it is gone: heartbeat", 4, heartbeat(group, two, 2))
		s.ask("it is gone: heartbeat of the other", 4, heartbeat(group, one, 2))
		s.ask("it is gone: commit", 9, s.commit(group, two, 2, "a", 0))
		s.ask("it is gone: sync", v, syncGroup(group, two, 2))
		s.written("records", group)
	}},
	{"more members than there may be", 11, 0, 9, func(s *session, v int16) {
		group := s.topic("g")
		ids := []string{s.member(group), s.named(group), s.named(group)}
		var waits []func() kmsg.Response
		for _, id := range ids[1:] {
			waits = append(waits, s.later("another joins", 5, joinGroup(group, id, 10_000, "consumer", "range")))
			s.awaitHeartbeat(group, ids[0], 1, rebalanceInProgress)
		}
		s.until(func() bool {
			return len(s.quiet(5, &kmsg.DescribeGroupsRequest{Groups: []string{group}}).(*kmsg.DescribeGroupsResponse).Groups[0].Members) == 3
		})
		s.ask("the first joins again", 5, joinGroup(group, ids[0], 10_000, "consumer", "range"))
		for _, wait := range waits {
			wait()
		}
		s.ask("one too many", v, joinGroup(group, "", 10_000, "consumer", "range"))
		s.ask("one too many by a name", v, joinGroup(group, "x", 10_000, "consumer", "range"))
		if v >= 5 {
			s.ask("one too many, static", v, staticJoin(group, "", "i"))
		}
	}},
	{"long names", 11, 0, 9, func(s *session, v int16) {
		s.create("a", 1)
		for _, name := range []string{s.topic(strings.Repeat("g", 300)), s.topic("a group's name: not a topic's / \U0001F600"), "   "} {
			s.coordinate(name)
			label := strings.TrimPrefix(name, s.prefix)
			label = label[:min(len(label), 20)]
			s.ask("joined by a stranger: "+label, v, joinGroup(name, "x", 10_000, "consumer", "range"))
			s.ask("committed to: "+label, 9, s.commit(name, "", -1, "a", 0))
			s.ask("fetched: "+label, 9, s.offsets(9, name, "a"))
			s.ask("described: "+label, 5, &kmsg.DescribeGroupsRequest{Groups: []string{name}})
			s.ask("deleted: "+label, 2, &kmsg.DeleteGroupsRequest{Groups: []string{name}})
		}
	}},
	{"static members", 11, 5, 9, func(s *session, v int16) {
		s.create("a", 1)
		group := s.topic("g")
		s.coordinate(group)
		old := s.ask("the first", v, staticJoin(group, "", "i")).(*kmsg.JoinGroupResponse).MemberID
		sync := func(id string, generation int32) *kmsg.SyncGroupRequest {
			request := syncGroup(group, id, generation)
			request.InstanceID = ptr("i")
			return request
		}
		commit := func(id string, generation int32) *kmsg.OffsetCommitRequest {
			request := s.commit(group, id, generation, "a", 0)
			request.InstanceID = ptr("i")
			return request
		}
		beat := func(id, instance string, generation int32) *kmsg.HeartbeatRequest {
			request := heartbeat(group, id, generation)
			request.InstanceID = &instance
			return request
		}
		s.ask("it syncs", 5, sync(old, 1))
		s.ask("it comes again", v, staticJoin(group, "", "i"))
		members := s.quiet(5, &kmsg.DescribeGroupsRequest{Groups: []string{group}}).(*kmsg.DescribeGroupsResponse).Groups[0].Members
		id := members[0].MemberID
		s.ask("its sync", 5, sync(id, 1))
		s.ask("the former one: heartbeat", 4, beat(old, "i", 1))
		s.ask("the former one: sync", 5, sync(old, 1))
		s.ask("the former one: commit", 9, commit(old, 1))
		s.ask("the former one: join", v, staticJoin(group, old, "i"))
		s.ask("the former one, without its instance", 4, heartbeat(group, old, 1))
		s.ask("another instance: heartbeat", 4, beat(id, "j", 1))
		s.ask("a commit", 9, commit(id, 1))
		s.ask("described", 5, &kmsg.DescribeGroupsRequest{Groups: []string{group}})
		former := leaveGroup(group, old)
		former.Members[0].InstanceID = ptr("i")
		s.ask("the former one leaves", 5, former)
		instance := leaveGroup(group, "")
		instance.Members[0].InstanceID = ptr("i")
		s.ask("the instance leaves", 5, instance)
		s.ask("left: described", 5, &kmsg.DescribeGroupsRequest{Groups: []string{group}})
		s.ask("left: heartbeat", 4, beat(id, "i", 1))
		s.written("records", group)
	}},
	{"metadata of commits", 8, 2, 10, func(s *session, v int16) {
		s.create("a", 2)
		group := s.topic("g")
		s.coordinate(group)
		for _, n := range []int{0, 4096, 4097} {
			request := s.commit(group, "", -1, "a", 0, 1)
			request.Topics[0].Partitions[0].Metadata = ptr(strings.Repeat("m", n))
			s.ask("of "+itoa(n)+" bytes", v, request)
		}
		request := s.commit(group, "", -1, "a", 0)
		request.Topics[0].Partitions[0].Metadata = ptr(strings.Repeat("\u00e4", 3000))
		s.ask("of 3,000 letters in 6,000 bytes", v, request)
		if v >= 6 {
			request := s.commit(group, "", -1, "a", 0)
			request.Topics[0].Partitions[0].LeaderEpoch = -5
			s.ask("a leader epoch of -5", v, request)
			request.Topics[0].Partitions[0].LeaderEpoch = 99
			s.ask("a leader epoch to come", v, request)
		}
		if v < 5 {
			request := s.commit(group, "", -1, "a", 0)
			request.RetentionTimeMillis = -7
			s.ask("a negative retention", v, request)
		}
		s.ask("a generation of -2", v, s.commit(group, "", -2, "a", 0))
		s.ask("a member without a generation", v, s.commit(group, "x", -1, "a", 0))
		twice := s.commit(group, "", -1, "a", 0, 0)
		twice.Topics[0].Partitions[1].Offset = 9
		s.ask("one partition twice", v, twice)
		s.ask("what is there", 7, s.offsets(7, group, "a"))
		s.written("records", group)
	}},
	{"listing", 16, 0, 5, func(s *session, v int16) {
		s.create("a", 1)
		for _, group := range []string{"members", "simple"} {
			s.coordinate(s.topic(group))
		}
		s.member(s.topic("members"))
		s.quiet(8, s.commit(s.topic("simple"), "", -1, "a", 0))
		c := s.consumer("consumers", 1, "a")
		s.stable(c)
		s.askGroups("all", v, nil, nil)
		if v >= 4 {
			for _, states := range [][]string{{"Stable"}, {"stable"}, {"Empty", "Dead"}, {"Assigning", "Reconciling"}, {"nonsense"}, {""}} {
				s.askGroups("of states "+strings.Join(states, ","), v, states, nil)
			}
		}
		if v >= 5 {
			for _, types := range [][]string{{"classic"}, {"Classic"}, {"consumer"}, {"share", "streams"}, {"nonsense"}, {""}} {
				s.askGroups("of types "+strings.Join(types, ","), v, nil, types)
			}
			s.askGroups("of both", v, []string{"Stable"}, []string{"consumer"})
		}
	}},
	{"groups with settings", 74, 1, 1, func(s *session, v int16) {
		value := "50000"
		for _, name := range []string{"g", "h"} {
			s.quiet(1, &kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: 32, ResourceName: s.topic(name),
				Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "consumer.session.timeout.ms", Value: &value}}}}})
		}
		for _, types := range [][]int8{{32}, {32, 4}, {32, 32}, {32, 99}, nil} {
			time.Sleep(50 * time.Millisecond) // Kafka's own metadata follows its answer
			r, ok := s.ask("of types "+strings.Repeat("x", len(types)), v, &kmsg.ListConfigResourcesRequest{ResourceTypes: types}).(*kmsg.ListConfigResourcesResponse)
			if ok {
				r.ConfigResources = slices.DeleteFunc(r.ConfigResources, func(c kmsg.ListConfigResourcesResponseConfigResource) bool {
					return c.Type == 2 || c.Type == 32 && !strings.HasPrefix(c.Name, s.prefix)
				})
			}
		}
	}},
}

package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// fakeGroups is a coordinator whose machines a test plays.
type fakeGroups struct {
	asked      []int32 // the partition of each operation
	answer     func(i int) (any, error)
	late       bool // answers come when the handler has returned
	partitions []int32
	loading    bool
	waited     int
}

func (g *fakeGroups) Do(partition int32, op coordinator.Operation[*group.Machine], done coordinator.Done) {
	i := len(g.asked)
	g.asked = append(g.asked, partition)
	response, err := g.answer(i)
	if g.late {
		go done(response, err)
	} else {
		done(response, err)
	}
}

func (g *fakeGroups) Partitions() []int32 { return g.partitions }

func (g *fakeGroups) Wait(ctx context.Context, partition int32) error {
	if g.loading && ctx.Err() != nil {
		return ctx.Err()
	}
	g.waited++
	return nil
}

// groupWorld is a world with __consumer_offsets, led by this broker, and a topic "t" of two partitions.
func groupWorld(t testing.TB) (*world, *fakeGroups) {
	w, g := newWorld(t), &fakeGroups{}
	w.s.Groups = g
	w.s.NewID = func() protocol.UUID { return protocol.UUID{1} }
	w.topic(offsetsTopic, slices.Repeat([][]int32{{1}}, 50)...)
	w.topic("t", []int32{1}, []int32{1})
	w.merge(&controller.FeatureLevelRecord{Name: "group.version", Level: 1})
	return w, g
}

func TestKeyPartition(t *testing.T) {
	for key, want := range map[string]int32{
		"": 0, "a": 97 % 50, "group": 98629247 % 50, "\U0001F600": 1772899 % 50, "é": 233 % 50,
		"polygenelubricants": 0, // its hash is the least int32
		"test":               3556498 % 50,
		"hello world":        1794106052 % 50,
		"consumer-group":     -1, // negative hash: only the range is known
	} {
		got := keyPartition(key, 50)
		if got < 0 || got >= 50 || want >= 0 && got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
}

func TestGroupCodes(t *testing.T) {
	w, _ := groupWorld(t)
	for _, c := range []struct {
		err  error
		want protocol.Code
	}{
		{nil, protocol.None},
		{coordinator.ErrLoading, protocol.CoordinatorLoadInProgress},
		{coordinator.ErrNotCoordinator, protocol.NotCoordinator},
		{coordinator.ErrTimeout, protocol.CoordinatorNotAvailable},
		{fmt.Errorf("x: %w", coordinator.ErrTooLarge), protocol.UnknownServerError},
		{coordinator.ErrFailed, protocol.UnknownServerError},
		{errors.New("?"), protocol.UnknownServerError},
		{protocol.NotLeaderOrFollower, protocol.NotCoordinator},
		{protocol.KafkaStorageError, protocol.NotCoordinator},
		{protocol.UnknownTopicOrPartition, protocol.CoordinatorNotAvailable},
		{protocol.NotEnoughReplicas, protocol.CoordinatorNotAvailable},
		{protocol.NetworkException, protocol.CoordinatorLoadInProgress},
		{protocol.MessageTooLarge, protocol.UnknownServerError},
		{protocol.RecordListTooLarge, protocol.UnknownServerError},
		{protocol.InvalidProducerEpoch, protocol.InvalidProducerEpoch},
	} {
		if got := w.s.CoordinatorCode(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}

// memberRequests are requests of members, with how the code of their response is read.
var memberRequests = map[string]struct {
	key  int16
	make func(id string) kmsg.Request
	code func(r kmsg.Response) int16
	ok   kmsg.Response
}{
	"join": {11, func(id string) kmsg.Request {
		return &kmsg.JoinGroupRequest{Group: id, MemberID: "m", ProtocolType: "consumer", Protocols: []kmsg.JoinGroupRequestProtocol{{Name: "p", Metadata: []byte("x")}}}
	}, func(r kmsg.Response) int16 { return r.(*kmsg.JoinGroupResponse).ErrorCode }, kmsg.NewPtrJoinGroupResponse()},
	"sync": {14, func(id string) kmsg.Request {
		name := "p"
		return &kmsg.SyncGroupRequest{Group: id, MemberID: "m", ProtocolType: &name, Protocol: &name}
	}, func(r kmsg.Response) int16 { return r.(*kmsg.SyncGroupResponse).ErrorCode }, kmsg.NewPtrSyncGroupResponse()},
	"heartbeat": {12, func(id string) kmsg.Request { return &kmsg.HeartbeatRequest{Group: id, MemberID: "m"} },
		func(r kmsg.Response) int16 { return r.(*kmsg.HeartbeatResponse).ErrorCode }, kmsg.NewPtrHeartbeatResponse()},
	"leave": {13, func(id string) kmsg.Request { return &kmsg.LeaveGroupRequest{Group: id, MemberID: "m"} },
		func(r kmsg.Response) int16 { return r.(*kmsg.LeaveGroupResponse).ErrorCode }, kmsg.NewPtrLeaveGroupResponse()},
}

func TestMembersRequests(t *testing.T) {
	for name, c := range memberRequests {
		versions(t, c.key, func(t *testing.T, v int16) {
			w, g := groupWorld(t)
			c.ok.SetVersion(v)
			g.answer = func(int) (any, error) { return c.ok, nil }
			code(t, c.code(w.send(v, c.make(""))), protocol.InvalidGroupID, "no group")
			w.auth.deny(Read, GroupResource, "denied")
			code(t, c.code(w.send(v, c.make("denied"))), protocol.GroupAuthorizationFailed, "denied")
			if len(g.asked) != 0 {
				t.Fatal("the coordinator was asked")
			}
			for _, g.late = range []bool{false, true} {
				code(t, c.code(w.send(v, c.make("test"))), protocol.None, name)
			}
			if want := int32(3556498 % 50); !slices.Equal(g.asked, []int32{want, want}) {
				t.Errorf("asked partitions %v", g.asked)
			}
			want := protocol.CoordinatorLoadInProgress
			if name == "heartbeat" {
				want = protocol.None // the member shall not think that it has been thrown out
			}
			g.answer = func(int) (any, error) { return nil, coordinator.ErrLoading }
			code(t, c.code(w.send(v, c.make("test"))), want, "loading")
			g.answer = func(int) (any, error) { return nil, coordinator.ErrNotCoordinator }
			code(t, c.code(w.send(v, c.make("test"))), protocol.NotCoordinator, "not the coordinator")
		})
	}
}

func TestSyncGroupNeedsProtocol(t *testing.T) {
	w, _ := groupWorld(t)
	r := call[*kmsg.SyncGroupResponse](w, 5, &kmsg.SyncGroupRequest{Group: "g", MemberID: "m"})
	code(t, r.ErrorCode, protocol.InconsistentGroupProtocol, "no protocol")
}

func TestConsumerGroupHeartbeat(t *testing.T) {
	w, g := groupWorld(t)
	g.answer = func(int) (any, error) {
		r := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		r.Version = 1
		return r, nil
	}
	ask := func(topics ...string) int16 {
		return call[*kmsg.ConsumerGroupHeartbeatResponse](w, 1, &kmsg.ConsumerGroupHeartbeatRequest{Group: "g", MemberID: "m", SubscribedTopicNames: topics}).ErrorCode
	}
	code(t, ask("t"), protocol.None, "fine")
	w.auth.deny(Describe, TopicResource, "secret")
	code(t, ask("t", "secret"), protocol.TopicAuthorizationFailed, "a topic that may not be seen")
	w.auth.deny(Read, GroupResource, "g")
	code(t, ask(), protocol.GroupAuthorizationFailed, "denied")
	w.s.Config = settings(t, "group.coordinator.rebalance.protocols=classic")
	code(t, ask(), protocol.UnsupportedVersion, "the protocol is off")
	w.s.Config = nil
	w.merge(&controller.FeatureLevelRecord{Name: "group.version", Level: 0})
	code(t, ask(), protocol.UnsupportedVersion, "the feature is off")
	d := call[*kmsg.ConsumerGroupDescribeResponse](w, 1, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{"a", "b"}})
	for _, x := range d.Groups {
		code(t, x.ErrorCode, protocol.UnsupportedVersion, "describe "+x.Group)
	}
}

func TestDescribeAndDeleteGroups(t *testing.T) {
	w, g := groupWorld(t)
	w.auth.deny(Describe, GroupResource, "denied")
	w.auth.deny(Delete, GroupResource, "denied")
	g.answer = func(i int) (any, error) {
		if i == 0 {
			return &kmsg.DescribeGroupsResponseGroup{Group: "a", State: "Stable"}, nil
		}
		return nil, coordinator.ErrLoading
	}
	d := call[*kmsg.DescribeGroupsResponse](w, 4, &kmsg.DescribeGroupsRequest{Groups: []string{"a", "denied", "b"}, IncludeAuthorizedOperations: true})
	var got []string
	for _, x := range d.Groups {
		got = append(got, fmt.Sprint(x.Group, " ", protocol.Code(x.ErrorCode), " ", x.State))
	}
	if want := []string{"denied GROUP_AUTHORIZATION_FAILED ", "a NONE Stable", "b COORDINATOR_LOAD_IN_PROGRESS "}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if ops := d.Groups[1].AuthorizedOperations; ops != 1<<Read|1<<Delete|1<<Describe|1<<DescribeConfigs|1<<AlterConfigs {
		t.Errorf("operations %b", ops)
	}
	g.answer = func(i int) (any, error) { return &kmsg.DeleteGroupsResponseGroup{Group: "x"}, nil }
	r := call[*kmsg.DeleteGroupsResponse](w, 2, &kmsg.DeleteGroupsRequest{Groups: []string{"x", "denied", "x"}})
	if len(r.Groups) != 2 {
		t.Fatalf("%d groups", len(r.Groups))
	}
	code(t, r.Groups[1].ErrorCode, protocol.GroupAuthorizationFailed, "delete denied")
}

func TestListGroups(t *testing.T) {
	w, g := groupWorld(t)
	g.partitions = []int32{3, 7, 9}
	g.answer = func(i int) (any, error) {
		if i%3 == 1 {
			return nil, coordinator.ErrNotCoordinator
		}
		return []kmsg.ListGroupsResponseGroup{{Group: fmt.Sprint("g", i%3)}}, nil
	}
	ids := func() (out []string) {
		r := call[*kmsg.ListGroupsResponse](w, 5, kmsg.NewPtrListGroupsRequest())
		for _, x := range r.Groups {
			out = append(out, x.Group)
		}
		if r.ErrorCode != 0 {
			out = append(out, protocol.Code(r.ErrorCode).String())
		}
		return out
	}
	if got := ids(); !slices.Equal(got, []string{"g0", "g2"}) {
		t.Errorf("%q", got)
	}
	w.auth.deny(Describe, GroupResource, "g0")
	if got := ids(); !slices.Equal(got, []string{"g0", "g2"}) {
		t.Errorf("who may describe the cluster sees %q", got)
	}
	w.auth.deny(Describe, ClusterResource, ClusterName)
	if got := ids(); !slices.Equal(got, []string{"g2"}) {
		t.Errorf("who may not sees %q", got)
	}
	g.answer = func(i int) (any, error) { return nil, coordinator.ErrLoading }
	if got := ids(); !slices.Equal(got, []string{"COORDINATOR_LOAD_IN_PROGRESS"}) {
		t.Errorf("%q", got)
	}
}

func TestListConfigResources(t *testing.T) {
	w, _ := groupWorld(t)
	w.set(controller.GroupConfig, "g", "consumer.session.timeout.ms", "50000")
	w.set(controller.ClientMetricsConfig, "m", "interval.ms", "1000")
	list := func(version int16, types ...int8) (out []string, code protocol.Code) {
		r := call[*kmsg.ListConfigResourcesResponse](w, version, &kmsg.ListConfigResourcesRequest{ResourceTypes: types})
		for _, x := range r.ConfigResources {
			out = append(out, fmt.Sprint(x.Type, " ", x.Name))
		}
		return out, protocol.Code(r.ErrorCode)
	}
	if got, c := list(0); c != 0 || !slices.Equal(got, []string{"16 m"}) {
		t.Errorf("v0: %q %v", got, c)
	}
	if got, c := list(1); c != 0 || !slices.Equal(got, []string{"32 g", "16 m", "8 1", "8 2", "8 3", "4 1", "4 2", "4 3", "2 " + offsetsTopic, "2 t"}) {
		t.Errorf("v1: %q %v", got, c)
	}
	if got, c := list(1, 32); c != 0 || !slices.Equal(got, []string{"32 g"}) {
		t.Errorf("groups: %q %v", got, c)
	}
	if _, c := list(1, 32, 5); c != protocol.UnsupportedVersion {
		t.Errorf("no such type: %v", c)
	}
	w.auth.deny(DescribeConfigs, ClusterResource, ClusterName)
	if _, c := list(1); c != protocol.ClusterAuthorizationFailed {
		t.Errorf("denied: %v", c)
	}
}

// The machine asks what a member may describe when its regular expression is resolved, which is after its request.
func TestClientMayDescribe(t *testing.T) {
	w, _ := groupWorld(t)
	w.auth.deny(Describe, TopicResource, "secret")
	c := &Call{Session: w.who}
	may := client(w.s, c).MayDescribe
	c.Session = nil // the call is over
	if may("secret") || !may("t") {
		t.Errorf("secret: %t, t: %t", may("secret"), may("t"))
	}
}

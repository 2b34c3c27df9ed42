package controller

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// elect asks for an election of the partitions of t, of all topics where there are none, and returns the codes by partition.
func (w *world) elect(kind int8, partitions ...int32) map[int32]protocol.Code {
	w.t.Helper()
	q := kmsg.NewPtrElectLeadersRequest()
	q.Version, q.ElectionType = 2, kind
	if len(partitions) > 0 {
		q.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: partitions}}
	}
	r := w.handle(q).(*kmsg.ElectLeadersResponse)
	out := map[int32]protocol.Code{}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			out[p.Partition] = protocol.Code(p.ErrorCode)
		}
	}
	if r.ErrorCode != 0 {
		out[-1] = protocol.Code(r.ErrorCode)
	}
	return out
}

func (w *world) part(id int32) *Partition { return w.m.Topic("t").Partitions[id] }

// alterISR has the leader of a partition of t say who is in sync.
func (w *world) alterISR(id int32, isr ...int32) protocol.Code {
	w.t.Helper()
	p := w.part(id)
	q := &kmsg.AlterPartitionRequest{Version: 3, BrokerID: p.Leader, BrokerEpoch: w.m.Broker(p.Leader).Epoch, Topics: []kmsg.AlterPartitionRequestTopic{{
		TopicID: w.m.Topic("t").ID, Partitions: []kmsg.AlterPartitionRequestTopicPartition{{Partition: id, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch}}}}}
	for _, b := range isr {
		q.Topics[0].Partitions[0].NewEpochISR = append(q.Topics[0].Partitions[0].NewEpochISR,
			kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: b, BrokerEpoch: -1})
	}
	return protocol.Code(w.handle(q).(*kmsg.AlterPartitionResponse).Topics[0].Partitions[0].ErrorCode)
}

func TestElectLeaders(t *testing.T) {
	w := three(t)
	if got := w.elect(0, 0, 1, 9); got[0] != protocol.ElectionNotNeeded || got[1] != protocol.ElectionNotNeeded || got[9] != protocol.UnknownTopicOrPartition {
		t.Errorf("%v", got)
	}
	w.beat(0, func(q *kmsg.BrokerHeartbeatRequest) { q.WantFence = true })
	if p := w.part(0); p.Leader != 1 {
		t.Fatalf("%+v", p)
	}
	if got := w.elect(0, 0); got[0] != protocol.PreferredLeaderNotAvailable {
		t.Errorf("%v", got)
	}
	w.beat(0, nil)
	if got := w.elect(0, 0); got[0] != protocol.PreferredLeaderNotAvailable { // it is not in sync
		t.Errorf("%v", got)
	}
	if code := w.alterISR(0, 1, 2, 0); code != 0 {
		t.Fatal(code)
	}
	before := w.part(0).LeaderEpoch
	if got := w.elect(0); len(got) != 1 || got[0] != 0 { // of all, only what was not needed is left out
		t.Errorf("%v", got)
	}
	if p := w.part(0); p.Leader != 0 || p.LeaderEpoch != before+1 || len(p.ISR) != 3 {
		t.Errorf("%+v", p)
	}
	if got := w.elect(7, 0); got[-1] != protocol.InvalidRequest {
		t.Errorf("%v", got)
	}
}

func TestElectUnclean(t *testing.T) {
	w := three(t)
	w.alterISR(0, 0)
	if got := w.elect(1, 0); got[0] != protocol.ElectionNotNeeded {
		t.Errorf("%v", got)
	}
	w.beat(0, func(q *kmsg.BrokerHeartbeatRequest) { q.WantFence = true })
	if p := w.part(0); p.Leader != -1 {
		t.Fatalf("%+v", p)
	}
	if got := w.elect(1, 0); got[0] != 0 {
		t.Errorf("%v", got)
	}
	if p := w.part(0); p.Leader != 1 || !slices.Equal(p.ISR, []int32{1}) || !p.Recovering {
		t.Errorf("%+v", p)
	}
	w = three(t)
	for id := range int32(3) {
		w.beat(id, func(q *kmsg.BrokerHeartbeatRequest) { q.WantFence = true })
	}
	if got := w.elect(1, 0); got[0] != protocol.EligibleLeadersNotAvailable {
		t.Errorf("%v", got)
	}
}

// TestUpkeep holds that preferred replicas lead again after a while, and that leaderless partitions are looked at when unclean elections are
// allowed.
func TestUpkeep(t *testing.T) {
	w := three(t)
	alive := func(ids ...int32) {
		for _, id := range ids {
			w.beat(id, nil)
		}
	}
	w.beat(0, func(q *kmsg.BrokerHeartbeatRequest) { q.WantFence = true })
	alive(0, 1, 2)
	w.alterISR(0, 1, 2, 0)
	if w.part(0).Leader != 1 {
		t.Fatalf("%+v", w.part(0))
	}
	for end := w.now + 299_000; w.now < end; w.now += 1000 {
		alive(0, 1, 2)
		if recs := w.c.Tick(w.input(nil)); len(recs) > 0 {
			t.Fatalf("%v, too early", recs)
		}
	}
	w.now += 2000
	alive(0, 1, 2)
	if next := w.c.NextDeadlineMs(w.m); next > w.now {
		t.Errorf("due in %d ms", next-w.now)
	}
	for range 2 {
		w.commit(w.c.Tick(w.input(nil)))
	}
	if p := w.part(0); p.Leader != 0 || len(p.ISR) != 3 {
		t.Errorf("%+v", p)
	}

	w.alterISR(0, 0)
	w.beat(0, func(q *kmsg.BrokerHeartbeatRequest) { q.WantFence = true })
	if w.part(0).Leader != -1 {
		t.Fatalf("%+v", w.part(0))
	}
	if recs := w.c.Tick(w.input(nil)); len(recs) > 0 {
		t.Fatalf("%v", recs)
	}
	yes := "true"
	w.handle(&kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: 2, ResourceName: "t",
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "unclean.leader.election.enable", Value: &yes}}}}})
	if next := w.c.NextDeadlineMs(w.m); next > w.now {
		t.Errorf("due in %d ms", next-w.now)
	}
	w.commit(w.c.Tick(w.input(nil)))
	if p := w.part(0); p.Leader != 1 || !p.Recovering {
		t.Errorf("%+v", p)
	}
}

// reassign asks for replicas of a partition of t; none cancels.
func (w *world) reassign(id int32, replicas ...int32) protocol.Code {
	w.t.Helper()
	q := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	q.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: id, Replicas: replicas}}}}
	r := w.handle(q).(*kmsg.AlterPartitionAssignmentsResponse)
	return protocol.Code(r.Topics[0].Partitions[0].ErrorCode)
}

func (w *world) reassignments(topics ...kmsg.ListPartitionReassignmentsRequestTopic) []kmsg.ListPartitionReassignmentsResponseTopic {
	q := kmsg.NewPtrListPartitionReassignmentsRequest()
	q.Topics = topics
	return w.handle(q).(*kmsg.ListPartitionReassignmentsResponse).Topics
}

func TestReassignment(t *testing.T) {
	w := three(t)
	w.mustRegister(3, 1)
	w.beat(3, nil)
	for _, c := range []struct {
		code     protocol.Code
		id       int32
		replicas []int32
	}{
		{protocol.NoReassignmentInProgress, 0, nil},
		{protocol.InvalidReplicaAssignment, 0, []int32{}},
		{protocol.InvalidReplicaAssignment, 0, []int32{0, 9}},
		{protocol.InvalidReplicaAssignment, 0, []int32{0, 0}},
		{protocol.UnknownTopicOrPartition, 9, []int32{0}},
		{0, 0, []int32{0, 1, 2}}, // as it is
	} {
		if code := w.reassign(c.id, c.replicas...); code != c.code {
			t.Errorf("%v: %v, want %v", c.replicas, code, c.code)
		}
	}
	if code := w.reassign(0); code != protocol.NoReassignmentInProgress {
		t.Errorf("%v", code)
	}
	if w.part(0).PartitionEpoch != 0 || w.reassignments() != nil {
		t.Fatalf("%+v", w.part(0))
	}
	// 3 comes in for 0, which leads. It is done when 3 is in sync.
	if code := w.reassign(0, 3, 1, 2); code != 0 {
		t.Fatal(code)
	}
	p := w.part(0)
	if !slices.Equal(p.Replicas, []int32{3, 1, 2, 0}) || !slices.Equal(p.Adding, []int32{3}) || !slices.Equal(p.Removing, []int32{0}) || p.Leader != 0 {
		t.Fatalf("%+v", p)
	}
	for _, l := range [][]kmsg.ListPartitionReassignmentsResponseTopic{w.reassignments(),
		w.reassignments(kmsg.ListPartitionReassignmentsRequestTopic{Topic: "t", Partitions: []int32{0, 1, 7}})} {
		if len(l) != 1 || len(l[0].Partitions) != 1 || !slices.Equal(l[0].Partitions[0].AddingReplicas, []int32{3}) {
			t.Errorf("%+v", l)
		}
	}
	if l := w.reassignments(kmsg.ListPartitionReassignmentsRequestTopic{Topic: "t", Partitions: []int32{1}}); l != nil {
		t.Errorf("%+v", l)
	}
	if code := w.alterISR(0, 0, 1, 2, 3); code != protocol.NewLeaderElected {
		t.Fatal(code)
	}
	p = w.part(0)
	if !slices.Equal(p.Replicas, []int32{3, 1, 2}) || len(p.Adding)+len(p.Removing) > 0 || p.Leader != 3 || p.LeaderEpoch != 1 {
		t.Errorf("%+v", p)
	}
	// One whose replicas are all in sync is done at once, and the leader epoch fences the one that is gone.
	if code := w.reassign(0, 3, 1); code != 0 {
		t.Fatal(code)
	}
	if p = w.part(0); !slices.Equal(p.Replicas, []int32{3, 1}) || !slices.Equal(p.ISR, []int32{1, 3}) && !slices.Equal(p.ISR, []int32{3, 1}) || p.LeaderEpoch != 2 {
		t.Errorf("%+v", p)
	}
	q := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	q.Version, q.AllowReplicationFactorChange = 1, false
	q.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{
		{Partition: 0, Replicas: []int32{1, 2, 3}}, {Partition: 0, Replicas: []int32{1, 2}}}}}
	r := w.handle(q).(*kmsg.AlterPartitionAssignmentsResponse)
	if protocol.Code(r.Topics[0].Partitions[0].ErrorCode) != protocol.InvalidReplicationFactor || protocol.Code(r.Topics[0].Partitions[1].ErrorCode) != protocol.InvalidRequest {
		t.Errorf("%+v", r.Topics[0].Partitions)
	}
}

func TestReassignmentCancelled(t *testing.T) {
	w := three(t)
	w.mustRegister(3, 1)
	w.beat(3, nil)
	w.reassign(0, 3)
	if p := w.part(0); !slices.Equal(p.Replicas, []int32{3, 0, 1, 2}) {
		t.Fatalf("%+v", p)
	}
	if code := w.reassign(0); code != 0 {
		t.Fatal(code)
	}
	if p := w.part(0); !slices.Equal(p.Replicas, []int32{0, 1, 2}) || len(p.Adding)+len(p.Removing) > 0 || p.Leader != 0 || len(p.ISR) != 3 {
		t.Errorf("%+v", p)
	}
	// Only the new replica is in sync: going back would lose records.
	w.commit([]Record{&PartitionChangeRecord{TopicID: w.m.Topic("t").ID, Replicas: []int32{3, 0}, ISR: []int32{3}, Leader: 3, Adding: []int32{3}, Removing: []int32{0},
		Directories: []protocol.UUID{{3, 1}, {0, 1}}, LeaderRecoveryState: -1}})
	if code := w.reassign(0); code != protocol.InvalidReplicaAssignment {
		t.Errorf("%v", code)
	}
}

package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/protocol/record"
)

// What coordinators keep is large in "wide": it has offsets of 2,000 partitions, a classic group "big" has a member with 500 KB of
// metadata, a consumer group "consumers" has all partitions, and 500 producers have written to the topic's first partition.

func groupNames(n int, name string) []string { return slices.Repeat([]string{name}, n) }

func init() {
	none := func(r ...kmsg.Request) func() []kmsg.Request { return func() []kmsg.Request { return r } }
	parts := func(n int) []int32 { return many(n, func(e *int32, i int) { *e = int32(i) }) }
	for key, requests := range map[int16]func() []kmsg.Request{
		8: none(&kmsg.OffsetCommitRequest{Version: 6, Group: "wide", Generation: -1, Topics: []kmsg.OffsetCommitRequestTopic{{Topic: "wide",
			Partitions: many(50e3, func(e *kmsg.OffsetCommitRequestTopicPartition, i int) { e.Partition = int32(i); e.LeaderEpoch = -1 })}}},
			&kmsg.OffsetCommitRequest{Version: 6, Group: "wide", Generation: -1, Topics: many(90e3, func(e *kmsg.OffsetCommitRequestTopic, i int) { e.Topic = fmt.Sprintf("%05x", i) })}),
		9: none(
			&kmsg.OffsetFetchRequest{Version: 8, Groups: many(140e3, func(e *kmsg.OffsetFetchRequestGroup, i int) { e.Group = "wide" })},
			&kmsg.OffsetFetchRequest{Version: 8, Groups: many(100, func(e *kmsg.OffsetFetchRequestGroup, i int) {
				e.Group, e.Topics = "wide", []kmsg.OffsetFetchRequestGroupTopic{{Topic: "wide", Partitions: parts(2000)}}
			})},
		),
		10: none(&kmsg.FindCoordinatorRequest{Version: 4, CoordinatorKeys: groupNames(160e3, "wide")}),
		11: none(&kmsg.JoinGroupRequest{Version: 5, Group: "join", SessionTimeoutMillis: 6000, RebalanceTimeoutMillis: 6000, ProtocolType: "consumer",
			Protocols: many(60e3, func(e *kmsg.JoinGroupRequestProtocol, i int) { e.Name = fmt.Sprintf("%05x", i) })}),
		12: none(&kmsg.HeartbeatRequest{Version: 4, Group: "wide"}),
		13: none(&kmsg.LeaveGroupRequest{Version: 4, Group: "wide", Members: many(140e3, func(e *kmsg.LeaveGroupRequestMember, i int) { e.MemberID = "m" })}),
		14: none(&kmsg.SyncGroupRequest{Version: 3, Group: "big", Generation: 1, GroupAssignment: many(60e3, func(e *kmsg.SyncGroupRequestGroupAssignment, i int) { e.MemberID = "m" })}),
		15: none(&kmsg.DescribeGroupsRequest{Version: 5, Groups: groupNames(200e3, "big")}),
		16: none(&kmsg.ListGroupsRequest{Version: 5, StatesFilter: groupNames(100e3, "Stable")}),
		27: none(&kmsg.WriteTxnMarkersRequest{Version: 1, Markers: many(35e3, func(e *kmsg.WriteTxnMarkersRequestMarker, i int) {
			e.ProducerID, e.Topics = int64(i), []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: "none", Partitions: []int32{0}}}
		})}),
		42: none(&kmsg.DeleteGroupsRequest{Version: 2, Groups: groupNames(200e3, "none")}),
		47: none(&kmsg.OffsetDeleteRequest{Group: "none", Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: "wide",
			Partitions: many(200e3, func(e *kmsg.OffsetDeleteRequestTopicPartition, i int) { e.Partition = int32(i) })}}}),
		61: none(&kmsg.DescribeProducersRequest{Topics: []kmsg.DescribeProducersRequestTopic{{Topic: "wide", Partitions: make([]int32, 230e3)}}}),
		68: none(&kmsg.ConsumerGroupHeartbeatRequest{Version: 0, Group: "more", RebalanceTimeoutMillis: 60000, SubscribedTopicNames: many(100e3, func(e *string, i int) { *e = fmt.Sprintf("%05x", i) }),
			Topics: []kmsg.ConsumerGroupHeartbeatRequestTopic{}}),
		69: none(&kmsg.ConsumerGroupDescribeRequest{Version: 0, Groups: groupNames(90e3, "consumers")}),
		74: none(&kmsg.ListConfigResourcesRequest{Version: 1, ResourceTypes: slices.Repeat([]int8{2}, 900e3)}),
	} {
		multiplying[key] = requests
	}
}

// createGroups makes what the requests above are about.
func (b *bed) createGroups(t *testing.T) {
	nc := b.dial(t)
	defer nc.Close()
	do := func(r kmsg.Request) kmsg.Response {
		t.Helper()
		resp, err := exchange(nc, r, 1)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	await(t, "no coordinator", func() string { return "" }, func() bool {
		r := do(&kmsg.FindCoordinatorRequest{Version: 3, CoordinatorKey: "wide"}).(*kmsg.FindCoordinatorResponse)
		return r.ErrorCode == 0
	})
	commit := &kmsg.OffsetCommitRequest{Version: 6, Group: "wide", Generation: -1, Topics: []kmsg.OffsetCommitRequestTopic{{Topic: "wide",
		Partitions: many(2000, func(e *kmsg.OffsetCommitRequestTopicPartition, i int) { e.Partition, e.LeaderEpoch = int32(i), -1 })}}}
	retry := func(what string, code func() int16) {
		t.Helper()
		var last int16
		await(t, what, func() string { return protocol.Code(last).String() }, func() bool { last = code(); return last == 0 })
	}
	retry("no offsets", func() int16 { return do(commit).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode })
	retry("no group", func() int16 {
		return do(&kmsg.JoinGroupRequest{Version: 1, Group: "big", SessionTimeoutMillis: 60000, RebalanceTimeoutMillis: 60000, ProtocolType: "consumer",
			Protocols: []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: make([]byte, 500e3)}}}).(*kmsg.JoinGroupResponse).ErrorCode
	})
	member, epoch := "", int32(0)
	retry("no consumer group", func() int16 {
		r := do(&kmsg.ConsumerGroupHeartbeatRequest{Version: 0, Group: "consumers", MemberID: member, MemberEpoch: epoch, RebalanceTimeoutMillis: 60000, SubscribedTopicNames: []string{"wide"},
			Topics: []kmsg.ConsumerGroupHeartbeatRequestTopic{}}).(*kmsg.ConsumerGroupHeartbeatResponse)
		if r.ErrorCode == 0 {
			member, epoch = *r.MemberID, r.MemberEpoch
		}
		if r.ErrorCode == 0 && r.Assignment == nil {
			return int16(protocol.RebalanceInProgress)
		}
		return r.ErrorCode
	})
	for i := range int64(500) {
		batch := record.Builder{HasProducer: true, ProducerID: 1000 + i}
		batch.Add(time.Now().UnixMilli(), nil, []byte(strings.Repeat("x", 10)))
		do(produceRequest(9, "wide", batch.Bytes()))
	}
}

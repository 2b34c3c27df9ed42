package group

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
)

// stableGroup is a machine with one group of one member in generation 1, which consumes topic t.
func stableGroup(tb testing.TB) (m *Machine, member string) {
	cfg := testConfig()
	cfg.InitialRebalanceDelayMs = 0
	m = New(cfg, newTestMetadata())
	run := func(e coordinator.Effects) { replayAll(tb, m, e) }
	run(m.Elected(1000))
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = 3, "group", 10000, 10000, consumerType
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscribe("t")}}
	run(m.JoinGroup(1000, 1, Client{ID: "c", NewID: "1"}, join))
	run(m.Expired(1000, timer(timerClassicJoin, "group", "")))
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.MemberID, sync.Generation = 5, "group", "c-1", 1
	run(m.SyncGroup(1000, 2, sync))
	if s := m.groups["group"].classic.state; s != stateStable {
		tb.Fatalf("the group is %s", stateNames[s])
	}
	return m, "c-1"
}

var replayOffset int64

// replayAll does what the runtime does with records.
func replayAll(tb testing.TB, m *Machine, e coordinator.Effects) {
	for _, r := range e.Records {
		replayOffset++
		if err := m.Replay(coordinator.At{Offset: replayOffset, ProducerID: -1}, r); err != nil {
			tb.Fatal(err)
		}
	}
}

func commitRequest(group, member string, generation int32, partitions int) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.MemberID, r.Generation = 9, group, member, generation
	t := kmsg.OffsetCommitRequestTopic{Topic: "t"}
	for p := range partitions {
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset, part.Metadata = int32(p), 1, kmsg.StringPtr("")
		t.Partitions = append(t.Partitions, part)
	}
	r.Topics = []kmsg.OffsetCommitRequestTopic{t}
	return r
}

// The two that every consumer sends all the time: each allocates its response and nothing else.
func hotPaths(tb testing.TB) map[string]func() {
	m, member := stableGroup(tb)
	commit := commitRequest("group", member, 1, 10)
	heartbeat := kmsg.NewPtrHeartbeatRequest()
	heartbeat.Version, heartbeat.Group, heartbeat.MemberID, heartbeat.Generation = 4, "group", member, 1
	return map[string]func(){
		"OffsetCommit": func() { replayAll(tb, m, m.OffsetCommit(2000, 3, commit)) },
		"Heartbeat":    func() { m.Heartbeat(2000, 4, heartbeat) },
	}
}

func TestHotPathsAllocateTheirResponse(t *testing.T) {
	for name, f := range hotPaths(t) {
		f()
		if n := testing.AllocsPerRun(100, f); n > 1 {
			t.Errorf("%s: %v allocations, want 1", name, n)
		}
	}
}

func BenchmarkHotPaths(b *testing.B) {
	for name, f := range hotPaths(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

// BenchmarkRebalance is a group of 1,000 members: one joins again, all follow, the leader assigns.
func BenchmarkRebalance(b *testing.B) {
	cfg := testConfig()
	cfg.InitialRebalanceDelayMs = 0
	m := New(cfg, newTestMetadata())
	run := func(e coordinator.Effects) { replayAll(b, m, e) }
	join := func(id string, n int) {
		r := kmsg.NewPtrJoinGroupRequest()
		r.Version, r.Group, r.MemberID, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = 3, "g", id, 10000, 10000, consumerType
		r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscribe("t")}}
		run(m.JoinGroup(1000, coordinator.Token(n+1), Client{ID: "c", NewID: fmt.Sprint(n)}, r))
	}
	for n := range 1000 {
		join("", n)
	}
	for range 2 { // members came while it waited
		run(m.Expired(1000, timer(timerClassicJoin, "g", "")))
	}
	b.ReportAllocs()
	for b.Loop() {
		c := m.groups["g"].classic
		if c.state == stateCompleting {
			r := kmsg.NewPtrSyncGroupRequest()
			r.Version, r.Group, r.MemberID, r.Generation = 5, "g", c.leader, c.generation
			run(m.SyncGroup(1000, 9, r))
		}
		leader := c.leader
		join(leader, 0)
		for n := range 1000 {
			if id := fmt.Sprintf("c-%d", n); id != leader {
				join(id, n)
			}
		}
		if c.state != stateCompleting {
			b.Fatalf("the group is %s", c.stateName())
		}
	}
}

// TestManyGroups holds that 10,000 groups, each with a member and 10 partitions, take less than 4 KiB each: a bound on what the machine
// keeps, not on what a run of it takes.
func TestManyGroups(t *testing.T) {
	cfg := testConfig()
	m := New(cfg, newTestMetadata())
	before := heap()
	const groups = 10_000
	for i := range groups {
		id := fmt.Sprintf("group-%d", i)
		proto, leader := "range", "consumer-1-6e6ff2a9-9c1f-4d1c-8d6b-2b2f4ad2d5a1"
		v := groupValue{protocolType: consumerType, generation: 1, protocol: &proto, leader: &leader, members: []memberValue{{
			id: leader, clientID: "consumer-1", clientHost: "/127.0.0.1", rebalanceMs: 300000, sessionMs: 45000, subscription: subscribe("t"), assignment: make([]byte, 60)}}}
		if err := m.Replay(coordinator.At{ProducerID: -1}, coordinator.Record{Key: appendGroupKey(nil, typeGroupMetadata, id), Value: appendGroupValue(nil, &v)}); err != nil {
			t.Fatal(err)
		}
		replayAll(t, m, m.OffsetCommit(1000, 1, commitRequest(id, "", -1, 10)))
	}
	m.Elected(1000)
	each := (heap() - before) / groups
	t.Logf("%d bytes a group", each)
	if each > 4096 {
		t.Errorf("%d bytes a group", each)
	}
	runtime.KeepAlive(m)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

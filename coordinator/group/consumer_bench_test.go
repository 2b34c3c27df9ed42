package group

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
)

// benchGroup is a group of so many members that subscribe to one topic.
type benchGroup struct {
	*harness
	ids    []string
	epochs []int32
	owned  [][]kmsg.ConsumerGroupHeartbeatRequestTopic
}

func newBenchGroup(b *testing.B, members, partitions int, interval int32) *benchGroup {
	cfg := testConfig()
	cfg.Group = func(string) GroupConfig {
		return GroupConfig{ConsumerSessionMs: 45000, ConsumerHeartbeatMs: 5000, ConsumerAssignmentMs: interval}
	}
	g := &benchGroup{harness: newHarness(b, cfg), epochs: make([]int32, members), owned: make([][]kmsg.ConsumerGroupHeartbeatRequestTopic, members)}
	g.every = 0
	for i := range members {
		g.ids = append(g.ids, fmt.Sprintf("member-%05d", i))
		g.owned[i] = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	g.md = g.md.with("t", 1, int32(partitions))
	g.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(g.now, g.md) })
	return g
}

// beat sends the heartbeat of a member; it says whether it heard of something new.
func (g *benchGroup) beat(i int) bool {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.MemberEpoch, r.Topics = 1, "g", g.ids[i], g.epochs[i], g.owned[i]
	if g.epochs[i] == 0 {
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames = 300000, []string{"t"}
	}
	e := g.m.ConsumerGroupHeartbeat(g.now, 1, Client{ID: "bench", Host: "/127.0.0.1"}, r)
	resp := e.Replies[0].Response.(*kmsg.ConsumerGroupHeartbeatResponse)
	for _, rec := range e.Records {
		if err := g.m.Replay(coordinator.At{ProducerID: -1}, rec); err != nil {
			panic(err)
		}
	}
	news := len(e.Records) > 0
	g.epochs[i] = resp.MemberEpoch
	if resp.Assignment != nil {
		g.owned[i] = g.owned[i][:0]
		for _, t := range resp.Assignment.Topics {
			g.owned[i] = append(g.owned[i], kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
	return news
}

// stabilise lets all heartbeat until nothing is new.
func (g *benchGroup) stabilise() (rounds int) {
	for news := true; news; rounds++ {
		news = false
		for i := range g.ids {
			news = g.beat(i) || news
		}
		g.now += 5000
	}
	return rounds
}

// The coordinator's work while all members of a group join, one by one, and heartbeat until the group is stable.
func BenchmarkJoinAndStabilise(b *testing.B) {
	for _, size := range [][2]int{{10, 100}, {100, 1000}, {1000, 1000}, {1000, 10000}} {
		for _, interval := range []int32{0, 1000} {
			b.Run(fmt.Sprintf("members=%d/partitions=%d/interval=%d", size[0], size[1], interval), func(b *testing.B) {
				for b.Loop() {
					g := newBenchGroup(b, size[0], size[1], interval)
					g.stabilise()
					if s := g.m.groups["g"].consumer.stateName(); s != "Stable" {
						b.Fatal(s)
					}
				}
			})
		}
	}
}

// A heartbeat of a stable group: all that a group costs most of the time.
func BenchmarkHeartbeat(b *testing.B) {
	for _, members := range []int{1, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			g := newBenchGroup(b, members, 10*members, 0)
			g.stabilise()
			r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			r.Version, r.Group, r.MemberID, r.MemberEpoch = 1, "g", g.ids[0], g.epochs[0]
			client := Client{ID: "bench", Host: "/127.0.0.1"}
			b.ReportAllocs()
			for b.Loop() {
				g.m.ConsumerGroupHeartbeat(g.now, 1, client, r)
			}
		})
	}
}

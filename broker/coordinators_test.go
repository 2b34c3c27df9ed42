package broker

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// submitSetting changes one setting of a resource.
func (b *Broker) submitSetting(t testing.TB, resourceType int8, name, key, value string) {
	t.Helper()
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	q.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceType(resourceType), ResourceName: name,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Value: &value}}}}
	r, err := b.node.Submit(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if code := r.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode; code != 0 {
		t.Fatal(protocol.Code(code))
	}
}

// What the machines go by follows the dynamic settings: static < the cluster's < the broker's own < the group's, within the broker's bounds.
func TestGroupSettingsAreDynamic(t *testing.T) {
	b := startForGroups(t, "group.consumer.assignment.interval.ms=1500", "group.consumer.session.timeout.ms=50000")
	interval := func(id string) int32 { return b.groups.config.Load().Group(id).ConsumerAssignmentMs }
	if got := interval("g"); got != 1500 {
		t.Errorf("static: %d", got)
	}
	b.submitSetting(t, controller.BrokerConfig, "", "group.consumer.assignment.interval.ms", "2500")
	if got := interval("g"); got != 2500 {
		t.Errorf("the cluster's: %d", got)
	}
	b.submitSetting(t, controller.BrokerConfig, "1", "group.consumer.assignment.interval.ms", "3500")
	if got := interval("g"); got != 3500 {
		t.Errorf("the broker's: %d", got)
	}
	b.submitSetting(t, controller.GroupConfig, "g", "consumer.assignment.interval.ms", "4500")
	b.submitSetting(t, controller.GroupConfig, "g", "consumer.session.timeout.ms", "55000")
	own := b.groups.config.Load().Group("g")
	if own.ConsumerAssignmentMs != 4500 || own.ConsumerSessionMs != 55000 || own.ConsumerHeartbeatMs != 5000 {
		t.Errorf("the group's: %+v", own)
	}
	if got := interval("h"); got != 3500 {
		t.Errorf("another group's: %d", got)
	}
	l := b.groups.layers(b.node.Image())
	kept := ownSettings(&l, map[string]string{"consumer.session.timeout.ms": "1"}, own) // set before the broker's bounds were what they are
	if kept.ConsumerSessionMs != 45000 {
		t.Errorf("below the least: %d", kept.ConsumerSessionMs)
	}
}

// A topic that a client was told of is there for its group, also when whoever tells the machines has not come that far.
func TestGroupSeesTopicAtOnce(t *testing.T) {
	b := startForGroups(t)
	b.groups.telling.ended.Wait()
	b.groups.telling.running.Store(true)
	defer b.groups.telling.running.Store(false)
	b.submitTopic(t, "t", 2)
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Version, q.Group, q.MemberID, q.RebalanceTimeoutMillis = 1, "g", "m", 10_000
	q.SubscribedTopicNames, q.Topics = []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	done := make(chan *kmsg.ConsumerGroupHeartbeatResponse, 1)
	b.groups.Do(0, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.ConsumerGroupHeartbeat(now, t, group.Client{}, q)
	}, func(response any, err error) {
		if err != nil {
			t.Error(err)
		}
		r, _ := response.(*kmsg.ConsumerGroupHeartbeatResponse)
		done <- r
	})
	if r := <-done; r == nil || r.Assignment == nil || len(r.Assignment.Topics) != 1 {
		t.Errorf("the first assignment: %+v", r)
	}
}

// fetchOffset asks the coordinator in partition 0 for an offset of group g, -1 for none.
func (b *Broker) fetchOffset(t *testing.T) int64 {
	t.Helper()
	q := &kmsg.OffsetFetchRequestGroup{Group: "g", Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}}
	done := make(chan int64, 1)
	b.groups.Do(0, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.OffsetFetch(now, t, 8, q, true)
	},
		func(response any, err error) {
			if err != nil {
				t.Error(err)
				done <- -2
				return
			}
			done <- response.(*kmsg.OffsetFetchResponseGroup).Topics[0].Partitions[0].Offset
		})
	return <-done
}

// When __consumer_offsets is deleted its groups are gone, also when it is created again with the epochs of a new topic.
func TestOffsetsTopicIsDeleted(t *testing.T) {
	b := startForGroups(t)
	b.submitTopic(t, "t", 1)
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Version, q.Group, q.Generation = 8, "g", -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = 42
	q.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	b.groups.Do(0, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.OffsetCommit(now, t, q)
	},
		func(_ any, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	if got := b.fetchOffset(t); got != 42 {
		t.Errorf("committed: %d", got)
	}
	name := offsetsTopic
	d := kmsg.NewPtrDeleteTopicsRequest()
	d.Version, d.Topics = 6, []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
	if _, err := b.node.Submit(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got := b.groups.Partitions(); len(got) > 0 {
		t.Errorf("still the coordinator of %v", got)
	}
	b.submitTopic(t, offsetsTopic, 2)
	if err := b.groups.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := b.fetchOffset(t); got != -1 {
		t.Errorf("in the new topic: %d", got)
	}
}

// After a restart every partition is loaded once. A broker that starts is still the leader for its image; it hears of its election when it
// has registered.
func TestLoadOnceAfterRestart(t *testing.T) {
	b := startForGroups(t)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	again, err := Start(t.Context(), Config{Settings: b.static, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	for p := range int32(2) {
		if err := again.groups.Wait(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	again.Close()
	if n := strings.Count(log.String(), "a coordinator is loaded"); n != 2 {
		t.Errorf("2 partitions were loaded %d times:\n%s", n, log.String())
	}
}

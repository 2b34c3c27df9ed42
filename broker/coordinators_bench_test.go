package broker

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
)

// BenchmarkCommit is an offset commit of one partition by a simple consumer, from the handler's call to its answer: "alone" as it is
// where the shard is idle, "hop" as it would be if a goroutine of the shard's own ran it, "many" by several goroutines at once.
func BenchmarkCommit(b *testing.B) {
	k := startForGroups(b)
	k.submitTopic(b, "t", 1)
	id := k.node.Image().Topic("t").ID
	request := func() *kmsg.OffsetCommitRequest {
		q := kmsg.NewPtrOffsetCommitRequest()
		q.Version, q.Group, q.Generation = 8, "g", -1
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = "t", id
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset, p.LeaderEpoch = 42, -1
		t.Partitions = append(t.Partitions, p)
		q.Topics = append(q.Topics, t)
		return q
	}
	commit := func(done chan any) {
		q := request()
		k.groups.Do(0, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
			return m.OffsetCommit(now, t, q)
		},
			func(response any, err error) {
				if err != nil {
					b.Error(err)
				}
				done <- response
			})
	}
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		done := make(chan any, 1)
		for b.Loop() {
			commit(done)
			<-done
		}
	})
	b.Run("hop", func(b *testing.B) {
		b.ReportAllocs()
		work, done := make(chan struct{}), make(chan any, 1)
		go func() {
			for range work {
				commit(done)
			}
		}()
		for b.Loop() {
			work <- struct{}{}
			<-done
		}
		close(work)
	})
	b.Run("many", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			done := make(chan any, 1)
			for pb.Next() {
				commit(done)
				<-done
			}
		})
	})
}

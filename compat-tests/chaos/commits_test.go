package chaos

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	compat "weir-compat"
)

// checkCommits reads the topic of the groups: the offset that a group has committed for a partition never falls, whatever died in
// between. So what is read again was read by somebody whose commit was not acknowledged.
func checkCommits(t *testing.T, b *compat.Broker) {
	t.Helper()
	const topic = "__consumer_offsets"
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	committed, commits := map[string]int64{}, 0
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read of %s, %d partitions left: %v", topic, len(left), fetches.Err())
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] { // the last record is never compacted away
				delete(left, r.Partition)
			}
			var key kmsg.OffsetCommitKey
			if len(r.Key) < 2 || binary.BigEndian.Uint16(r.Key) > 1 { // 0 and 1 are commits, the others groups and members
				return
			}
			if err := key.ReadFrom(r.Key); err != nil {
				t.Errorf("%s-%d@%d: %v", topic, r.Partition, r.Offset, err)
				return
			}
			at := fmt.Sprintf("%s %s-%d", key.Group, key.Topic, key.Partition)
			if r.Value == nil {
				delete(committed, at)
				return
			}
			var value kmsg.OffsetCommitValue
			if err := value.ReadFrom(r.Value); err != nil {
				t.Errorf("%s-%d@%d: %v", topic, r.Partition, r.Offset, err)
				return
			}
			if before := committed[at]; value.Offset < before {
				t.Errorf("%s: committed at %d, then at %d (%s-%d@%d)", at, before, value.Offset, topic, r.Partition, r.Offset)
			}
			committed[at] = value.Offset
			commits++
		})
	}
	t.Logf("%d commits in %s", commits, topic)
}

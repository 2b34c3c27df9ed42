package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

func partitionsOf(limit int32, cursor string, from int32, names ...string) *kmsg.DescribeTopicPartitionsRequest {
	q := kmsg.NewPtrDescribeTopicPartitionsRequest()
	q.ResponsePartitionLimit = limit
	for _, name := range names {
		t := kmsg.NewDescribeTopicPartitionsRequestTopic()
		t.Topic = name
		q.Topics = append(q.Topics, t)
	}
	if cursor != "" {
		c := kmsg.NewDescribeTopicPartitionsRequestCursor()
		c.Topic, c.Partition = cursor, from
		q.Cursor = &c
	}
	return q
}

// show is a response in short: topic:code[partitions], and the cursor behind ">".
func show(r *kmsg.DescribeTopicPartitionsResponse) string {
	var parts []string
	for _, t := range r.Topics {
		s := value(t.Topic)
		if t.ErrorCode != 0 {
			s += ":" + protocol.Code(t.ErrorCode).String()
		}
		var ids []int32
		for _, p := range t.Partitions {
			ids = append(ids, p.Partition)
		}
		parts = append(parts, s+strings.ReplaceAll(fmt.Sprint(ids), " ", ","))
	}
	if c := r.NextCursor; c != nil {
		parts = append(parts, fmt.Sprintf("> %s %d", c.Topic, c.Partition))
	}
	return strings.Join(parts, " ")
}

// TestDescribeTopicPartitionsPages: every page is what Kafka 4.4 answers.
func TestDescribeTopicPartitionsPages(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"__consumer_offsets", "t1", "t2", "t3"} {
		w.topic(name, []int32{1}, []int32{1}, []int32{1})
	}
	for _, c := range []struct {
		name string
		q    *kmsg.DescribeTopicPartitionsRequest
		want string
	}{
		{"named", partitionsOf(2000, "", 0, "t3", "nope", "t1", "bad name", "t1"), "bad name:INVALID_TOPIC_EXCEPTION[] nope:UNKNOWN_TOPIC_OR_PARTITION[] t1[0,1,2] t3[0,1,2]"},
		{"limit in a topic", partitionsOf(4, "", 0, "t3", "t2", "t1"), "t1[0,1,2] t2[0] > t2 1"},
		{"limit between topics", partitionsOf(3, "", 0, "t3", "t2", "t1"), "t1[0,1,2] > t2 0"},
		{"limit 0", partitionsOf(0, "", 0, "t3", "t2", "t1"), "t1[0] > t1 1"},
		{"limit -1", partitionsOf(-1, "", 0, "t3", "t2", "t1"), "t1[0] > t1 1"},
		{"cursor", partitionsOf(4, "t2", 1, "t3", "t2", "t1"), "t2[1,2] t3[0,1] > t3 2"},
		{"cursor beyond", partitionsOf(4, "t2", 9, "t3", "t2", "t1"), "t2[] t3[0,1,2]"},
		{"cursor at the end", partitionsOf(4, "t2", 3, "t3", "t2", "t1"), "t2[] t3[0,1,2]"},
		{"a topic without a name", partitionsOf(4, "", 0, "t3", ""), "t3:UNKNOWN_SERVER_ERROR[] :UNKNOWN_SERVER_ERROR[]"},
		{"cursor not listed", partitionsOf(4, "t1", 1, "t3", "t2"), "t3:INVALID_REQUEST[] t2:INVALID_REQUEST[]"},
		{"cursor -1", partitionsOf(4, "t1", -1, "t3", "t1"), "t3:INVALID_REQUEST[] t1:INVALID_REQUEST[]"},
		{"cursor on no topic", partitionsOf(4, "nope", 1, "t3", "nope"), "nope:UNKNOWN_TOPIC_OR_PARTITION[] t3[0,1,2]"},
		{"an unknown topic costs nothing", partitionsOf(1, "", 0, "nope", "t1", "t2"), "nope:UNKNOWN_TOPIC_OR_PARTITION[] t1[0] > t1 1"},
		{"cursor to no topic", partitionsOf(3, "", 0, "t1", "t1a", "t2"), "t1[0,1,2] > t1a 0"},
		{"all", partitionsOf(4, "", 0), "__consumer_offsets[0,1,2] t1[0] > t1 1"},
		{"all from between", partitionsOf(4, "t15", 0), "t2[0,1,2] t3[0] > t3 1"},
		{"all from within", partitionsOf(4, "t2", 2), "t2[2] t3[0,1,2]"},
		{"all, cursor -1", partitionsOf(4, "t2", -1), ""},
	} {
		if got := show(call[*kmsg.DescribeTopicPartitionsResponse](w, 0, c.q)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	w.auth.deny(Describe, TopicResource, "t2")
	r := call[*kmsg.DescribeTopicPartitionsResponse](w, 0, partitionsOf(9, "", 0, "t2", "t3", "t1"))
	if got := show(r); got != "t1[0,1,2] t3[0,1,2] t2:TOPIC_AUTHORIZATION_FAILED[]" || r.Topics[2].AuthorizedOperations != unknownOperations {
		t.Errorf("denied: %s", got)
	}
	if got := show(call[*kmsg.DescribeTopicPartitionsResponse](w, 0, partitionsOf(9, "t1", 0))); got != "t1[0,1,2] t3[0,1,2]" {
		t.Errorf("denied in all: %s", got)
	}
	w.s.Config = settings(t, "max.request.partition.size.limit=2")
	if got := show(call[*kmsg.DescribeTopicPartitionsResponse](w, 0, partitionsOf(9, "", 0, "t1"))); got != "t1[0,1] > t1 2" {
		t.Errorf("the broker's limit: %s", got)
	}
}

func TestDescribeTopicPartitionsFields(t *testing.T) {
	w := newWorld(t)
	id := w.topic("a", []int32{1, 2, 3}, []int32{2})
	w.topic("__consumer_offsets", []int32{1})
	w.merge(&controller.PartitionChangeRecord{TopicID: id, Leader: controller.NoLeaderChange, LeaderRecoveryState: -1, ISR: []int32{1}, ELR: []int32{2}, LastELR: []int32{3}})
	r := call[*kmsg.DescribeTopicPartitionsResponse](w, 0, partitionsOf(9, "", 0))
	if !r.Topics[0].IsInternal || r.Topics[1].IsInternal || r.Topics[1].TopicID != id || r.Topics[1].AuthorizedOperations != 3576 {
		t.Errorf("%+v", r.Topics)
	}
	p := r.Topics[1].Partitions[0]
	if p.LeaderID != 1 || !slices.Equal(p.Replicas, []int32{1, 2, 3}) || !slices.Equal(p.ISR, []int32{1}) || !slices.Equal(p.OfflineReplicas, []int32{3}) ||
		!slices.Equal(p.EligibleLeaderReplicas, []int32{2}) || !slices.Equal(p.LastKnownELR, []int32{3}) {
		t.Errorf("%+v", p)
	}
	if p = r.Topics[1].Partitions[1]; p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
		t.Errorf("null, not empty: %+v", p)
	}
	w.who.ListenerName = "EXTERNAL"
	if p = call[*kmsg.DescribeTopicPartitionsResponse](w, 0, partitionsOf(9, "", 0, "a")).Topics[0].Partitions[1]; p.LeaderID != -1 || p.ErrorCode != 0 {
		t.Errorf("a leader without the listener: %+v", p)
	}
}

package api

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestNamedTwice(t *testing.T) {
	for _, others := range []int{0, 100} { // few are looked through in another way than many
		q := &kmsg.ProduceRequest{}
		add := func(name string, partitions ...int32) {
			topic := kmsg.ProduceRequestTopic{Topic: name}
			for _, p := range partitions {
				topic.Partitions = append(topic.Partitions, kmsg.ProduceRequestTopicPartition{Partition: p, Records: fmt.Appendf(nil, "%d", len(q.Topics))})
			}
			q.Topics = append(q.Topics, topic)
		}
		add("a", 0, 1)
		for i := range others {
			add(fmt.Sprint(i), 0)
		}
		add("b", 0)
		add("a", 1, 2)
		produceOnce(q)
		a := q.Topics[0]
		if len(q.Topics) != others+2 || len(a.Partitions) != 3 {
			t.Fatalf("with %d others: %d topics, %d partitions", others, len(q.Topics), len(a.Partitions))
		}
		if string(a.Partitions[0].Records) != "0" || string(a.Partitions[1].Records) != fmt.Sprint(others+2) {
			t.Errorf("with %d others: %+v", others, a.Partitions)
		}
	}
}

func TestOnceAllocatesNothing(t *testing.T) {
	q := &kmsg.ProduceRequest{Topics: []kmsg.ProduceRequestTopic{{Topic: "a", Partitions: make([]kmsg.ProduceRequestTopicPartition, few)}, {Topic: "b"}}}
	for i := range q.Topics[0].Partitions {
		q.Topics[0].Partitions[i].Partition = int32(few - i)
	}
	if n := testing.AllocsPerRun(100, func() { produceOnce(q) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

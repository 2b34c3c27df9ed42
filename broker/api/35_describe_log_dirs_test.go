package api

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/protocol"
)

func TestDescribeLogDirs(t *testing.T) {
	versions(t, 35, func(t *testing.T, v int16) {
		w := newWorld(t)
		a, b := w.topic("a", []int32{1}), w.topic("b", []int32{1}, []int32{1})
		log := func(id protocol.UUID, p int32, size int64) partition.LogInfo {
			return partition.LogInfo{ID: partition.ID{Topic: id, Partition: p}, Size: size, OffsetLag: size / 10}
		}
		w.s.Replicas = dirs{info: []partition.DirInfo{
			{Path: "/one", TotalBytes: 1000, UsableBytes: 400, Logs: []partition.LogInfo{log(b, 1, 70), log(a, 0, 50), log(protocol.UUID{1}, 0, 9), log(b, 0, 60)}},
			{Path: "/two", Code: protocol.KafkaStorageError, TotalBytes: 5, UsableBytes: 5, Logs: []partition.LogInfo{log(a, 1, 1)}},
			{Path: "/three", TotalBytes: 10, UsableBytes: 4},
		}}
		show := func(q *kmsg.DescribeLogDirsRequest) (s string) {
			r := call[*kmsg.DescribeLogDirsResponse](w, v, q)
			for _, d := range r.Dirs {
				s += d.Dir + ":" + protocol.Code(d.ErrorCode).String()
				if v >= 4 {
					s += fmt.Sprintf("(%d/%d)", d.UsableBytes, d.TotalBytes)
				}
				for _, x := range d.Topics {
					s += " " + x.Topic
					for _, p := range x.Partitions {
						s += fmt.Sprintf(" %d=%d-%d", p.Partition, p.Size, p.OffsetLag)
						if p.IsFuture {
							t.Error("a future log")
						}
					}
				}
				s += "; "
			}
			return s
		}
		one, two, three := "/one:NONE", "/two:KAFKA_STORAGE_ERROR", "; /three:NONE"
		if v >= 4 {
			one, two, three = "/one:NONE(400/1000)", "/two:KAFKA_STORAGE_ERROR(-1/-1)", "; /three:NONE(4/10)"
		}
		q := kmsg.NewPtrDescribeLogDirsRequest()
		if got, want := show(q), one+" a 0=50-5 b 0=60-6 1=70-7; "+two+three+"; "; got != want {
			t.Errorf("all: %s\nwant %s", got, want)
		}
		q.Topics = []kmsg.DescribeLogDirsRequestTopic{}
		if got, want := show(q), one+"; "+two+three+"; "; got != want {
			t.Errorf("none: %s\nwant %s", got, want)
		}
		for _, p := range [][]int32{{1, 7, 1}, {}, {0}} {
			q.Topics = append(q.Topics, kmsg.DescribeLogDirsRequestTopic{Topic: "b", Partitions: p})
		}
		q.Topics = append(q.Topics, kmsg.DescribeLogDirsRequestTopic{Topic: "gone", Partitions: []int32{0}})
		if got, want := show(q), one+" b 0=60-6 1=70-7; "+two+three+"; "; got != want {
			t.Errorf("some: %s\nwant %s", got, want)
		}
		w.auth.deny(Describe, ClusterResource, ClusterName)
		r := call[*kmsg.DescribeLogDirsResponse](w, v, q)
		if denied := v >= 3 && protocol.Code(r.ErrorCode) == protocol.ClusterAuthorizationFailed; len(r.Dirs) != 0 || denied != (v >= 3) {
			t.Errorf("denied: %+v", r)
		}
	})
}

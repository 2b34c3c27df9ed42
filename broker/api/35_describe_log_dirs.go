package api

import (
	"cmp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
)

// DescribeLogDirs (35), v1-5. Answered by this broker for its own directories.
//
// Versions: 2 flexible · 3 an error for the whole request · 4 sizes of the volumes (KIP-827) · 5 cordoned directories (KIP-1066).
// Needs: DESCRIBE on Cluster.
// Differs from Kafka: topics and partitions are sorted; no directory is ever cordoned or holds a future log; sizes count the log's own
// framing, a few bytes a batch.

func describeLogDirs(s *Server, c *Call, q *kmsg.DescribeLogDirsRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	if !s.mayCluster(c.Session, Describe) {
		resp.ErrorCode = int16(protocol.ClusterAuthorizationFailed)
		return resp, nil
	}
	wanted := wantedLogs(q)
	img := s.Image()
	cost := 0
	for t := range img.Topics() {
		cost += costOf(t)
	}
	if err := c.reserve(cost); err != nil {
		return nil, err
	}
	for _, dir := range s.Replicas.Dirs(true) {
		d := kmsg.NewDescribeLogDirsResponseDir()
		d.Dir, d.ErrorCode = dir.Path, int16(dir.Code)
		if dir.Code == protocol.None {
			d.TotalBytes, d.UsableBytes = dir.TotalBytes, dir.UsableBytes
			d.Topics = logsByTopic(img, dir.Logs, wanted)
		}
		resp.Dirs = append(resp.Dirs, d)
	}
	return resp, nil
}

// namedPartition is a partition as requests name it.
type namedPartition struct {
	topic string
	index int32
}

// wantedLogs are the partitions asked for, nil for all. A topic may be named twice.
func wantedLogs(q *kmsg.DescribeLogDirsRequest) map[namedPartition]bool {
	if q.Topics == nil {
		return nil
	}
	wanted := make(map[namedPartition]bool)
	for i := range q.Topics {
		for _, p := range q.Topics[i].Partitions {
			wanted[namedPartition{q.Topics[i].Topic, p}] = true
		}
	}
	return wanted
}

// logsByTopic describes the logs of one directory. Logs of deleted topics that are still on the disk have no name any more and are left
// out.
func logsByTopic(img *controller.Image, logs []partition.LogInfo, wanted map[namedPartition]bool) []kmsg.DescribeLogDirsResponseDirTopic {
	byTopic := make(map[protocol.UUID]*kmsg.DescribeLogDirsResponseDirTopic)
	for i := range logs {
		l := &logs[i]
		topic := img.TopicByID(l.ID.Topic)
		if topic == nil || wanted != nil && !wanted[namedPartition{topic.Name, l.ID.Partition}] {
			continue
		}
		t := byTopic[l.ID.Topic]
		if t == nil {
			t = &kmsg.DescribeLogDirsResponseDirTopic{Topic: topic.Name}
			byTopic[l.ID.Topic] = t
		}
		p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		p.Partition, p.Size, p.OffsetLag = l.ID.Partition, l.Size, l.OffsetLag
		t.Partitions = append(t.Partitions, p)
	}
	out := make([]kmsg.DescribeLogDirsResponseDirTopic, 0, len(byTopic))
	for _, t := range byTopic {
		slices.SortFunc(t.Partitions, func(a, b kmsg.DescribeLogDirsResponseDirTopicPartition) int {
			return cmp.Compare(a.Partition, b.Partition)
		})
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b kmsg.DescribeLogDirsResponseDirTopic) int { return strings.Compare(a.Topic, b.Topic) })
	return out
}

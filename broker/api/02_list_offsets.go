package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
)

// ListOffsets (2), v1-11. Answered by the partition leader.
//
// Versions: 2 isolation level · 4 leader epochs · 6 flexible · 7 maximum timestamp (KIP-734) · 8 earliest local (KIP-405) · 9 latest
// tiered (KIP-1005) · 10 time-out for remote storage (KIP-1075) · 11 earliest pending upload (KIP-1023).
// Needs: DESCRIBE on Topic.
// Differs from Kafka: the largest timestamp is that of the records that are left, where Kafka may name one that DeleteRecords took.

// Special timestamps of ListOffsets and the first version that knows each.
const (
	latestTimestamp        = -1
	earliestTimestamp      = -2
	maxTimestamp           = -3 // version 7
	earliestLocalTimestamp = -4 // version 8
	latestTieredTimestamp  = -5 // version 9
	earliestPendingUpload  = -6 // version 11
)

// firstListVersion is the version that brought each special timestamp.
var firstListVersion = map[int64]int16{
	maxTimestamp: 7, earliestLocalTimestamp: 8, latestTieredTimestamp: 9, earliestPendingUpload: 11,
}

func listOffsets(s *Server, c *Call, q *kmsg.ListOffsetsRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.ListOffsetsResponse)
	img := s.Image()
	unknown := q.IsolationLevel != 0 && q.IsolationLevel != 1
	twice := listOffsetsOnce(q)
	for i := range q.Topics {
		t := &q.Topics[i]
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		topic := img.Topic(t.Topic)
		allowed := s.Authorizer.Authorize(c.Session, Describe, TopicResource, t.Topic)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Offset, rp.Timestamp, rp.LeaderEpoch = p.Partition, -1, -1, -1
			switch {
			case unknown: // Kafka fails to read such a request
				rp.ErrorCode = int16(protocol.UnknownServerError)
			case !allowed:
				rp.ErrorCode = int16(protocol.TopicAuthorizationFailed)
			case twice[topicPartition{t.Topic, p.Partition}]:
				rp.ErrorCode = int16(protocol.InvalidRequest)
			case p.Timestamp < 0 && c.Header.Version < firstListVersion[p.Timestamp] || p.Timestamp < earliestPendingUpload:
				rp.ErrorCode = int16(protocol.UnsupportedVersion)
			case topic == nil || p.Partition < 0 || int(p.Partition) >= len(topic.Partitions):
				rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			default:
				s.listOffset(topic, q, p, &rp)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

func (s *Server) listOffset(topic *controller.Topic, q *kmsg.ListOffsetsRequest, p *kmsg.ListOffsetsRequestTopicPartition, rp *kmsg.ListOffsetsResponseTopicPartition) {
	isolation := partition.Isolation(q.IsolationLevel)
	if q.ReplicaID >= 0 {
		isolation = partition.ReadToEnd
	}
	id := partition.ID{Topic: topic.ID, Partition: p.Partition}
	r := s.Replicas.ListOffset(id, p.Timestamp, isolation, p.CurrentLeaderEpoch, q.ReplicaID != debuggingReplica)
	rp.ErrorCode, rp.Offset, rp.Timestamp = int16(r.Code), r.Offset, r.TimestampMs
	if q.Version >= 4 {
		rp.LeaderEpoch = r.LeaderEpoch
	}
}

// debuggingReplica is the replica id of tools that may read from any replica.
const debuggingReplica = -2

type topicPartition struct {
	topic string
	index int32
}

// duplicatePartitions finds what a request names more than once; nil when there is none.
func duplicatePartitions(q *kmsg.ListOffsetsRequest) map[topicPartition]bool {
	var twice map[topicPartition]bool
	seen := make(map[topicPartition]struct{})
	for i := range q.Topics {
		for j := range q.Topics[i].Partitions {
			k := topicPartition{q.Topics[i].Topic, q.Topics[i].Partitions[j].Partition}
			if _, ok := seen[k]; ok {
				if twice == nil {
					twice = map[topicPartition]bool{}
				}
				twice[k] = true
			}
			seen[k] = struct{}{}
		}
	}
	return twice
}

package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/protocol"
)

// OffsetForLeaderEpoch (23), v2-4. Answered by the partition leader.
//
// Versions: 2 the client's leader epoch · 3 replica id · 4 flexible.
// Needs: DESCRIBE on Topic, or CLUSTER_ACTION on Cluster.
// Differs from Kafka: nothing known.

func offsetForLeaderEpoch(s *Server, c *Call, q *kmsg.OffsetForLeaderEpochRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
	img := s.Image()
	broker := s.Authorizer.Authorize(c.Session, ClusterAction, ClusterResource, ClusterName)
	for i := range q.Topics {
		t := &q.Topics[i]
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = t.Topic
		topic := img.Topic(t.Topic)
		allowed := broker || s.Authorizer.Authorize(c.Session, Describe, TopicResource, t.Topic)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.EndOffset = p.Partition, -1, -1
			switch {
			case !allowed:
				rp.ErrorCode = int16(protocol.TopicAuthorizationFailed)
			case topic == nil || p.Partition < 0 || int(p.Partition) >= len(topic.Partitions):
				rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			default:
				end, code := s.Replicas.EpochEnd(partition.ID{Topic: topic.ID, Partition: p.Partition}, p.CurrentLeaderEpoch, p.LeaderEpoch)
				rp.ErrorCode, rp.LeaderEpoch, rp.EndOffset = int16(code), end.Epoch, end.End
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

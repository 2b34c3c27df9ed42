package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/protocol"
)

// DeleteRecords (21), v0-2. Answered by the partition leader.
//
// Versions: 2 flexible.
// Needs: DELETE on Topic.
// Differs from Kafka: nothing known.

func deleteRecords(s *Server, c *Call, q *kmsg.DeleteRecordsRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.DeleteRecordsResponse)
	deleteRecordsOnce(q)
	img := s.Image()
	var waits []deleteWait
	for i := range q.Topics {
		t := &q.Topics[i]
		rt := kmsg.NewDeleteRecordsResponseTopic()
		rt.Topic = t.Topic
		topic := img.Topic(t.Topic)
		allowed := s.Authorizer.Authorize(c.Session, Delete, TopicResource, t.Topic)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			rp := kmsg.NewDeleteRecordsResponseTopicPartition()
			rp.Partition, rp.LowWatermark = p.Partition, -1
			switch {
			case !allowed:
				rp.ErrorCode = int16(protocol.TopicAuthorizationFailed)
			case topic == nil || p.Partition < 0 || int(p.Partition) >= len(topic.Partitions):
				rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			case isInternal(t.Topic):
				rp.ErrorCode = int16(protocol.InvalidTopicException)
			default:
				r := s.Replicas.DeleteRecords(partition.ID{Topic: topic.ID, Partition: p.Partition}, p.Offset)
				rp.ErrorCode, rp.LowWatermark = int16(r.Code), r.LowWatermark
				if r.Ack != nil {
					waits = append(waits, deleteWait{i, j, r.Ack})
				}
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if len(waits) == 0 {
		return resp, nil
	}
	deadline := c.Received.Add(time.Duration(q.TimeoutMillis) * time.Millisecond)
	return &Pending{Wait: func(ctx context.Context) (Response, error) {
		ctx, cancel := context.WithTimeout(ctx, deadline.Sub(s.Now()))
		defer cancel()
		for _, w := range waits {
			rp := &resp.Topics[w.topic].Partitions[w.part]
			code := protocol.RequestTimedOut
			select {
			case <-w.ack.Done():
				code = w.ack.Code()
			case <-ctx.Done():
			}
			if code != protocol.None {
				rp.ErrorCode, rp.LowWatermark = int16(code), -1
			}
		}
		return resp, nil
	}}, nil
}

// deleteWait is a partition's place in the response, and its outcome.
type deleteWait struct {
	topic, part int
	ack         partition.Ack
}

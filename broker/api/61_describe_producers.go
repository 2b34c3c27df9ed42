package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
)

// DescribeProducers (61), v0. Answered by the partition leader, and by its followers.
//
// Versions: 0 flexible.
// Needs: READ on Topic.
// Differs from Kafka: partitions that do not fit into one answer are answered INVALID_REQUEST.

func describeProducers(s *Server, c *Call, q *kmsg.DescribeProducersRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.DescribeProducersResponse)
	img, left := s.Image(), MaxAnswer
	n := 0
	for i := range q.Topics {
		n += len(q.Topics[i].Partitions)
	}
	if err := c.reserve(min(n*10*producerCost, MaxAnswer)); err != nil {
		return nil, err
	}
	for i := range q.Topics {
		t := &q.Topics[i]
		rt := kmsg.NewDescribeProducersResponseTopic()
		rt.Topic = t.Topic
		topic := img.Topic(t.Topic)
		code, message := protocol.None, ""
		switch problem := topicNameProblem(t.Topic); {
		case problem != "":
			code, message = protocol.InvalidTopicException, problem
		case !s.mayTopic(c.Session, Read, t.Topic):
			code, message = protocol.TopicAuthorizationFailed, protocol.TopicAuthorizationFailed.Message()
		case topic == nil:
			code, message = protocol.UnknownTopicOrPartition, protocol.UnknownTopicOrPartition.Message()
		}
		for _, n := range t.Partitions {
			rp := kmsg.NewDescribeProducersResponseTopicPartition()
			rp.Partition, rp.ErrorCode, rp.ErrorMessage = n, int16(code), text(message)
			if code == protocol.None {
				left -= s.describeProducers(topic, n, left, &rp)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil
}

// describeProducers describes one partition, where it costs no more than left, and returns what it costs.
func (s *Server) describeProducers(topic *controller.Topic, n int32, left int, rp *kmsg.DescribeProducersResponseTopicPartition) (cost int) {
	if topic.Partition(n) == nil {
		rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
		return 0
	}
	if left <= 0 {
		rp.ErrorCode, rp.ErrorMessage = int16(protocol.InvalidRequest), text("The request describes more producers than fit into one answer.")
		return 0
	}
	all, code := s.Replicas.Producers(partition.ID{Topic: topic.ID, Partition: n})
	rp.ErrorCode = int16(code)
	rp.ActiveProducers = make([]kmsg.DescribeProducersResponseTopicPartitionActiveProducer, 0, len(all))
	for _, p := range all {
		x := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		x.ProducerID, x.ProducerEpoch, x.LastSequence, x.LastTimestamp = p.ID, int32(p.Epoch), p.LastSequence, p.LastTimestampMs
		x.CoordinatorEpoch, x.CurrentTxnStartOffset = p.CoordinatorEpoch, p.TxnFirst
		rp.ActiveProducers = append(rp.ActiveProducers, x)
	}
	return len(all) * producerCost
}

package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// DescribeQuorum (55), v0-2. Answered by the controller; every broker forwards.
//
// Versions: 1 when each replica was heard (KIP-836) · 2 directories, addresses and messages (KIP-853).
// Needs: DESCRIBE on Cluster.
// Differs from Kafka:
//   - the log end offset of a replica is what it says when it is asked, not what it fetched last; -1 where it does not answer.
//   - every node follows the log, so each one that has no vote is an observer.

// unknownPartitionCost is what a partition costs in the answer that is none of the quorum's, or so.
const unknownPartitionCost = 250

func describeQuorum(s *Server, c *Call, q *kmsg.DescribeQuorumRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.DescribeQuorumResponse)
	refuse := refusing(resp, &resp.ErrorCode, &resp.ErrorMessage)
	if !s.mayCluster(c.Session, Describe) {
		return refuse(protocol.ClusterAuthorizationFailed), nil
	}
	if len(q.Topics) != 1 || q.Topics[0].Topic != metadataTopic || len(q.Topics[0].Partitions) != 1 || q.Topics[0].Partitions[0].Partition != 0 {
		n := 0
		for i := range q.Topics {
			n += 1 + len(q.Topics[i].Partitions)
		}
		if err := c.reserve(n * unknownPartitionCost); err != nil {
			return nil, err
		}
		for _, t := range q.Topics {
			rt := kmsg.NewDescribeQuorumResponseTopic()
			rt.Topic = t.Topic
			for _, p := range t.Partitions {
				rp := kmsg.NewDescribeQuorumResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, int16(protocol.UnknownTopicOrPartition)
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil
	}
	return forward(s, s.forwardTimeout(), q, refuse)
}

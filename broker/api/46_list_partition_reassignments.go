package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// ListPartitionReassignments (46), v0. Answered by the controller; every broker forwards.
//
// Needs: DESCRIBE on Cluster.
// Differs from Kafka: nothing known.

func listPartitionReassignments(s *Server, c *Call, q *kmsg.ListPartitionReassignmentsRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	refuse := refusing(resp, &resp.ErrorCode, &resp.ErrorMessage)
	if !s.mayCluster(c.Session, Describe) {
		return refuse(protocol.ClusterAuthorizationFailed), nil
	}
	partitions := 0
	if q.Topics == nil {
		partitions = s.Image().NumPartitions()
	}
	for i := range q.Topics {
		partitions += 1 + len(q.Topics[i].Partitions)
	}
	if err := c.reserve(partitions * partitionCost); err != nil {
		return nil, err
	}
	return forward(s, s.timeoutOf(c, q.TimeoutMillis), q, refuse)
}

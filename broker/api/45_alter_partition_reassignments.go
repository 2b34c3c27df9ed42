package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// AlterPartitionReassignments (45), v0-1. Answered by the controller; every broker forwards.
//
// Versions: 1 whether the replication factor may change (KIP-860).
// Needs: ALTER on Cluster.
// Differs from Kafka: a partition that is named twice in a request is INVALID_REQUEST the second time. A reassignment that takes the
// place of another one removes no replica that it wants itself.

func alterPartitionReassignments(s *Server, c *Call, q *kmsg.AlterPartitionAssignmentsRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	refuse := refusing(resp, &resp.ErrorCode, &resp.ErrorMessage)
	if !s.mayCluster(c.Session, Alter) {
		return refuse(protocol.ClusterAuthorizationFailed), nil
	}
	partitions := 0
	for i := range q.Topics {
		partitions += 1 + len(q.Topics[i].Partitions)
	}
	if err := c.reserve(partitions * partitionCost); err != nil {
		return nil, err
	}
	return forward(s, s.timeoutOf(c, q.TimeoutMillis), q, refuse)
}

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
	refuse := func(code protocol.Code) Response {
		resp.ErrorCode, resp.ErrorMessage = int16(code), text(code.Message())
		return resp
	}
	if !s.mayCluster(c.Session, Describe) {
		return refuse(protocol.ClusterAuthorizationFailed), nil
	}
	if err := c.reserve(s.Image().NumPartitions() * partitionCost); q.Topics == nil && err != nil {
		return nil, err
	}
	q, err := detach(q)
	if err != nil {
		return nil, err
	}
	timeout := s.timeoutOf(c, q.TimeoutMillis)
	return later(s.Log, func() Response {
		got, err := submit[*kmsg.ListPartitionReassignmentsResponse](s, timeout, q)
		if err != nil {
			return refuse(s.codeOf(err))
		}
		return got
	}), nil
}

package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// RemoveRaftVoter (81), v0. Answered by the controller; every broker forwards.
//
// Needs: ALTER on Cluster.
// Differs from Kafka: a node that loses its vote goes on following the metadata, and does not ask for a vote again before it is restarted.

func removeRaftVoter(s *Server, c *Call, q *kmsg.RemoveRaftVoterRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.RemoveRaftVoterResponse)
	refuse := refusing(resp, &resp.ErrorCode, &resp.ErrorMessage)
	if !s.mayCluster(c.Session, Alter) {
		return refuse(protocol.ClusterAuthorizationFailed), nil
	}
	return forward(s, s.forwardTimeout(), q, refuse)
}

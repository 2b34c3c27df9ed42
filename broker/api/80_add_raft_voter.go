package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// AddRaftVoter (80), v0-1. Answered by the controller; every broker forwards.
//
// Versions: 1 an answer before the change is committed (KIP-1186).
// Needs: ALTER on Cluster.
// Differs from Kafka:
//   - the node has to be one that follows the metadata already; its addresses are known then, and those in the request are not looked at.
//   - it is always answered when the change is committed.

func addRaftVoter(s *Server, c *Call, q *kmsg.AddRaftVoterRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.AddRaftVoterResponse)
	refuse := refusing(resp, &resp.ErrorCode, &resp.ErrorMessage)
	if !s.mayCluster(c.Session, Alter) {
		return refuse(protocol.ClusterAuthorizationFailed), nil
	}
	return forward(s, s.timeoutOf(c, q.TimeoutMillis), q, refuse)
}

package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// UnregisterBroker (64), v0. Answered by the controller; every broker forwards.
//
// Needs: ALTER on Cluster.
// Differs from Kafka: a node that has no vote no longer follows the metadata either; one that has keeps its vote until RemoveRaftVoter.

func unregisterBroker(s *Server, c *Call, q *kmsg.UnregisterBrokerRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	refuse := refusing(resp, &resp.ErrorCode, &resp.ErrorMessage)
	if !s.mayCluster(c.Session, Alter) {
		return refuse(protocol.ClusterAuthorizationFailed), nil
	}
	return forward(s, s.forwardTimeout(), q, refuse)
}

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
	if !s.mayCluster(c.Session, Alter) {
		resp.ErrorCode, resp.ErrorMessage = int16(protocol.ClusterAuthorizationFailed), text(protocol.ClusterAuthorizationFailed.Message())
		return resp, nil
	}
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.Version, req.BrokerID = q.Version, q.BrokerID
	return later(s.Log, func() Response {
		got, err := submit[*kmsg.UnregisterBrokerResponse](s, s.forwardTimeout(), req)
		if err != nil {
			code := s.codeOf(err)
			resp.ErrorCode, resp.ErrorMessage = int16(code), text(code.Message())
			return resp
		}
		return got
	}), nil
}

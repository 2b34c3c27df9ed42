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
	answer := func(code protocol.Code) Response {
		resp.ErrorCode, resp.ErrorMessage = int16(code), text(code.Message())
		return resp
	}
	if !s.mayCluster(c.Session, Alter) {
		return answer(protocol.ClusterAuthorizationFailed), nil
	}
	req, err := detach(q)
	if err != nil {
		return nil, err
	}
	return later(s.Log, func() Response {
		got, err := submit[*kmsg.RemoveRaftVoterResponse](s, s.forwardTimeout(), req)
		if err != nil {
			return answer(s.codeOf(err))
		}
		return got
	}), nil
}

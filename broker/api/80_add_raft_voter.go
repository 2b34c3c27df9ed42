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
	timeout := s.timeoutOf(c, q.TimeoutMillis)
	return later(s.Log, func() Response {
		got, err := submit[*kmsg.AddRaftVoterResponse](s, timeout, req)
		if err != nil {
			return answer(s.codeOf(err))
		}
		return got
	}), nil
}

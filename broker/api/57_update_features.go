package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// UpdateFeatures (57), v0-2. Answered by the controller; every broker forwards.
//
// Versions: 0 flexible · 1 kind of update, validation only · 2 one error for all.
// Needs: ALTER on Cluster.
// Differs from Kafka:
//   - metadata.version and kraft.version cannot be lowered
//   - a cluster of one that starts with a newer binary raises the features that the one before did not serve

func updateFeatures(s *Server, c *Call, q *kmsg.UpdateFeaturesRequest) (Response, error) {
	q, err := detach(q)
	if err != nil {
		return nil, err
	}
	failed := func(code protocol.Code) Response {
		resp := q.ResponseKind().(*kmsg.UpdateFeaturesResponse)
		resp.ErrorCode, resp.ErrorMessage = int16(code), text(code.Message())
		return resp
	}
	if !s.mayCluster(c.Session, Alter) {
		return failed(protocol.ClusterAuthorizationFailed), nil
	}
	timeout := s.timeoutOf(c, q.TimeoutMillis)
	return later(s.Log, func() Response {
		resp, err := submit[*kmsg.UpdateFeaturesResponse](s, timeout, q)
		if err != nil {
			return failed(s.codeOf(err))
		}
		return resp
	}), nil
}

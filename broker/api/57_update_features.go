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
	resp := q.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	refuse := refusing(resp, &resp.ErrorCode, &resp.ErrorMessage)
	if !s.mayCluster(c.Session, Alter) {
		return refuse(protocol.ClusterAuthorizationFailed), nil
	}
	return forward(s, s.timeoutOf(c, q.TimeoutMillis), q, refuse)
}

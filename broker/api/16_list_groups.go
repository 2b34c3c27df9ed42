package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// ListGroups (16), v0-5. Answered by every broker, for the groups that it coordinates.
//
// Versions: 3 flexible · 4 state filter (KIP-518) · 5 type filter (KIP-848).
// Needs: DESCRIBE on Cluster for all groups, else DESCRIBE on each Group that is listed.
// Differs from Kafka: nothing known.

func listGroups(s *Server, c *Call, q *kmsg.ListGroupsRequest) (Response, error) {
	partitions := s.Groups.Partitions()
	a := newAsking(len(partitions))
	for i, p := range partitions {
		a.in(s, i, p, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
			return m.ListGroups(now, t, q.StatesFilter, q.TypesFilter)
		})
	}
	return a.then(func(outcomes []answerOf) Response {
		resp := q.ResponseKind().(*kmsg.ListGroupsResponse)
		all := s.mayCluster(c.Session, Describe)
		for i := range outcomes {
			switch o := &outcomes[i]; o.code {
			case protocol.None:
				for _, g := range o.response.([]kmsg.ListGroupsResponseGroup) {
					if all || s.mayGroup(c.Session, Describe, g.Group) {
						resp.Groups = append(resp.Groups, g)
					}
				}
			case protocol.NotCoordinator: // lost meanwhile: its groups are another broker's to list
			default:
				resp.ErrorCode, resp.Groups = int16(o.code), nil
				return resp
			}
		}
		return resp
	}), nil
}

package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// DeleteGroups (42), v0-3. Answered by the group coordinator.
//
// Versions: 2 flexible.
// Needs: DELETE on Group.
// Differs from Kafka: nothing known.

func deleteGroups(s *Server, c *Call, q *kmsg.DeleteGroupsRequest) (Response, error) {
	var ids []string
	for _, id := range q.Groups {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	a := newAsking(len(ids))
	for i, id := range ids {
		if !s.mayGroup(c.Session, Delete, id) {
			a.done(i, nil, protocol.GroupAuthorizationFailed)
			continue
		}
		a.do(s, i, id, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
			return m.DeleteGroup(now, t, id)
		})
	}
	return a.then(func(outcomes []answerOf) Response {
		resp := q.ResponseKind().(*kmsg.DeleteGroupsResponse)
		for i := range outcomes {
			g := kmsg.NewDeleteGroupsResponseGroup()
			if o := &outcomes[i]; o.code == protocol.None {
				g = *o.response.(*kmsg.DeleteGroupsResponseGroup)
			} else {
				g.Group, g.ErrorCode = ids[i], int16(o.code)
			}
			resp.Groups = append(resp.Groups, g)
		}
		return resp
	}), nil
}

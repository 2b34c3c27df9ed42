package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// DescribeGroups (15), v0-6. Answered by the group coordinator. It describes classic groups.
//
// Versions: 3 authorized operations · 4 static members · 5 flexible · 6 GROUP_ID_NOT_FOUND (KIP-1043).
// Needs: DESCRIBE on Group.
// Differs from Kafka: groups that do not fit into one answer are answered INVALID_REQUEST.

func describeGroups(s *Server, c *Call, q *kmsg.DescribeGroupsRequest) (Response, error) {
	a, err := newWeighed(c, len(q.Groups), weighGroup)
	if err != nil {
		return nil, err
	}
	for i, id := range q.Groups {
		if !s.mayGroup(c.Session, Describe, id) {
			a.done(i, nil, protocol.GroupAuthorizationFailed)
			continue
		}
		a.do(s, i, id, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
			return m.DescribeGroup(now, t, q.Version, id)
		})
	}
	return a.then(func(outcomes []answerOf) Response {
		resp := q.ResponseKind().(*kmsg.DescribeGroupsResponse)
		described := make([]kmsg.DescribeGroupsResponseGroup, 0, len(outcomes))
		for i := range outcomes {
			g := kmsg.NewDescribeGroupsResponseGroup()
			switch o := &outcomes[i]; o.code {
			case protocol.None:
				g = *o.response.(*kmsg.DescribeGroupsResponseGroup)
				if q.Version >= 3 && q.IncludeAuthorizedOperations && g.ErrorCode == 0 {
					g.AuthorizedOperations = s.authorizedOperations(c.Session, GroupResource, g.Group)
				}
				described = append(described, g)
			case protocol.GroupAuthorizationFailed: // these come first, as in Kafka
				g.Group, g.ErrorCode = q.Groups[i], int16(o.code)
				resp.Groups = append(resp.Groups, g)
			default:
				g.Group, g.ErrorCode = q.Groups[i], int16(o.code)
				described = append(described, g)
			}
		}
		resp.Groups = append(resp.Groups, described...)
		return resp
	}), nil
}

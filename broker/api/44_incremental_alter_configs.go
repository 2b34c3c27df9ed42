package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
)

// IncrementalAlterConfigs (44), v0-1. Answered by the controller; every broker forwards, checks settings of its own, and changes its
// loggers.
//
// Versions: 1 flexible.
// Needs: ALTER_CONFIGS on Topic, on Group, or on Cluster for the rest.
// Differs from Kafka: the loggers are Weir's own: root, and one for each of its larger parts.

func incrementalAlterConfigs(s *Server, c *Call, q *kmsg.IncrementalAlterConfigsRequest) (Response, error) {
	q, err := detach(q)
	if err != nil {
		return nil, err
	}
	all := s.incrementalAlterations(c.Session, q)
	if s.authorizeAlterations(c.Session, all) == 0 {
		return incremented(q, all), nil
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Version, req.ValidateOnly = q.Version, q.ValidateOnly
	for i, a := range all {
		if !a.done {
			req.Resources = append(req.Resources, q.Resources[i])
		}
	}
	return later(s.Log, func() Response {
		got, err := submit[*kmsg.IncrementalAlterConfigsResponse](s, s.forwardTimeout(), req)
		outcomes := make(map[controller.Resource]outcome)
		if err == nil {
			for _, r := range got.Resources {
				outcomes[controller.Resource{Type: int8(r.ResourceType), Name: r.ResourceName}] = outcome{r.ErrorCode, r.ErrorMessage}
			}
		}
		settle(all, s.codeOf(err), outcomes)
		return incremented(q, all)
	}), nil
}

// incrementalAlterations checks the resources of a request and changes the loggers among them.
func (s *Server) incrementalAlterations(who *Session, q *kmsg.IncrementalAlterConfigsRequest) []*alteration {
	all := make([]*alteration, len(q.Resources))
	for i := range q.Resources {
		r := &q.Resources[i]
		a := &alteration{resourceType: int8(r.ResourceType), name: r.ResourceName}
		for j := range r.Configs {
			a.keys = append(a.keys, r.Configs[j].Name)
			if r.Configs[j].Value == nil && r.Configs[j].Op != kmsg.IncrementalAlterConfigOpDelete {
				a.nulls = append(a.nulls, r.Configs[j].Name)
			}
		}
		all[i] = a
	}
	checkShapes(all)
	img := s.Image()
	for i, a := range all {
		if a.done {
			continue
		}
		r := &q.Resources[i]
		if a.resourceType == controller.BrokerLoggerConfig {
			a.refuse(s.alterLoggers(who, r, q.ValidateOnly))
			continue
		}
		if s.checkTarget(a); a.done || a.resourceType != controller.BrokerConfig {
			continue
		}
		if set := increment(a, img.Config(a.resourceType, a.name), r.Configs); !a.done {
			s.checkBroker(img, a, set)
		}
	}
	return all
}

func incremented(q *kmsg.IncrementalAlterConfigsRequest, all []*alteration) Response {
	resp := q.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	for _, a := range all {
		r := kmsg.NewIncrementalAlterConfigsResponseResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceType(a.resourceType), a.name
		r.ErrorCode, r.ErrorMessage = int16(a.code), text(a.message)
		resp.Resources = append(resp.Resources, r)
	}
	return resp
}

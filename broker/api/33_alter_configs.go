package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
)

// AlterConfigs (33), v0-2. Answered by the controller; every broker forwards, and checks settings of its own.
//
// Versions: 2 flexible.
// Needs: ALTER_CONFIGS on Topic, on Group, or on Cluster for the rest.
// Differs from Kafka: a resource named twice is answered INVALID_REQUEST, where Kafka does not answer at all.

func alterConfigs(s *Server, c *Call, q *kmsg.AlterConfigsRequest) (Response, error) {
	q, err := detach(q)
	if err != nil {
		return nil, err
	}
	img := s.Image()
	all := make([]*alteration, len(q.Resources))
	for i := range q.Resources {
		r := &q.Resources[i]
		a := &alteration{resourceType: int8(r.ResourceType), name: r.ResourceName}
		for j := range r.Configs {
			a.keys = append(a.keys, r.Configs[j].Name)
			if r.Configs[j].Value == nil {
				a.nulls = append(a.nulls, r.Configs[j].Name)
			}
		}
		all[i] = a
	}
	checkShapes(all)
	for i, a := range all {
		if !a.done {
			s.checkTarget(a)
		}
		if !a.done && a.resourceType == controller.BrokerConfig {
			set := make(map[string]string)
			for _, kv := range q.Resources[i].Configs {
				set[kv.Name] = *kv.Value
			}
			s.checkBroker(img, a, set)
		}
	}
	if s.authorizeAlterations(c.Session, all) == 0 {
		return altered(q, all), nil
	}
	req := kmsg.NewPtrAlterConfigsRequest()
	req.Version, req.ValidateOnly = q.Version, q.ValidateOnly
	for i, a := range all {
		if !a.done {
			req.Resources = append(req.Resources, q.Resources[i])
		}
	}
	return later(s.Log, func() Response {
		got, err := submit[*kmsg.AlterConfigsResponse](s, s.forwardTimeout(), req)
		outcomes := make(map[controller.Resource]outcome)
		if err == nil {
			for _, r := range got.Resources {
				outcomes[controller.Resource{Type: int8(r.ResourceType), Name: r.ResourceName}] = outcome{r.ErrorCode, r.ErrorMessage}
			}
		}
		settle(all, s.codeOf(err), outcomes)
		return altered(q, all)
	}), nil
}

func altered(q *kmsg.AlterConfigsRequest, all []*alteration) Response {
	resp := q.ResponseKind().(*kmsg.AlterConfigsResponse)
	for _, a := range all {
		r := kmsg.NewAlterConfigsResponseResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceType(a.resourceType), a.name
		r.ErrorCode, r.ErrorMessage = int16(a.code), text(a.message)
		resp.Resources = append(resp.Resources, r)
	}
	return resp
}

package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// CreatePartitions (37), v0-3. Answered by the controller; every broker forwards.
//
// Versions: 2 flexible · 3 quotas.
// Needs: ALTER on Topic.
// Differs from Kafka: nothing known.

func createPartitions(s *Server, c *Call, q *kmsg.CreatePartitionsRequest) (Response, error) {
	q, err := detach(q)
	if err != nil {
		return nil, err
	}
	resp := q.ResponseKind().(*kmsg.CreatePartitionsResponse)
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis, req.ValidateOnly = q.Version, q.TimeoutMillis, q.ValidateOnly

	seen := make(map[string]int, len(q.Topics))
	for i := range q.Topics {
		seen[q.Topics[i].Topic]++
	}
	var denied []kmsg.CreatePartitionsResponseTopic
	for i := range q.Topics {
		t := &q.Topics[i]
		switch n := seen[t.Topic]; {
		case n < 0: // answered already
		case n > 1:
			seen[t.Topic] = -1
			resp.Topics = append(resp.Topics, notGrown(t.Topic, protocol.InvalidRequest, "Duplicate topic name."))
		case !s.mayTopic(c.Session, Alter, t.Topic):
			denied = append(denied, notGrown(t.Topic, protocol.TopicAuthorizationFailed, ""))
		default:
			req.Topics = append(req.Topics, *t)
		}
	}
	resp.Topics = append(resp.Topics, denied...)
	if len(req.Topics) == 0 {
		return resp, nil
	}
	timeout := s.timeoutOf(c, q.TimeoutMillis)
	return later(s.Log, func() Response {
		got, err := submit[*kmsg.CreatePartitionsResponse](s, timeout, req)
		if err != nil {
			code := s.codeOf(err)
			resp.Topics = nil
			for i := range q.Topics {
				resp.Topics = append(resp.Topics, notGrown(q.Topics[i].Topic, code, ""))
			}
			return resp
		}
		resp.Topics = append(resp.Topics, got.Topics...)
		return resp
	}), nil
}

func notGrown(topic string, code protocol.Code, message string) kmsg.CreatePartitionsResponseTopic {
	t := kmsg.NewCreatePartitionsResponseTopic()
	t.Topic, t.ErrorCode, t.ErrorMessage = topic, int16(code), text(message)
	return t
}

package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// DeleteTopics (20), v1-6. Answered by the controller; every broker forwards.
//
// Versions: 3 TOPIC_DELETION_DISABLED · 4 flexible · 5 error messages · 6 by topic id (KIP-516).
// Needs: DELETE on Cluster or Topic; DESCRIBE on Topic to learn whether one exists.
// Differs from Kafka: topics come in the order of the request, not shuffled.

func deleteTopics(s *Server, c *Call, q *kmsg.DeleteTopicsRequest) (Response, error) {
	q, err := detach(q)
	if err != nil {
		return nil, err
	}
	resp := q.ResponseKind().(*kmsg.DeleteTopicsResponse)
	if q.Version < 6 {
		q.Topics = make([]kmsg.DeleteTopicsRequestTopic, len(q.TopicNames))
		for i := range q.Topics {
			q.Topics[i].Topic = &q.TopicNames[i]
		}
	}
	if !s.Config.Bool("delete.topic.enable") {
		code := protocol.TopicDeletionDisabled
		if q.Version < 3 {
			code = protocol.InvalidRequest
		}
		resp.Topics = notDeleted(q.Topics, code)
		return resp, nil
	}
	d := &deletion{s: s, who: c.Session, img: s.Image(), inCluster: s.mayCluster(c.Session, Delete)}
	d.answers = make([]*kmsg.DeleteTopicsResponseTopic, 0, len(q.Topics))
	d.req.Topics = make([]kmsg.DeleteTopicsRequestTopic, 0, len(q.Topics))
	for i := range q.Topics {
		d.add(&q.Topics[i])
	}
	d.dropNamedTwice()
	if len(d.req.Topics) == 0 {
		resp.Topics = d.results()
		return resp, nil
	}
	timeout := s.timeoutOf(c, q.TimeoutMillis)
	d.req.Version, d.req.TimeoutMillis = 6, q.TimeoutMillis
	return later(s.Log, func() Response {
		if code := d.submit(timeout); code != protocol.None {
			resp.Topics = notDeleted(q.Topics, code)
		} else {
			resp.Topics = d.results()
		}
		return resp
	}), nil
}

// notDeleted gives every topic of a request one code.
func notDeleted(topics []kmsg.DeleteTopicsRequestTopic, code protocol.Code) []kmsg.DeleteTopicsResponseTopic {
	out := make([]kmsg.DeleteTopicsResponseTopic, len(topics))
	for i := range topics {
		out[i].Default()
		out[i].Topic, out[i].TopicID, out[i].ErrorCode = topics[i].Topic, topics[i].TopicID, int16(code)
	}
	return out
}

package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// Produce (0), v3-13. Answered by the partition leader.
//
// Versions: 3 message format v2 · 8 record errors (KIP-467) · 9 flexible · 10 leader hints (KIP-951) · 12 implicit
// AddPartitionsToTxn (KIP-890) · 13 topic ids (KIP-516). Versions 0 to 2 are advertised and refused, as Kafka does.
// Needs: WRITE on Topic, and WRITE on TransactionalId where a batch is transactional.
// Differs from Kafka: nothing known.

func produce(s *Server, c *Call, q *kmsg.ProduceRequest) (Response, error) {
	produceOnce(q)
	if c.Session.produces.busy() {
		return s.produceLater(c, q, nil)
	}
	v := s.startVerification(c, q)
	if v.asks() && !v.begin(s, c.Header.Version) {
		return s.produceLater(c, q, v)
	}
	o := s.appendAll(c, q, v)
	if q.Acks == 0 {
		return nil, o.unacked()
	}
	if len(o.waits) == 0 {
		return o, nil
	}
	deadline := c.Received.Add(time.Duration(q.TimeoutMillis) * time.Millisecond)
	return &Pending{Held: o.Held(), Wait: func(ctx context.Context) (Response, error) {
		o.wait(ctx, deadline)
		return o, nil
	}}, nil
}

// appendAll appends to all partitions and encodes what became of it.
func (s *Server) appendAll(c *Call, q *kmsg.ProduceRequest, v *verification) *produceOp {
	o := newProduceOp(s, c, q)
	img := s.Image()
	all, why := s.refusesAll(c, q)
	for i := range q.Topics {
		t := &q.Topics[i]
		topic, code := (*controller.Topic)(nil), all
		if all == protocol.None {
			topic, code = s.produceTopic(c, img, q, t)
		}
		o.encoder.Topic(t.Topic, t.TopicID, len(t.Partitions))
		for j := range t.Partitions {
			o.append(topic, code, why, &t.Partitions[j], v.of(i, j))
		}
	}
	o.frame = o.encoder.Finish(0, o.leaderEndpoints(img, c.Session.ListenerName))
	return o
}

// produceTopic finds and authorizes a topic. Kafka's order: the right to write comes before the topic's existence.
func (s *Server) produceTopic(c *Call, img *controller.Image, q *kmsg.ProduceRequest, t *kmsg.ProduceRequestTopic) (*controller.Topic, protocol.Code) {
	var topic *controller.Topic
	if c.Header.Version >= 13 {
		if topic = img.TopicByID(t.TopicID); topic == nil {
			return nil, protocol.UnknownTopicID
		}
	} else {
		topic = img.Topic(t.Topic)
	}
	name := t.Topic
	if topic != nil {
		name = topic.Name
	}
	switch {
	case !s.Authorizer.Authorize(c.Session, Write, TopicResource, name):
		return nil, protocol.TopicAuthorizationFailed
	case topic == nil:
		return nil, protocol.UnknownTopicOrPartition
	case q.Acks < -1 || q.Acks > 1:
		return nil, protocol.InvalidRequiredAcks
	}
	return topic, protocol.None
}

// endpoint is where a broker is reached through a listener of that name.
func endpoint(img *controller.Image, id int32, listener string) (host string, port int32, rack *string, ok bool) {
	b := img.Broker(id)
	if b == nil || b.Fenced {
		return "", 0, nil, false
	}
	for i := range b.Endpoints {
		if e := &b.Endpoints[i]; e.Name == listener {
			if b.Rack != "" {
				rack = &b.Rack
			}
			return e.Host, e.Port, rack, true
		}
	}
	return "", 0, nil, false
}

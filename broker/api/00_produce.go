package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
)

// Produce (0), v3-13. Answered by the partition leader.
//
// Versions: 3 message format v2 · 8 record errors (KIP-467) · 9 flexible · 10 leader hints (KIP-951) · 12 implicit
// AddPartitionsToTxn (KIP-890) · 13 topic ids (KIP-516). Versions 0 to 2 are advertised and refused, as Kafka does.
// Needs: WRITE on Topic, and WRITE on TransactionalId where a batch is transactional.
// Differs from Kafka: a transactional batch is refused with INVALID_TXN_STATE until transactions are there.

func produce(s *Server, c *Call, q *kmsg.ProduceRequest) (Response, error) {
	if c.Session.produces.busy() {
		return s.produceLater(c, q, nil)
	}
	v := s.startVerification(c, q)
	if v.asks() {
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
	unauthorizedTxn := s.unauthorizedTxn(c, q)
	for i := range q.Topics {
		t := &q.Topics[i]
		topic, code := s.produceTopic(c, img, q, t, unauthorizedTxn)
		o.encoder.Topic(t.Topic, t.TopicID, len(t.Partitions))
		for j := range t.Partitions {
			o.append(topic, code, &t.Partitions[j], v.of(i, j))
		}
	}
	o.frame = o.encoder.Finish(0, o.leaderEndpoints(img, c.Session.ListenerName))
	return o
}

// unauthorizedTxn says whether a request has transactional records that its session may not write.
func (s *Server) unauthorizedTxn(c *Call, q *kmsg.ProduceRequest) bool {
	return transactional(q) && (q.TransactionID == nil || !s.Authorizer.Authorize(c.Session, Write, TransactionalIDResource, *q.TransactionID))
}

// produceTopic finds and authorizes a topic. Kafka's order: the right to write comes before the topic's existence.
func (s *Server) produceTopic(c *Call, img *controller.Image, q *kmsg.ProduceRequest, t *kmsg.ProduceRequestTopic, unauthorizedTxn bool) (*controller.Topic, protocol.Code) {
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
	case unauthorizedTxn:
		return nil, protocol.TransactionalIDAuthorizationFailed
	}
	return topic, protocol.None
}

// transactional says whether any partition's records begin with a transactional batch (RequestUtils.hasTransactionalRecords).
func transactional(q *kmsg.ProduceRequest) bool {
	for i := range q.Topics {
		for j := range q.Topics[i].Partitions {
			if b, _, err := record.Next(q.Topics[i].Partitions[j].Records); err == nil && b.Transactional() {
				return true
			}
		}
	}
	return false
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

package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
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
	resp := q.ResponseKind().(*kmsg.ProduceResponse)
	var waits []produceWait
	failed := false
	resp.Topics = make([]kmsg.ProduceResponseTopic, len(q.Topics))
	img := s.Image()
	unauthorizedTxn := transactional(q) && (q.TransactionID == nil || !s.Authorizer.Authorize(c.Session, Write, TransactionalIDResource, *q.TransactionID))
	for i := range q.Topics {
		t, rt := &q.Topics[i], &resp.Topics[i]
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		rt.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(t.Partitions))
		topic, code := s.produceTopic(c, img, q, t, unauthorizedTxn)
		for j := range t.Partitions {
			rp := &rt.Partitions[j]
			*rp = kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.BaseOffset = t.Partitions[j].Partition, -1
			if code != protocol.None {
				rp.ErrorCode, failed = int16(code), true
				continue
			}
			ack := s.producePartition(c, topic, q, &t.Partitions[j], rp)
			if ack != nil {
				waits = append(waits, produceWait{i, j, ack})
			}
			failed = failed || rp.ErrorCode != 0
		}
	}
	if q.Acks == 0 {
		if failed { // the client cannot be told otherwise
			return nil, errUnacked
		}
		return nil, nil
	}
	if failed {
		s.leaderHints(c, img, resp)
	}
	if len(waits) == 0 {
		return resp, nil
	}
	deadline := c.Received.Add(time.Duration(q.TimeoutMillis) * time.Millisecond)
	return &Pending{Wait: func(ctx context.Context) (Response, error) {
		return awaitProduce(ctx, s, resp, waits, deadline)
	}}, nil
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

// adminClientID is the client id that Kafka lets write to internal topics (AdminUtils.ADMIN_CLIENT_ID).
const adminClientID = "__admin_client"

func (s *Server) producePartition(c *Call, topic *controller.Topic, q *kmsg.ProduceRequest, p *kmsg.ProduceRequestTopicPartition, rp *kmsg.ProduceResponseTopicPartition) partition.Ack {
	if p.Partition < 0 || int(p.Partition) >= len(topic.Partitions) {
		rp.ErrorCode = int16(protocol.UnknownTopicOrPartition)
		return nil
	}
	req := partition.AppendRequest{Version: c.Header.Version, Acks: q.Acks, Records: p.Records, InternalOK: string(c.Header.ClientID) == adminClientID}
	var r partition.AppendResult
	s.Replicas.Append(partition.ID{Topic: topic.ID, Partition: p.Partition}, &req, &r)
	rp.ErrorCode, rp.BaseOffset = int16(r.Code), r.BaseOffset
	rp.LogAppendTime, rp.LogStartOffset = r.AppendTimeMs, r.LogStart
	if r.Message != "" {
		m := r.Message
		rp.ErrorMessage = &m
	}
	for _, e := range r.RecordErrors {
		re := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		re.RelativeOffset = e.Index
		if e.Message != "" {
			m := e.Message
			re.ErrorMessage = &m
		}
		rp.ErrorRecords = append(rp.ErrorRecords, re)
	}
	if r.Code == protocol.NotLeaderOrFollower && c.Header.Version >= 10 {
		rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = r.LeaderID, r.LeaderEpoch
	}
	return r.Ack
}

// leaderHints names the nodes of the leaders that partitions in error were pointed to (KIP-951).
func (s *Server) leaderHints(c *Call, img *controller.Image, resp *kmsg.ProduceResponse) {
	if c.Header.Version < 10 {
		return
	}
	seen := map[int32]bool{}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			id := resp.Topics[i].Partitions[j].CurrentLeader.LeaderID
			if id < 0 || seen[id] {
				continue
			}
			seen[id] = true
			if host, port, rack, ok := endpoint(img, id, c.Session.ListenerName); ok {
				b := kmsg.NewProduceResponseBroker()
				b.NodeID, b.Host, b.Port, b.Rack = id, host, port, rack
				resp.Brokers = append(resp.Brokers, b)
			}
		}
	}
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

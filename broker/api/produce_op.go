package api

import (
	"context"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
)

// produceOp is one Produce from its request to its last byte on the wire. Each partition is encoded when it is appended; one that is
// refused later is changed in place. So an answer costs its length, and as ops are pooled a producer allocates next to nothing.
type produceOp struct {
	s       *Server
	encoder protocol.ProduceEncoder
	frame   []byte // the encoder's
	failed  bool
	waits   []produceWait
	leaders []int32 // the leaders that partitions were pointed to

	request partition.AppendRequest
	result  partition.AppendResult
	errors  []protocol.RecordError
}

// produceWait is what is left to wait for: the partition's place in the answer, and its outcome.
type produceWait struct {
	place int
	ack   partition.Ack
}

// adminClientID is the client id that Kafka lets write to internal topics (AdminUtils.ADMIN_CLIENT_ID).
const adminClientID = "__admin_client"

// pooledProduce is the largest answer that an op is kept for.
const pooledProduce = 64 << 10

var produceOps = sync.Pool{New: func() any { return new(produceOp) }}

func newProduceOp(s *Server, c *Call, q *kmsg.ProduceRequest) *produceOp {
	o := produceOps.Get().(*produceOp)
	o.s, o.failed = s, false
	o.request = partition.AppendRequest{Version: c.Header.Version, Acks: q.Acks, InternalOK: string(c.Header.ClientID) == adminClientID}
	o.encoder.Start(c.Header.Version, c.Header.CorrelationID, len(q.Topics))
	return o
}

// append appends to one partition, unless it has a code already (and why), by its topic or its verification, and encodes the outcome.
func (o *produceOp) append(topic *controller.Topic, code protocol.Code, why string, p *kmsg.ProduceRequestTopicPartition, v verified) {
	if code == protocol.None && (p.Partition < 0 || int(p.Partition) >= len(topic.Partitions)) {
		code = protocol.UnknownTopicOrPartition
	}
	if code == protocol.None {
		code, why = v.code, v.message
	}
	r := &o.result
	if code == protocol.None {
		o.request.Records, o.request.Guard = p.Records, v.guard
		o.s.Replicas.Append(partition.ID{Topic: topic.ID, Partition: p.Partition}, &o.request, r)
	} else {
		*r = partition.AppendResult{Code: code, Message: why, BaseOffset: -1, AppendTimeMs: -1, LogStart: -1}
	}
	out := protocol.ProducePartition{
		Index: p.Partition, Code: r.Code, BaseOffset: r.BaseOffset, LogAppendTimeMs: r.AppendTimeMs, LogStart: r.LogStart,
		Message: r.Message, LeaderID: -1, LeaderEpoch: -1,
	}
	o.errors = o.errors[:0]
	for _, e := range r.RecordErrors {
		o.errors = append(o.errors, protocol.RecordError(e))
	}
	out.RecordErrors = o.errors
	if r.Code == protocol.NotLeaderOrFollower && o.request.Version >= 10 {
		out.LeaderID, out.LeaderEpoch = r.LeaderID, r.LeaderEpoch
		if r.LeaderID >= 0 && !slices.Contains(o.leaders, r.LeaderID) {
			o.leaders = append(o.leaders, r.LeaderID)
		}
	}
	o.failed = o.failed || r.Code != protocol.None
	place := o.encoder.Partition(&out)
	if r.Ack != nil {
		o.waits = append(o.waits, produceWait{place, r.Ack})
	}
}

// leaderEndpoints names the brokers of the leader hints (KIP-951).
func (o *produceOp) leaderEndpoints(img *controller.Image, listener string) []protocol.NodeEndpoint {
	var out []protocol.NodeEndpoint
	for _, id := range o.leaders {
		if host, port, rack, ok := endpoint(img, id, listener); ok {
			n := protocol.NodeEndpoint{ID: id, Host: host, Port: port}
			if rack != nil {
				n.Rack = *rack
			}
			out = append(out, n)
		}
	}
	return out
}

// unacked ends an op whose client wants no answer.
func (o *produceOp) unacked() error {
	failed := o.failed
	o.Release()
	if failed { // the client cannot be told otherwise
		return errUnacked
	}
	return nil
}

// wait waits for all outcomes, but not beyond the deadline: what is not there then has timed out, though it is in the log.
func (o *produceOp) wait(ctx context.Context, deadline time.Time) {
	ctx, cancel := context.WithTimeout(ctx, deadline.Sub(o.s.Now()))
	defer cancel()
	for _, w := range o.waits {
		code := protocol.RequestTimedOut
		select {
		case <-w.ack.Done():
			code = w.ack.Code()
		default:
			select {
			case <-w.ack.Done():
				code = w.ack.Code()
			case <-ctx.Done():
			}
		}
		if code != protocol.None {
			o.encoder.Fail(w.place, code)
		}
	}
}

// Stream implements Streamed.
func (o *produceOp) Stream(_ int32, w Sink) error {
	w.Bytes(o.frame)
	return nil
}

// Held implements Streamed.
func (o *produceOp) Held() int {
	return int(unsafe.Sizeof(*o)) + len(o.frame) + len(o.waits)*int(unsafe.Sizeof(produceWait{}))
}

// Release gives the op back.
func (o *produceOp) Release() {
	large := len(o.frame) > pooledProduce
	clear(o.waits)
	o.s, o.frame, o.waits, o.leaders = nil, nil, o.waits[:0], o.leaders[:0]
	o.request, o.result = partition.AppendRequest{}, partition.AppendResult{}
	if !large {
		produceOps.Put(o)
	}
}

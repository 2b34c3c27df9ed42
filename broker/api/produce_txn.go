package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
)

// TxnVerifier asks the coordinator of a transactional id whether partitions are in its ongoing transaction (KIP-890).
type TxnVerifier interface {
	// VerifyPartitions does not block. answered is called once, from any goroutine, maybe before it returns, with the coordinator's code for each
	// partition: those of AddPartitionsToTxn, or NETWORK_EXCEPTION where no answer came. Nothing of q is changed after the call.
	VerifyPartitions(q *TxnPartitions, answered func(codes []protocol.Code))
}

// TxnPartitions is what a TxnVerifier is asked.
type TxnPartitions struct {
	TransactionalID string
	ProducerID      int64
	ProducerEpoch   int16
	Add             bool // those that are not in the transaction are added, as Produce v12 and up want; else they are only verified
	Partitions      []TxnPartition
}

// TxnPartition is one of its partitions.
type TxnPartition struct {
	Topic     string
	Partition int32
}

// verification is that of one Produce request.
type verification struct {
	ask   TxnPartitions
	parts []verifying // in the order of the request
	all   protocol.Code

	answer chan []protocol.Code // nil: not asked yet
}

// verifying is a partition of the request with a transactional batch.
type verifying struct {
	topic, part int // indexes in the request
	asked       int // index in ask.Partitions, -1: not asked
	verified
}

// verified is what an append has to know of a verification.
type verified struct {
	guard   partition.Guard
	code    protocol.Code
	message string
}

// asks says whether the coordinator has to be asked.
func (v *verification) asks() bool { return v != nil && len(v.ask.Partitions) > 0 }

// of is what there is to know of a partition, by its indexes in the request.
func (v *verification) of(topic, part int) verified {
	if v == nil {
		return verified{}
	}
	if v.all != protocol.None {
		return verified{code: v.all}
	}
	for i := range v.parts {
		if p := &v.parts[i]; p.topic == topic && p.part == part {
			return p.verified
		}
	}
	return verified{}
}

// txnProducer is who writes the transactional batches of a request.
type txnProducer struct {
	id    int64
	epoch int16
}

// startVerification begins the verification of all transactional batches of a request. nil: there is nothing that an append would have to
// know.
func (s *Server) startVerification(c *Call, q *kmsg.ProduceRequest) *verification {
	if s.TxnVerifier == nil {
		return nil
	}
	if t, err := hasTransactional(q); !t || err != nil {
		return nil
	}
	if code, _ := s.refusesAll(c, q); code != protocol.None {
		return nil
	}
	var v *verification
	var who txnProducer
	seen := false
	img := s.Image()
	for i := range q.Topics {
		t := &q.Topics[i]
		topic, code := s.produceTopic(c, img, q, t)
		if code != protocol.None {
			continue
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			b, _, err := record.Next(p.Records)
			if err != nil || !b.Transactional() || b.ProducerID() < 0 || p.Partition < 0 || int(p.Partition) >= len(topic.Partitions) {
				continue
			}
			now := txnProducer{b.ProducerID(), b.ProducerEpoch()}
			if seen && now != who {
				return &verification{all: protocol.InvalidProducerIDMapping}
			}
			who, seen = now, true
			v = startPartition(s, c, q, v, topic, i, j, b)
		}
	}
	return v
}

// startPartition begins the verification of one batch and adds it to v where there is something to know of it.
func startPartition(s *Server, c *Call, q *kmsg.ProduceRequest, v *verification, topic *controller.Topic, i, j int, b record.Batch) *verification {
	index := q.Topics[i].Partitions[j].Partition
	guard, code := s.Replicas.StartVerification(partition.ID{Topic: topic.ID, Partition: index}, b.ProducerID(), b.ProducerEpoch(),
		b.BaseSequence(), c.Header.Version >= 12)
	if code == protocol.NotLeaderOrFollower || code == protocol.None && !guard.Needed() {
		return v // the append says the first itself, and who leads
	}
	if v == nil {
		v = &verification{ask: TxnPartitions{TransactionalID: *q.TransactionID, ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(),
			Add: c.Header.Version >= 12}}
	}
	p := verifying{topic: i, part: j, asked: -1, verified: verified{guard: guard, code: code}}
	if code == protocol.None && (v.ask.Add || verifiesTxns(s)) {
		p.asked = len(v.ask.Partitions)
		v.ask.Partitions = append(v.ask.Partitions, TxnPartition{topic.Name, index})
	}
	v.parts = append(v.parts, p)
	return v
}

// begin asks the coordinator. It says whether that has answered already, as one does that is this broker and has nothing to wait for:
// then the request need not be copied to be appended later.
func (v *verification) begin(s *Server, version int16) bool {
	v.answer = make(chan []protocol.Code, 1)
	s.TxnVerifier.VerifyPartitions(&v.ask, func(codes []protocol.Code) {
		select {
		case v.answer <- codes:
		default:
		}
	})
	select {
	case codes := <-v.answer:
		v.settle(codes, version)
		return true
	default:
		return false
	}
}

// run has the coordinator asked and waits for its answer. Kafka's request.timeout.ms bounds it.
func (v *verification) run(s *Server, version int16) {
	if v.answer == nil && v.begin(s, version) {
		return
	}
	timeout := time.NewTimer(s.forwardTimeout())
	defer timeout.Stop()
	var codes []protocol.Code
	select {
	case codes = <-v.answer:
	case <-timeout.C:
	}
	v.settle(codes, version)
}

// settle makes of the coordinator's answer what the client may hear.
func (v *verification) settle(codes []protocol.Code, version int16) {
	for i := range v.parts {
		p := &v.parts[i]
		if p.asked < 0 {
			continue
		}
		code := protocol.NetworkException
		if p.asked < len(codes) {
			code = codes[p.asked]
		}
		p.code, p.message = produceCode(code, version)
	}
}

// produceCode is what a producer hears of the coordinator's code: one that its version knows how to handle (ReplicaManager's and
// AddPartitionsToTxnManager's mappings).
func produceCode(c protocol.Code, version int16) (code protocol.Code, message string) {
	switch c {
	case protocol.ProducerFenced:
		return protocol.InvalidProducerEpoch, ""
	case protocol.TransactionAbortable:
		if version >= 11 {
			return c, ""
		}
		c = protocol.InvalidTxnState
	case protocol.ClusterAuthorizationFailed: // between brokers: no client's business
		c = protocol.InvalidTxnState
	case protocol.ConcurrentTransactions:
		if version < 12 {
			return unverified(c)
		}
	case protocol.NetworkException, protocol.CoordinatorLoadInProgress, protocol.CoordinatorNotAvailable, protocol.NotCoordinator:
		return unverified(c)
	}
	if c == protocol.InvalidTxnState {
		message = "Partition was not added to the transaction"
	}
	return c, message
}

// unverified makes a code that older clients do not try again one that they do, and which does not have them look for the metadata.
func unverified(c protocol.Code) (code protocol.Code, message string) {
	return protocol.NotEnoughReplicas, "Unable to verify the partition has been added to the transaction. Underlying error: " + c.String()
}

// laterProduces are the Produce requests of a connection that are appended later, in their order: the first of them waits for its
// verification. One goroutine works while there are any.
type laterProduces struct {
	mu    sync.Mutex
	queue []*laterProduce
	works bool
}

// laterProduce is one of them. It has a copy of the request, whose frame is used again.
type laterProduce struct {
	call *Call
	req  *kmsg.ProduceRequest
	v    *verification // nil: not begun, as others were before it
	op   *produceOp
	done chan struct{}
}

// busy says whether a request must wait for others. Requests of a connection are handled one at a time.
func (l *laterProduces) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.works
}

// produceLater has a request appended when those before it are, and its partitions are verified. Reading goes on meanwhile.
func (s *Server) produceLater(c *Call, q *kmsg.ProduceRequest, v *verification) (Response, error) {
	req, err := detach(q)
	if err != nil {
		return nil, err
	}
	call := *c
	call.Header.ClientID, call.Body = slices.Clone(c.Header.ClientID), req
	x := &laterProduce{call: &call, req: req, v: v, done: make(chan struct{})}
	held, acks, timeout := x.held(), req.Acks, time.Duration(req.TimeoutMillis)*time.Millisecond
	l := &c.Session.produces
	l.mu.Lock()
	l.queue = append(l.queue, x)
	start := !l.works
	l.works = true
	l.mu.Unlock()
	if start {
		go l.run(s)
	}
	return &Pending{Held: held, Wait: func(ctx context.Context) (Response, error) {
		select {
		case <-x.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if x.op == nil {
			return nil, errNoAnswer
		}
		if acks == 0 {
			return nil, x.op.unacked()
		}
		x.op.wait(ctx, s.Now().Add(timeout))
		return x.op, nil
	}}, nil
}

// held is about what the copy of the request takes.
func (x *laterProduce) held() int {
	n := 0
	for i := range x.req.Topics {
		for j := range x.req.Topics[i].Partitions {
			n += 128 + len(x.req.Topics[i].Partitions[j].Records)
		}
	}
	return n
}

// run works until nothing is left.
func (l *laterProduces) run(s *Server) {
	for more := true; more; {
		l.mu.Lock()
		x := l.queue[0]
		l.queue[0] = nil
		l.queue = l.queue[1:]
		l.mu.Unlock()
		x.run(s)
		l.mu.Lock()
		if more = len(l.queue) > 0; !more {
			l.queue, l.works = nil, false // before the client hears of it: what it sends then is not later any more
		}
		l.mu.Unlock()
		close(x.done)
	}
}

// run verifies and appends one request.
func (x *laterProduce) run(s *Server) {
	defer recovered(s.Log)
	if x.v == nil {
		x.v = s.startVerification(x.call, x.req)
	}
	if x.v.asks() {
		x.v.run(s, x.call.Header.Version)
	}
	x.op = s.appendAll(x.call, x.req, x.v)
	x.call, x.req, x.v = nil, nil, nil // the copy goes, whenever the client reads its answer
}

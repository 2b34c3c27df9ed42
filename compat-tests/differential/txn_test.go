package differential

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// txnProducer is a producer of a transactional id. Its id is the broker's choice, so that only what does not show it is compared.
type txnProducer struct {
	name  string // of the transactional id, without the prefix
	id    int64
	epoch int16
}

// later is the producer with an epoch that is off by n.
func (p txnProducer) later(n int16) txnProducer {
	p.epoch += n
	return p
}

// other is the producer with another producer id.
func (p txnProducer) other() txnProducer {
	p.id += 777_000_000
	return p
}

// temporary are the codes of what a client has to ask again for.
func temporary(code int16) bool { return slices.Contains([]int16{14, 15, 16, 51}, code) }

// txnReady waits until transactional ids have their coordinator, loaded.
func (s *session) txnReady(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.until(func() bool {
			f := s.quiet(3, findCoordinator(1, s.topic(name))).(*kmsg.FindCoordinatorResponse)
			return f.ErrorCode == 0 && !temporary(s.describeTxn(name).ErrorCode)
		})
	}
}

func (s *session) describeTxn(name string) kmsg.DescribeTransactionsResponseTransactionState {
	s.t.Helper()
	q := kmsg.NewPtrDescribeTransactionsRequest()
	q.TransactionalIDs = []string{s.topic(name)}
	return s.quiet(0, q).(*kmsg.DescribeTransactionsResponse).TransactionStates[0]
}

func (s *session) initOf(name string) *kmsg.InitProducerIDRequest {
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionalID, q.TransactionTimeoutMillis = ptr(s.topic(name)), 60_000
	return q
}

// begun is a new producer of a transactional id.
func (s *session) begun(name string) txnProducer {
	s.t.Helper()
	s.txnReady(name)
	var r *kmsg.InitProducerIDResponse
	s.until(func() bool {
		r = s.quiet(4, s.initOf(name)).(*kmsg.InitProducerIDResponse)
		return !temporary(r.ErrorCode)
	})
	if r.ErrorCode != 0 {
		s.t.Fatalf("%s: a producer of %s: error %d", s.name, name, r.ErrorCode)
	}
	return txnProducer{name, r.ProducerID, r.ProducerEpoch}
}

// over waits until the markers of a transactional id's last transaction are written: until then each broker has its own pace.
func (s *session) over(name string) {
	s.t.Helper()
	s.until(func() bool {
		state := s.describeTxn(name)
		return !temporary(state.ErrorCode) && !strings.HasPrefix(state.State, "Prepare")
	})
}

func (s *session) add(p txnProducer, topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch = s.topic(p.name), p.id, p.epoch
	q.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: s.topic(topic), Partitions: partitions}}
	return q
}

func (s *session) addOffsets(p txnProducer, group string) *kmsg.AddOffsetsToTxnRequest {
	q := kmsg.NewPtrAddOffsetsToTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Group = s.topic(p.name), p.id, p.epoch, s.topic(group)
	return q
}

func (s *session) end(p txnProducer, commit bool) *kmsg.EndTxnRequest {
	q := kmsg.NewPtrEndTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Commit = s.topic(p.name), p.id, p.epoch, commit
	return q
}

// askEnd compares the answer to an EndTxn, waits for the markers, and returns the producer of the next transaction.
func (s *session) askEnd(what string, v int16, p txnProducer, commit bool) txnProducer {
	s.t.Helper()
	r, ok := s.ask(what, v, s.end(p, commit)).(*kmsg.EndTxnResponse)
	s.over(p.name)
	if ok && r.ErrorCode == 0 && v >= 5 {
		next := txnProducer{p.name, r.ProducerID, r.ProducerEpoch}
		if r.ProducerID == p.id {
			r.ProducerID = 1 // the same, which is what counts
		}
		return next
	}
	return p
}

// produceTxn is a request with one transactional batch of one record.
func (s *session) produceTxn(v int16, p txnProducer, topic string, partition, sequence int32) *kmsg.ProduceRequest {
	b := batch{records: some(1), first: s.start, producer: p.id, epoch: p.epoch, sequence: sequence, attributes: 0x10}
	q := s.produce(v, topic, partition, b.encode())
	q.TransactionID = ptr(s.topic(p.name))
	return q
}

func (s *session) commitTxn(p txnProducer, group, topic string, partitions ...int32) *kmsg.TxnOffsetCommitRequest {
	q := kmsg.NewPtrTxnOffsetCommitRequest()
	q.TransactionalID, q.Group, q.ProducerID, q.ProducerEpoch, q.Generation = s.topic(p.name), s.topic(group), p.id, p.epoch, -1
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.TopicID = s.topic(topic), s.ids[topic]
	for _, n := range partitions {
		x := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		x.Partition, x.Offset, x.Metadata = n, 7, ptr("m")
		t.Partitions = append(t.Partitions, x)
	}
	q.Topics = append(q.Topics, t)
	return q
}

// state compares what a transactional id is said to be.
func (s *session) state(what string, names ...string) {
	s.t.Helper()
	q := kmsg.NewPtrDescribeTransactionsRequest()
	for _, name := range names {
		q.TransactionalIDs = append(q.TransactionalIDs, s.topic(name))
	}
	if r, ok := s.ask(what, 0, q).(*kmsg.DescribeTransactionsResponse); ok {
		for i := range r.TransactionStates {
			x := &r.TransactionStates[i]
			x.ProducerID, x.StartTimestamp = min(x.ProducerID, 0), min(x.StartTimestamp, 0)
			for j := range x.Topics {
				slices.Sort(x.Topics[j].Partitions)
			}
		}
	}
}

// readTxns compares what there is to read of a partition, committed or not, without the producers' ids.
func (s *session) readTxns(what, topic string, partition int32) {
	s.t.Helper()
	for isolation := range int8(2) {
		q := s.fetch(12, topic, partition, 0)
		q.IsolationLevel = isolation
		r, ok := s.ask(what+[]string{", all", ", committed"}[isolation], 12, q).(*kmsg.FetchResponse)
		if !ok {
			continue
		}
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				p := &r.Topics[i].Partitions[j]
				for k := range p.AbortedTransactions {
					p.AbortedTransactions[k].ProducerID = 1
				}
				p.RecordBatches = withoutProducers(p.RecordBatches)
			}
		}
	}
}

// withoutProducers takes producer ids, what follows from them, and the times of markers out of batches.
func withoutProducers(run []byte) []byte {
	out := slices.Clone(run)
	for b := out; len(b) >= 61; {
		size := min(len(b), 12+int(binary.BigEndian.Uint32(b[8:])))
		if size < 61 {
			break
		}
		clear(b[17:21]) // CRC
		clear(b[43:51]) // producer id
		if b[22]&0x20 != 0 {
			clear(b[27:43]) // times
		}
		b = b[size:]
	}
	return out
}

// stableOffsets compares committed offsets, with those of open transactions an error.
func (s *session) stableOffsets(what, group, topic string) {
	s.t.Helper()
	q := s.offsets(7, s.topic(group), topic)
	q.RequireStable = true
	s.ask(what, 7, q)
}

// onlyMine compares a list of transactions, of which only those of this case are kept.
func (s *session) onlyMine(what string, v int16, q *kmsg.ListTransactionsRequest) {
	s.t.Helper()
	r, ok := s.ask(what, v, q).(*kmsg.ListTransactionsResponse)
	if !ok {
		return
	}
	r.TransactionStates = slices.DeleteFunc(r.TransactionStates, func(x kmsg.ListTransactionsResponseTransactionState) bool {
		return !strings.HasPrefix(x.TransactionalID, s.prefix)
	})
	slices.SortFunc(r.TransactionStates, func(a, b kmsg.ListTransactionsResponseTransactionState) int {
		return strings.Compare(a.TransactionalID, b.TransactionalID)
	})
	for i := range r.TransactionStates {
		r.TransactionStates[i].ProducerID = 1
	}
}

package txn

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// AddPartitionsToTxn puts partitions into transactions, or says whether they are in. Up to version 3 it comes from a client and is about
// one transaction; later it comes from brokers, and the caller has cut it so that all transactional ids are this machine's. Whether the
// partitions are there, and open to the client, the caller has seen to.
func (m *Machine) AddPartitionsToTxn(now int64, to coordinator.Token, r *kmsg.AddPartitionsToTxnRequest) coordinator.Effects {
	s := m.begin(now)
	resp := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if r.Version < 4 {
		m.wantNone()
		for i := range r.Topics {
			m.want(r.Topics[i].Topic, r.Topics[i].Partitions...)
		}
		code := s.addPartitions(r.TransactionalID, producer{r.ProducerID, r.ProducerEpoch}, 0)
		if r.Version < 2 && code == protocol.ProducerFenced {
			code = protocol.InvalidProducerEpoch
		}
		resp.Topics = make([]kmsg.AddPartitionsToTxnResponseTopic, len(r.Topics))
		for i := range r.Topics {
			resp.Topics[i].Topic = r.Topics[i].Topic
			resp.Topics[i].Partitions = make([]kmsg.AddPartitionsToTxnResponseTopicPartition, len(r.Topics[i].Partitions))
			for j, p := range r.Topics[i].Partitions {
				resp.Topics[i].Partitions[j].Partition, resp.Topics[i].Partitions[j].ErrorCode = p, int16(code)
			}
		}
		s.reply(to, resp)
		return s.e
	}
	resp.Transactions = make([]kmsg.AddPartitionsToTxnResponseTransaction, len(r.Transactions))
	for i := range r.Transactions {
		s.addBatched(r.Transactions, i, &resp.Transactions[i])
	}
	s.reply(to, resp)
	return s.e
}

// addBatched is about the i-th transaction of a broker's request.
func (s *step) addBatched(all []kmsg.AddPartitionsToTxnRequestTransaction, i int, out *kmsg.AddPartitionsToTxnResponseTransaction) {
	x := &all[i]
	who := producer{x.ProducerID, x.ProducerEpoch}
	out.TransactionalID = x.TransactionalID
	wrote := func(o kmsg.AddPartitionsToTxnRequestTransaction) bool {
		return o.TransactionalID == x.TransactionalID && !o.VerifyOnly
	}
	var code protocol.Code
	verify := func(partition) protocol.Code { return code }
	switch {
	case slices.ContainsFunc(all[:i], wrote): // an operation does not see what it has written itself: this would undo it
		code = protocol.InvalidRequest
	case x.VerifyOnly:
		var t *txn
		if t, code = s.verify(x.TransactionalID, who); code == protocol.None {
			verify = func(p partition) protocol.Code {
				if t.has(p) {
					return protocol.None
				}
				return protocol.TransactionAbortable
			}
		}
	default:
		s.m.wantNone()
		for i := range x.Topics {
			s.m.want(x.Topics[i].Topic, x.Topics[i].Partitions...)
		}
		code = s.addPartitions(x.TransactionalID, who, 2)
	}
	out.Topics = make([]kmsg.AddPartitionsToTxnResponseTransactionTopic, len(x.Topics))
	for i := range x.Topics {
		t := &out.Topics[i]
		t.Topic = x.Topics[i].Topic
		t.Partitions = make([]kmsg.AddPartitionsToTxnResponseTransactionTopicPartition, len(x.Topics[i].Partitions))
		for j, p := range x.Topics[i].Partitions {
			t.Partitions[j].Partition, t.Partitions[j].ErrorCode = p, int16(verify(partition{t.Topic, p}))
		}
	}
}

// AddOffsetsToTxn puts the partition of __consumer_offsets that has the group into a transaction.
func (m *Machine) AddOffsetsToTxn(now int64, to coordinator.Token, r *kmsg.AddOffsetsToTxnRequest, offsets int32) coordinator.Effects {
	s := m.begin(now)
	m.wantNone()
	m.want(offsetsTopic, offsets)
	code := s.addPartitions(r.TransactionalID, producer{r.ProducerID, r.ProducerEpoch}, 0)
	if r.Version < 2 && code == protocol.ProducerFenced {
		code = protocol.InvalidProducerEpoch
	}
	resp := r.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	resp.ErrorCode = int16(code)
	s.reply(to, resp)
	return s.e
}

// offsetsTopic is where a group's offsets are.
const offsetsTopic = "__consumer_offsets"

// producer is the producer id and epoch of a request.
type producer struct {
	id    int64
	epoch int16
}

// wantNone begins to gather the partitions that a request is about, in the machine's scratch, and want adds to them.
func (m *Machine) wantNone() {
	if cap(m.parts) > maxScratch {
		m.parts = nil
	}
	m.parts = m.parts[:0]
}

func (m *Machine) want(topic string, partitions ...int32) {
	for _, n := range partitions {
		m.parts = append(m.parts, partition{topic, n})
	}
}

// addPartitions puts the partitions that are wanted into the transaction of a producer, and begins it if there is none. client is the
// transaction.version by which the producer works.
func (s *step) addPartitions(id string, p producer, client int16) protocol.Code {
	t := s.m.txns[id]
	switch {
	case id == "":
		return protocol.InvalidRequest
	case t == nil:
		return protocol.InvalidProducerIDMapping
	case t.state.preparing(): // whoever asks: the transaction that ends is another one
		return protocol.ConcurrentTransactions
	case t.producerID != p.id:
		return protocol.InvalidProducerIDMapping
	case t.epoch != p.epoch:
		return protocol.ProducerFenced
	}
	parts := s.m.merge(t)
	if t.state == ongoing && len(parts) == len(t.parts) {
		return protocol.None
	}
	c := t.next(s.now, ongoing)
	if t.state != ongoing {
		c.start = s.now
	}
	c.parts, c.client = parts, client
	if s.tooLarge(t, &c.value) {
		return protocol.UnknownServerError
	}
	s.change(t, &c)
	return protocol.None
}

// merge returns the partitions of t and those that are wanted, sorted. They are valid until the next call, or Replay.
func (m *Machine) merge(t *txn) []partition {
	m.parts = append(m.parts, t.parts...)
	slices.SortFunc(m.parts, partition.compare)
	m.parts = slices.Compact(m.parts)
	return m.parts
}

// tooLarge says that a transaction of so many partitions cannot be written, or could not be ended: its end takes some bytes more. Kafka's
// code for it is that of a record that is larger than the topic's max.message.bytes.
func (s *step) tooLarge(t *txn, v *value) bool {
	if s.m.cfg.MaxRecordBytes <= 0 {
		return false
	}
	from := len(s.buf)
	s.buf = appendValue(s.buf, v, 1)
	size := len(s.buf) - from + len(t.id) + endBytes
	s.buf = s.buf[:from]
	return size > s.m.cfg.MaxRecordBytes
}

// endBytes is more than what a key takes beside its id, and what is in the last record of a transaction and not in the first.
const endBytes = 64

// verify says whether a producer may go on with its transaction: where it may not, late records of an earlier one are kept out.
func (s *step) verify(id string, p producer) (*txn, protocol.Code) {
	t := s.m.txns[id]
	switch {
	case id == "":
		return nil, protocol.InvalidRequest
	case t == nil || t.producerID != p.id:
		return nil, protocol.InvalidProducerIDMapping
	case t.epoch != p.epoch:
		return nil, protocol.ProducerFenced
	case t.state.preparing():
		return nil, protocol.ConcurrentTransactions
	}
	return t, protocol.None
}

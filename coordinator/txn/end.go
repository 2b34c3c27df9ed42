package txn

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// EndTxn commits or aborts a transaction. Up to version 4 the producer works by version 1 of transactions: its epoch stays. From 5 on each
// transaction has an epoch of its own, and the answer says which one is next.
func (m *Machine) EndTxn(now int64, to coordinator.Token, r *kmsg.EndTxnRequest) coordinator.Effects {
	s := m.begin(now)
	s.endTxn(to, r)
	s.send()
	return s.e
}

func (s *step) endTxn(to coordinator.Token, r *kmsg.EndTxnRequest) {
	t := s.m.txns[r.TransactionalID]
	switch {
	case r.TransactionalID == "":
		s.endFailed(to, r, protocol.InvalidRequest)
	case t == nil:
		s.endFailed(to, r, protocol.InvalidProducerIDMapping)
	case r.Version < 5:
		s.endFirst(to, r, t)
	default:
		s.endSecond(to, r, t)
	}
}

func (s *step) endFailed(to coordinator.Token, r *kmsg.EndTxnRequest, code protocol.Code) {
	if r.Version < 2 && code == protocol.ProducerFenced {
		code = protocol.InvalidProducerEpoch
	}
	s.endAnswer(to, r, code, producer{-1, -1})
}

func (s *step) endAnswer(to coordinator.Token, r *kmsg.EndTxnRequest, code protocol.Code, p producer) {
	resp := r.ResponseKind().(*kmsg.EndTxnResponse)
	resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = int16(code), p.id, p.epoch
	s.reply(to, resp)
}

// outcome is the state that a request wants.
func outcome(commit bool) (prepare, complete state) {
	if commit {
		return prepareCommit, completeCommit
	}
	return prepareAbort, completeAbort
}

// endFirst ends a transaction of version 1. A retry cannot be told from the end of a transaction that has nothing in it.
func (s *step) endFirst(to coordinator.Token, r *kmsg.EndTxnRequest, t *txn) {
	prepare, complete := outcome(r.Commit)
	code := protocol.None
	switch {
	case t.producerID != r.ProducerID:
		code = protocol.InvalidProducerIDMapping
	case t.epoch != r.ProducerEpoch:
		code = protocol.ProducerFenced
	case t.state.preparing():
		code = protocol.ConcurrentTransactions
	case t.state == ongoing:
		c := t.endFirst(s.now, prepare)
		s.prepare(t, &c)
	case t.state != complete:
		code = protocol.InvalidTxnState
	}
	s.endFailed(to, r, code)
}

// endSecond ends a transaction of version 2: one with this epoch, or, if the epoch is that of the transaction before, says again how it
// has ended.
//
// Kafka 4.4 takes any transaction that has ended for that one. But one that was ended by version 1 has the epoch that its producer goes on
// with, and a producer that it has fenced would be told that epoch too: here the one before must have ended by version 2.
func (s *step) endSecond(to coordinator.Token, r *kmsg.EndTxnRequest, t *txn) {
	prepare, complete := outcome(r.Commit)
	ended := t.state == completeCommit || t.state == completeAbort
	rotated := t.prevID == r.ProducerID && r.ProducerEpoch == lastEpoch && t.epoch == 0 // with the end of the transaction before
	retry := t.client >= 2 && (rotated || int(t.epoch) == int(r.ProducerEpoch)+1)
	switch {
	case t.state.preparing(): // whoever asks: when it is over, we shall see
		s.endFailed(to, r, protocol.ConcurrentTransactions)
	case t.producerID != r.ProducerID && !rotated:
		s.endFailed(to, r, protocol.InvalidProducerIDMapping)
	case t.epoch != r.ProducerEpoch && !(ended && retry):
		s.endFailed(to, r, protocol.ProducerFenced)
	case t.state == ongoing:
		s.endNow(to, r, t, prepare, t.start)
	case ended && retry:
		if t.state != complete {
			s.endFailed(to, r, protocol.InvalidTxnState)
			return
		}
		s.endAnswer(to, r, protocol.None, producer{t.producerID, t.epoch})
	case r.Commit: // of a transaction that nothing is in
		s.endFailed(to, r, protocol.InvalidTxnState)
	default:
		// The client aborts a transaction that the coordinator has not heard of: records of it may be on their way, which the next epoch
		// will keep out.
		s.endNow(to, r, t, prepareAbort, s.now)
	}
}

// endNow ends a transaction of version 2 that began at start.
func (s *step) endNow(to coordinator.Token, r *kmsg.EndTxnRequest, t *txn, outcome state, start int64) {
	next, ok := s.nextID(t)
	if !ok {
		if !s.wait(func(s *step) { s.endTxn(to, r) }) {
			s.endFailed(to, r, protocol.CoordinatorLoadInProgress)
		}
		return
	}
	c := t.end(s.now, outcome, next)
	c.start = start
	done := c.value.complete(s.now)
	s.prepare(t, &c)
	s.endAnswer(to, r, protocol.None, producer{done.producerID, done.epoch})
}

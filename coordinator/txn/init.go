package txn

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// InitProducerID gives a producer its id and epoch, which fences all producers that had the transactional id before.
func (m *Machine) InitProducerID(now int64, to coordinator.Token, r *kmsg.InitProducerIDRequest, two TwoPhase) coordinator.Effects {
	s := m.begin(now)
	q := initOp{to: to, r: r}
	q.timeoutMs = r.TransactionTimeoutMillis
	if two.Enable {
		q.timeoutMs = math.MaxInt32
	}
	if code := m.initProblem(r, two); code != protocol.None {
		s.initFailed(&q, code)
	} else {
		s.initProducerID(&q)
	}
	s.send()
	return s.e
}

func (m *Machine) initProblem(r *kmsg.InitProducerIDRequest, two TwoPhase) protocol.Code {
	switch {
	case (r.ProducerID == -1) != (r.ProducerEpoch == -1):
		return protocol.InvalidRequest
	case r.TransactionalID == nil || *r.TransactionalID == "":
		return protocol.InvalidRequest
	case two.Enable && !m.cfg.TwoPhaseCommit:
		return protocol.TransactionalIDAuthorizationFailed
	case two.KeepPrepared:
		return protocol.UnsupportedVersion
	case !two.Enable && (r.TransactionTimeoutMillis <= 0 || r.TransactionTimeoutMillis > m.cfg.MaxTimeoutMs):
		return protocol.InvalidTransactionTimeout
	}
	return protocol.None
}

// initOp is an InitProducerId under way.
type initOp struct {
	to        coordinator.Token
	r         *kmsg.InitProducerIDRequest
	timeoutMs int32
}

// goesOn says that the producer has an id and epoch already, and wants to go on with them (KIP-360).
func (q *initOp) goesOn() bool { return q.r.ProducerID != -1 }

func (s *step) initFailed(q *initOp, code protocol.Code) {
	if q.r.Version < 4 && code == protocol.ProducerFenced {
		code = protocol.InvalidProducerEpoch
	}
	s.initAnswer(q, code, -1, -1)
}

func (s *step) initAnswer(q *initOp, code protocol.Code, id int64, epoch int16) {
	resp := q.r.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = int16(code), id, epoch
	s.reply(q.to, resp)
}

// initWaits has the request come again when there are producer ids.
func (s *step) initWaits(q *initOp) {
	again := *q
	if !s.wait(func(s *step) { s.initProducerID(&again) }) {
		s.initFailed(q, protocol.CoordinatorLoadInProgress)
	}
}

func (s *step) initProducerID(q *initOp) {
	id := *q.r.TransactionalID
	t := s.m.txns[id]
	switch {
	case t == nil:
		s.initNew(q, id)
	case t.state.preparing():
		s.initFailed(q, protocol.ConcurrentTransactions)
	case q.goesOn() && !t.knows(q.r):
		s.initFailed(q, protocol.ProducerFenced)
	case t.state == ongoing:
		// The epoch of this fence is given to nobody: the client comes again, and is given the one after it.
		if !s.abort(t) {
			s.initWaits(q)
			return
		}
		s.initFailed(q, protocol.ConcurrentTransactions)
	case t.exhausted() && (!q.goesOn() || q.r.ProducerEpoch == t.epoch):
		s.initRotates(q, t)
	default:
		s.initBumps(q, t)
	}
}

// knows says whether the producer id of a producer that goes on is t's, or was before this producer used up its epochs: then this is
// the same request once more, whose answer was lost.
func (t *txn) knows(r *kmsg.InitProducerIDRequest) bool {
	return t.epoch == -1 || r.ProducerID == t.producerID || r.ProducerID == t.prevID && r.ProducerEpoch >= lastEpoch
}

func (s *step) initNew(q *initOp, id string) {
	producerID, ok := s.takeID()
	if !ok {
		s.initWaits(q)
		return
	}
	s.write(id, &value{producerID: producerID, prevID: producerID, nextID: -1, timeoutMs: q.timeoutMs, state: empty, updated: s.now, start: -1})
	s.initAnswer(q, protocol.None, producerID, 0)
}

// initRotates gives a producer id whose epochs are used up a successor.
func (s *step) initRotates(q *initOp, t *txn) {
	producerID, ok := s.takeID()
	if !ok {
		s.initWaits(q)
		return
	}
	c := t.reset(s.now, q.timeoutMs)
	c.producerID, c.epoch, c.lastEpoch = producerID, 0, -1
	if q.goesOn() {
		c.lastEpoch = t.epoch
	}
	s.change(t, &c)
	s.initAnswer(q, protocol.None, c.producerID, c.epoch)
}

func (s *step) initBumps(q *initOp, t *txn) {
	c := t.reset(s.now, q.timeoutMs)
	switch {
	case t.exhausted():
		// Kafka throws here, at a producer of an old epoch, and this is what the client sees of it.
		s.initFailed(q, protocol.UnknownServerError)
		return
	case !q.goesOn():
		c.epoch, c.lastEpoch = t.epoch+1, -1
	case t.epoch == -1 || q.r.ProducerEpoch == t.epoch:
		c.epoch, c.lastEpoch = t.epoch+1, t.epoch
	case q.r.ProducerEpoch == t.lastEpoch: // once more: the answer was lost
	default:
		s.initFailed(q, protocol.ProducerFenced)
		return
	}
	s.change(t, &c)
	s.initAnswer(q, protocol.None, c.producerID, c.epoch)
}

// abort aborts a transaction against its producer, by the version of the cluster. It fails where a producer id is wanting.
func (s *step) abort(t *txn) bool {
	if s.m.cfg.Version < 2 {
		c := t.fence(s.now)
		s.prepare(t, &c)
		return true
	}
	next, ok := s.nextID(t)
	if !ok {
		return false
	}
	c := t.end(s.now, prepareAbort, next)
	s.prepare(t, &c)
	return true
}

// nextID takes the producer id that follows t's if this transaction uses up its epochs, -1 if not.
func (s *step) nextID(t *txn) (id int64, ok bool) {
	if !t.exhausted() {
		return -1, true
	}
	return s.takeID()
}

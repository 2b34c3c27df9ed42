package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/txn"
	"weir/protocol"
)

// InitProducerId (22), v0-5. Answered by any broker without a transactional id, else by the transaction coordinator.
//
// Versions: 2 flexible · 3 producer id and epoch to go on with (KIP-360) · 4 PRODUCER_FENCED · 5 transactions as of KIP-890.
// Needs: IDEMPOTENT_WRITE on Cluster; WRITE on TransactionalId with a transactional id.
// Differs from Kafka:
//   - where no producer id is at hand the answer waits up to five seconds for the controller, where Kafka answers
//     COORDINATOR_LOAD_IN_PROGRESS at once and lets the client ask again
//   - WRITE on some topic does not stand for IDEMPOTENT_WRITE (KIP-679): without ACLs nobody notices

// producerIDWait is how long an answer waits for a new block of producer ids.
const producerIDWait = 5 * time.Second

func initProducerID(s *Server, c *Call, q *kmsg.InitProducerIDRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if code := s.initProblem(c, q); code != protocol.None {
		resp.ErrorCode = int16(code)
		return resp, nil
	}
	if q.TransactionalID != nil {
		return askTxn(s, *q.TransactionalID, func(m *txn.Machine, now int64, t coordinator.Token) coordinator.Effects {
			return m.InitProducerID(now, t, q, txn.TwoPhase{})
		}, func(code protocol.Code) Response {
			resp.ErrorCode = int16(code)
			return resp
		}), nil
	}
	ids, coming := s.producers.take(s, 1)
	if ids.left() > 0 {
		resp.ProducerID, resp.ProducerEpoch = ids.first, 0
		return resp, nil
	}
	return later(s.Log, func() Response {
		if ids := s.producers.wait(s, 1, coming, producerIDWait); ids.left() > 0 {
			resp.ProducerID, resp.ProducerEpoch = ids.first, 0
		} else {
			resp.ErrorCode = int16(protocol.CoordinatorLoadInProgress)
		}
		return resp
	}), nil
}

// initProblem finds why no producer id is given out.
func (s *Server) initProblem(c *Call, q *kmsg.InitProducerIDRequest) protocol.Code {
	switch {
	case q.TransactionalID != nil && !mayTxn(s, c.Session, Write, *q.TransactionalID):
		return protocol.TransactionalIDAuthorizationFailed
	case q.TransactionalID == nil && !s.mayCluster(c.Session, IdempotentWrite):
		return protocol.ClusterAuthorizationFailed
	case (q.ProducerID == -1) != (q.ProducerEpoch == -1):
		return protocol.InvalidRequest
	case q.TransactionalID == nil: // a producer that goes on with its id gets a new one too, as in Kafka; the time-out means nothing
		return protocol.None
	case *q.TransactionalID == "":
		return protocol.InvalidRequest
	case q.TransactionTimeoutMillis <= 0 || int64(q.TransactionTimeoutMillis) > s.Config.Int64("transaction.max.timeout.ms"):
		return protocol.InvalidTransactionTimeout
	}
	return protocol.None
}

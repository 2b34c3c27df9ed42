package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/txn"
	"weir/protocol"
)

// EndTxn (26), v0-5. Answered by the transaction coordinator, when the outcome is written; the markers follow.
//
// Versions: 2 PRODUCER_FENCED · 3 flexible · 4 TRANSACTION_ABORTABLE · 5 transactions of version 2: an epoch each (KIP-890).
// Needs: WRITE on TransactionalId.
// Differs from Kafka:
//   - version 5 takes a request for a repetition only if the transaction before was ended by version 5 too, or by the coordinator; Kafka
//     takes any that has ended for it, and so tells a producer that is fenced the epoch of its successor
//   - where the epoch of the next transaction needs a new producer id and none is at hand the answer waits up to 5 seconds for it

func endTxn(s *Server, c *Call, q *kmsg.EndTxnRequest) (Response, error) {
	failed := func(code protocol.Code) Response {
		resp := q.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode, resp.ProducerID, resp.ProducerEpoch = int16(code), -1, -1
		return resp
	}
	if !mayTxn(s, c.Session, Write, q.TransactionalID) {
		return failed(protocol.TransactionalIDAuthorizationFailed), nil
	}
	return askTxn(s, q.TransactionalID, func(m *txn.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.EndTxn(now, t, q)
	}, failed), nil
}

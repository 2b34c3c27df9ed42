package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/txn"
	"weir/protocol"
)

// AddOffsetsToTxn (25), v0-4. Answered by the transaction coordinator.
//
// Versions: 2 PRODUCER_FENCED · 3 flexible · 4 TRANSACTION_ABORTABLE (KIP-890).
// Needs: WRITE on TransactionalId, READ on Group.
// Differs from Kafka: nothing known.

func addOffsetsToTxn(s *Server, c *Call, q *kmsg.AddOffsetsToTxnRequest) (Response, error) {
	failed := func(code protocol.Code) Response {
		resp := q.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
		resp.ErrorCode = int16(code)
		return resp
	}
	switch {
	case !mayTxn(s, c.Session, Write, q.TransactionalID):
		return failed(protocol.TransactionalIDAuthorizationFailed), nil
	case !s.mayGroup(c.Session, Read, q.Group):
		return failed(protocol.GroupAuthorizationFailed), nil
	}
	offsets := s.groupPartition(q.Group)
	return askTxn(s, q.TransactionalID, func(m *txn.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.AddOffsetsToTxn(now, t, q, offsets)
	}, failed), nil
}

package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/txn"
	"weir/protocol"
)

// ListTransactions (66), v0-2. Answered by every broker, for the transactional ids that it coordinates.
//
// Versions: 1 duration filter (KIP-994) · 2 pattern of transactional ids (KIP-1152).
// Needs: DESCRIBE on each TransactionalId that is listed.
// Differs from Kafka: transactions that do not fit into one answer are answered INVALID_REQUEST.

func listTransactions(s *Server, c *Call, q *kmsg.ListTransactionsRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.ListTransactionsResponse)
	filter, code := txn.NewFilter(q)
	if code != protocol.None {
		resp.ErrorCode = int16(code)
		return resp, nil
	}
	partitions := s.Txns.Partitions()
	a, err := newWeighed(c, len(partitions), weighTransactions)
	if err != nil {
		return nil, err
	}
	for i, p := range partitions {
		a.inTxns(s, i, p, func(m *txn.Machine, now int64, t coordinator.Token) coordinator.Effects {
			return m.ListTransactions(now, t, filter)
		})
	}
	return a.then(func(outcomes []answerOf) Response {
		resp.UnknownStateFilters = filter.Unknown
		for i := range outcomes {
			switch o := &outcomes[i]; o.code {
			case protocol.None:
				for _, x := range o.response.([]kmsg.ListTransactionsResponseTransactionState) {
					if mayTxn(s, c.Session, Describe, x.TransactionalID) {
						resp.TransactionStates = append(resp.TransactionStates, x)
					}
				}
			case protocol.NotCoordinator: // lost meanwhile: its transactions are another broker's to list
			default:
				resp.ErrorCode, resp.TransactionStates = int16(o.code), nil
				return resp
			}
		}
		return resp
	}), nil
}

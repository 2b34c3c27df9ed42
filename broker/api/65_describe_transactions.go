package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/txn"
	"weir/protocol"
)

// DescribeTransactions (65), v0. Answered by the transaction coordinator.
//
// Versions: 0 flexible.
// Needs: DESCRIBE on TransactionalId; topics without DESCRIBE are left out.
// Differs from Kafka: transactions that do not fit into one answer are answered INVALID_REQUEST.

func describeTransactions(s *Server, c *Call, q *kmsg.DescribeTransactionsRequest) (Response, error) {
	a, err := newWeighed(c, len(q.TransactionalIDs), weighTransaction)
	if err != nil {
		return nil, err
	}
	for i, id := range q.TransactionalIDs {
		if !mayTxn(s, c.Session, Describe, id) {
			a.done(i, nil, protocol.TransactionalIDAuthorizationFailed)
			continue
		}
		a.inTxns(s, i, s.TxnPartition(id), func(m *txn.Machine, now int64, t coordinator.Token) coordinator.Effects {
			return m.DescribeTransaction(now, t, id)
		})
	}
	return a.then(func(outcomes []answerOf) Response {
		resp := q.ResponseKind().(*kmsg.DescribeTransactionsResponse)
		resp.TransactionStates = make([]kmsg.DescribeTransactionsResponseTransactionState, 0, len(outcomes))
		for i := range outcomes {
			x := kmsg.NewDescribeTransactionsResponseTransactionState()
			x.TransactionalID, x.ErrorCode = q.TransactionalIDs[i], int16(outcomes[i].code)
			if outcomes[i].code == protocol.None {
				x = *outcomes[i].response.(*kmsg.DescribeTransactionsResponseTransactionState)
			}
			x.Topics = slices.DeleteFunc(x.Topics, func(t kmsg.DescribeTransactionsResponseTransactionStateTopic) bool {
				return !s.mayTopic(c.Session, Describe, t.Topic)
			})
			resp.TransactionStates = append(resp.TransactionStates, x)
		}
		return resp
	}), nil
}

package broker

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/api"
	"weir/coordinator"
	"weir/coordinator/txn"
	"weir/protocol"
)

// verifying is a question to the transaction coordinator under way.
type verifying struct {
	x         *txns
	request   *kmsg.AddPartitionsToTxnRequest
	partition int32 // of __transaction_state
	add       bool
	parts     int
	answered  func(codes []protocol.Code)
	pause     time.Duration // before the next try
	left      time.Duration // of what all pauses may take
}

// firstRetry is the pause before the first retry: here the markers of the transaction before are mostly written in less, while in Kafka,
// where they take a request, all pauses are add.partitions.to.txn.retry.backoff.ms.
const firstRetry = time.Millisecond

// VerifyPartitions implements api.TxnVerifier. A partition that is to be added while the transaction before is being completed is tried
// again for add.partitions.to.txn.retry.backoff.max.ms: a client that has been told the outcome goes on at once.
func (x *txns) VerifyPartitions(q *api.TxnPartitions, answered func(codes []protocol.Code)) {
	t := kmsg.NewAddPartitionsToTxnRequestTransaction()
	t.TransactionalID, t.ProducerID, t.ProducerEpoch, t.VerifyOnly = q.TransactionalID, q.ProducerID, q.ProducerEpoch, !q.Add
	for _, p := range q.Partitions {
		if n := len(t.Topics); n == 0 || t.Topics[n-1].Topic != p.Topic {
			t.Topics = append(t.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: p.Topic})
		}
		topic := &t.Topics[len(t.Topics)-1]
		topic.Partitions = append(topic.Partitions, p.Partition)
	}
	v := &verifying{x: x, partition: x.api.TxnPartition(q.TransactionalID), add: q.Add, parts: len(q.Partitions), answered: answered,
		request: kmsg.NewPtrAddPartitionsToTxnRequest(), pause: min(firstRetry, x.retry), left: x.retryMax}
	v.request.Version = v.request.MaxVersion()
	v.request.Transactions = append(v.request.Transactions, t)
	v.ask()
}

func (v *verifying) ask() {
	op := func(m *txn.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.AddPartitionsToTxn(now, t, v.request)
	}
	v.x.Do(v.partition, op, v.done)
}

func (v *verifying) done(response any, err error) {
	codes := make([]protocol.Code, 0, v.parts)
	if resp, ok := response.(*kmsg.AddPartitionsToTxnResponse); ok && err == nil {
		for i := range resp.Transactions {
			for _, t := range resp.Transactions[i].Topics {
				for _, p := range t.Partitions {
					codes = append(codes, protocol.Code(p.ErrorCode))
				}
			}
		}
	} else {
		code := v.x.api.CoordinatorCode(err)
		for range v.parts {
			codes = append(codes, code)
		}
	}
	if v.add && v.left > 0 && slices.Contains(codes, protocol.ConcurrentTransactions) {
		v.left -= v.pause
		time.AfterFunc(v.pause, v.ask)
		v.pause = min(2*v.pause, v.x.retry)
		return
	}
	v.answered(codes)
}

package broker

import (
	"context"
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
	x := v.x
	if node, _ := x.Leader(txnTopic, v.partition); node >= 0 && node != x.nodeID {
		go func() { // it ends when the pool is closed
			resp, err := x.verifications.Request(context.Background(), node, v.request)
			if err != nil {
				x.api.Log.Debug("a transaction coordinator did not answer", "broker", node, "err", err)
				v.all(protocol.NetworkException)
				return
			}
			v.done(resp, nil)
		}()
		return
	}
	op := func(m *txn.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.AddPartitionsToTxn(now, t, v.request)
	}
	x.Do(v.partition, op, v.done)
}

// done takes the answer of a coordinator, here or elsewhere.
func (v *verifying) done(response any, err error) {
	resp, ok := response.(*kmsg.AddPartitionsToTxnResponse)
	switch {
	case err != nil || !ok:
		v.all(v.x.api.CoordinatorCode(err))
		return
	case resp.ErrorCode != 0:
		v.all(protocol.Code(resp.ErrorCode))
		return
	}
	codes := make([]protocol.Code, 0, v.parts)
	for i := range resp.Transactions {
		for _, t := range resp.Transactions[i].Topics {
			for _, p := range t.Partitions {
				codes = append(codes, protocol.Code(p.ErrorCode))
			}
		}
	}
	if v.add && v.left > 0 && slices.Contains(codes, protocol.ConcurrentTransactions) {
		pause := v.pause
		v.left, v.pause = v.left-pause, min(2*pause, v.x.retry)
		time.AfterFunc(pause, v.ask) // from here on v is its
		return
	}
	v.answered(codes)
}

// all answers with one code for all partitions.
func (v *verifying) all(code protocol.Code) {
	v.answered(slices.Repeat([]protocol.Code{code}, v.parts))
}

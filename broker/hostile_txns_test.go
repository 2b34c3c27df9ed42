package broker_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// The transaction coordinator keeps the transaction "wide", which has 2,000 partitions of the topic of that name, and 500 more.

func init() {
	none := func(r ...kmsg.Request) func() []kmsg.Request { return func() []kmsg.Request { return r } }
	parts := func(n int) []int32 { return many(n, func(e *int32, i int) { *e = int32(i) }) }
	for key, requests := range map[int16]func() []kmsg.Request{
		24: none(
			&kmsg.AddPartitionsToTxnRequest{Version: 3, TransactionalID: "none", Topics: []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "wide", Partitions: parts(240e3)}}},
			&kmsg.AddPartitionsToTxnRequest{Version: 3, TransactionalID: "none", Topics: many(120e3, func(e *kmsg.AddPartitionsToTxnRequestTopic, i int) { e.Topic = fmt.Sprintf("%05x", i) })},
			&kmsg.AddPartitionsToTxnRequest{Version: 5, Transactions: many(40e3, func(e *kmsg.AddPartitionsToTxnRequestTransaction, i int) {
				e.TransactionalID, e.VerifyOnly = fmt.Sprintf("%05x", i), true
				e.Topics = []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: "x"}}
			})},
		),
		25: none(&kmsg.AddOffsetsToTxnRequest{Version: 3, TransactionalID: "none", Group: "g"}),
		26: none(&kmsg.EndTxnRequest{Version: 3, TransactionalID: "none"}),
		28: none(
			&kmsg.TxnOffsetCommitRequest{Version: 3, TransactionalID: "wide", Group: "wide", Generation: -1, Topics: []kmsg.TxnOffsetCommitRequestTopic{{Topic: "wide",
				Partitions: many(50e3, func(e *kmsg.TxnOffsetCommitRequestTopicPartition, i int) { e.Partition, e.LeaderEpoch = int32(i), -1 })}}},
			&kmsg.TxnOffsetCommitRequest{Version: 3, TransactionalID: "wide", Group: "wide", Generation: -1, Topics: many(120e3, func(e *kmsg.TxnOffsetCommitRequestTopic, i int) {
				e.Topic = fmt.Sprintf("%05x", i)
			})},
		),
		57: none(&kmsg.UpdateFeaturesRequest{Version: 1, FeatureUpdates: many(80e3, func(e *kmsg.UpdateFeaturesRequestFeatureUpdate, i int) { e.Feature = fmt.Sprintf("%05x", i) })}),
		65: none(
			&kmsg.DescribeTransactionsRequest{TransactionalIDs: slices.Repeat([]string{"wide"}, 200e3)},
			&kmsg.DescribeTransactionsRequest{TransactionalIDs: many(160e3, func(e *string, i int) { *e = fmt.Sprintf("%05x", i) })},
		),
		66: none(
			&kmsg.ListTransactionsRequest{Version: 2, DurationFilterMillis: -1, StateFilters: many(140e3, func(e *string, i int) { *e = fmt.Sprintf("%05x", i) })},
			&kmsg.ListTransactionsRequest{Version: 2, DurationFilterMillis: -1, ProducerIDFilters: make([]int64, 130e3)},
		),
	} {
		multiplying[key] = requests
	}
}

// createTransactions makes what the requests above are about.
func (b *bed) createTransactions(t *testing.T) {
	nc := b.dial(t)
	defer nc.Close()
	for i := range 501 {
		id := "wide"
		if i > 0 {
			id = fmt.Sprintf("txn-%d", i)
		}
		var code int16
		await(t, "no producer id", func() string { return protocol.Code(code).String() }, func() bool {
			if resp, err := exchange(nc, &kmsg.FindCoordinatorRequest{Version: 3, CoordinatorKey: id, CoordinatorType: 1}, 1); err != nil || resp.(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
				return false
			}
			resp, err := exchange(nc, &kmsg.InitProducerIDRequest{Version: 3, TransactionalID: &id, TransactionTimeoutMillis: 60000, ProducerID: -1, ProducerEpoch: -1}, 1)
			if err != nil {
				t.Fatal(err)
			}
			init := resp.(*kmsg.InitProducerIDResponse)
			if code = init.ErrorCode; code != 0 {
				return false
			}
			add := &kmsg.AddPartitionsToTxnRequest{Version: 3, TransactionalID: id, ProducerID: init.ProducerID, ProducerEpoch: init.ProducerEpoch,
				Topics: []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "wide", Partitions: []int32{0}}}}
			if i == 0 {
				add.Topics[0].Partitions = many(2000, func(e *int32, i int) { *e = int32(i) })
			}
			if resp, err = exchange(nc, add, 1); err != nil {
				t.Fatal(err)
			}
			code = resp.(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode
			return code == 0
		})
	}
}

package api

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/txn"
	"weir/protocol"
)

// fakeTxns is a coordinator whose answers a test plays, or whose machines it runs.
type fakeTxns struct {
	asked      []int32 // the partition of each operation
	answer     func(i int) (any, error)
	machines   map[int32]*txn.Machine // instead of answer
	partitions []int32
}

func (f *fakeTxns) Do(partition int32, op coordinator.Operation[*txn.Machine], done coordinator.Done) {
	i := len(f.asked)
	f.asked = append(f.asked, partition)
	if f.answer != nil {
		done(f.answer(i))
		return
	}
	m := f.machines[partition]
	if m == nil {
		m = txn.New(&txn.Config{MaxTimeoutMs: 1000, Version: 2}, noMetadata{}, 1)
		f.machines[partition] = m
		m.Answered(1, nil, nil, nil)
	}
	fx := op(m, 1000, 1)
	for _, r := range fx.Records {
		if err := m.Replay(coordinator.At{}, r); err != nil {
			panic(err)
		}
	}
	done(fx.Replies[0].Response, nil)
}

func (f *fakeTxns) Partitions() []int32               { return f.partitions }
func (f *fakeTxns) Wait(context.Context, int32) error { return nil }

type noMetadata struct{}

func (noMetadata) Leader(string, int32) (int32, bool) { return -1, false }

// txnsOf gives a world __transaction_state with 50 partitions, led by this broker.
func txnsOf(w *world) *fakeTxns {
	f := &fakeTxns{machines: map[int32]*txn.Machine{}}
	w.s.Txns = f
	w.topic(txnTopic, slices.Repeat([][]int32{{1}}, 50)...)
	return f
}

func txnWorld(t testing.TB) (*world, *fakeTxns) {
	w, _ := groupWorld(t)
	return w, txnsOf(w)
}

func partitionsAdded(id string, topics ...string) *kmsg.AddPartitionsToTxnRequest {
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	q.TransactionalID = id
	for _, t := range topics {
		q.Topics = append(q.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: t, Partitions: []int32{0}})
	}
	return q
}

func addAnswers(r *kmsg.AddPartitionsToTxnResponse) (out []string) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			out = append(out, fmt.Sprintf("%s %v", t.Topic, protocol.Code(p.ErrorCode)))
		}
	}
	for _, x := range r.Transactions {
		for _, t := range x.Topics {
			for _, p := range t.Partitions {
				out = append(out, fmt.Sprintf("%s %s %v", x.TransactionalID, t.Topic, protocol.Code(p.ErrorCode)))
			}
		}
	}
	return out
}

// Who may put what into a transaction, and that one partition which may not be keeps all others out.
func TestAddPartitionsToTxn(t *testing.T) {
	for v := int16(0); v < 4; v++ {
		w, f := txnWorld(t)
		f.answer = func(int) (any, error) { return nil, protocol.Code(protocol.ProducerFenced) }
		fenced := "t PRODUCER_FENCED"
		if v < 2 {
			fenced = "t INVALID_PRODUCER_EPOCH"
		}
		ask := func(id string, topics ...string) []string {
			return addAnswers(call[*kmsg.AddPartitionsToTxnResponse](w, v, partitionsAdded(id, topics...)))
		}
		if got := ask("x", "t"); !slices.Equal(got, []string{fenced}) {
			t.Errorf("v%d: %q", v, got)
		}
		if want := keyPartition("x", 50); !slices.Equal(f.asked, []int32{want}) {
			t.Errorf("asked %v, want %d", f.asked, want)
		}
		w.auth.deny(Write, TopicResource, "denied")
		w.auth.deny(Write, TopicResource, offsetsTopic)
		want := []string{"t OPERATION_NOT_ATTEMPTED", "denied TOPIC_AUTHORIZATION_FAILED", "none UNKNOWN_TOPIC_OR_PARTITION", offsetsTopic + " OPERATION_NOT_ATTEMPTED"}
		if got := ask("x", "t", "denied", "none", offsetsTopic); !slices.Equal(got, want) {
			t.Errorf("v%d: %q", v, got)
		}
		w.auth.deny(Write, TransactionalIDResource, "y")
		if got := ask("y", "t"); !slices.Equal(got, []string{"t TRANSACTIONAL_ID_AUTHORIZATION_FAILED"}) {
			t.Errorf("v%d: %q", v, got)
		}
		if len(f.asked) != 1 {
			t.Errorf("asked %v", f.asked)
		}
	}
}

// A broker's request about many transactions is cut by partition, and put together in its order.
func TestAddPartitionsToTxnBatched(t *testing.T) {
	w, f := txnWorld(t)
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	for _, id := range []string{"a", "b", "a2", "none"} {
		topic := "t"
		if id == "none" {
			topic = "none"
		}
		q.Transactions = append(q.Transactions, kmsg.AddPartitionsToTxnRequestTransaction{TransactionalID: id, VerifyOnly: true,
			Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: []int32{0}}}})
	}
	want := []string{"a t INVALID_PRODUCER_ID_MAPPING", "b t INVALID_PRODUCER_ID_MAPPING", "a2 t INVALID_PRODUCER_ID_MAPPING", "none none UNKNOWN_TOPIC_OR_PARTITION"}
	if got := addAnswers(call[*kmsg.AddPartitionsToTxnResponse](w, 5, q)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if len(f.asked) != 3 {
		t.Errorf("asked %v", f.asked)
	}
	w.auth.deny(ClusterAction, ClusterResource, ClusterName)
	if got := call[*kmsg.AddPartitionsToTxnResponse](w, 5, q).ErrorCode; got != int16(protocol.ClusterAuthorizationFailed) {
		t.Errorf("not a broker: %v", protocol.Code(got))
	}
}

// The right to a transactional id, and to the group, is asked for before the coordinator is.
func TestTransactionsAreAuthorized(t *testing.T) {
	w, f := txnWorld(t)
	f.answer = func(int) (any, error) { return nil, coordinator.ErrNotCoordinator }
	w.auth.deny(Write, TransactionalIDResource, "x")
	w.auth.deny(Describe, TransactionalIDResource, "x")
	w.auth.deny(Read, GroupResource, "g")
	code(t, call[*kmsg.AddOffsetsToTxnResponse](w, 3, &kmsg.AddOffsetsToTxnRequest{TransactionalID: "x", Group: "g"}).ErrorCode, protocol.TransactionalIDAuthorizationFailed, "offsets")
	code(t, call[*kmsg.AddOffsetsToTxnResponse](w, 3, &kmsg.AddOffsetsToTxnRequest{TransactionalID: "y", Group: "g"}).ErrorCode, protocol.GroupAuthorizationFailed, "offsets of a group")
	end := call[*kmsg.EndTxnResponse](w, 5, &kmsg.EndTxnRequest{TransactionalID: "x"})
	code(t, end.ErrorCode, protocol.TransactionalIDAuthorizationFailed, "end")
	if end.ProducerID != -1 || end.ProducerEpoch != -1 {
		t.Errorf("end: %+v", end)
	}
	topics := []kmsg.TxnOffsetCommitRequestTopic{{Topic: "t", Partitions: make([]kmsg.TxnOffsetCommitRequestTopicPartition, 1)}}
	for id, want := range map[string]protocol.Code{"x": protocol.TransactionalIDAuthorizationFailed, "y": protocol.GroupAuthorizationFailed} {
		r := call[*kmsg.TxnOffsetCommitResponse](w, 3, &kmsg.TxnOffsetCommitRequest{TransactionalID: id, Group: "g", Topics: topics})
		code(t, r.Topics[0].Partitions[0].ErrorCode, want, "commit by "+id)
	}
	if len(f.asked) != 0 {
		t.Errorf("asked %v", f.asked)
	}
	d := call[*kmsg.DescribeTransactionsResponse](w, 0, &kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{"x", "y"}})
	code(t, d.TransactionStates[0].ErrorCode, protocol.TransactionalIDAuthorizationFailed, "describe")
	code(t, d.TransactionStates[1].ErrorCode, protocol.NotCoordinator, "describe")
}

// Lists of all partitions are one; what the client may not see is left out; a partition that is loading refuses the whole.
func TestListTransactions(t *testing.T) {
	w, f := txnWorld(t)
	f.partitions = []int32{1, 2, 3}
	failed := error(nil)
	f.answer = func(i int) (any, error) {
		if i == 1 {
			return nil, coordinator.ErrNotCoordinator
		}
		if i == 2 && failed != nil {
			return nil, failed
		}
		return []kmsg.ListTransactionsResponseTransactionState{{TransactionalID: fmt.Sprint("x", i)}, {TransactionalID: fmt.Sprint("y", i)}}, nil
	}
	w.auth.deny(Describe, TransactionalIDResource, "x2")
	ask := func() *kmsg.ListTransactionsResponse {
		f.asked = nil
		q := kmsg.NewPtrListTransactionsRequest()
		q.StateFilters = []string{"Ongoing", "Tired"}
		return call[*kmsg.ListTransactionsResponse](w, 1, q)
	}
	r := ask()
	var got []string
	for _, x := range r.TransactionStates {
		got = append(got, x.TransactionalID)
	}
	if !slices.Equal(got, []string{"x0", "y0", "y2"}) || !slices.Equal(r.UnknownStateFilters, []string{"Tired"}) {
		t.Errorf("%q, unknown %q", got, r.UnknownStateFilters)
	}
	failed = coordinator.ErrLoading
	if r := ask(); r.ErrorCode != int16(protocol.CoordinatorLoadInProgress) || len(r.TransactionStates) > 0 {
		t.Errorf("%+v", r)
	}
	q := kmsg.NewPtrListTransactionsRequest()
	q.TransactionalIDPattern = text("(")
	code(t, call[*kmsg.ListTransactionsResponse](w, 2, q).ErrorCode, protocol.InvalidRegularExpression, "pattern")
}

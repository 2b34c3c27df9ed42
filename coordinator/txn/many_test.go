package txn

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
)

// TestManyAtOnce holds that no operation writes much more than fullStep, for it is one batch, and no request for markers is much larger
// than it may be, when thousands of transactions time out, go on after a load, and are forgotten; and that none is left out.
func TestManyAtOnce(t *testing.T) {
	const n = 3000
	cfg := testConfig()
	cfg.ExpirationMs = 100_000
	h := newHarness(t, cfg)
	h.every, h.block, h.md = 0, 1_000_000, testMetadata{"t": {1, 1, 1, 2}}
	h.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(h.now, h.md) })
	for i := range n {
		id := fmt.Sprint("id", i)
		init := kmsg.NewPtrInitProducerIDRequest()
		init.Version, init.TransactionalID, init.TransactionTimeoutMillis = 5, &id, 60_000
		h.do(func(m *Machine) coordinator.Effects { return m.InitProducerID(h.now, 1, init, TwoPhase{}) })
		add := kmsg.NewPtrAddPartitionsToTxnRequest()
		add.Version, add.TransactionalID, add.ProducerID = 3, id, h.m.txns[id].producerID
		add.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "t", Partitions: []int32{0, 1, 2, 3}}}
		h.do(func(m *Machine) coordinator.Effects { return m.AddPartitionsToTxn(h.now, 2, add) })
	}
	ops := 0
	held := func() {
		t.Helper()
		size := 0
		for _, r := range h.written {
			size += len(r.Key) + len(r.Value)
		}
		if size > fullStep+1000 {
			t.Fatalf("an operation writes %d bytes", size)
		}
		for _, q := range h.sent {
			parts := 0
			for _, m := range q.Request.(*kmsg.WriteTxnMarkersRequest).Markers {
				for _, t := range m.Topics {
					parts += len(t.Partitions)
				}
			}
			if parts > maxMarks+4 {
				t.Fatalf("a request has %d markers", parts)
			}
		}
		ops++
	}
	in := func(want state, what string) {
		t.Helper()
		if got := len(h.m.sorted(func(x *txn) bool { return x.state == want })); got != n {
			t.Fatalf("%d are %s %s", got, want, what)
		}
	}
	h.advance(70_000, func(coordinator.TimerKey) { held() })
	in(prepareAbort, "after the time-out")
	h.reload()
	h.advance(0, func(coordinator.TimerKey) { held() })
	requests := len(h.sends)
	for len(h.sends) > 0 {
		h.answerMarkers(0, written)
		held()
	}
	in(completeAbort, "after the load")
	if requests > n/50 {
		t.Errorf("%d requests for the markers of %d transactions", requests, n)
	}
	h.advance(h.cfg.ExpirationMs+2*h.cfg.ExpirationCheckMs, func(coordinator.TimerKey) { held() })
	if len(h.m.txns) > 0 {
		t.Errorf("%d are not forgotten", len(h.m.txns))
	}
	t.Logf("%d operations, %d requests", ops, requests)
}

package txn

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
)

// bed is a machine without the harness's checks: what the runtime does with effects, and nothing else.
type bed struct {
	tb testing.TB
	m  *Machine
}

func newBed(tb testing.TB) *bed {
	md := defaultMetadata
	for i := range 100 {
		md = md.with(fmt.Sprint("topic-", i), 1, 2, 3, 1)
	}
	b := &bed{tb, New(testConfig(), md, 1)}
	b.run(b.m.Elected(1000))
	b.run(b.m.Answered(1000, idsKey{}, IDs{1000, 1 << 40}, nil))
	return b
}

// run replays records and answers requests for markers.
func (b *bed) run(e coordinator.Effects) {
	for _, r := range e.Records {
		if err := b.m.Replay(coordinator.At{ProducerID: -1}, r); err != nil {
			b.tb.Fatal(err)
		}
	}
	for i := range e.Sends {
		if q := e.Sends[i]; q.Node >= 0 {
			b.run(b.m.Answered(1000, q.Key, writeMarkers(q, written), nil))
			return // the effects are gone; the hot paths send one request
		}
	}
}

func (b *bed) init(id string) {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionalID, r.TransactionTimeoutMillis = 5, &id, 60000
	b.run(b.m.InitProducerID(1000, 1, r, TwoPhase{}))
}

// hotPaths are what a transaction takes, in its order. By version 1 the epoch stays, so that they can be repeated.
func hotPaths(tb testing.TB) (names []string, paths []func()) {
	b := newBed(tb)
	b.init("transfer-1")
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.Version, add.TransactionalID, add.ProducerID = 3, "transfer-1", 1000
	add.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	verify := kmsg.NewPtrAddPartitionsToTxnRequest()
	verify.Version = 5
	verify.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{{TransactionalID: "transfer-1", ProducerID: 1000, VerifyOnly: true,
		Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: "t", Partitions: []int32{0}}}}}
	end := kmsg.NewPtrEndTxnRequest()
	end.Version, end.TransactionalID, end.ProducerID, end.Commit = 4, "transfer-1", 1000, true
	var sent coordinator.Send
	var answer *kmsg.WriteTxnMarkersResponse
	replay := func(e coordinator.Effects) {
		for _, r := range e.Records {
			if err := b.m.Replay(coordinator.At{ProducerID: -1}, r); err != nil {
				tb.Fatal(err)
			}
		}
		if len(e.Sends) > 0 {
			sent = e.Sends[0]
		}
	}
	names = []string{"AddPartitionsToTxn", "verify", "EndTxn", "answer"}
	return names, []func(){
		func() { replay(b.m.AddPartitionsToTxn(2000, 2, add)) },
		func() { replay(b.m.AddPartitionsToTxn(2000, 3, verify)) },
		func() { replay(b.m.EndTxn(2000, 4, end)) },
		func() {
			if answer == nil {
				answer = writeMarkers(sent, written)
			}
			replay(b.m.Answered(2000, sent.Key, answer, nil))
			if t := b.m.txns["transfer-1"]; t.state != completeCommit {
				tb.Fatalf("the transaction is %s", t.state)
			}
		},
	}
}

// TestHotPathsAllocateLittle holds that a transaction of one partition allocates its three responses, and a request for its markers.
func TestHotPathsAllocateLittle(t *testing.T) {
	names, paths := hotPaths(t)
	most := map[string]float64{"AddPartitionsToTxn": 3, "verify": 4, "EndTxn": 7, "answer": 0}
	for range 3 {
		for _, f := range paths {
			f()
		}
	}
	allocs := make([]float64, len(paths))
	var before, after runtime.MemStats
	const runs = 200
	for range runs {
		for i, f := range paths {
			runtime.ReadMemStats(&before)
			f()
			runtime.ReadMemStats(&after)
			allocs[i] += float64(after.Mallocs-before.Mallocs) / runs
		}
	}
	for i, n := range allocs {
		t.Logf("%s: %.2f allocations", names[i], n)
		if n > most[names[i]]+0.5 {
			t.Errorf("%s: %.2f allocations, want %v", names[i], n, most[names[i]])
		}
	}
}

// BenchmarkTransaction is AddPartitionsToTxn, a verification, EndTxn and the answer to its markers, without the appends.
func BenchmarkTransaction(b *testing.B) {
	_, paths := hotPaths(b)
	b.ReportAllocs()
	for b.Loop() {
		for _, f := range paths {
			f()
		}
	}
}

// BenchmarkLoad is a load of 10,000 transactional ids, with a transaction open in each, until the machine takes requests.
func BenchmarkLoad(b *testing.B) {
	m := openTxns(b, 10_000)
	var log []coordinator.Record
	for _, id := range m.sorted(func(*txn) bool { return true }) {
		log = append(log, coordinator.Record{Key: appendKey(nil, id), Value: appendValue(nil, &m.txns[id].value, 1)})
	}
	b.ReportAllocs()
	for b.Loop() {
		m := New(testConfig(), defaultMetadata, 1)
		for _, r := range log {
			if err := m.Replay(coordinator.At{ProducerID: -1}, r); err != nil {
				b.Fatal(err)
			}
		}
		m.Elected(1000)
	}
}

func openTxns(tb testing.TB, n int) *Machine {
	b := newBed(tb)
	for i := range n {
		id := fmt.Sprintf("application-%d", i)
		b.init(id)
		r := kmsg.NewPtrAddPartitionsToTxnRequest()
		r.Version, r.TransactionalID, r.ProducerID = 3, id, b.m.txns[id].producerID
		r.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: fmt.Sprint("topic-", i%100), Partitions: []int32{0, 1, 2, 3}}, {Topic: offsetsTopic, Partitions: []int32{0}}}
		b.run(b.m.AddPartitionsToTxn(1000, 2, r))
	}
	return b.m
}

// TestManyTransactions holds that 10,000 transactional ids, each with a transaction of five partitions open, take less than 1 KiB each: a
// bound on what the machine keeps, not on what a run of it takes. What they keep after their transactions is less.
func TestManyTransactions(t *testing.T) {
	before := heap()
	const ids = 10_000
	m := openTxns(t, ids)
	each := (heap() - before) / ids
	t.Logf("%d bytes an open transaction", each)
	if each > 1024 {
		t.Errorf("%d bytes an open transaction", each)
	}
	b := &bed{t, m}
	for id, x := range m.txns {
		r := kmsg.NewPtrEndTxnRequest()
		r.Version, r.TransactionalID, r.ProducerID, r.Commit = 5, id, x.producerID, true
		fx := m.EndTxn(1000, 3, r)
		sends := append([]coordinator.Send(nil), fx.Sends...)
		for _, rec := range fx.Records {
			if err := m.Replay(coordinator.At{ProducerID: -1}, rec); err != nil {
				t.Fatal(err)
			}
		}
		for _, q := range sends {
			b.run(m.Answered(1000, q.Key, writeMarkers(q, written), nil))
		}
		if x.state != completeCommit {
			t.Fatalf("%s is %s", id, x.state)
		}
	}
	after := (heap() - before) / ids
	t.Logf("%d bytes after it", after)
	if after > 1024 {
		t.Errorf("%d bytes after it", after)
	}
	runtime.KeepAlive(m)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

package txn

import (
	"math/rand"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// TestWalk lets producers of some transactional ids, several to an id, begin, write, commit and abort, by version 1, by version 2 and by
// both while the level of the feature changes. Requests and answers get lost, Produce, EndTxn and markers come late, brokers fail, coordinators
// are killed, time passes. WEIR_TXN_WALK says how many operations. It holds what walkPartition.mark and walker.gave say: no transaction
// is torn, none has an outcome that its producer was not told, no record of one lands in another, no two producers have the same epoch.
// In the end all are over.
func TestWalk(t *testing.T) {
	seed, ops := time.Now().UnixNano(), 20_000
	if v, err := strconv.Atoi(os.Getenv("WEIR_TXN_WALK")); err == nil {
		ops = v
	}
	if v, err := strconv.ParseInt(os.Getenv("WEIR_TXN_SEED"), 10, 64); err == nil {
		seed = v
	}
	for _, kind := range []string{"first", "second", "both"} {
		t.Run(kind, func(t *testing.T) {
			t.Logf("WEIR_TXN_SEED=%d", seed)
			w := newWalker(t, seed, kind)
			for range ops {
				w.step()
			}
			w.finish()
			t.Logf("%d operations, %v", w.ops, w.count)
			want := []string{"init NONE", "init CONCURRENT_TRANSACTIONS", "end NONE", "reload", "late produce refused", "marker lost", "marked commit", "marked abort", "timed out", "fenced"}
			if kind == "second" {
				want = append(want, "late end", "late marker refused", "rotated")
			}
			for _, what := range want {
				if ops >= 20_000 && w.count[what] == 0 {
					t.Errorf("the walk never saw %s", what)
				}
			}
		})
	}
}

const (
	walkIDs        = 5
	walkPartitions = 4
	walkTimeoutMs  = 30_000
)

type walker struct {
	*harness
	kind      string
	r         *rand.Rand
	producers []*walkProducer
	parts     [walkPartitions]*walkPartition
	txns      []*walkTxn
	late      []func() // messages that are still under way
	given     map[producer]int
	pids      map[int64]string
	token     coordinator.Token
	instances int
	count     map[string]int
}

// walkProducer is what a producer knows.
type walkProducer struct {
	id       string
	version2 bool
	n        int  // of the instance
	zombie   bool // there is a younger one
	producer
	ready  bool
	broken bool // something of its transaction is lost: it must abort, and by version 1 get another epoch
	txn    *walkTxn
	in     map[int32]bool // partitions that were added, or written
	seq    map[int32]int32
	asked  bool // EndTxn was sent, and it does not know what became of it
	commit bool
}

// walkTxn is a transaction as its producer sees it.
type walkTxn struct {
	n       int
	written int // records that a partition has
	closed  int
	commit  bool   // it was ever to be committed
	told    string // "commit", "abort": what the producer was told
	outcome string // what the markers say
	ended   [walkPartitions]bool
}

func newWalker(t *testing.T, seed int64, kind string) *walker {
	cfg := testConfig()
	if cfg.Version = 2; kind == "first" {
		cfg.Version = 1
	}
	w := &walker{harness: newHarness(t, cfg), kind: kind, r: rand.New(rand.NewSource(seed)), given: map[producer]int{}, pids: map[int64]string{}, count: map[string]int{}}
	w.block = 50
	w.md = testMetadata{"t": {1, 2, 3, 1}}
	w.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(w.now, w.md) })
	for i := range w.parts {
		w.parts[i] = &walkPartition{n: int32(i), producers: map[int64]*walkState{}}
	}
	for i := range walkIDs {
		w.producers = append(w.producers, w.instance("id"+strconv.Itoa(i)))
	}
	return w
}

func (w *walker) instance(id string) *walkProducer {
	w.instances++
	return &walkProducer{id: id, n: w.instances, producer: producer{-1, -1}, version2: w.kind == "second" || w.kind == "both" && w.r.Intn(2) == 0}
}

// op runs an operation and returns its reply; nil if it waits.
func (w *walker) op(f func(m *Machine, t coordinator.Token) coordinator.Effects) any {
	// Whether an operation is pure, and the log says everything, is looked at now and then: it takes longer than the operation.
	w.every = 0
	if w.r.Intn(300) == 0 {
		w.log, w.every = compact(w.log, w.r.Intn(2) == 0), 1
	}
	w.token++
	token := w.token
	w.replies = nil
	w.do(func(m *Machine) coordinator.Effects { return f(m, token) })
	for _, r := range w.replies {
		if r.To == token {
			return r.Response
		}
	}
	return nil
}

func (w *walker) step() {
	switch n := w.r.Intn(100); {
	case n < 70:
		w.act(w.producers[w.r.Intn(len(w.producers))])
	case n < 88:
		w.broker()
	case n < 92 && len(w.late) > 0:
		i := w.r.Intn(len(w.late))
		f := w.late[i]
		w.late = slices.Delete(w.late, i, i+1)
		f()
	case n < 96:
		w.pass(int64(w.r.Intn(1000)))
	default:
		w.rare()
	}
}

func (w *walker) pass(ms int64) {
	before := len(w.log)
	w.advance(ms, func(k coordinator.TimerKey) {
		if k.Kind == timerAbort && len(w.log) > before {
			w.count["timed out"]++
		}
	})
}

func (w *walker) rare() {
	switch w.r.Intn(12) {
	case 0, 1: // another instance; the old one may still be there
		i := w.r.Intn(walkIDs)
		if old := w.producers[i]; w.r.Intn(2) == 0 {
			old.zombie = true
			w.producers = append(w.producers, old)
		}
		w.producers[i] = w.instance(w.producers[i].id)
	case 2:
		w.count["reload"]++
		w.late = append(w.late, w.lateMarkers()...)
		w.reload()
	case 3:
		w.pass(walkTimeoutMs)
	case 4:
		if w.r.Intn(20) == 0 {
			w.pass(8 * 24 * 3600 * 1000 / 1000) // not long enough to expire, but for many checks
		}
	case 5:
		w.leaders()
	case 6:
		if w.kind == "both" {
			c := *w.cfg
			c.Version = int16(w.r.Intn(3))
			w.cfg = &c
			w.do(func(m *Machine) coordinator.Effects { return m.SetConfig(w.now, &c) })
		}
	case 7:
		w.skipEpochs()
	}
}

// leaders moves partitions, and leaves some without a leader.
func (w *walker) leaders() {
	var l []int32
	for range walkPartitions {
		n := int32(w.r.Intn(4))
		if n == 0 {
			n = -1
		}
		l = append(l, n)
	}
	w.md = testMetadata{"t": l}
	w.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(w.now, w.md) })
}

// skipEpochs is many producers that came and went: the last epochs are near.
func (w *walker) skipEpochs() {
	t := w.m.txns["id"+strconv.Itoa(w.r.Intn(walkIDs))]
	if t == nil || t.state == ongoing || t.state.preparing() || t.epoch > 32000 {
		return
	}
	w.op(func(m *Machine, _ coordinator.Token) coordinator.Effects {
		v := t.value
		v.prevID, v.epoch, v.state, v.start = v.producerID, 32760, empty, -1
		s := m.begin(w.now)
		s.write(t.id, &v)
		t.lastEpoch = -1
		return s.e
	})
}

// act is the next thing that a producer does.
func (w *walker) act(p *walkProducer) {
	switch {
	case !p.ready:
		w.init(p)
	case p.asked:
		w.end(p)
	case p.txn == nil:
		p.txn = &walkTxn{n: len(w.txns)}
		p.in = map[int32]bool{}
		w.txns = append(w.txns, p.txn)
	case w.r.Intn(4) == 0 || p.broken:
		if len(p.in) == 0 && !p.broken {
			p.txn = nil // nothing is in it: nobody hears of it
			return
		}
		p.asked, p.commit = true, !p.broken && w.r.Intn(3) > 0
		w.end(p)
	default:
		w.produce(p, int32(w.r.Intn(walkPartitions)))
	}
}

func (w *walker) init(p *walkProducer) {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = 5, &p.id, walkTimeoutMs, p.producer.id, p.epoch
	resp, _ := w.op(func(m *Machine, t coordinator.Token) coordinator.Effects {
		return m.InitProducerID(w.now, t, r, TwoPhase{})
	}).(*kmsg.InitProducerIDResponse)
	if resp == nil {
		return // it waits for producer ids, and comes again
	}
	w.count["init "+code(resp.ErrorCode)]++
	switch protocol.Code(resp.ErrorCode) {
	case protocol.None:
		if w.r.Intn(10) == 0 {
			return // the answer is lost
		}
		w.gave(p, resp.ProducerID, resp.ProducerEpoch)
		p.ready, p.broken, p.txn, p.asked = true, false, nil, false
	case protocol.ConcurrentTransactions, protocol.CoordinatorLoadInProgress:
	case protocol.ProducerFenced, protocol.UnknownServerError:
		w.restart(p)
	default:
		w.t.Fatalf("init: %s", protocol.Code(resp.ErrorCode))
	}
}

// gave holds that an epoch is given to one producer, and a producer id to one transactional id.
func (w *walker) gave(p *walkProducer, id int64, epoch int16) {
	next := producer{id, epoch}
	if n, ok := w.given[next]; ok && n != p.n {
		w.t.Fatalf("%v was given to producer %d, and now to %d", next, n, p.n)
	}
	if of, ok := w.pids[id]; ok && of != p.id {
		w.t.Fatalf("producer id %d is that of %s and %s", id, of, p.id)
	}
	if epoch < 0 || epoch > lastEpoch {
		w.t.Fatalf("epoch %d", epoch)
	}
	if p.producer.id != -1 && p.producer.id != id {
		w.count["rotated"]++
	}
	w.given[next], w.pids[id] = p.n, p.id
	if p.producer != next {
		p.seq = map[int32]int32{}
	}
	p.producer = next
}

// restart is a producer that cannot go on: the application begins anew.
func (w *walker) restart(p *walkProducer) {
	w.count["fenced"]++
	if p.zombie {
		w.producers = slices.DeleteFunc(w.producers, func(x *walkProducer) bool { return x == p })
		return
	}
	*p = *w.instance(p.id)
}

// produce writes one record. By version 1 the partition is added first.
func (w *walker) produce(p *walkProducer, n int32) {
	if !p.version2 && !p.in[n] {
		r := kmsg.NewPtrAddPartitionsToTxnRequest()
		r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch = 3, p.id, p.producer.id, p.epoch
		r.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "t", Partitions: []int32{n}}}
		resp := w.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.AddPartitionsToTxn(w.now, t, r) }).(*kmsg.AddPartitionsToTxnResponse)
		switch c := protocol.Code(resp.Topics[0].Partitions[0].ErrorCode); c {
		case protocol.None:
			p.in[n] = true
		case protocol.ConcurrentTransactions:
		case protocol.ProducerFenced, protocol.InvalidProducerIDMapping:
			w.restart(p)
		default:
			w.t.Fatalf("add: %s", c)
		}
		return
	}
	q := walkProduce{p.id, p.producer, p.version2, n, p.seq[n], p.txn}
	switch w.r.Intn(12) {
	case 0: // it comes late, or never
		p.broken, p.in[n] = true, true
		w.late = append(w.late, func() {
			if w.deliver(q) == protocol.None {
				w.count["late produce"]++
			} else {
				w.count["late produce refused"]++
			}
		})
		return
	case 1: // the answer is lost, and the retry is a duplicate
		w.deliver(q)
	}
	switch c := w.deliver(q); c {
	case protocol.None:
		p.in[n] = true
		p.seq[n]++
	case protocol.ConcurrentTransactions:
	case protocol.ProducerFenced, protocol.InvalidProducerIDMapping, protocol.InvalidProducerEpoch:
		w.restart(p)
	default:
		w.t.Fatalf("produce of %+v: %s", q, c)
	}
}

type walkProduce struct {
	id string
	producer
	version2 bool
	part     int32
	seq      int32
	txn      *walkTxn
}

// deliver is a Produce at the leader of the partition.
func (w *walker) deliver(q walkProduce) protocol.Code {
	st := w.parts[q.part].producers[q.producer.id]
	isNew := st == nil
	if isNew {
		st = &walkState{epoch: q.epoch, seq: -1}
	}
	if q.epoch < st.epoch {
		return protocol.InvalidProducerEpoch
	}
	if q.epoch == st.epoch && q.seq <= st.seq {
		return protocol.None // a duplicate
	}
	if len(st.open) == 0 || q.epoch > st.epoch {
		if c := w.verify(q); c != protocol.None {
			return c
		}
	}
	switch first := q.epoch > st.epoch || isNew && q.version2; {
	case first && q.seq != 0, !first && !isNew && q.seq != st.seq+1:
		return protocol.OutOfOrderSequenceNumber
	}
	w.parts[q.part].producers[q.producer.id] = st
	st.epoch, st.seq = q.epoch, q.seq
	st.open = append(st.open, q.txn)
	if q.txn.written++; q.txn.ended[q.part] {
		w.t.Fatalf("a record of transaction %d lands after its marker: %+v", q.txn.n, q)
	}
	for _, x := range st.open {
		if x != q.txn {
			w.t.Fatalf("a record of transaction %d lands in %d: %+v", q.txn.n, x.n, q)
		}
	}
	return protocol.None
}

// verify is what the leader asks the coordinator.
func (w *walker) verify(q walkProduce) protocol.Code {
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.Version = 5
	r.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{{TransactionalID: q.id, ProducerID: q.producer.id, ProducerEpoch: q.epoch, VerifyOnly: !q.version2,
		Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: "t", Partitions: []int32{q.part}}}}}
	resp := w.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.AddPartitionsToTxn(w.now, t, r) }).(*kmsg.AddPartitionsToTxnResponse)
	return protocol.Code(resp.Transactions[0].Topics[0].Partitions[0].ErrorCode)
}

func (w *walker) end(p *walkProducer) {
	r := kmsg.NewPtrEndTxnRequest()
	if r.Version = 4; p.version2 {
		r.Version = 5
	}
	r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = p.id, p.producer.id, p.epoch, p.commit
	x := p.txn
	x.commit = x.commit || p.commit
	ask := func() *kmsg.EndTxnResponse {
		resp, _ := w.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.EndTxn(w.now, t, r) }).(*kmsg.EndTxnResponse)
		return resp
	}
	if p.version2 && w.r.Intn(10) == 0 { // it comes once more, late; by version 1 nothing can be done about that
		w.late = append(w.late, func() {
			w.count["late end"]++
			ask()
		})
	}
	resp := ask()
	if resp == nil || w.r.Intn(10) == 0 {
		return // it waits, or the answer is lost: it comes again
	}
	w.count["end "+code(resp.ErrorCode)]++
	switch c := protocol.Code(resp.ErrorCode); c {
	case protocol.None:
		if x.told = "abort"; p.commit {
			x.told = "commit"
		}
		if x.outcome != "" && x.outcome != x.told {
			w.t.Fatalf("transaction %d was to %s, and its markers say %s", x.n, x.told, x.outcome)
		}
		p.txn, p.asked = nil, false
		if p.version2 {
			w.gave(p, resp.ProducerID, resp.ProducerEpoch)
			p.broken = false
		}
		p.ready = !p.broken
	case protocol.ConcurrentTransactions, protocol.CoordinatorLoadInProgress:
	case protocol.ProducerFenced, protocol.InvalidProducerIDMapping, protocol.InvalidTxnState:
		w.restart(p)
	default:
		w.t.Fatalf("end: %s", c)
	}
}

// broker answers a request for markers, or fails to.
func (w *walker) broker() {
	if len(w.sends) == 0 {
		return
	}
	i := w.r.Intn(len(w.sends))
	q := w.sends[i]
	if _, ok := q.Request.(AllocateIDs); ok {
		return
	}
	if w.r.Intn(10) > 0 {
		w.every = 0
		w.answerMarkers(i, w.write)
		return
	}
	w.count["marker lost"]++
	switch w.r.Intn(3) {
	case 0: // the answer is lost
		writeMarkers(q, w.write)
	case 1: // it comes late
		w.late = append(w.late, w.lateMarker(q)...)
	}
	w.answerMarkers(i, nil)
}

// write writes a marker, as the leader of the partition.
func (w *walker) write(_ int32, _ string, n int32, m *kmsg.WriteTxnMarkersRequestMarker) protocol.Code {
	switch w.r.Intn(20) {
	case 0:
		return protocol.NotLeaderOrFollower
	case 1:
		w.parts[n].mark(w, m)
		return protocol.RequestTimedOut
	}
	c := w.parts[n].mark(w, m)
	if c != protocol.None {
		w.t.Fatalf("partition %d refuses the marker %+v of the coordinator: %s, it has %+v", n, m, c, w.parts[n].producers[m.ProducerID])
	}
	return c
}

// lateMarkers is the requests that nobody waits for any more.
func (w *walker) lateMarkers() (out []func()) {
	for _, q := range w.sends {
		out = append(out, w.lateMarker(q)...)
	}
	return out
}

// lateMarker is a request that comes when the coordinator has given it up. Version 1 does not survive that.
func (w *walker) lateMarker(q coordinator.Send) []func() {
	if req, ok := q.Request.(*kmsg.WriteTxnMarkersRequest); !ok || w.kind != "second" || req == nil {
		return nil
	}
	return []func(){func() {
		writeMarkers(q, func(_ int32, _ string, n int32, m *kmsg.WriteTxnMarkersRequestMarker) protocol.Code {
			c := w.parts[n].mark(w, m)
			if w.count["late marker"]++; c != protocol.None {
				w.count["late marker refused"]++
			}
			return c
		})
	}}
}

// finish lets everything come to its end: no transaction stays open anywhere.
func (w *walker) finish() {
	w.md = testMetadata{"t": {1, 2, 3, 1}}
	w.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(w.now, w.md) })
	open := func() []string {
		return w.m.sorted(func(t *txn) bool { return t.state == ongoing || t.state.preparing() })
	}
	for n := 0; len(open()) > 0 && n < 1000; n++ {
		w.advance(10_000, nil)
		for len(w.sends) > 0 {
			w.answerMarkers(0, w.write)
		}
	}
	if ids := open(); len(ids) > 0 {
		w.t.Errorf("the transactions of %v never end:\n%s", ids, hardState(w.m))
	}
	for _, p := range w.parts {
		for id, st := range p.producers {
			if len(st.open) > 0 {
				w.t.Errorf("partition %d has an open transaction of producer %d: %+v; the coordinator has %s", p.n, id, st, hardState(w.m))
			}
		}
	}
	for _, x := range w.txns {
		if x.closed != x.written {
			w.t.Errorf("transaction %d: %d of %d records have an outcome", x.n, x.closed, x.written)
		}
	}
	w.checkReplay()
	if w.m.again != nil || len(w.m.ids.waiting) > 0 {
		w.t.Errorf("something waits for ever: %v, %v", w.m.again, w.m.ids.waiting)
	}
}

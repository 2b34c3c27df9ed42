package partition

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"weir/broker/partition/memlog"
	"weir/protocol"
	"weir/protocol/record"
)

// TestTransactionWalk lets producers of transactions of version 1 and 2, and their coordinator, write to a partition with two replicas:
// requests, answers of verifications and markers come late, twice or not at all, leaders change, logs are cut, replicas start anew. It holds
// that between two markers of a producer there are only records of the one transaction that the second of them ends (KIP-890), and that the
// last stable offset, the aborted transactions and what a reader makes of them are what a look at the whole log says.
func TestTransactionWalk(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	ended := 0
	for i := range 30 {
		w := newTxnWalk(t, seed+int64(i))
		for range 1200 {
			w.step()
			w.check()
		}
		ended += w.ended
	}
	if ended < 250 {
		t.Errorf("only %d transactions have ended", ended)
	}
}

type txnWalk struct {
	*script
	t         *testing.T
	r         *rand.Rand
	leader    int32
	epoch     int32
	producers []*txnClient
	requests  []*txnRequest // on their way, in no order
	ended     int
	loose     map[int32]bool // a replica whose high watermark was higher before: it need not hold readers back any more
	hw        map[int32]int64
	committed int64 // the highest of all
}

// txnClient is a producer and what the coordinator knows of it.
type txnClient struct {
	id      int64
	version int8
	epoch   int16
	txn     int   // the number of its transaction
	seq     int32 // of its next record
	lost    bool  // a request of this epoch was given up

	added  bool // the coordinator has this partition in the transaction
	ending bool
	commit bool
	marker int16 // epoch of the marker
}

// txnRequest is a batch that a client has sent.
type txnRequest struct {
	c        *txnClient
	epoch    int16
	seq      int32
	txn      int
	node     int32
	guard    Guard
	asked    bool
	verified bool
}

func newTxnWalk(t *testing.T, seed int64) *txnWalk {
	w := &txnWalk{script: newScript(), t: t, r: rand.New(rand.NewSource(seed)), loose: map[int32]bool{}, hw: map[int32]int64{}}
	for id := int32(1); id <= 2; id++ {
		n := &node{log: &memlog.Log{}, cfg: testTopic(), set: Settings{ReplicaLagMs: 1 << 50, SnapshotBytes: 400}}
		n.cfg.MinInsyncReplicas = 2
		n.p = New(ID{}, id, n.log, &n.cfg, &n.set, w)
		w.nodes[id], w.epochs[id] = n, 1
		w.must(n.p.Load(-1))
	}
	for i := range 6 {
		w.producers = append(w.producers, &txnClient{id: int64(i), version: int8(1 + i%2)})
	}
	w.elect(1)
	return w
}

func (w *txnWalk) must(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatal(err)
	}
}

// inSync says whether the follower has what is committed: else it would not be in the in-sync replicas.
func (w *txnWalk) inSync() bool {
	of := func(id int32) []byte { return w.bytes(w.nodes[id].log, 0, w.committed, 1<<30) }
	return bytes.Equal(of(1), of(2))
}

func (w *txnWalk) elect(id int32) {
	w.leader = id
	w.epoch++
	w.tell(1)
	w.tell(2)
}

func (w *txnWalk) tell(id int32) {
	var e Effects
	m := Metadata{Leader: w.leader, LeaderEpoch: w.epoch, PartitionEpoch: w.epoch, Replicas: []int32{1, 2}, ISR: []int32{1, 2}}
	if id == w.leader {
		w.nodes[id].p.BecomeLeader(w.now, &m, &e)
	} else {
		w.nodes[id].p.BecomeFollower(&m, &e)
	}
	w.do(id, &e)
}

func (w *txnWalk) do(id int32, e *Effects) {
	for _, c := range e.Done {
		c.To.Complete(c.Code)
	}
	if e.Snapshot && w.r.Intn(3) > 0 {
		w.must(w.nodes[id].p.SaveSnapshot())
	}
}

func (w *txnWalk) step() {
	w.now++
	c := w.producers[w.r.Intn(len(w.producers))]
	switch x := w.r.Intn(100); {
	case x < 25:
		w.send(c)
	case x < 60 && len(w.requests) > 0:
		w.deliver(w.requests[w.r.Intn(len(w.requests))])
	case x < 65:
		w.end(c)
	case x < 75:
		w.mark(c)
	case x < 90:
		w.follow()
	case x < 92 && w.inSync():
		w.elect(3 - w.leader)
	case x < 94:
		w.restart(1 + int32(w.r.Intn(2)))
	case x < 95:
		id := 3 - w.leader
		if w.r.Intn(2) == 0 && w.inSync() {
			w.elect(id)
			id = 3 - id
		}
		w.nodes[id].log.Crash()
		w.restart(id)
	default:
		_ = w.nodes[1+int32(w.r.Intn(2))].log.Sync()
	}
}

// send has a client send the next batch of its transaction.
func (w *txnWalk) send(c *txnClient) {
	if c.ending {
		return
	}
	w.requests = append(w.requests, &txnRequest{c: c, epoch: c.epoch, seq: c.seq, txn: c.txn, node: w.leader})
	c.seq++
}

// deliver takes a request one step on: to the partition, to the coordinator, back to the partition. It may go on after that once more.
func (w *txnWalk) deliver(q *txnRequest) {
	n := w.nodes[q.node]
	switch {
	case w.r.Intn(30) == 0:
		q.c.lost = q.c.lost || q.epoch == q.c.epoch
		w.forget(q)
	case !q.asked:
		if code := n.p.CheckAppend(1); code != protocol.None {
			q.node = w.leader
			return
		}
		var code protocol.Code
		q.guard, code = n.p.StartVerification(w.now, q.c.id, q.epoch, q.seq, q.c.version == 2)
		if code == protocol.InvalidProducerEpoch {
			w.forget(q)
			return
		}
		q.asked, q.verified = true, !q.guard.Needed()
	case !q.verified:
		c := q.c
		switch {
		case c.epoch != q.epoch || c.ending:
			q.asked = false
			if c.epoch != q.epoch {
				w.forget(q)
			}
			return
		case c.version == 2:
			c.added = true
		case !c.added: // the client of version 1 adds it first
			c.added = c.txn == q.txn
			return
		}
		q.verified = true
	default:
		w.append(n, q)
	}
}

func (w *txnWalk) forget(q *txnRequest) {
	w.requests = slices.DeleteFunc(w.requests, func(x *txnRequest) bool { return x == q })
}

func (w *txnWalk) append(n *node, q *txnRequest) {
	b := record.Builder{Transactional: true, HasProducer: true, ProducerID: q.c.id, ProducerEpoch: q.epoch, BaseSequence: q.seq, LeaderEpoch: -1}
	b.Add(w.now, nil, fmt.Append(nil, q.txn))
	var e Effects
	var r Appended
	n.p.AppendAsLeader(w.now, &Append{Records: b.Bytes(), Set: record.Set{Next: 1, MaxTimestamp: w.now}, Acks: 1, Guard: q.guard}, &r, &e)
	w.do(n.p.self, &e)
	switch r.Code {
	case protocol.None, protocol.InvalidProducerEpoch:
		if w.r.Intn(10) > 0 { // else the answer is lost, and it is sent again
			w.forget(q)
		}
	}
	q.asked, q.verified, q.node = false, false, w.leader
}

// end has a client end its transaction.
func (w *txnWalk) end(c *txnClient) {
	if !c.added || c.ending {
		return
	}
	c.ending, c.commit = true, w.r.Intn(2) == 0
	c.marker = c.epoch
	if c.version == 2 {
		c.marker++
	}
	for _, q := range w.requests {
		c.lost = c.lost || q.c == c && q.epoch == c.epoch
	}
}

// mark sends the marker, until it is acknowledged.
func (w *txnWalk) mark(c *txnClient) {
	if !c.ending {
		return
	}
	control := record.ControlAbort
	if c.commit {
		control = record.ControlCommit
	}
	n := w.nodes[w.leader]
	var e Effects
	var r Appended
	n.p.AppendAsLeader(w.now, &Append{Records: record.Marker(control, c.id, c.marker, 0, int64(c.txn)), Acks: -1, Coordinator: true,
		TxnVersion: c.version, Set: record.Set{Next: 1, Records: 1}}, &r, &e)
	w.do(w.leader, &e)
	if r.Code != protocol.None {
		w.t.Fatalf("marker of %+v: %s", c, r.Code)
	}
	if r.WaitHW {
		n.p.Await(&r, &markerAck{w, c, c.txn})
	} else {
		(&markerAck{w, c, c.txn}).Complete(protocol.None)
	}
}

// markerAck is the coordinator hearing of a marker.
type markerAck struct {
	w   *txnWalk
	c   *txnClient
	txn int
}

func (a *markerAck) Complete(code protocol.Code) {
	c := a.c
	if code != protocol.None || !c.ending || c.txn != a.txn {
		return
	}
	a.w.ended++
	c.txn++
	c.ending, c.added = false, false
	// A client of version 1 that does not know what became of a request takes a new epoch; in version 2 each transaction has its own.
	if c.version == 2 || c.lost || a.w.r.Intn(5) == 0 {
		c.epoch++
		c.seq = 0
	}
	c.lost = false
}

func (w *txnWalk) follow() {
	id := 3 - w.leader
	l, f := w.nodes[w.leader], w.nodes[id]
	offset, last := f.p.FetchFrom()
	q := ReadRequest{Offset: offset, LeaderEpoch: w.epoch, LastFetchedEpoch: last, ReplicaID: id, ReplicaEpoch: -1, OnlyLeader: true}
	var r ReadPlan
	var e, fe Effects
	l.p.PlanRead(w.now, &q, &r, &e)
	w.do(w.leader, &e)
	if r.Code != protocol.None {
		w.t.Fatalf("fetch: %s", r.Code)
	}
	if r.Diverging.Epoch >= 0 {
		w.must(f.p.Diverged(r.Diverging, &fe))
		return
	}
	recs := w.bytes(l.log, r.From, r.Limit, 1+w.r.Intn(400))
	set, err := CheckFetched(recs)
	w.must(err)
	code, err := f.p.AppendAsFollower(&Fetched{Records: recs, Offset: offset, LeaderEpoch: w.epoch, HighWatermark: r.HighWatermark}, set, &fe)
	w.must(err)
	if code != protocol.None {
		w.t.Fatalf("append as follower: %s", code)
	}
	w.do(id, &fe)
}

func (w *txnWalk) bytes(l *memlog.Log, from, limit int64, n int) (recs []byte) {
	var data record.Data
	w.must(l.Read(&data, from, limit, n, true))
	for _, p := range data.Pieces {
		recs = append(recs, p.Bytes...)
	}
	return recs
}

func (w *txnWalk) restart(id int32) {
	n := w.nodes[id]
	switch w.r.Intn(4) {
	case 0:
		n.log.DropSnapshots()
	case 1:
		n.log.LoseAborted(w.r.Int63n(n.log.End() + 1))
	}
	hw := n.p.HighWatermark()
	n.p = New(ID{}, id, n.log, &n.cfg, &n.set, w)
	w.must(n.p.Load(hw))
	w.tell(id)
	w.loose[id] = true
}

// seenTxn is a transaction as a look at the whole log finds it.
type seenTxn struct {
	pid           int64
	first, marker int64 // marker -1: open
	commit        bool
}

// look goes through a log from its beginning.
func (w *txnWalk) look(l *memlog.Log) (txns []*seenTxn, batches []record.Batch) {
	open := map[int64]*seenTxn{}
	number := map[int64]string{}
	for recs := w.bytes(l, 0, l.End(), 1<<30); len(recs) > 0; {
		b, rest, err := record.Next(recs)
		w.must(err)
		recs = rest
		batches = append(batches, b)
		pid := b.ProducerID()
		text := ""
		w.must(record.Records(b, func(r *record.Record) bool { text = string(r.Value); return true }))
		if control, _, ok := record.ReadMarker(b); ok && b.Control() {
			if x := open[pid]; x != nil {
				if want := fmt.Sprint(b.MaxTimestamp()); number[pid] != want {
					w.t.Fatalf("the marker of transaction %s of producer %d at %d ends %s, from %d", want, pid, b.BaseOffset(), number[pid], x.first)
				}
				x.marker, x.commit = b.BaseOffset(), control == record.ControlCommit
				delete(open, pid)
			}
			continue
		}
		if open[pid] == nil {
			open[pid] = &seenTxn{pid: pid, first: b.BaseOffset(), marker: -1}
			txns = append(txns, open[pid])
			number[pid] = text
		} else if number[pid] != text {
			w.t.Fatalf("a record of transaction %s of producer %d at %d is among those of %s", text, pid, b.BaseOffset(), number[pid])
		}
	}
	return txns, batches
}

func (w *txnWalk) check() {
	for _, id := range w.ids() {
		n := w.nodes[id]
		hw := n.p.HighWatermark()
		if hw < w.hw[id] {
			w.loose[id] = true
		}
		w.committed = max(w.committed, hw)
		if w.hw[id] = hw; hw == n.log.End() {
			w.loose[id] = false
		}
		txns, batches := w.look(n.log)
		w.checkStable(id, n, txns, hw)
		w.checkReader(n, txns, batches)
		if w.r.Intn(20) == 0 && !w.loose[id] {
			checkReload(w.t, w.now, n.p, n.log)
		}
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

func (w *txnWalk) checkStable(id int32, n *node, txns []*seenTxn, hw int64) {
	want, most := hw, hw
	for _, x := range txns {
		if x.marker < 0 {
			most = min(most, x.first)
		}
		if x.marker < 0 || x.marker >= hw {
			want = min(want, x.first)
		}
	}
	if got := n.p.LastStable(); got > most || got < want || got != want && !w.loose[id] {
		w.t.Fatalf("last stable offset %d of %v, want %d", got, n.p, want)
	}
	from, limit := w.r.Int63n(n.log.End()+1), w.r.Int63n(n.log.End()+1)
	got, _ := n.log.Aborted(nil, from, limit, 1<<30)
	var expect []record.AbortedTxn
	for _, x := range txns {
		if x.marker >= from && !x.commit && x.first < limit {
			expect = append(expect, record.AbortedTxn{ProducerID: x.pid, FirstOffset: x.first, LastOffset: x.marker})
		}
	}
	slices.SortFunc(expect, func(a, b record.AbortedTxn) int { return int(a.LastOffset - b.LastOffset) })
	if !slices.Equal(got, expect) {
		w.t.Fatalf("aborted in [%d, %d) of %v: %v, want %v", from, limit, n.p, got, expect)
	}
}

// checkReader reads as a client does with read_committed, from somewhere.
func (w *txnWalk) checkReader(n *node, txns []*seenTxn, batches []record.Batch) {
	lso := n.p.LastStable()
	if lso == 0 {
		return
	}
	from := w.r.Int63n(lso)
	aborted, _ := n.log.Aborted(nil, from, lso, 1<<30)
	skip := map[int64]bool{}
	for _, b := range batches {
		if b.BaseOffset() < from || b.NextOffset() > lso {
			continue
		}
		for len(aborted) > 0 {
			i := slices.IndexFunc(aborted, func(a record.AbortedTxn) bool { return a.FirstOffset <= b.LastOffset() })
			if i < 0 {
				break
			}
			skip[aborted[i].ProducerID] = true
			aborted = slices.Delete(aborted, i, i+1)
		}
		if control, _, _ := record.ReadMarker(b); b.Control() {
			if control == record.ControlAbort {
				delete(skip, b.ProducerID())
			}
			continue
		}
		commit := false
		for _, x := range txns {
			commit = commit || x.pid == b.ProducerID() && x.commit && x.first <= b.BaseOffset() && x.marker > b.BaseOffset()
		}
		if commit == skip[b.ProducerID()] {
			w.t.Fatalf("the reader from %d takes the batch at %d: %v; committed: %v", from, b.BaseOffset(), !skip[b.ProducerID()], commit)
		}
	}
}

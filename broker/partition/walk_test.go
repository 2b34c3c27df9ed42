package partition

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"weir/broker/partition/memlog"
	"weir/protocol"
	"weir/protocol/record"
)

// TestRandomWalk lets three replicas of one partition live through appends, fetches, lag, elections, crashes of machines, and answers
// of the controller that come late, twice or not at all, with min.insync.replicas=2 and acks=all. It holds that what was once below a high
// watermark stays as it was on every later leader (B2), that the high watermark of a leader only rises (B4), that epoch caches rise (B5),
// that an acknowledged batch is there once, and that the hard state is what the log says.
func TestRandomWalk(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	acked := 0
	for i := range 40 {
		w := newWalk(t, seed+int64(i))
		for range 400 {
			w.step()
			w.check()
		}
		w.settle()
		acked += len(w.ack)
	}
	if acked < 100 {
		t.Errorf("only %d batches were acknowledged", acked)
	}
}

type walk struct {
	*script
	t   *testing.T
	r   *rand.Rand
	md  Metadata // what the controller has committed
	up  map[int32]bool
	hw  map[[2]int32]int64 // highest seen by broker and epoch
	ack map[int32]int64    // sequence acknowledged, to its offset
	// committed are the bytes below the highest high watermark that any leader had.
	committed [][]byte
	seq       int32
	late      []lateAnswer
}

type walkAck struct {
	w    *walk
	seq  int32
	base int64
}

func (a *walkAck) Complete(code protocol.Code) {
	if code == protocol.None {
		a.w.ack[a.seq] = a.base
	}
}

type lateAnswer struct {
	to int32
	q  *Proposal
	a  Answer
}

func newWalk(t *testing.T, seed int64) *walk {
	w := &walk{script: newScript(), t: t, r: rand.New(rand.NewSource(seed)), up: map[int32]bool{}, hw: map[[2]int32]int64{},
		ack: map[int32]int64{}}
	w.md = Metadata{Leader: 1, LeaderEpoch: 0, PartitionEpoch: 0, Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2, 3}}
	for _, id := range w.md.Replicas {
		n := &node{log: &memlog.Log{}, cfg: testTopic(), set: Settings{ReplicaLagMs: 3000, SnapshotBytes: 500}}
		n.cfg.MinInsyncReplicas = 2
		n.p = New(ID{}, id, n.log, &n.cfg, &n.set, w)
		w.nodes[id], w.epochs[id], w.up[id] = n, 1, true
		w.must(n.p.Load(-1))
	}
	w.publish()
	return w
}

func (w *walk) must(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatal(err)
	}
}

// publish tells all that are up what the controller has committed.
func (w *walk) publish() {
	for _, id := range w.ids() {
		if w.up[id] && w.r.Intn(5) > 0 { // some hear it later
			w.tell(id)
		}
	}
}

func (w *walk) tell(id int32) {
	var e Effects
	md, n := w.md, w.nodes[id]
	if md.Leader == id {
		n.p.BecomeLeader(w.now, &md, &e)
	} else {
		n.p.BecomeFollower(&md, &e)
	}
	w.do(id, &e)
}

func (w *walk) do(id int32, e *Effects) {
	for _, c := range e.Done {
		c.To.Complete(c.Code)
	}
	if e.Alter != nil {
		w.alter(id, e.Alter)
	}
	if e.Snapshot {
		w.must(w.nodes[id].p.SaveSnapshot())
	}
}

// alter is the controller deciding about a proposal; the answer comes sometime or never.
func (w *walk) alter(from int32, q *Proposal) {
	a := Answer{}
	switch {
	case q.LeaderEpoch != w.md.LeaderEpoch:
		a.Code = protocol.FencedLeaderEpoch
	case q.PartitionEpoch != w.md.PartitionEpoch:
		a.Code = protocol.InvalidUpdateVersion
	default:
		isr := make([]int32, 0, len(q.ISR))
		for _, m := range q.ISR {
			if w.fenced[m.ID] || (m.Epoch != -1 && m.Epoch != w.epochs[m.ID]) {
				a.Code = protocol.IneligibleReplica
			}
			isr = append(isr, m.ID)
		}
		if a.Code == protocol.None {
			w.md.ISR = isr
			w.md.PartitionEpoch++
			a = Answer{LeaderEpoch: w.md.LeaderEpoch, PartitionEpoch: w.md.PartitionEpoch, ISR: isr}
		}
	}
	w.late = append(w.late, lateAnswer{from, q, a})
}

func (w *walk) step() {
	w.now += int64(w.r.Intn(1000))
	id := int32(1 + w.r.Intn(3))
	switch x := w.r.Intn(100); {
	case x < 30:
		w.produce()
	case x < 70:
		w.follow(id)
	case x < 76 && w.up[id]:
		w.tell(id)
	case x < 84 && len(w.late) > 0:
		i := w.r.Intn(len(w.late))
		l := w.late[i]
		w.late = append(w.late[:i], w.late[i+1:]...)
		if w.up[l.to] && w.r.Intn(6) > 0 {
			var e Effects
			w.nodes[l.to].p.AlterAnswered(w.now, l.q, &l.a, &e)
			w.do(l.to, &e)
		}
	case x < 88 && w.up[id]:
		var e Effects
		w.nodes[id].p.Tick(w.now, &e)
		w.do(id, &e)
	case x < 91:
		w.must(w.nodes[id].log.Sync())
	case x < 93 && w.up[id]:
		w.crash(id)
	case x < 97 && !w.up[id]:
		w.boot(id)
	default:
		w.elect()
	}
}

// produce sends the next batch of an idempotent producer to whoever believes to lead, or repeats one.
func (w *walk) produce() {
	id := int32(1 + w.r.Intn(3))
	n := w.nodes[id]
	if !w.up[id] || !n.p.leader {
		return
	}
	b := record.Builder{LeaderEpoch: -1, HasProducer: true, ProducerID: int64(w.seq), BaseSequence: 0}
	seq := w.seq
	if w.r.Intn(5) == 0 && seq > 0 { // a retry of an earlier one, a producer of its own each
		seq = int32(w.r.Intn(int(seq)))
		b.ProducerID = int64(seq)
	} else {
		w.seq++
	}
	count := int64(1 + seq%3)
	for i := range count {
		b.Add(1000, nil, fmt.Append(nil, seq, i))
	}
	var e Effects
	var r Appended
	n.p.AppendAsLeader(w.now, &Append{Records: b.Bytes(), Set: record.Set{Next: count, MaxTimestamp: 1000}, Acks: -1}, &r, &e)
	if r.Code == protocol.None {
		a := &walkAck{w, seq, r.Base}
		if r.WaitHW {
			n.p.Await(&r, a)
		} else {
			a.Complete(protocol.None)
		}
	}
	w.do(id, &e)
}

func (w *walk) follow(id int32) {
	f := w.nodes[id]
	leader, epoch := f.p.Leader()
	if !w.up[id] || f.p.leader || leader < 0 || !w.up[leader] {
		return
	}
	l := w.nodes[leader]
	offset, last := f.p.FetchFrom()
	q := ReadRequest{Offset: offset, LeaderEpoch: epoch, LastFetchedEpoch: last, ReplicaID: id, ReplicaEpoch: w.epochs[id],
		ReplicaLogStart: f.log.Start(), Isolation: ReadToEnd, OnlyLeader: true}
	var r ReadPlan
	var e, fe Effects
	l.p.PlanRead(w.now, &q, &r, &e)
	w.do(leader, &e)
	if r.Code != protocol.None {
		return
	}
	if r.Diverging.Epoch >= 0 {
		w.must(f.p.Diverged(r.Diverging, &fe))
		w.do(id, &fe)
		return
	}
	var data record.Data
	w.must(l.log.Read(&data, r.From, r.Limit, 1+w.r.Intn(300), true))
	var recs []byte
	for _, p := range data.Pieces {
		recs = append(recs, p.Bytes...)
	}
	set, err := CheckFetched(recs)
	w.must(err)
	code, err := f.p.AppendAsFollower(&Fetched{Records: recs, Offset: offset, LeaderEpoch: epoch, HighWatermark: r.HighWatermark,
		LogStart: r.LogStart}, set, &fe)
	w.must(err)
	if code != protocol.None {
		w.t.Fatalf("append as follower: %s", code)
	}
	w.do(id, &fe)
}

// crash is a machine that loses power while the others go on: what was not synced is gone. At most one of three does at a time, so what
// two have is safe.
func (w *walk) crash(id int32) {
	for _, other := range w.ids() {
		if !w.up[other] {
			return
		}
	}
	w.up[id], w.fenced[id] = false, true
	n := w.nodes[id]
	if w.r.Intn(2) == 0 && len(w.md.ISR) > 1 {
		n.log.Crash()
	}
	hw := int64(-1)
	if w.r.Intn(2) == 0 {
		hw = n.p.HighWatermark()
	}
	n.p = New(ID{}, id, n.log, &n.cfg, &n.set, w)
	w.must(n.p.Load(hw))
	if len(w.md.ISR) > 1 {
		var isr []int32
		for _, x := range w.md.ISR {
			if x != id {
				isr = append(isr, x)
			}
		}
		w.md.ISR = isr
	}
	if w.md.Leader == id {
		w.md.Leader = -1
		w.elect()
		return
	}
	w.md.PartitionEpoch++
	w.publish()
}

func (w *walk) boot(id int32) {
	w.up[id], w.fenced[id] = true, false
	w.epochs[id]++
	if w.md.Leader < 0 {
		w.elect()
	}
	w.tell(id)
}

// elect makes a member of the in-sync replicas that is up the leader.
func (w *walk) elect() {
	var can []int32
	for _, id := range w.md.ISR {
		if w.up[id] {
			can = append(can, id)
		}
	}
	w.md.Leader = -1
	if len(can) > 0 {
		w.md.Leader = can[w.r.Intn(len(can))]
	}
	w.md.LeaderEpoch++
	w.md.PartitionEpoch++
	w.publish()
}

// legitimate says whether the broker leads by the newest metadata; a deposed one that has not heard of it is none.
func (w *walk) legitimate(id int32) bool {
	_, epoch := w.nodes[id].p.Leader()
	return w.up[id] && w.nodes[id].p.leader && w.md.Leader == id && epoch == w.md.LeaderEpoch
}

func (w *walk) check() {
	for _, id := range w.ids() {
		n := w.nodes[id]
		p := n.p
		if hw := p.HighWatermark(); hw > n.log.End() || hw < n.log.Start() || p.LastStable() > hw {
			w.t.Fatalf("hw %d lso %d of %v", hw, p.LastStable(), p)
		}
		for i, e := range p.epochs.entries {
			if i > 0 && (p.epochs.entries[i-1].epoch >= e.epoch || p.epochs.entries[i-1].start >= e.start) {
				w.t.Fatalf("epochs %v", p.epochs.entries)
			}
		}
		if _, epoch := p.Leader(); p.leader {
			k := [2]int32{id, epoch}
			if p.HighWatermark() < w.hw[k] && w.up[id] {
				w.t.Fatalf("high watermark of broker %d in epoch %d fell from %d to %d", id, epoch, w.hw[k], p.HighWatermark())
			}
			w.hw[k] = p.HighWatermark()
		}
		if p.leader && w.up[id] {
			w.compare(id, n)
		}
		if w.r.Intn(20) == 0 {
			checkReload(w.t, w.now, p, n.log)
		}
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// compare holds that the leader has all that was ever committed, and adds what it has committed now.
func (w *walk) compare(id int32, n *node) {
	i := 0
	legit := w.legitimate(id)
	var data record.Data
	w.must(n.log.Read(&data, 0, n.log.End(), 1<<30, true))
	for _, p := range data.Pieces {
		b := record.Batch(p.Bytes)
		if i < len(w.committed) {
			if (legit || b.NextOffset() <= n.p.HighWatermark()) && !bytes.Equal(w.committed[i], b) {
				w.t.Fatalf("leader %v: batch at %d is not what was committed at %d", n.p, b.BaseOffset(), record.Batch(w.committed[i]).BaseOffset())
			}
		} else if b.NextOffset() <= n.p.HighWatermark() {
			w.committed = append(w.committed, bytes.Clone(b))
		}
		i++
	}
	if legit && i < len(w.committed) {
		w.t.Fatalf("leader %v has %d batches of %d committed", n.p, i, len(w.committed))
	}
}

// settle heals everything: all replicas become equal, and every acknowledged batch is there once, where it was said to be.
func (w *walk) settle() {
	for _, id := range w.ids() {
		if !w.up[id] {
			w.boot(id)
		}
	}
	if w.md.Leader < 0 || !w.up[w.md.Leader] {
		w.elect()
	}
	for range 300 {
		for _, id := range w.ids() {
			w.tell(id)
			w.follow(id)
		}
		for _, l := range w.late {
			var e Effects
			w.nodes[l.to].p.AlterAnswered(w.now, l.q, &l.a, &e)
			w.do(l.to, &e)
		}
		w.late = nil
		w.check()
	}
	l := w.nodes[w.md.Leader]
	if len(w.md.ISR) != 3 || l.p.HighWatermark() != l.log.End() {
		w.t.Fatalf("not healed: isr %v, %v", w.md.ISR, l.p)
	}
	at := map[int64]int64{}
	w.must(l.log.Scan(0, func(b record.Batch) bool {
		if was, ok := at[b.ProducerID()]; ok {
			w.t.Fatalf("batch %d is at %d and at %d", b.ProducerID(), was, b.BaseOffset())
		}
		at[b.ProducerID()] = b.BaseOffset()
		return true
	}))
	for seq, base := range w.ack {
		if got, ok := at[int64(seq)]; !ok || got != base {
			w.t.Fatalf("batch %d was acknowledged at %d, is at %d %v", seq, base, got, ok)
		}
	}
	want := hardState(l.p, w.now)
	for _, id := range w.ids() {
		if got := hardState(w.nodes[id].p, w.now); got != want {
			w.t.Fatalf("broker %d has\n%s\nthe leader\n%s", id, got, want)
		}
	}
}

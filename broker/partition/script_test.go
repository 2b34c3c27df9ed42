package partition

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"weir/broker/partition/memlog"
	"weir/config"
	"weir/protocol"
	"weir/protocol/record"
)

// TestScripts runs testdata: steps in virtual time on the replicas of one partition, each broker with its own log. After every command a
// fresh partition that loads each log must have the hard state of the live one.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := newScript()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := s.run(t, d)
			for _, id := range s.ids() {
				checkReload(t, s.now, s.nodes[id].p, s.nodes[id].log)
			}
			return out
		})
	})
}

// checkReload fails when the hard state is not what the log says, with and without its snapshots.
func checkReload(t *testing.T, now int64, live *Partition, log *memlog.Log) {
	t.Helper()
	want := hardState(live, now)
	for _, how := range []string{"with snapshots", "without snapshots", "without its index", "with half of its index"} {
		l := log.Clone()
		switch how {
		case "without snapshots":
			l.DropSnapshots()
		case "without its index":
			l.LoseAborted(0)
		case "with half of its index":
			l.LoseAborted((l.Start() + l.End()) / 2)
		}
		p := New(live.id, live.self, l, live.topic, live.settings, live.brokers)
		if err := p.Load(-1); err != nil {
			t.Fatal(err)
		}
		if got := hardState(p, now); got != want {
			t.Errorf("broker %d: hard state loaded %s:\n%s\nlive:\n%s", live.self, how, got, want)
		}
		p.producers.ended.replicated(live.hw)
		p.hw = live.hw
		if got := p.LastStable(); got != live.LastStable() && live.producers.firstUnstable() >= live.log.Start() {
			t.Errorf("broker %d: last stable offset %d when loaded %s, live %d", live.self, got, how, live.LastStable())
		}
	}
}

// hardState describes epochs and producers as far as the log can tell: an epoch without a batch and batches below the log start are not
// in it.
func hardState(p *Partition, now int64) string {
	var c epochCache
	var t producers
	if err := decodeState(encodeState(nil, &p.epochs, &p.producers), &c, &t); err != nil {
		return err.Error()
	}
	if got, want := ongoing(&p.producers), ongoing(&t); got != want {
		return fmt.Sprintf("ongoing %s, by the producers %s", got, want)
	}
	c.truncateFromEnd(p.log.End())
	if p.settings.ProducerExpireMs > 0 {
		t.expire(now, p.settings.ProducerExpireMs)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "epochs %v\n", c.entries)
	all, _ := p.log.(*memlog.Log).Aborted(nil, p.log.Start(), p.log.End(), 1<<30)
	for _, a := range all {
		if a.FirstOffset >= p.log.Start() {
			fmt.Fprintf(&b, "aborted %d @%d-%d\n", a.ProducerID, a.FirstOffset, a.LastOffset)
		}
	}
	for _, id := range t.ids() {
		x := t.byID[id]
		line := fmt.Sprintf("producer %d epoch %d txn %d ts %d:", x.id, x.epoch, x.txnFirst, x.timestampMs)
		if x.coordinatorEpoch >= 0 {
			line = fmt.Sprintf("producer %d epoch %d coordinator %d txn %d ts %d:", x.id, x.epoch, x.coordinatorEpoch, x.txnFirst, x.timestampMs)
		}
		n := 0
		for i := range int(x.n) {
			if q := x.at(i); q.lastOffset >= p.log.Start() {
				line += fmt.Sprintf(" [%d-%d @%d]", q.firstSeq(), q.lastSeq, q.baseOffset())
				n++
			}
		}
		if n > 0 {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

func ongoing(t *producers) string {
	var b strings.Builder
	for p := t.oldest; p != nil; p = p.newer {
		fmt.Fprintf(&b, "%d@%d ", p.id, p.txnFirst)
	}
	return b.String()
}

// script is the replicas of one partition and the brokers as the metadata knows them.
type script struct {
	now     int64
	nodes   map[int32]*node
	fenced  map[int32]bool
	epochs  map[int32]int64
	pending *Proposal
	earlier *Proposal // the one before
	asked   int32     // who sent it
}

type node struct {
	p   *Partition
	log *memlog.Log
	cfg config.Topic
	set Settings

	guards map[string]Guard // by the name that the script gave
}

func newScript() *script {
	return &script{now: 1000, nodes: map[int32]*node{}, fenced: map[int32]bool{}, epochs: map[int32]int64{}}
}

func (s *script) ids() []int32 {
	var ids []int32
	for id := range s.nodes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Broker implements Brokers.
func (s *script) Broker(id int32) (epoch int64, alive, eligible bool) {
	e, ok := s.epochs[id]
	if !ok {
		return -1, false, false
	}
	return e, !s.fenced[id], !s.fenced[id]
}

func testTopic() config.Topic {
	return config.Topic{
		CleanupDelete: true, CompressionType: "producer", FlushMessages: 1<<63 - 1, FlushMs: 1<<63 - 1, MinInsyncReplicas: 1,
		MaxMessageBytes: 1 << 20, SegmentBytes: 1 << 30, RetentionBytes: -1, RetentionMs: -1,
	}
}

// name is a waiter that says who it is.
type name struct {
	who string
	out *strings.Builder
}

func (n *name) Wake()                       { fmt.Fprintf(n.out, "wake %s\n", n.who) }
func (n *name) Complete(code protocol.Code) { fmt.Fprintf(n.out, "done %s %s\n", n.who, code) }

func (s *script) effects(out *strings.Builder, id int32, e *Effects) {
	for _, w := range e.Wake {
		w.(*name).out = out
		w.Wake()
	}
	for _, c := range e.Done {
		c.To.(*name).out = out
		c.To.Complete(c.Code)
	}
	if e.Alter != nil {
		if s.pending != e.Alter {
			s.earlier = s.pending
		}
		s.pending, s.asked = e.Alter, id
		fmt.Fprintf(out, "alter epoch=%d.%d isr=%v\n", e.Alter.LeaderEpoch, e.Alter.PartitionEpoch, e.Alter.ISR)
	}
	if e.SyncUpTo > 0 {
		fmt.Fprintf(out, "sync up to %d\n", e.SyncUpTo)
	}
	if e.Snapshot {
		fmt.Fprintf(out, "snapshot due\n")
	}
	if e.Policy {
		fmt.Fprintf(out, "policy changed\n")
	}
	if e.HWMoved {
		fmt.Fprintf(out, "hw %d\n", s.nodes[id].p.HighWatermark())
	}
}

type args struct {
	t *testing.T
	d *datadriven.TestData
}

func (a args) has(key string) bool { return a.d.HasArg(key) }

func (a args) i64(key string, def int64) int64 {
	if a.d.HasArg(key) {
		a.d.ScanArgs(a.t, key, &def)
	}
	return def
}

func (a args) i32s(key string) []int32 {
	var out []int32
	for _, arg := range a.d.CmdArgs {
		if arg.Key == key {
			for _, v := range arg.Vals {
				var n int32
				fmt.Sscan(v, &n)
				out = append(out, n)
			}
		}
	}
	return out
}

func (a args) str(key string) string {
	var v string
	if a.d.HasArg(key) {
		a.d.ScanArgs(a.t, key, &v)
	}
	return v
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	a := args{t, d}
	var out strings.Builder
	var e Effects
	id := int32(a.i64("id", 1))
	n := s.nodes[id]
	if n == nil && d.Cmd != "broker" && d.Cmd != "advance" && d.Cmd != "new" {
		t.Fatalf("%s: no broker %d", d.Pos, id)
	}
	switch d.Cmd {
	case "broker": // what the metadata knows
		s.epochs[id], s.fenced[id] = a.i64("epoch", 1), a.has("fenced")
		return ""
	case "advance":
		s.now += a.i64("ms", 0)
		return fmt.Sprintf("now %d\n", s.now)
	case "new":
		s.create(a, id)
	case "config":
		c := n.cfg
		c.MinInsyncReplicas = int32(a.i64("min-isr", int64(c.MinInsyncReplicas)))
		c.FlushMessages = a.i64("flush", c.FlushMessages)
		c.SegmentBytes = a.i64("segment", c.SegmentBytes)
		if a.has("compact") {
			c.CleanupDelete, c.CleanupCompact = false, true
		}
		n.cfg = c
		n.p.Configure(s.now, &c, n.p.settings, &e)
	case "leader", "follower":
		m := Metadata{
			Leader: int32(a.i64("leader", int64(id))), LeaderEpoch: int32(a.i64("epoch", 1)), PartitionEpoch: int32(a.i64("pepoch", 1)),
			Replicas: a.i32s("replicas"), ISR: a.i32s("isr"),
		}
		if d.Cmd == "leader" {
			n.p.BecomeLeader(s.now, &m, &e)
		} else {
			fmt.Fprintf(&out, "new epoch %v\n", n.p.BecomeFollower(&m, &e))
		}
	case "stop":
		n.p.Stop(protocol.NotLeaderOrFollower, &e)
	case "append":
		s.append(a, n, &out, &e)
	case "marker":
		s.marker(a, n, &out, &e)
	case "verify":
		var g Guard
		code := n.p.CheckAppend(1)
		if code == protocol.None {
			g, code = n.p.StartVerification(s.now, a.i64("pid", 0), int16(a.i64("pe", 0)), int32(a.i64("seq", 0)), a.has("bumps"))
		}
		fmt.Fprintf(&out, "%s needed %v\n", code, g.Needed())
		n.guards[a.str("guard")] = g
	case "fetch":
		s.fetch(a, id, &out, &e)
	case "read", "watch", "unwatch", "epoch-end", "list":
		s.read(a, n, &out, &e)
	case "delete":
		target, low, wait, code, err := n.p.DeleteUpTo(a.i64("offset", -1), &e)
		fmt.Fprintf(&out, "%s target=%d low=%d wait=%v err=%v\n", code, target, low, wait, err)
		if wait {
			n.p.AwaitDelete(target, &name{who: a.str("who")})
		}
	case "answer":
		code := protocol.None
		if v := a.i64("code", 0); v != 0 {
			code = protocol.Code(v)
		}
		q := s.pending
		if a.has("earlier") {
			q = s.earlier
		}
		n.p.AlterAnswered(s.now, q, &Answer{Code: code, LeaderEpoch: int32(a.i64("epoch", 1)),
			PartitionEpoch: int32(a.i64("pepoch", 2)), ISR: a.i32s("isr")}, &e)
	case "tick":
		n.p.Tick(s.now, &e)
	case "sync":
		_ = n.log.Sync()
		n.p.Synced(s.now, &e)
	case "snapshot":
		fmt.Fprintf(&out, "%v\n", n.p.SaveSnapshot())
	case "restart", "crash":
		if d.Cmd == "crash" {
			n.log.Crash()
		}
		n.p = New(n.p.id, id, n.log, &n.cfg, &n.set, s)
		if err := n.p.Load(a.i64("hw", -1)); err != nil {
			t.Fatal(err)
		}
	case "truncate":
		if a.has("full") {
			fmt.Fprintf(&out, "%v\n", n.p.TruncateFullyAt(a.i64("offset", 0), &e))
		} else {
			fmt.Fprintf(&out, "%v\n", n.p.TruncateTo(a.i64("offset", 0), &e))
		}
	case "state":
		fmt.Fprintf(&out, "%sisr %v\n", hardState(n.p, s.now), n.p.isr.isr)
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
	s.effects(&out, id, &e)
	n = s.nodes[id]
	fmt.Fprintf(&out, "log %d..%d hw %d\n", n.log.Start(), n.log.End(), n.p.HighWatermark())
	return out.String()
}

func (s *script) create(a args, id int32) {
	n := &node{log: &memlog.Log{}, guards: map[string]Guard{}, cfg: testTopic(), set: Settings{ReplicaLagMs: 30_000, ProducerExpireMs: 86_400_000}}
	n.cfg.MinInsyncReplicas = int32(a.i64("min-isr", 1))
	n.cfg.FlushMessages = a.i64("flush", n.cfg.FlushMessages)
	n.set.SnapshotBytes = a.i64("snapshot-bytes", 0)
	n.p = New(ID{Partition: 0}, id, n.log, &n.cfg, &n.set, s)
	s.nodes[id] = n
	if _, ok := s.epochs[id]; !ok {
		s.epochs[id] = 1
	}
	if err := n.p.Load(-1); err != nil {
		a.t.Fatal(err)
	}
}

// batch builds what a producer sends.
func (s *script) batch(a args) ([]byte, record.Set) {
	n := int32(a.i64("n", 1))
	b := record.Builder{Transactional: a.has("txn"), LeaderEpoch: -1}
	if a.has("pid") {
		b.HasProducer, b.ProducerID = true, a.i64("pid", 0)
		b.ProducerEpoch, b.BaseSequence = int16(a.i64("pe", 0)), int32(a.i64("seq", 0))
	}
	for i := range n {
		b.Add(s.now, nil, fmt.Append(nil, "value ", i))
	}
	return b.Bytes(), record.Set{Next: int64(n), MaxTimestamp: s.now, MaxTimestampOffset: int64(n) - 1, LeaderEpoch: -1, Records: n}
}

func (s *script) append(a args, n *node, out *strings.Builder, e *Effects) {
	recs, set := s.batch(a)
	if a.has("fail") {
		n.log.FailAppends = 1
	}
	var r Appended
	n.p.AppendAsLeader(s.now, &Append{Records: recs, Set: set, Acks: int16(a.i64("acks", 1)), Guard: n.guards[a.str("guard")],
		Coordinator: a.has("coordinator")}, &r, e)
	n.appended(a, &r, out)
}

// marker appends what ends a transaction, after it was asked whether that may be.
func (s *script) marker(a args, n *node, out *strings.Builder, e *Effects) {
	control := record.ControlCommit
	if a.has("abort") {
		control = record.ControlAbort
	}
	pid, pe, ce, version := a.i64("pid", 0), int16(a.i64("pe", 0)), int32(a.i64("ce", 0)), int8(a.i64("version", 1))
	check := n.p.CheckMarker(pid, pe, ce, version)
	var r Appended
	n.p.AppendAsLeader(s.now, &Append{Records: record.Marker(control, pid, pe, ce, s.now), Acks: -1, Coordinator: true, TxnVersion: version,
		Set: record.Set{Next: 1, MaxTimestamp: s.now, LeaderEpoch: -1, Records: 1}}, &r, e)
	if check != r.Code && r.Code != protocol.NotEnoughReplicas {
		a.t.Errorf("%s: CheckMarker said %s, AppendAsLeader %s", a.d.Pos, check, r.Code)
	}
	n.appended(a, &r, out)
}

// appended says what became of an append, and has the waiter wait.
func (n *node) appended(a args, r *Appended, out *strings.Builder) {
	fmt.Fprintf(out, "%s base=%d", r.Code, r.Base)
	if r.Duplicate {
		fmt.Fprintf(out, " duplicate ms=%d", r.DuplicateMs)
	}
	if r.Err != nil {
		fmt.Fprintf(out, " err=%v", r.Err)
	}
	if r.WaitHW || r.WaitSync {
		fmt.Fprintf(out, " waits hw=%v sync=%v", r.WaitHW, r.WaitSync)
		n.p.Await(r, &name{who: a.str("who")})
	}
	out.WriteByte('\n')
}

// fetch has broker id fetch once from a leader, as a fetcher would: a diverging epoch truncates.
func (s *script) fetch(a args, id int32, out *strings.Builder, e *Effects) {
	from := int32(a.i64("from", 0))
	l, f := s.nodes[from], s.nodes[id]
	offset, last := f.p.FetchFrom()
	_, epoch := f.p.Leader()
	q := ReadRequest{Offset: a.i64("offset", offset), LeaderEpoch: int32(a.i64("epoch", int64(epoch))), LastFetchedEpoch: last, ReplicaID: id,
		ReplicaEpoch: a.i64("broker-epoch", s.epochs[id]), ReplicaLogStart: f.log.Start(), Isolation: ReadToEnd, OnlyLeader: true}
	var r ReadPlan
	var le Effects
	l.p.PlanRead(s.now, &q, &r, &le)
	fmt.Fprintf(out, "%s at %d", r.Code, q.Offset)
	if r.Code == protocol.None && r.Diverging.Epoch >= 0 {
		fmt.Fprintf(out, " diverging %d ends %d", r.Diverging.Epoch, r.Diverging.End)
		if err := f.p.Diverged(r.Diverging, e); err != nil {
			a.t.Fatal(err)
		}
	} else if r.Code == protocol.None {
		var data record.Data
		if err := l.log.Read(&data, r.From, r.Limit, 1<<20, true); err != nil {
			a.t.Fatal(err)
		}
		var recs []byte
		for _, p := range data.Pieces {
			recs = append(recs, p.Bytes...)
		}
		recs = bytes.Clone(recs)
		set, err := CheckFetched(recs)
		if err != nil {
			a.t.Fatal(err)
		}
		code, err := f.p.AppendAsFollower(&Fetched{Records: recs, Offset: q.Offset, LeaderEpoch: q.LeaderEpoch,
			HighWatermark: r.HighWatermark, LogStart: r.LogStart}, set, e)
		fmt.Fprintf(out, " got %d..%d %s %v", set.Base, set.Next, code, err)
	}
	out.WriteByte('\n')
	s.effects(out, from, &le)
}

func (s *script) read(a args, n *node, out *strings.Builder, e *Effects) {
	offset, iso := a.i64("offset", 0), Isolation(a.i64("isolation", 0))
	epoch := int32(a.i64("epoch", -1))
	switch a.d.Cmd {
	case "read":
		q := ReadRequest{Offset: offset, Isolation: iso, LeaderEpoch: epoch, LastFetchedEpoch: int32(a.i64("last", -1)),
			ReplicaID: int32(a.i64("replica", -1)), ReplicaEpoch: a.i64("broker-epoch", -1), OnlyLeader: a.has("only-leader"), Near: a.i32s("near")}
		var r ReadPlan
		n.p.PlanRead(s.now, &q, &r, e)
		fmt.Fprintf(out, "%s %d..%d hw=%d lso=%d start=%d", r.Code, r.From, r.Limit, r.HighWatermark, r.LastStable, r.LogStart)
		if r.Diverging.Epoch >= 0 {
			fmt.Fprintf(out, " diverging %d ends %d", r.Diverging.Epoch, r.Diverging.End)
		}
		if r.Preferred >= 0 {
			fmt.Fprintf(out, " read from %d", r.Preferred)
		}
		if r.LeaderID >= 0 {
			fmt.Fprintf(out, " leader %d epoch %d", r.LeaderID, r.LeaderEpoch)
		}
		if iso == ReadCommitted && r.From < r.Limit {
			all, _ := n.log.Aborted(nil, r.From, r.Limit, int(a.i64("bytes", 1<<20)))
			for _, t := range all {
				fmt.Fprintf(out, " aborted %d@%d", t.ProducerID, t.FirstOffset)
			}
		}
		out.WriteByte('\n')
	case "watch":
		fmt.Fprintf(out, "ready %v\n", n.p.Watch(offset, iso, &name{who: a.str("who")}))
	case "unwatch":
		for _, w := range n.p.watchers {
			if w.w.(*name).who == a.str("who") {
				n.p.Unwatch(w.w)
				break
			}
		}
	case "epoch-end":
		end, code := n.p.EpochEnd(epoch, int32(a.i64("of", 0)))
		fmt.Fprintf(out, "%s epoch %d ends %d\n", code, end.Epoch, end.End)
	case "list":
		b := n.p.ListBound(iso, epoch, true)
		fmt.Fprintf(out, "%s limit %d start %d lagging %v; latest %+v; earliest %+v\n", b.Code, b.Limit, b.LogStart, b.Lagging,
			b.Latest(), b.Earliest())
	}
}

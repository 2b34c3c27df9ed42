package txn

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// testConfig is Kafka's defaults.
func testConfig() *Config {
	return &Config{MaxTimeoutMs: 900_000, AbortCheckMs: 10_000, ExpirationMs: 7 * 24 * 3600 * 1000, ExpirationCheckMs: 3_600_000, Version: 2}
}

// testMetadata is the leaders of each topic's partitions, -1 for none.
type testMetadata map[string][]int32

func (m testMetadata) Leader(topic string, partition int32) (int32, bool) {
	if leaders := m[topic]; partition >= 0 && int(partition) < len(leaders) {
		return leaders[partition], true
	}
	return -1, false
}

// with returns metadata in which the topic has these leaders; none deletes it.
func (m testMetadata) with(topic string, leaders ...int32) testMetadata {
	n := testMetadata{}
	for k, v := range m {
		n[k] = v
	}
	if n[topic] = leaders; len(leaders) == 0 {
		delete(n, topic)
	}
	return n
}

var defaultMetadata = testMetadata{"t": {1, 2, 1, 2}, "u": {2, 1}, offsetsTopic: {1, 1, 1}}

// harness runs a machine in virtual time, as the runtime does: records go to a log and are replayed at once, the rest is kept. After every
// operation it holds that the operation left the hard state alone, that fresh machines that replay the log, as it is and compacted, equal
// the live one, and that a machine that is loaded from the log, wherever between two records it ends, goes on.
type harness struct {
	t       testing.TB
	m       *Machine
	cfg     *Config
	md      testMetadata
	epoch   int32
	now     int64
	log     []coordinator.Record
	timers  map[coordinator.TimerKey]int64
	replies []coordinator.Reply
	sends   []coordinator.Send // that have no answer
	sent    []coordinator.Send // by the last operation
	written []coordinator.Record
	nextID  int64 // producer ids that are allocated
	block   int64
	manual  bool // producer ids are allocated by hand
	every   int  // all is checked after so many operations; 0: never
	ops     int
}

func newHarness(t testing.TB, cfg *Config) *harness {
	h := &harness{t: t, cfg: cfg, md: defaultMetadata, epoch: 1, now: 1_000_000, timers: map[coordinator.TimerKey]int64{}, nextID: 1000, block: 1000, every: 1}
	h.m = New(cfg, h.md, h.epoch)
	h.apply(h.m.Elected(h.now))
	return h
}

// do runs one operation.
func (h *harness) do(op func(m *Machine) coordinator.Effects) {
	h.t.Helper()
	h.ops++
	check := h.every > 0 && h.ops%h.every == 0
	var before string
	if check {
		before = hardState(h.m)
	}
	h.written, h.sent = h.written[:0], nil
	e := op(h.m)
	if check {
		if after := hardState(h.m); after != before {
			h.t.Fatalf("the operation changed hard state:\n%s\nbefore:\n%s", after, before)
		}
	}
	from := len(h.log)
	h.apply(e)
	if check && len(h.log) > from {
		h.checkReplay()
		for n := from + 1; n <= len(h.log); n++ {
			h.checkGoesOn(h.log[:n])
		}
	}
	h.allocate()
}

func (h *harness) apply(e coordinator.Effects) {
	h.t.Helper()
	for _, r := range e.Records {
		r = coordinator.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
		h.log = append(h.log, r)
		h.written = append(h.written, r)
		// What is replayed is not what is kept: a machine that keeps a slice of it is found out.
		scratch := coordinator.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
		if err := h.m.Replay(coordinator.At{ProducerID: -1}, scratch); err != nil {
			h.t.Fatalf("replay of %x %x: %v", r.Key, r.Value, err)
		}
		for _, b := range [][]byte{scratch.Key, scratch.Value} {
			for i := range b {
				b[i] = 0xaa
			}
		}
	}
	h.replies = append(h.replies, e.Replies...)
	h.sends = append(h.sends, e.Sends...)
	h.sent = append(h.sent, e.Sends...)
	for _, t := range e.Timers {
		if t.Cancel {
			delete(h.timers, t.Key)
		} else {
			h.timers[t.Key] = t.At
		}
	}
}

// allocate answers requests for producer ids, unless that is done by hand.
func (h *harness) allocate() {
	for i := 0; !h.manual && i < len(h.sends); i++ {
		if _, ok := h.sends[i].Request.(AllocateIDs); !ok {
			continue
		}
		h.sends = slices.Delete(h.sends, i, i+1)
		h.giveIDs(h.block)
		i = -1
	}
}

// giveIDs is the answer to AllocateIDs. What waits for it goes on.
func (h *harness) giveIDs(n int64) {
	b := IDs{h.nextID, n}
	h.nextID += n
	written, sent := h.written, h.sent
	h.do(func(m *Machine) coordinator.Effects { return m.Answered(h.now, idsKey{}, b, nil) })
	h.written, h.sent = append(slices.Clone(written), h.written...), append(sent, h.sent...)
}

var errGone = errors.New("the broker is gone")

// answerMarkers answers the i-th request that waits: code says what became of each partition; nil is no answer at all.
func (h *harness) answerMarkers(i int, code func(node int32, topic string, n int32, m *kmsg.WriteTxnMarkersRequestMarker) protocol.Code) {
	h.t.Helper()
	q := h.sends[i]
	h.sends = slices.Delete(h.sends, i, i+1)
	if code == nil {
		h.do(func(m *Machine) coordinator.Effects { return m.Answered(h.now, q.Key, nil, errGone) })
		return
	}
	resp := writeMarkers(q, code)
	h.do(func(m *Machine) coordinator.Effects { return m.Answered(h.now, q.Key, resp, nil) })
}

// writeMarkers is a broker. NetworkException leaves a partition out.
func writeMarkers(q coordinator.Send, code func(node int32, topic string, n int32, m *kmsg.WriteTxnMarkersRequestMarker) protocol.Code) *kmsg.WriteTxnMarkersResponse {
	req := q.Request.(*kmsg.WriteTxnMarkersRequest)
	resp := req.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	for i := range req.Markers {
		m := &req.Markers[i]
		out := kmsg.WriteTxnMarkersResponseMarker{ProducerID: m.ProducerID}
		for _, t := range m.Topics {
			topic := kmsg.WriteTxnMarkersResponseMarkerTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				if c := code(q.Node, t.Topic, p, m); c != protocol.NetworkException {
					topic.Partitions = append(topic.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: p, ErrorCode: int16(c)})
				}
			}
			out.Topics = append(out.Topics, topic)
		}
		resp.Markers = append(resp.Markers, out)
	}
	return resp
}

func written(int32, string, int32, *kmsg.WriteTxnMarkersRequestMarker) protocol.Code {
	return protocol.None
}

// due is the timer that fires next, if one does until then.
func (h *harness) due(until int64) (k coordinator.TimerKey, ok bool) {
	for x, at := range h.timers {
		if at > until {
			continue
		}
		if y := h.timers[k]; !ok || at < y || at == y && x.Kind < k.Kind {
			k, ok = x, true
		}
	}
	return k, ok
}

// advance lets time pass, and the timers fire.
func (h *harness) advance(ms int64, fired func(coordinator.TimerKey)) {
	h.t.Helper()
	until := h.now + ms
	for {
		k, ok := h.due(until)
		if !ok {
			break
		}
		h.now = max(h.now, h.timers[k])
		delete(h.timers, k)
		h.do(func(m *Machine) coordinator.Effects { return m.Expired(h.now, k) })
		if fired != nil {
			fired(k)
		}
	}
	h.now = until
}

// reload is a new coordinator on the same log. What was sent gets no answer.
func (h *harness) reload() {
	h.t.Helper()
	h.epoch++
	h.m = h.replay(h.log)
	clear(h.timers)
	h.sends, h.written, h.sent = nil, nil, nil
	h.apply(h.m.Elected(h.now))
}

func (h *harness) replay(log []coordinator.Record) *Machine {
	h.t.Helper()
	m := New(h.cfg, h.md, h.epoch)
	for i, r := range log {
		if err := m.Replay(coordinator.At{Offset: int64(i), ProducerID: -1}, r); err != nil {
			h.t.Fatalf("replay of the log: %v", err)
		}
	}
	return m
}

func (h *harness) checkReplay() {
	h.t.Helper()
	live := hardState(h.m)
	for what, log := range map[string][]coordinator.Record{"": h.log, " after compaction": compact(h.log, false), " after compaction without tombstones": compact(h.log, true)} {
		if got := hardState(h.replay(log)); got != live {
			h.t.Fatalf("replayed%s:\n%s\nlive:\n%s", what, got, live)
		}
	}
}

// compact keeps the last record of each key, as the cleaner does. Tombstones go later.
func compact(log []coordinator.Record, dropTombstones bool) (out []coordinator.Record) {
	last := map[string]int{}
	for i, r := range log {
		last[string(r.Key)] = i
	}
	for i, r := range log {
		if last[string(r.Key)] == i && !(dropTombstones && r.Value == nil) {
			out = append(out, r)
		}
	}
	return out
}

// checkGoesOn is a coordinator that was killed after the last record of log: the next one finishes what is prepared, and its producers go on.
func (h *harness) checkGoesOn(log []coordinator.Record) {
	h.t.Helper()
	g := &harness{t: h.t, cfg: h.cfg, md: h.md, epoch: h.epoch + 1, now: h.now, log: slices.Clone(log), timers: map[coordinator.TimerKey]int64{}, nextID: 1 << 40, block: 10}
	g.m = g.replay(g.log)
	before := map[string]value{}
	for id, t := range g.m.txns {
		before[id] = t.value
	}
	g.apply(g.m.Elected(g.now))
	g.settle()
	id, err := decodeKey(log[len(log)-1].Key)
	if err != nil {
		h.t.Fatal(err)
	}
	for id, v := range before {
		if t := g.m.txns[id]; v.state.preparing() {
			want := v.complete(g.now)
			if got := t.value; describe(&got) != describe(&want) {
				h.t.Fatalf("after a kill %s was to be %s, is %s", id, describe(&want), describe(&got))
			}
		} else if got := t.value; describe(&got) != describe(&v) {
			h.t.Fatalf("a load changed %s: %s, was %s", id, describe(&got), describe(&v))
		}
	}
	g.useAgain(string(id), before[string(id)])
}

// settle lets all brokers answer until nothing is prepared any more.
func (h *harness) settle() {
	h.t.Helper()
	for range 1000 {
		for len(h.sends) > 0 {
			h.answerMarkers(0, written)
		}
		k := coordinator.TimerKey{Kind: timerMarkers}
		if _, ok := h.timers[k]; !ok {
			return
		}
		h.now = max(h.now, h.timers[k])
		for topic, leaders := range h.md { // all partitions find a leader in the end
			leaders = slices.Clone(leaders)
			for i := range leaders {
				leaders[i] = max(leaders[i], 1)
			}
			h.md = h.md.with(topic, leaders...)
		}
		h.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(h.now, h.md) })
		delete(h.timers, k)
		h.do(func(m *Machine) coordinator.Effects { return m.Expired(h.now, k) })
	}
	h.t.Fatal("markers are sent for ever")
}

// useAgain has a new producer take over a transactional id and commit a transaction.
func (h *harness) useAgain(id string, was value) {
	h.t.Helper()
	init := kmsg.NewPtrInitProducerIDRequest()
	init.Version, init.TransactionalID, init.TransactionTimeoutMillis = 5, &id, 1000
	h.replies = nil
	var p *kmsg.InitProducerIDResponse
	for range 3 { // once to abort what is open
		h.do(func(m *Machine) coordinator.Effects { return m.InitProducerID(h.now, 1, init, TwoPhase{}) })
		h.settle()
		if p = h.replies[len(h.replies)-1].Response.(*kmsg.InitProducerIDResponse); p.ErrorCode == 0 {
			break
		}
	}
	if p.ErrorCode != 0 || p.ProducerID == was.producerID && was.timeoutMs != 0 && p.ProducerEpoch <= was.epoch || p.ProducerEpoch > lastEpoch {
		h.t.Fatalf("%s cannot be taken over from %s: %s, %d/%d", id, describe(&was), protocol.Code(p.ErrorCode), p.ProducerID, p.ProducerEpoch)
	}
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.Version, add.TransactionalID, add.ProducerID, add.ProducerEpoch = 3, id, p.ProducerID, p.ProducerEpoch
	add.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: "t", Partitions: []int32{1}}}
	h.do(func(m *Machine) coordinator.Effects { return m.AddPartitionsToTxn(h.now, 2, add) })
	end := kmsg.NewPtrEndTxnRequest()
	end.Version, end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = 5, id, p.ProducerID, p.ProducerEpoch, true
	h.do(func(m *Machine) coordinator.Effects { return m.EndTxn(h.now, 3, end) })
	h.settle()
	if t := h.m.txns[id]; t.state != completeCommit {
		h.t.Fatalf("a producer that takes over %s cannot commit: %s", id, describe(&t.value))
	}
}

// describe is a value for comparisons.
func describe(v *value) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d/%d", v.state, v.producerID, v.epoch)
	if v.prevID != v.producerID {
		fmt.Fprintf(&b, " prev=%d", v.prevID)
	}
	if v.nextID != -1 {
		fmt.Fprintf(&b, " next=%d", v.nextID)
	}
	fmt.Fprintf(&b, " timeout=%d start=%d updated=%d client=%d", v.timeoutMs, v.start, v.updated, v.client)
	for _, p := range v.parts {
		fmt.Fprintf(&b, " %s/%d", p.topic, p.n)
	}
	return b.String()
}

// hardState describes all that must survive.
func hardState(m *Machine) string {
	var b strings.Builder
	for _, id := range m.sorted(func(*txn) bool { return true }) {
		fmt.Fprintf(&b, "%s %s\n", id, describe(&m.txns[id].value))
	}
	return b.String()
}

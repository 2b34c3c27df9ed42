package group

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"
	"testing"

	"weir/coordinator"
	"weir/protocol"
)

// testConfig is Kafka's defaults.
func testConfig() *Config {
	return &Config{
		MinSessionMs: 6000, MaxSessionMs: 1800000, InitialRebalanceDelayMs: 3000, MaxSize: 1<<31 - 1,
		OffsetMetadataMaxBytes: 4096, OffsetsRetentionMs: 7 * 24 * 3600 * 1000, OffsetsRetentionCheckMs: 600000,
		ConsumerMaxSize: 1<<31 - 1, ConsumerAssignors: []string{"uniform", "range"}, ConsumerMigrationPolicy: "bidirectional", ConsumerRegexRefreshMs: 600000,
		Group: func(string) GroupConfig { return GroupConfig{ConsumerSessionMs: 45000, ConsumerHeartbeatMs: 5000} },
	}
}

// testMetadata is metadata that a script sets.
type testMetadata struct {
	version int64
	topics  map[string]testTopic
}

type testTopic struct {
	id    protocol.UUID
	parts int32
	racks map[int32][]string
}

func newTestMetadata() *testMetadata { return &testMetadata{topics: map[string]testTopic{}} }

// with returns metadata that has the topic, too; parts 0 deletes it.
func (m *testMetadata) with(name string, id byte, parts int32) *testMetadata {
	n := &testMetadata{version: m.version + 1, topics: map[string]testTopic{}}
	for k, v := range m.topics {
		n.topics[k] = v
	}
	if n.topics[name] = (testTopic{id: protocol.UUID{15: id}, parts: parts}); parts == 0 {
		delete(n.topics, name)
	}
	return n
}

func (m *testMetadata) Version() int64 { return m.version }

func (m *testMetadata) TopicID(name string) (protocol.UUID, bool) {
	t, ok := m.topics[name]
	return t.id, ok
}

func (m *testMetadata) TopicName(id protocol.UUID) (string, bool) {
	for name, t := range m.topics {
		if t.id == id {
			return name, true
		}
	}
	return "", false
}

func (m *testMetadata) Partitions(name string) int32 { return m.topics[name].parts }

func (m *testMetadata) Racks(name string, partition int32) []string {
	return m.topics[name].racks[partition]
}

func (m *testMetadata) Topics() iter.Seq[string] {
	var names []string
	for name := range m.topics {
		names = append(names, name)
	}
	sort.Strings(names)
	return slices.Values(names)
}

// logEntry is a record in the log of a harness, or the marker that ends a transaction.
type logEntry struct {
	at     coordinator.At
	r      coordinator.Record
	marker bool
	commit bool
}

// harness runs a machine in virtual time, as the runtime does: records go to a log and are replayed at once, replies and timers are
// kept. After every operation it holds that the operation left the hard state alone, and that fresh machines that replay the log, as it is
// and compacted, equal the live one.
type harness struct {
	t       testing.TB
	m       *Machine
	cfg     *Config
	md      *testMetadata
	now     int64
	next    int64 // offset
	log     []logEntry
	timers  map[coordinator.TimerKey]int64
	replies []coordinator.Reply
	written []coordinator.Record // by the last operation
	every   int                  // the replay is checked after so many operations; 0: never
	ops     int
}

func newHarness(t testing.TB, cfg *Config) *harness {
	h := &harness{t: t, cfg: cfg, md: newTestMetadata(), now: 1_000_000, timers: map[coordinator.TimerKey]int64{}, every: 1}
	h.m = New(cfg, h.md)
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
	e := op(h.m)
	if check {
		if after := hardState(h.m); after != before {
			h.t.Fatalf("the operation changed hard state:\n%s\nbefore:\n%s", after, before)
		}
	}
	h.apply(e)
	if check {
		h.checkReplay()
	}
}

func (h *harness) apply(e coordinator.Effects) {
	h.t.Helper()
	h.written = h.written[:0]
	for _, r := range e.Records {
		at := coordinator.At{Offset: h.next, ProducerID: -1}
		if e.Producer != nil {
			at.ProducerID, at.ProducerEpoch = e.Producer.ID, e.Producer.Epoch
		}
		h.next++
		r = coordinator.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
		h.log = append(h.log, logEntry{at: at, r: r})
		h.written = append(h.written, r)
		// What is replayed is not what is kept: a machine that keeps a slice of it is found out.
		scratch := coordinator.Record{Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value)}
		if err := h.m.Replay(at, scratch); err != nil {
			h.t.Fatalf("replay of %x %x: %v", r.Key, r.Value, err)
		}
		for _, b := range [][]byte{scratch.Key, scratch.Value} {
			for i := range b {
				b[i] = 0xaa
			}
		}
	}
	h.replies = append(h.replies, e.Replies...)
	for _, t := range e.Timers {
		if t.Cancel {
			delete(h.timers, t.Key)
		} else {
			h.timers[t.Key] = t.At
		}
	}
}

// marker ends a producer's transaction.
func (h *harness) marker(producer int64, commit bool) {
	e := logEntry{at: coordinator.At{Offset: h.next, ProducerID: producer}, marker: true, commit: commit}
	h.next++
	h.log = append(h.log, e)
	h.m.ReplayMarker(e.at, commit)
	h.checkReplay()
}

// due is the timer that fires next, if one does until then.
func (h *harness) due(until int64) (k coordinator.TimerKey, ok bool) {
	for x, at := range h.timers {
		if at > until {
			continue
		}
		y := h.timers[k]
		if !ok || at < y || at == y && fmt.Sprint(x) < fmt.Sprint(k) {
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

// reload is a new coordinator on the same log. What waits is answered by the old one.
func (h *harness) reload() {
	h.t.Helper()
	h.replies = append(h.replies, h.m.Resigned(h.now)...)
	h.m = h.replay(h.log)
	clear(h.timers)
	h.apply(h.m.Elected(h.now))
}

func (h *harness) replay(log []logEntry) *Machine {
	h.t.Helper()
	m := New(h.cfg, h.md)
	for _, e := range log {
		if e.marker {
			m.ReplayMarker(e.at, e.commit)
		} else if err := m.Replay(e.at, e.r); err != nil {
			h.t.Fatalf("replay of the log: %v", err)
		}
	}
	return m
}

func (h *harness) checkReplay() {
	h.t.Helper()
	live := hardState(h.m)
	if got := hardState(h.replay(h.log)); got != live {
		h.t.Fatalf("replayed:\n%s\nlive:\n%s", got, live)
	}
	if got := hardState(h.replay(compact(h.log, false))); got != live {
		h.t.Fatalf("replayed after compaction:\n%s\nlive:\n%s", got, live)
	}
	if got := hardState(h.replay(compact(h.log, true))); got != live {
		h.t.Fatalf("replayed after compaction without tombstones:\n%s\nlive:\n%s", got, live)
	}
}

// compact keeps the last record of each key, as the cleaner does: up to the first transaction that has not ended, and without the records
// of those that were aborted. Tombstones go later.
func compact(log []logEntry, dropTombstones bool) []logEntry {
	ended := make([]int8, len(log)) // 1 committed, 2 aborted
	open := map[int64][]int{}
	for i, e := range log {
		switch {
		case e.marker:
			for _, j := range open[e.at.ProducerID] {
				if ended[j] = 2; e.commit {
					ended[j] = 1
				}
			}
			delete(open, e.at.ProducerID)
		case e.at.ProducerID != -1:
			open[e.at.ProducerID] = append(open[e.at.ProducerID], i)
		default:
			ended[i] = 1
		}
	}
	clean := len(log)
	for _, list := range open {
		clean = min(clean, list[0])
	}
	last := map[string]int{}
	for i, e := range log[:clean] {
		if !e.marker && ended[i] == 1 {
			last[string(e.r.Key)] = i
		}
	}
	var out []logEntry
	for i, e := range log {
		if i < clean && !e.marker && (ended[i] != 1 || last[string(e.r.Key)] != i || dropTombstones && e.r.Value == nil) {
			continue
		}
		out = append(out, e)
	}
	return out
}

// hardState describes all that must survive.
func hardState(m *Machine) string {
	var b strings.Builder
	for _, id := range m.ids() {
		g := m.groups[id]
		if g.metadata == nil && g.consumer == nil && g.offsets.empty() {
			continue // a group that is there for those who ask, and for nobody after a load
		}
		fmt.Fprintf(&b, "group %s %x", id, g.metadata)
		if g.consumer != nil {
			b.WriteString(hardConsumer(g.consumer))
		}
		b.WriteByte('\n')
		for _, t := range g.offsets.topics {
			for _, c := range t.parts {
				fmt.Fprintf(&b, "  %s/%d %+v\n", t.name.name, c.partition, c)
			}
		}
		for _, k := range g.offsets.openKeys() {
			fmt.Fprintf(&b, "  open %v %v\n", k, g.offsets.open[k])
		}
	}
	var producers []int64
	for p := range m.pending {
		producers = append(producers, p)
	}
	slices.Sort(producers)
	for _, p := range producers {
		for _, k := range sortedPending(m.pending[p]) {
			fmt.Fprintf(&b, "pending %d %v %+v\n", p, k, m.pending[p][k])
		}
	}
	return b.String()
}

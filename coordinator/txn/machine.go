package txn

import (
	"slices"

	"weir/coordinator"
)

// The timers. Each is one for the machine.
const (
	timerAbort   uint8 = iota // looks for transactions that have timed out
	timerExpire               // looks for transactional ids that nobody uses
	timerMarkers              // sends markers that wait
	timerIDs                  // lets requests that wait for producer ids go on
)

// Machine is the coordinator of the transactional ids in one partition of __transaction_state. Each operation is named as its API key;
// requests are the machine's own, responses the caller's. The slices of Effects are valid until the next operation.
type Machine struct {
	cfg   *Config
	md    Metadata
	epoch int32 // of the coordinator: the leader epoch of the partition
	txns  map[string]*txn

	names map[string]string // topics, so that many transactions share one string
	parts []partition       // scratch

	rounds uint64
	again  []*txn // whose markers wait to be sent: soft
	armed  bool   // timerMarkers is set
	ids    producerIDs

	step step
}

var _ coordinator.Machine = (*Machine)(nil)

// New returns a machine that knows no transactional id. epoch is that of its leadership: partitions refuse the markers of an older one.
func New(cfg *Config, md Metadata, epoch int32) *Machine {
	return &Machine{cfg: cfg, md: md, epoch: epoch, txns: map[string]*txn{}, names: map[string]string{}}
}

// SetConfig takes over changed settings, and the level of the feature. Timers that are set stay as they are.
func (m *Machine) SetConfig(now int64, cfg *Config) coordinator.Effects {
	m.cfg = cfg
	return m.begin(now).e
}

// MetadataChanged takes over changed metadata: markers that wait for a leader may have one.
func (m *Machine) MetadataChanged(now int64, md Metadata) coordinator.Effects {
	s := m.begin(now)
	m.md = md
	if len(m.again) > 0 {
		s.arm(timerMarkers, now)
	}
	return s.e
}

// sorted returns the transactional ids of which is says so, sorted: the order of a map must not reach the log.
func (m *Machine) sorted(is func(t *txn) bool) []string {
	var ids []string
	for id, t := range m.txns {
		if is(t) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Elected goes on with the markers of transactions whose outcome is decided, and sets the timers.
func (m *Machine) Elected(now int64) coordinator.Effects {
	s := m.begin(now)
	for _, id := range m.sorted(func(t *txn) bool { return t.state.preparing() }) {
		t := m.txns[id]
		t.startMarks(m, t.value.parts)
		s.markLater(t, now)
	}
	s.arm(timerAbort, now+m.cfg.AbortCheckMs)
	s.arm(timerExpire, now+m.cfg.ExpirationCheckMs)
	return s.e
}

// Resigned has nothing to say: who waits hears of the runtime that this is not the coordinator any more.
func (m *Machine) Resigned(int64) []coordinator.Reply { return nil }

// Expired is called when a timer fires.
func (m *Machine) Expired(now int64, k coordinator.TimerKey) coordinator.Effects {
	s := m.begin(now)
	switch k.Kind {
	case timerAbort:
		s.abortTimedOut()
	case timerExpire:
		s.expire()
	case timerMarkers:
		s.markAgain()
	case timerIDs:
		s.goOn()
	}
	s.send()
	return s.e
}

// Answered brings the answer of a broker to markers, or new producer ids.
func (m *Machine) Answered(now int64, key, answer any, err error) coordinator.Effects {
	s := m.begin(now)
	switch k := key.(type) {
	case *markers:
		s.marked(k, answer, err)
	case idsKey:
		s.moreIDs(answer, err)
	}
	s.send()
	return s.e
}

// Replay takes over one record: the only place where hard state changes.
func (m *Machine) Replay(_ coordinator.At, r coordinator.Record) error {
	id, err := decodeKey(r.Key)
	if err != nil {
		return err
	}
	if r.Value == nil {
		delete(m.txns, string(id))
		return nil
	}
	v, err := decodeValue(r.Value, m.parts[:0], m.name)
	if err != nil {
		return err
	}
	if m.parts = v.parts[:0]; cap(m.parts) > maxScratch {
		m.parts = nil
	}
	t := m.txns[string(id)]
	if t == nil {
		t = &txn{id: string(id), lastEpoch: -1}
		m.txns[t.id] = t
	}
	parts := append(t.parts[:0], v.parts...)
	if !v.state.preparing() {
		t.marks, t.unmarked, t.fenced = t.marks[:0], 0, false
		if len(parts) == 0 && (cap(parts) > keepParts || v.state == empty) {
			parts = nil
		}
		if cap(t.marks) > keepParts || v.state == empty {
			t.marks = nil
		}
	}
	v.parts = parts
	t.value = v
	return nil
}

// maxScratch is how many partitions the machine keeps memory for.
const maxScratch = 1024

// ReplayMarker is not used: the topic has no transactions of its own.
func (m *Machine) ReplayMarker(coordinator.At, bool) {}

// maxNames is how many topics are remembered. Transactions keep the strings that they have.
const maxNames = 4096

// name returns the topic as a string that all transactions share.
func (m *Machine) name(topic []byte) string {
	if s, ok := m.names[string(topic)]; ok {
		return s
	}
	if len(m.names) >= maxNames {
		clear(m.names)
	}
	s := string(topic)
	m.names[s] = s
	return s
}

// abortTimedOut aborts transactions that have taken too long.
func (s *step) abortTimedOut() {
	for _, id := range s.m.sorted(func(t *txn) bool { return t.timedOut(s.now) }) {
		if s.full() {
			s.arm(timerAbort, s.now)
			return
		}
		if t := s.m.txns[id]; !s.abort(t) {
			break // no producer id is at hand: next time
		}
	}
	s.arm(timerAbort, s.now+s.m.cfg.AbortCheckMs)
}

// expire forgets transactional ids that nobody uses.
func (s *step) expire() {
	for _, id := range s.m.sorted(func(t *txn) bool { return t.expired(s.now, s.m.cfg.ExpirationMs) }) {
		if s.full() {
			s.arm(timerExpire, s.now)
			return
		}
		s.tombstone(id)
	}
	s.arm(timerExpire, s.now+s.m.cfg.ExpirationCheckMs)
}

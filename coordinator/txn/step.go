package txn

import "weir/coordinator"

// step is one operation under way: the machine's state to read, the time, and the effects so far. The machine has one, and uses its
// slices again. An operation writes at most one change of a transactional id, or a chain of them that it makes itself: it cannot see
// what it has written before it is replayed.
type step struct {
	m     *Machine
	now   int64
	e     coordinator.Effects
	buf   []byte // keys and values of e.Records
	nodes []*markers
	final bool // a request that finds no producer id is answered instead of waiting
}

// begin starts an operation. Effects of the one before are no longer valid.
func (m *Machine) begin(now int64) *step {
	s := &m.step
	s.m, s.now, s.final = m, now, false
	clear(s.e.Replies)
	clear(s.e.Sends)
	clear(s.nodes)
	s.nodes = s.nodes[:0]
	s.e = coordinator.Effects{Records: s.e.Records[:0], Replies: s.e.Replies[:0], Timers: s.e.Timers[:0], Sends: s.e.Sends[:0]}
	if cap(s.buf) > maxStepBuffer {
		s.buf = nil
	}
	s.buf = s.buf[:0]
	return s
}

const (
	// maxStepBuffer is what a step keeps for the next one at most.
	maxStepBuffer = 64 << 10
	// fullStep is how many bytes an operation about many transactional ids writes before it leaves the rest to the next, for all of an
	// operation is one batch.
	fullStep = 16 << 10
)

func (s *step) full() bool { return len(s.buf) >= fullStep }

// reply answers a request that waits.
func (s *step) reply(to coordinator.Token, response any) {
	s.e.Replies = append(s.e.Replies, coordinator.Reply{To: to, Response: response})
}

func (s *step) arm(kind uint8, at int64) {
	s.e.Timers = append(s.e.Timers, coordinator.Timer{Key: coordinator.TimerKey{Kind: kind}, At: at})
}

// write adds the record that makes v the value of a transactional id.
func (s *step) write(id string, v *value) {
	from := len(s.buf)
	s.buf = appendKey(s.buf, id)
	mid := len(s.buf)
	s.buf = appendValue(s.buf, v, valueVersion(v, s.m.cfg.Version))
	s.e.Records = append(s.e.Records, coordinator.Record{Key: s.buf[from:mid:mid], Value: s.buf[mid:len(s.buf):len(s.buf)]})
}

// change writes a change of t.
func (s *step) change(t *txn, c *change) {
	s.write(t.id, &c.value)
	t.lastEpoch = c.lastEpoch
}

// tombstone adds the record that forgets a transactional id.
func (s *step) tombstone(id string) {
	from := len(s.buf)
	s.buf = appendKey(s.buf, id)
	s.e.Records = append(s.e.Records, coordinator.Record{Key: s.buf[from:len(s.buf):len(s.buf)]})
}

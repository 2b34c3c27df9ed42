package group

import "weir/coordinator"

// step is one operation under way: the machine's state to read, the time, and the effects so far. The machine has one, and uses its
// slices again: the hot operations allocate their response and nothing else.
type step struct {
	m   *Machine
	now int64
	e   coordinator.Effects
	buf []byte // keys and values of e.Records
}

// begin starts an operation. Effects of the one before are no longer valid.
func (m *Machine) begin(now int64) *step {
	s := &m.step
	s.m, s.now = m, now
	clear(s.e.Replies)
	s.e = coordinator.Effects{Records: s.e.Records[:0], Replies: s.e.Replies[:0], Timers: s.e.Timers[:0], Sends: s.e.Sends[:0]}
	if cap(s.buf) > maxStepBuffer {
		s.buf = nil
	}
	s.buf = s.buf[:0]
	return s
}

// maxStepBuffer is what a step keeps for the next one at most: groups of many members make large records, and rarely.
const maxStepBuffer = 64 << 10

// reply answers a request that waits.
func (s *step) reply(to coordinator.Token, response any) {
	s.e.Replies = append(s.e.Replies, coordinator.Reply{To: to, Response: response})
}

func (s *step) arm(k coordinator.TimerKey, at int64) {
	s.e.Timers = append(s.e.Timers, coordinator.Timer{Key: k, At: at})
}

func (s *step) cancel(k coordinator.TimerKey) {
	s.e.Timers = append(s.e.Timers, coordinator.Timer{Key: k, Cancel: true})
}

// record adds the record whose key is s.buf[from:mid] and whose value is the rest. tombstone adds one without a value.
func (s *step) record(from, mid int) {
	s.e.Records = append(s.e.Records, coordinator.Record{Key: s.buf[from:mid:mid], Value: s.buf[mid:len(s.buf):len(s.buf)]})
}

func (s *step) tombstone(from int) {
	s.e.Records = append(s.e.Records, coordinator.Record{Key: s.buf[from:len(s.buf):len(s.buf)]})
}

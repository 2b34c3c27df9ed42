package txn

import "weir/coordinator"

// AllocateIDs is the Request of a Send, to no broker in particular, that asks for producer ids. Its answer is an IDs.
type AllocateIDs struct{}

// IDs is a block of producer ids that nobody else has, and nobody will have: First and those after it.
type IDs struct{ First, Count int64 }

// idsKey is the Key of the Send.
type idsKey struct{}

// producerIDs is the ids that the machine may give out: soft, for an id that is lost is no loss.
type producerIDs struct {
	blocks  []IDs
	size    int64 // of the last block
	asked   bool
	waiting []waiter
}

// waiter is a request that waits for a producer id.
type waiter struct {
	until int64
	again func(s *step) // the request once more
}

// idWaitMs is how long a request waits. Kafka answers at once that the client has to come again.
const idWaitMs = 5000

// takeID takes a producer id, and has more allocated in time.
func (s *step) takeID() (id int64, ok bool) {
	p := &s.m.ids
	left := int64(0)
	for i := range p.blocks {
		left += p.blocks[i].Count
	}
	if left > 0 {
		b := &p.blocks[0]
		id, ok = b.First, true
		b.First++
		if b.Count--; b.Count == 0 {
			p.blocks = p.blocks[1:]
		}
		left--
	}
	if left <= p.size/10 && !p.asked {
		p.asked = true
		s.e.Sends = append(s.e.Sends, coordinator.Send{Key: idsKey{}, Node: -1, Request: AllocateIDs{}})
	}
	return id, ok
}

// wait has a request come again as soon as there are producer ids. It says whether it does: it has waited long enough otherwise.
func (s *step) wait(again func(s *step)) bool {
	if s.final {
		return false
	}
	p := &s.m.ids
	p.waiting = append(p.waiting, waiter{s.now + idWaitMs, again})
	s.arm(timerIDs, p.waiting[0].until)
	return true
}

// moreIDs takes a block of producer ids, or that there is none.
func (s *step) moreIDs(answer any, err error) {
	p := &s.m.ids
	p.asked = false
	if b, ok := answer.(IDs); ok && err == nil && b.Count > 0 && b.First >= 0 {
		p.blocks, p.size = append(p.blocks, b), b.Count
	} else {
		for i := range p.waiting {
			p.waiting[i].until = s.now
		}
	}
	s.goOn()
}

// goOn lets one request go on that has waited: one, for the next may be about the same transactional id.
func (s *step) goOn() {
	p := &s.m.ids
	if len(p.waiting) == 0 {
		return
	}
	if w := p.waiting[0]; len(p.blocks) > 0 || w.until <= s.now {
		p.waiting[0] = waiter{}
		p.waiting = p.waiting[1:]
		s.final = w.until <= s.now
		w.again(s)
	}
	if len(p.waiting) > 0 {
		at := p.waiting[0].until
		if len(p.blocks) > 0 {
			at = s.now
		}
		s.arm(timerIDs, at)
	}
}

package fetch

import (
	"container/list"
	"sync"

	"weir/protocol"
)

// Partition is what a client wants of one partition. With Fetch v13 and later ID is set and Name is not; before, the reverse.
type Partition struct {
	Name        string
	ID          protocol.UUID
	Index       int32
	Offset      int64
	LogStart    int64 // a follower's, else -1
	MaxBytes    int32
	LeaderEpoch int32 // -1: not known to the client
	LastEpoch   int32 // -1: none
	cached      *cached
}

// key is what a session knows a partition by.
type key struct {
	name  string
	id    protocol.UUID
	index int32
}

func (p *Partition) key() key { return key{p.Name, p.ID, p.Index} }

// cached is a partition in a session: what is wanted, and what was last told.
type cached struct {
	want      Partition
	hw, start int64 // as last sent; hw is -1 after an error, so that the next good answer is sent
	at        *list.Element
}

// Session is one incremental fetch session (KIP-227).
type Session struct {
	mu       sync.Mutex
	id       int32
	epoch    int32 // the epoch that the next request has to carry
	byID     bool  // topics are named by id: Fetch v13 and later
	follower bool
	parts    map[key]*cached
	order    *list.List // of *cached: the order to read in; those that had data move to the end

	// Held by Cache.
	usedMs int64
	madeMs int64
	size   int
	lru    *list.Element
}

const (
	initialEpoch = 0
	finalEpoch   = -1
)

// nextEpoch is Kafka's FetchMetadata.nextEpoch.
func nextEpoch(e int32) int32 {
	switch {
	case e < 0:
		return finalEpoch
	case e == 1<<31-1:
		return 1
	}
	return e + 1
}

// update applies a request to the session: partitions added, changed and forgotten. The lock is held.
func (s *Session) update(want []Partition, forget []Partition) {
	for i := range want {
		w := want[i]
		w.cached = nil
		if c := s.parts[w.key()]; c != nil {
			c.want = w
			continue
		}
		c := &cached{want: w, hw: -1, start: -1}
		c.at = s.order.PushBack(c)
		s.parts[w.key()] = c
	}
	for i := range forget {
		if c := s.parts[forget[i].key()]; c != nil {
			s.order.Remove(c.at)
			delete(s.parts, forget[i].key())
		}
	}
}

// Told is what an answer says of one partition.
type Told struct {
	HighWatermark, LogStart int64
	Failed                  bool // it carries an error code
	Records                 bool // it carries records
	Always                  bool // a diverging epoch or a preferred replica: worth sending whatever else is the same
}

// tell notes an answer and says whether it has to be sent: Kafka's maybeUpdateResponseData. The lock is held.
func (c *cached) tell(t Told) bool {
	send := t.Records || t.Always
	if c.hw != t.HighWatermark {
		send = true
		c.hw = t.HighWatermark
	}
	if c.start != t.LogStart {
		send = true
		c.start = t.LogStart
	}
	if t.Failed {
		c.hw = -1
		send = true
	}
	return send
}

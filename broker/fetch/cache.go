package fetch

import (
	"container/list"
	"slices"
	"sync"

	"weir/protocol"
)

// Cache holds the sessions of a broker: at most slots of them (max.incremental.fetch.session.cache.slots). When it is full a
// session is evicted that was not used for evictMs, or one that is worth less than the newcomer.
type Cache struct {
	mu       sync.Mutex
	slots    int
	sessions map[int32]*Session
	byUse    *list.List // of *Session, least recently used first
	newID    func() int32
}

const evictMs = 120_000 // min.incremental.fetch.session.eviction.ms

// NewCache makes a cache. newID gives random numbers; zero and those in use are asked for again.
func NewCache(slots int, newID func() int32) *Cache {
	return &Cache{slots: slots, sessions: map[int32]*Session{}, byUse: list.New(), newID: newID}
}

// Request is what of a Fetch request concerns sessions.
type Request struct {
	SessionID int32
	Epoch     int32
	ByID      bool // version 13 and later
	Follower  bool
	Want      []Partition
	Forget    []Partition
}

// Fetch is one request in the light of its session: which partitions to read, in order, and which answers to send.
type Fetch struct {
	cache       *Cache
	session     *Session // nil: sessionless or a full request that may make one
	create      bool
	byID        bool
	follower    bool
	epoch       int32 // of an incremental request
	Incremental bool
	Parts       []Partition
}

// Begin finds the session. f.Parts is filled from its beginning and reused between calls. The code is for the whole response.
func (c *Cache) Begin(f *Fetch, r *Request, nowMs int64) protocol.Code {
	f.cache, f.session, f.create, f.byID, f.follower, f.Incremental = c, nil, false, r.ByID, r.Follower, false
	f.Parts = f.Parts[:0]
	if r.Epoch == initialEpoch || r.Epoch == finalEpoch {
		if r.SessionID != 0 {
			c.remove(r.SessionID)
		}
		f.create = r.Epoch == initialEpoch
		f.Parts = appendOnce(f.Parts, r.Want)
		return protocol.None
	}
	c.mu.Lock()
	s := c.sessions[r.SessionID]
	c.mu.Unlock()
	if s == nil {
		return protocol.FetchSessionIDNotFound
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != r.Epoch {
		return protocol.InvalidFetchSessionEpoch
	}
	if s.byID != r.ByID {
		return protocol.FetchSessionTopicIDError
	}
	s.update(r.Want, r.Forget)
	if len(s.parts) == 0 {
		c.remove(r.SessionID)
		return protocol.None
	}
	s.epoch = nextEpoch(s.epoch)
	c.touch(s, nowMs)
	f.session, f.epoch, f.Incremental = s, r.Epoch, true
	for e := s.order.Front(); e != nil; e = e.Next() {
		p := e.Value.(*cached)
		f.Parts = append(f.Parts, p.want)
		f.Parts[len(f.Parts)-1].cached = p
	}
	return protocol.None
}

// appendOnce appends what is wanted. A partition that is named twice is there once, as it was wanted last: Kafka reads them into a map.
func appendOnce(to, want []Partition) []Partition {
	const few = 32 // are compared with each other, which allocates nothing
	var at map[key]int
	if len(want) > few {
		at = make(map[key]int, len(want))
	}
	for i := range want {
		w := &want[i]
		j := -1
		if at == nil {
			j = slices.IndexFunc(to, func(p Partition) bool { return p.Index == w.Index && p.ID == w.ID && p.Name == w.Name })
		} else if k, ok := at[w.key()]; ok {
			j = k
		} else {
			at[w.key()] = len(to)
		}
		if j >= 0 {
			to[j] = *w
		} else {
			to = append(to, *w)
		}
	}
	return to
}

// End notes what is about to be answered, told[i] for Parts[i], and sets send[i]. It returns the session id of the response, and a
// code when another request of the same session overtook this one. It makes the session of a full request that asked for one.
func (f *Fetch) End(told []Told, send []bool, nowMs int64) (int32, protocol.Code) {
	if !f.Incremental {
		for i := range send {
			send[i] = true
		}
		if !f.create {
			return 0, protocol.None
		}
		return f.cache.create(f, told, nowMs), protocol.None
	}
	s := f.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.epoch != nextEpoch(f.epoch) {
		return 0, protocol.InvalidFetchSessionEpoch
	}
	for i := range f.Parts {
		c := f.Parts[i].cached
		send[i] = c.tell(told[i])
		if told[i].Records && s.parts[c.want.key()] == c {
			s.order.MoveToBack(c.at)
		}
	}
	return s.id, protocol.None
}

// SessionID is the id to name in a response that carries an error or that is not remembered.
func (f *Fetch) SessionID() int32 {
	if f.session == nil {
		return 0
	}
	return f.session.id
}

func (c *Cache) create(f *Fetch, told []Told, nowMs int64) int32 {
	s := &Session{epoch: 1, byID: f.byID, follower: f.follower, parts: make(map[key]*cached, len(f.Parts)), order: list.New(), usedMs: nowMs, madeMs: nowMs, size: len(f.Parts)}
	c.mu.Lock()
	room := c.makeRoom(s, nowMs)
	c.mu.Unlock()
	if !room {
		return 0
	}
	s.update(f.Parts, nil)
	for i := range f.Parts {
		if p := s.parts[f.Parts[i].key()]; p != nil {
			p.tell(told[i])
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.makeRoom(s, nowMs) {
		return 0
	}
	for s.id == 0 || c.sessions[s.id] != nil {
		s.id = c.newID() & (1<<31 - 1)
	}
	c.sessions[s.id] = s
	s.lru = c.byUse.PushBack(s)
	return s.id
}

// makeRoom evicts a session for s if it must and may. The lock is held.
func (c *Cache) makeRoom(s *Session, nowMs int64) bool {
	if len(c.sessions) < c.slots {
		return true
	}
	oldest := c.byUse.Front()
	if oldest == nil {
		return false
	}
	if o := oldest.Value.(*Session); nowMs-o.usedMs > evictMs {
		c.removeLocked(o)
		return true
	}
	// Else the least valuable of those that s may evict goes, if s is worth no less: Kafka's FetchSessionCache.tryEvict. A
	// consumer's session is safe from other consumers until it has lived for evictMs, a follower's from all.
	var victim *Session
	for e := oldest; e != nil; e = e.Next() {
		o := e.Value.(*Session)
		mayEvict := nowMs-o.madeMs > evictMs || s.follower && !o.follower
		if mayEvict && (victim == nil || o.less(victim)) {
			victim = o
		}
	}
	if victim == nil || s.less(victim) {
		return false
	}
	c.removeLocked(victim)
	return true
}

// less says whether s is worth less than o.
func (s *Session) less(o *Session) bool {
	if s.follower != o.follower {
		return o.follower
	}
	return s.size < o.size
}

func (c *Cache) touch(s *Session, nowMs int64) {
	size := len(s.parts)
	c.mu.Lock()
	defer c.mu.Unlock()
	s.usedMs, s.size = nowMs, size
	if s.lru != nil {
		c.byUse.MoveToBack(s.lru)
	}
}

func (c *Cache) remove(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sessions[id]; s != nil {
		c.removeLocked(s)
	}
}

func (c *Cache) removeLocked(s *Session) {
	delete(c.sessions, s.id)
	c.byUse.Remove(s.lru)
	s.lru = nil
}

// Len says how many sessions there are.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions)
}

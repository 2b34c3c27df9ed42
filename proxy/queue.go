package proxy

import (
	"sync"

	"weir/proxy/filter"
)

// maxInFlight bounds the requests of a connection that are not answered yet. Who sends more waits: bytes are left to the kernel.
const maxInFlight = 256

// entry is a request that is not answered yet.
type entry struct {
	key, version int16
	correlation  int32
	raw          bool             // a token of SASL without any header
	opaque       bool             // of a version that is not known here
	silent       bool             // it has no answer
	tokens       int32            // of SASL that come after it
	x            *filter.Exchange // nil: no filter watches it
}

// queue is the requests in flight, in their order.
type queue struct {
	mu     sync.Mutex
	room   sync.Cond
	ring   []entry
	head   int
	n      int
	closed bool
}

// wait waits while there are too many requests. It is false when the connection has ended.
func (q *queue) wait() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n >= maxInFlight && !q.closed {
		q.room.Wait()
	}
	return !q.closed
}

// push adds a request, after wait. It is false when the connection has ended.
func (q *queue) push(e entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	if q.n == len(q.ring) {
		ring := make([]entry, max(4, 2*q.n))
		for i := range q.n {
			ring[i] = q.ring[(q.head+i)%len(q.ring)]
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.n)%len(q.ring)] = e
	q.n++
	return true
}

// front returns the oldest request. It stays until pop.
func (q *queue) front() (e entry, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == 0 {
		return e, false
	}
	return q.ring[q.head], true
}

// len is how many wait for an answer.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.n
}

// pop drops the oldest.
func (q *queue) pop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ring[q.head] = entry{}
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	q.room.Broadcast()
}

// drain waits until all are answered or the connection has ended.
func (q *queue) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.n > 0 && !q.closed {
		q.room.Wait()
	}
}

// close ends all waiting.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.room.Broadcast()
}

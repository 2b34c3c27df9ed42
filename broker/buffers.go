package broker

import (
	"errors"
	"sync"
	"time"
)

// errMemory closes a connection whose frame found no memory in time.
var errMemory = errors.New("too many bytes of requests in flight")

// memory bounds the bytes that all connections together hold for frames that are larger than freeBytes.
//
// There are two bounds. What has been promised to a frame by its length but has not arrived costs a client nothing, so little of
// it is given ahead (ahead); beyond that a frame's buffer grows only as its bytes come in. What has arrived is real work of the
// client, and is bounded by total: a frame that would pass it waits for others to finish, and after waitForMemory gives up.
type memory struct {
	mu           sync.Mutex
	total, ahead int64 // what is left of both
	waiting      int
	freed        chan struct{}
}

const (
	wakeBytes     = 1 << 10 // what a connection that has just woken up gets
	freeBytes     = 16 << 10
	aheadBytes    = 32 << 20
	newcomerBytes = 4 << 20 // of aheadBytes: what clients get that have not yet sent a frame of such a size
	waitForMemory = 10 * time.Second
)

func newMemory(total int64) *memory {
	return &memory{total: total, ahead: aheadBytes, freed: make(chan struct{})}
}

// tryAhead takes n bytes that have not arrived yet, if there are so many. proven is said of a client that has kept such a promise
// before: newcomers share a small part, so that many of them with nothing but lengths take next to no memory.
func (m *memory) tryAhead(n int, proven bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := m.ahead
	if !proven {
		left -= aheadBytes - newcomerBytes
	}
	if left < int64(n) {
		return false
	}
	m.ahead -= int64(n)
	return true
}

// arrived gives back what tryAhead took.
func (m *memory) arrived(n int) {
	m.mu.Lock()
	m.ahead += int64(n)
	m.mu.Unlock()
}

// take takes n bytes of the total, waiting for them if it must. A nil timer is the real one.
func (m *memory) take(n int, closed <-chan struct{}) error {
	var timeout <-chan time.Time
	for {
		m.mu.Lock()
		if m.total >= int64(n) {
			m.total -= int64(n)
			m.mu.Unlock()
			return nil
		}
		m.waiting++
		freed := m.freed
		m.mu.Unlock()
		if timeout == nil {
			t := time.NewTimer(waitForMemory)
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-freed:
		case <-closed:
			return errMemory
		case <-timeout:
			return errMemory
		}
	}
}

// give returns n bytes to the total and wakes who waits for them.
func (m *memory) give(n int) {
	m.mu.Lock()
	m.total += int64(n)
	if m.waiting > 0 {
		m.waiting = 0
		close(m.freed)
		m.freed = make(chan struct{})
	}
	m.mu.Unlock()
}

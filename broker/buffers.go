package broker

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker/api"
	"weir/protocol"
)

// errMemory closes a connection whose frame, or answer, found no memory in time.
var errMemory = errors.New("too many bytes of requests and answers in flight")

// memory bounds the bytes that all connections together hold for frames that are larger than freeBytes, and for what requests
// decode to.
//
// A frame has two bounds. What has been promised to a frame by its length but has not arrived costs a client nothing, so little of
// it is given ahead (ahead); beyond that a frame's buffer grows only as its bytes come in. What has arrived is real work of the
// client, and is bounded by total: a frame that would pass it waits for others to finish, and after waitForMemory gives up.
//
// What a request decodes to can be many times its frame, and has a bound of its own (decoded), for who holds some of it waits for
// nobody's bytes and will soon give it back: so a request that waits for it with its frame in memory cannot wait for itself.
//
// What handlers make answers of, and encoded answers until they are written, have a bound of their own too (answers). What may be many
// times its request is taken before the work, and waits; what is there already is taken without waiting, below 0 if need be.
//
// Somebody who waits for a part of total or of answers need not wait for a client that does nothing: see stalled.go.
//
// What is queued behind responses that are not ready has a bound as well (queued). Beyond it each connection has one request in the
// works, and its further ones are not read.
type memory struct {
	queued                         atomic.Int64 // what is left of it; below 0 where it was passed
	mu                             sync.Mutex
	total, ahead, decoded, answers int64 // what is left of each
	waiting                        int
	freed                          chan struct{}
	forTotal, forAnswers           int    // how many wait for each
	short                          func() // is called when somebody begins to wait, or answers are below 0. It must not block
}

const (
	wakeBytes     = 1 << 10 // what a connection that has just woken up gets
	freeBytes     = 16 << 10
	slowBytes     = 4 << 10   // what a frame gets whose bytes are slow to come, without a promise
	wakeForBytes  = 256 << 10 // of a large frame, what is waited for in one go
	aheadBytes    = 32 << 20
	newcomerBytes = 4 << 20 // of aheadBytes: what clients get that have not yet sent a frame of such a size
	decodedBytes  = 4 * protocol.MaxDecoded
	queuedBytes   = 8 << 20
	answerBytes   = 2 * api.MaxAnswer
	waitForMemory = 10 * time.Second
)

func newMemory(total int64) *memory {
	m := &memory{total: total, ahead: aheadBytes, decoded: decodedBytes, answers: answerBytes, short: func() {}, freed: make(chan struct{})}
	m.queued.Store(queuedBytes)
	return m
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

// take takes n bytes of the total, waiting for them if it must.
func (m *memory) take(n int, closed <-chan struct{}) error {
	return m.wait(&m.total, &m.forTotal, n, closed)
}

// takeDecoded takes n bytes of what requests may decode to.
func (m *memory) takeDecoded(n int, closed <-chan struct{}) error {
	return m.wait(&m.decoded, new(int), n, closed)
}

// takeAnswer takes n bytes for an answer.
func (m *memory) takeAnswer(n int, closed <-chan struct{}) error {
	return m.wait(&m.answers, &m.forAnswers, n, closed)
}

// forceAnswer takes n bytes for an answer that is there already; a negative n gives back.
func (m *memory) forceAnswer(n int) {
	if n <= 0 {
		m.wake(&m.answers, -n)
		return
	}
	m.mu.Lock()
	m.answers -= int64(n)
	short := m.answers < 0
	m.mu.Unlock()
	if short {
		m.short()
	}
}

// tight says whether each connection is to have no more than one request in the works.
func (m *memory) tight() bool {
	if m.queued.Load() <= 0 {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.answers <= 0
}

// shortOf says of what there is not enough.
func (m *memory) shortOf() (total, answers bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.forTotal > 0, m.forAnswers > 0 || m.answers < 0
}

func (m *memory) wait(left *int64, who *int, n int, closed <-chan struct{}) error {
	var timeout <-chan time.Time
	for {
		m.mu.Lock()
		if *left >= int64(n) {
			*left -= int64(n)
			m.mu.Unlock()
			return nil
		}
		m.waiting++
		freed := m.freed
		if timeout == nil {
			*who++
		}
		m.mu.Unlock()
		if timeout == nil {
			t := time.NewTimer(waitForMemory)
			defer t.Stop()
			timeout = t.C
			defer func() {
				m.mu.Lock()
				*who--
				m.mu.Unlock()
			}()
			m.short()
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
func (m *memory) give(n int) { m.wake(&m.total, n) }

func (m *memory) giveDecoded(n int) { m.wake(&m.decoded, n) }

func (m *memory) wake(left *int64, n int) {
	m.mu.Lock()
	*left += int64(n)
	if m.waiting > 0 {
		m.waiting = 0
		close(m.freed)
		m.freed = make(chan struct{})
	}
	m.mu.Unlock()
}

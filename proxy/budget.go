package proxy

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// errBudget says that there is not enough memory of a kind.
var errBudget = errors.New("too much for the memory for all connections")

// budget bounds the bytes that all connections together hold of a kind. Who asks waits until there is room.
type budget struct {
	mu    sync.Mutex
	total int
	used  int
	moved chan struct{} // closed when something was given back; nil when nobody waits
}

// take waits for n bytes, or until done.
func (b *budget) take(n int, done <-chan struct{}) error {
	if n > b.total {
		return fmt.Errorf("%w: %d bytes, there are %d", errBudget, n, b.total)
	}
	for {
		b.mu.Lock()
		if b.used+n <= b.total {
			b.used += n
			b.mu.Unlock()
			return nil
		}
		if b.moved == nil {
			b.moved = make(chan struct{})
		}
		moved := b.moved
		b.mu.Unlock()
		select {
		case <-moved:
		case <-done:
			return errClosing
		}
	}
}

func (b *budget) give(n int) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.moved != nil {
		close(b.moved)
		b.moved = nil
	}
}

// held is what is in use.
func (b *budget) held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// budgets are those of one direction. They are taken in the order of the fields, so that nobody who holds what another waits for waits
// for him.
type budgets struct {
	frames  budget        // whole frames that had to be read into memory
	decoded budget        // what they decode to
	stall   time.Duration // how long who holds some of them may keep others waiting
}

package wal

import (
	"sync"
	"sync/atomic"
)

// clock bounds how many of something are kept, by second chance: an item that was used since the hand passed it last is spared
// once. Using an item costs its user one atomic flag and no lock.
//
// Locks: add and remove are called with the item's own lock held, and evict, called with the clock's, must only try that lock.
type clock[T comparable] struct {
	hot   func(T) *atomic.Bool
	evict func(T) bool // frees the item if it is not busy, and says whether it did
	max   int64

	mu    sync.Mutex
	items []clockItem[T]
	at    map[T]int
	hand  int
	total int64
}

type clockItem[T comparable] struct {
	item T
	cost int64
}

// add puts an item in and evicts others until the costs fit, or until no other can be.
func (c *clock[T]) add(item T, cost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := c.at[item]; ok {
		c.total += cost - c.items[i].cost
		c.items[i].cost = cost
	} else {
		if c.at == nil {
			c.at = make(map[T]int)
		}
		c.at[item] = len(c.items)
		c.items = append(c.items, clockItem[T]{item, cost})
		c.total += cost
	}
	c.sweep(item)
}

// remove takes an item out, if it is in.
func (c *clock[T]) remove(item T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i, ok := c.at[item]; ok {
		c.drop(i)
	}
}

// len returns how many items are in.
func (c *clock[T]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.items)
}

// evictOne evicts an item other than spare, and says whether it could.
func (c *clock[T]) evictOne(spare T) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, limit := len(c.items), c.max
	c.max = c.total - 1
	c.sweep(spare)
	c.max = limit
	return len(c.items) < before
}

func (c *clock[T]) sweep(spare T) {
	for steps := 2 * len(c.items); c.total > c.max && steps > 0; steps-- {
		if c.hand >= len(c.items) {
			c.hand = 0
		}
		item := c.items[c.hand].item
		if item == spare || c.hot(item).Swap(false) || !c.evict(item) {
			c.hand++
			continue
		}
		c.drop(c.hand)
	}
}

func (c *clock[T]) drop(i int) {
	last := len(c.items) - 1
	c.total -= c.items[i].cost
	delete(c.at, c.items[i].item)
	if i != last {
		c.items[i] = c.items[last]
		c.at[c.items[i].item] = i
	}
	c.items[last] = clockItem[T]{}
	c.items = c.items[:last]
}

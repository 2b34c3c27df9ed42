package controller

import (
	"iter"
	"slices"
)

// chunkMax is the most entries of one chunk: small enough to copy in a microsecond, large enough that the list of chunks stays
// short (100,000 topics: about 1,500 chunks).
const chunkMax = 128

// sortedMap is an immutable map in key order. A change copies one chunk and the list of chunks, so an old and a new map share
// the rest. The zero value with compare set is an empty map.
type sortedMap[K, V any] struct {
	compare func(a, b K) int
	firsts  []K // firsts[i] is the smallest key of chunks[i]: a search stays in one slice
	chunks  []*chunk[K, V]
	size    int
}

type chunk[K, V any] struct {
	keys  []K
	vals  []V
	owner *mapEdit[K, V] // the edit that made it and may still write to it
}

// find returns the chunk that a key belongs to, its place in it, and whether it is there.
func (m *sortedMap[K, V]) find(k K) (c, i int, ok bool) {
	if len(m.chunks) == 0 {
		return 0, 0, false
	}
	c, ok = slices.BinarySearchFunc(m.firsts, k, m.compare)
	if ok {
		return c, 0, true
	}
	if c > 0 {
		c--
	}
	i, ok = slices.BinarySearchFunc(m.chunks[c].keys, k, m.compare)
	return c, i, ok
}

func (m *sortedMap[K, V]) get(k K) (v V, ok bool) {
	c, i, ok := m.find(k)
	if !ok {
		return v, false
	}
	return m.chunks[c].vals[i], true
}

// from iterates in key order over the entries with keys at or after k.
func (m *sortedMap[K, V]) from(k K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		c, i, _ := m.find(k)
		for ; c < len(m.chunks); c, i = c+1, 0 {
			ch := m.chunks[c]
			for ; i < len(ch.keys); i++ {
				if !yield(ch.keys[i], ch.vals[i]) {
					return
				}
			}
		}
	}
}

// all iterates in key order.
func (m *sortedMap[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, ch := range m.chunks {
			for i := range ch.keys {
				if !yield(ch.keys[i], ch.vals[i]) {
					return
				}
			}
		}
	}
}

// mapEdit gathers the changes of one batch: what it copied once it changes in place afterwards.
type mapEdit[K, V any] struct {
	m      sortedMap[K, V]
	copied bool // the list of chunks is ours
}

func (m sortedMap[K, V]) edit() *mapEdit[K, V] { return &mapEdit[K, V]{m: m} }

// done returns the new map. The edit must not be used afterwards.
func (e *mapEdit[K, V]) done() sortedMap[K, V] {
	return e.m
}

func (e *mapEdit[K, V]) own(c int) *chunk[K, V] {
	e.ownList()
	ch := e.m.chunks[c]
	if ch.owner != e {
		ch = &chunk[K, V]{keys: slices.Clone(ch.keys), vals: slices.Clone(ch.vals), owner: e}
		e.m.chunks[c] = ch
	}
	return ch
}

func (e *mapEdit[K, V]) ownList() {
	if !e.copied {
		e.m.firsts, e.m.chunks, e.copied = slices.Clone(e.m.firsts), slices.Clone(e.m.chunks), true
	}
}

func (e *mapEdit[K, V]) get(k K) (V, bool) { return e.m.get(k) }

func (e *mapEdit[K, V]) set(k K, v V) {
	if len(e.m.chunks) == 0 {
		e.ownList()
		e.m.firsts = append(e.m.firsts, k)
		e.m.chunks = append(e.m.chunks, &chunk[K, V]{keys: []K{k}, vals: []V{v}, owner: e})
		e.m.size = 1
		return
	}
	c, i, ok := e.m.find(k)
	ch := e.own(c)
	if ok {
		ch.vals[i] = v
		return
	}
	ch.keys, ch.vals = slices.Insert(ch.keys, i, k), slices.Insert(ch.vals, i, v)
	e.m.firsts[c] = ch.keys[0]
	e.m.size++
	if len(ch.keys) > chunkMax {
		e.split(c, i == len(ch.keys)-1)
	}
}

// split halves a chunk; where entries arrive in order it cuts near the end, so that chunks fill up.
func (e *mapEdit[K, V]) split(c int, atEnd bool) {
	ch := e.m.chunks[c]
	at := len(ch.keys) / 2
	if atEnd {
		at = len(ch.keys) - 1
	}
	right := &chunk[K, V]{keys: slices.Clone(ch.keys[at:]), vals: slices.Clone(ch.vals[at:]), owner: e}
	clear(ch.keys[at:])
	clear(ch.vals[at:])
	ch.keys, ch.vals = ch.keys[:at], ch.vals[:at]
	e.m.chunks = slices.Insert(e.m.chunks, c+1, right)
	e.m.firsts = slices.Insert(e.m.firsts, c+1, right.keys[0])
}

func (e *mapEdit[K, V]) delete(k K) bool {
	c, i, ok := e.m.find(k)
	if !ok {
		return false
	}
	ch := e.own(c)
	ch.keys, ch.vals = slices.Delete(ch.keys, i, i+1), slices.Delete(ch.vals, i, i+1)
	e.m.size--
	if len(ch.keys) > 0 {
		e.m.firsts[c] = ch.keys[0]
	}
	if next := c + 1; next < len(e.m.chunks) && len(ch.keys)+len(e.m.chunks[next].keys) <= chunkMax/2 {
		ch.keys = append(ch.keys, e.m.chunks[next].keys...)
		ch.vals = append(ch.vals, e.m.chunks[next].vals...)
		e.m.firsts[c] = ch.keys[0]
		c = next
	} else if len(ch.keys) > 0 {
		return true
	}
	e.m.chunks = slices.Delete(e.m.chunks, c, c+1)
	e.m.firsts = slices.Delete(e.m.firsts, c, c+1)
	return true
}

package wal

import (
	"hash/maphash"
	"math/bits"
)

// offsetMap is Kafka's SkimpyOffsetMap: for each key the newest offset, the key itself being only a hash of 128 bits. Two keys with one
// hash would cost a record, so the hash has two halves with secret seeds: by chance that does not happen, and nobody can look for
// it. The table grows from little to its bound; while it grows to it, half as much again is in use.
type offsetMap struct {
	slots []offsetSlot
	max   int // slots
	load  float64
	used  int
	seeds [2]maphash.Seed
	// latest is the last offset that was looked at: whether a record above it is the newest of its key is not known.
	latest int64
}

// offsetSlot is empty while after is 0.
type offsetSlot struct {
	hash  [2]uint64
	after int64 // the offset and 1
}

const (
	offsetSlotBytes = 24
	firstSlots      = 2 << 10
)

func newOffsetMap(bytes int64, load float64) *offsetMap {
	m := &offsetMap{max: int(max(firstSlots, bytes/offsetSlotBytes)), load: min(max(load, 0.01), 1), latest: -1}
	m.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	return m
}

// clear empties the map. A table that has grown is given up.
func (m *offsetMap) clear() {
	if len(m.slots) > firstSlots {
		m.slots = nil
	}
	clear(m.slots)
	m.used, m.latest = 0, -1
}

func (m *offsetMap) hash(key []byte) [2]uint64 {
	return [2]uint64{maphash.Bytes(m.seeds[0], key), maphash.Bytes(m.seeds[1], key)}
}

// room is how many keys a table of n slots may hold: probing ends at an empty slot.
func (m *offsetMap) room(n int) int { return min(int(float64(n)*m.load), n-1) }

// put notes the offset for the key; false where there is no room for another key.
func (m *offsetMap) put(key []byte, offset int64) bool {
	h := m.hash(key)
	if len(m.slots) == 0 {
		m.slots = make([]offsetSlot, firstSlots)
	}
	s := m.find(h)
	if s.after == 0 {
		if m.used >= m.room(len(m.slots)) {
			if !m.grow() {
				return false
			}
			s = m.find(h)
		}
		m.used++
	}
	*s = offsetSlot{h, offset + 1}
	m.latest = offset
	return true
}

// get returns the newest offset of the key; -1 where none is known.
func (m *offsetMap) get(key []byte) int64 {
	if m.used == 0 {
		return -1
	}
	return m.find(m.hash(key)).after - 1
}

// find returns the slot of a hash, or the empty one where it belongs.
func (m *offsetMap) find(h [2]uint64) *offsetSlot {
	i, _ := bits.Mul64(h[0], uint64(len(m.slots)))
	for {
		s := &m.slots[i]
		if s.after == 0 || s.hash == h {
			return s
		}
		if i++; i == uint64(len(m.slots)) {
			i = 0
		}
	}
}

func (m *offsetMap) grow() bool {
	n := min(2*len(m.slots), m.max)
	if m.room(n) <= m.used {
		return false
	}
	old := m.slots
	m.slots = make([]offsetSlot, n)
	for i := range old {
		if old[i].after != 0 {
			*m.find(old[i].hash) = old[i]
		}
	}
	return true
}

package wal

import (
	"maps"
	"sync"
)

// hints are the small values that a log keeps in the checkpoint.
type hints struct {
	mu     sync.Mutex
	values map[string]int64
}

// set says whether the value is another than before.
func (h *hints) set(key string, value int64) (changed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.values[key]; ok && old == value {
		return false
	}
	if h.values == nil {
		h.values = make(map[string]int64)
	}
	h.values[key] = value
	return true
}

func (h *hints) get(key string) (value int64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	value, ok = h.values[key]
	return value, ok
}

// fill sets what was not set yet.
func (h *hints) fill(values map[string]int64) {
	for key, value := range values {
		if _, ok := h.get(key); !ok {
			h.set(key, value)
		}
	}
}

func (h *hints) clone() map[string]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.values)
}

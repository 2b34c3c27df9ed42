package proxy

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxKnown bounds what is remembered of each kind. What is forgotten is asked for again.
const maxKnown = 1 << 18

// whereabouts is which broker answers for what, learned from the answers that pass. It may be old: then that broker says so, and the client
// asks for metadata or for the coordinator, which passes here and makes it new.
type whereabouts struct {
	mu         sync.RWMutex
	topics     map[string]*topicPlace
	ids        map[[16]byte]*topicPlace
	partitions int
	groups     map[string]int32
	txns       map[string]int32
	controller int32
}

type topicPlace struct {
	name    string
	id      [16]byte
	leaders map[int32]int32
}

func newWhereabouts() *whereabouts {
	w := &whereabouts{controller: -1}
	w.clear()
	return w
}

func (w *whereabouts) clear() {
	w.topics, w.ids, w.partitions = map[string]*topicPlace{}, map[[16]byte]*topicPlace{}, 0
	w.groups, w.txns = map[string]int32{}, map[string]int32{}
}

// metadata learns from an answer.
func (w *whereabouts) metadata(r *kmsg.MetadataResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Version >= 1 {
		w.controller = r.ControllerID
	}
	for i := range r.Topics {
		t := &r.Topics[i]
		place := &topicPlace{id: t.TopicID, leaders: map[int32]int32{}}
		if t.Topic != nil {
			place.name = *t.Topic
		}
		if old := w.topics[place.name]; old != nil {
			w.forget(old)
		}
		if old := w.ids[place.id]; old != nil {
			w.forget(old)
		}
		if t.ErrorCode != 0 {
			continue
		}
		for j := range t.Partitions {
			if p := &t.Partitions[j]; p.Leader >= 0 {
				place.leaders[p.Partition] = p.Leader
			}
		}
		if w.partitions += len(place.leaders); w.partitions > maxKnown || len(w.topics) > maxKnown {
			w.clear()
			w.partitions = len(place.leaders)
		}
		if place.name != "" {
			w.topics[place.name] = place
		}
		if place.id != [16]byte{} {
			w.ids[place.id] = place
		}
	}
}

func (w *whereabouts) forget(t *topicPlace) {
	w.partitions -= len(t.leaders)
	if w.topics[t.name] == t {
		delete(w.topics, t.name)
	}
	if w.ids[t.id] == t {
		delete(w.ids, t.id)
	}
}

// leader of a partition; known is false where the topic was never heard of.
func (w *whereabouts) leader(topic string, id [16]byte, partition int32) (leader int32, known bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var t *topicPlace
	if topic != "" {
		t = w.topics[topic]
	} else {
		t = w.ids[id]
	}
	if t == nil {
		return -1, false
	}
	leader, known = t.leaders[partition]
	if !known {
		leader = -1
	}
	return leader, known
}

// coordinators learns from an answer to a FindCoordinator of a key type, 0 a group, 1 a transactional id.
func (w *whereabouts) coordinators(keyType int8, first string, r *kmsg.FindCoordinatorResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.groups
	if keyType == 1 {
		of = w.txns
	} else if keyType != 0 {
		return
	}
	if len(of) > maxKnown {
		clear(of)
	}
	note := func(key string, code int16, node int32) {
		if code == 0 && node >= 0 {
			of[key] = node
		} else {
			delete(of, key)
		}
	}
	if r.Version < 4 {
		note(first, r.ErrorCode, r.NodeID)
		return
	}
	for i := range r.Coordinators {
		k := &r.Coordinators[i]
		note(k.Key, k.ErrorCode, k.NodeID)
	}
}

func (w *whereabouts) coordinator(keyType int8, key string) (int32, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	of := w.groups
	if keyType == 1 {
		of = w.txns
	}
	id, ok := of[key]
	return id, ok
}

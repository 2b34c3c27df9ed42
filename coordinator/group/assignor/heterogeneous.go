package assignor

import (
	"bytes"
	"cmp"
	"slices"
)

// maxRounds bounds the balancing of subscriptions that overlap; each round about halves what is uneven. Where all who subscribe
// to a topic have the same subscription, one round is enough.
const maxRounds = 16

// heterogeneous is the state of the computation for members of different subscriptions.
type heterogeneous struct {
	spec        Spec
	topics      []topic
	subscribers [][]int32 // by topic: members, ascending
	owner       []int32   // by partition number: member, -1 none
	size        []int     // by member: partitions
	order       []int     // topics, those with the most partitions for a subscriber first
	changed     []bool    // by member: Target is not kept
	balancer    balancer
}

func uniformHeterogeneous(s Spec) []Assignment {
	h := &heterogeneous{spec: s, size: make([]int, len(s.Members)), changed: make([]bool, len(s.Members))}
	var total int
	h.topics, total = s.number(s.subscribed())
	h.owner = make([]int32, total)
	for i := range h.owner {
		h.owner[i] = -1
	}
	h.subscribe()
	for m := range s.Members {
		h.keep(int32(m))
	}
	h.sortTopics()
	h.balancer = balancer{size: h.size}
	h.assign()
	h.balance()
	return h.result()
}

// find is the number of a topic, -1 where nobody subscribes to it.
func (h *heterogeneous) find(id TopicID) int {
	i, ok := slices.BinarySearchFunc(h.topics, id, func(t topic, id TopicID) int { return bytes.Compare(t.id[:], id[:]) })
	if !ok {
		return -1
	}
	return i
}

func (h *heterogeneous) subscribe() {
	h.subscribers = make([][]int32, len(h.topics))
	for m := range h.spec.Members {
		for _, id := range h.spec.Members[m].Topics {
			t := h.find(id)
			h.subscribers[t] = append(h.subscribers[t], int32(m))
		}
	}
}

// keep lets the member keep of its target what it subscribes to.
func (h *heterogeneous) keep(m int32) {
	topics := h.spec.Members[m].Topics
	for _, tp := range h.spec.Members[m].Target {
		_, ok := slices.BinarySearchFunc(topics, tp.Topic, func(a, b TopicID) int { return bytes.Compare(a[:], b[:]) })
		if !ok {
			h.changed[m] = true
			continue
		}
		t := &h.topics[h.find(tp.Topic)]
		for _, p := range tp.Partitions {
			if p < 0 || int(p) >= t.partitions || h.owner[t.base+int(p)] != -1 {
				h.changed[m] = true
				continue
			}
			h.owner[t.base+int(p)] = m
			h.size[m]++
		}
	}
}

// sortTopics: those with the most partitions for a subscriber first, then those with the fewest subscribers: they leave the least choice.
func (h *heterogeneous) sortTopics() {
	h.order = make([]int, len(h.topics))
	for i := range h.order {
		h.order[i] = i
	}
	slices.SortStableFunc(h.order, func(a, b int) int {
		sa, sb := len(h.subscribers[a]), len(h.subscribers[b])
		return cmp.Or(
			cmp.Compare(h.topics[b].partitions*sa, h.topics[a].partitions*sb), // partitions/subscribers, descending
			cmp.Compare(sa, sb),
		)
	})
}

// assign gives each partition that nobody has to the subscriber with the least.
func (h *heterogeneous) assign() {
	for _, t := range h.order {
		ready := false
		for n := h.topics[t].base; n < h.topics[t].base+h.topics[t].partitions; n++ {
			if h.owner[n] != -1 {
				continue
			}
			if !ready {
				h.balancer.reset(h.subscribers[t])
				ready = true
			}
			h.give(n, h.balancer.least())
		}
	}
}

// give makes m the owner of partition n.
func (h *heterogeneous) give(n int, m int32) {
	if old := h.owner[n]; old != -1 {
		h.size[old]--
		h.changed[old] = true
	}
	h.owner[n] = m
	h.size[m]++
	h.changed[m] = true
}

// balance moves partitions from those who have most to those who have least, topic by topic, until a whole round changes nothing.
func (h *heterogeneous) balance() {
	last := -1 // the topic that changed last
	for range maxRounds {
		for _, t := range h.order {
			if len(h.subscribers[t]) < 2 {
				continue
			}
			if t == last {
				return
			}
			if h.balanceTopic(t) || last == -1 {
				last = t
			}
		}
		if last == -1 {
			return
		}
	}
}

// balanceTopic levels the subscribers of one topic by moving its partitions. It says whether it moved any.
func (h *heterogeneous) balanceTopic(t int) (moved bool) {
	b := &h.balancer
	if b.level(h.subscribers[t]) {
		return false
	}
	b.reset(h.subscribers[t])
	owned := h.byOwner(t)
	for {
		from := b.most(func(m int32) bool { return len(owned[m]) > 0 })
		if from == -1 {
			return moved
		}
		n := owned[from][len(owned[from])-1]
		owned[from] = owned[from][:len(owned[from])-1]
		to := b.least()
		if b.balanced() {
			return moved
		}
		h.give(n, to)
		moved = true
	}
}

// byOwner are the partitions of a topic by member, ascending.
func (h *heterogeneous) byOwner(t int) map[int32][]int {
	owned := make(map[int32][]int, min(len(h.subscribers[t]), h.topics[t].partitions))
	for n := h.topics[t].base; n < h.topics[t].base+h.topics[t].partitions; n++ {
		owned[h.owner[n]] = append(owned[h.owner[n]], n)
	}
	return owned
}

func (h *heterogeneous) result() []Assignment {
	numbers := make([][]int, len(h.spec.Members))
	for n, m := range h.owner {
		if h.changed[m] {
			numbers[m] = append(numbers[m], n)
		}
	}
	out := make([]Assignment, len(h.spec.Members))
	for m := range out {
		if h.changed[m] {
			out[m] = assignment(h.topics, numbers[m])
		} else {
			out[m] = h.spec.Members[m].Target
		}
	}
	return out
}

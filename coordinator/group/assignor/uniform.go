package assignor

import "bytes"

// Uniform spreads all partitions evenly, and moves no more of them than balance asks for. Where all members subscribe to the same topics, their shares
// differ by one at most; where they do not, the shares of those who subscribe to a topic are levelled topic by topic.
func Uniform(s Spec) []Assignment {
	if len(s.Members) == 0 {
		return nil
	}
	if s.homogeneous() {
		return uniformHomogeneous(s)
	}
	return uniformHeterogeneous(s)
}

// homogeneous is the state of the computation for members of one subscription.
type homogeneous struct {
	spec   Spec
	topics []topic
	taken  []bool // by partition number: some member keeps it
	quota  int    // what every member must get
	extra  int    // how many members get one more

	out      []Assignment
	unfilled []share
}

// share is a member that must get more.
type share struct {
	member, missing int
	kept            []int // partition numbers that it keeps, nil: the whole Target
	whole           bool
}

func uniformHomogeneous(s Spec) []Assignment {
	h := &homogeneous{spec: s, out: make([]Assignment, len(s.Members))}
	var total int
	h.topics, total = s.number(s.Members[0].Topics)
	if total == 0 {
		return h.out
	}
	h.taken = make([]bool, total)
	h.quota, h.extra = total/len(s.Members), total%len(s.Members)
	for i := range s.Members {
		h.keep(i)
	}
	h.fill()
	return h.out
}

// keep lets the member keep of its target what it subscribes to, up to its quota.
func (h *homogeneous) keep(i int) {
	m := &h.spec.Members[i]
	quota, extra := h.quota, false
	if h.extra > 0 {
		quota, extra = quota+1, true
	}
	kept, whole := h.keepUpTo(m.Target, quota)
	missing := quota - len(kept)
	if missing > 0 && extra && len(h.spec.Members)-i > h.extra {
		// Somebody later may hold one more already: only when there are as many members left as extra partitions must this one take it.
		missing, extra = missing-1, false
	}
	if extra {
		h.extra--
	}
	switch {
	case missing > 0:
		h.unfilled = append(h.unfilled, share{i, missing, kept, whole})
	case whole:
		h.out[i] = m.Target
	default:
		h.out[i] = assignment(h.topics, kept)
	}
}

// keepUpTo takes up to quota partitions of the target. whole says that nothing was left out.
func (h *homogeneous) keepUpTo(target Assignment, quota int) (kept []int, whole bool) {
	kept, whole = make([]int, 0, quota), true
	t := 0
	for _, tp := range target {
		for t < len(h.topics) && bytes.Compare(h.topics[t].id[:], tp.Topic[:]) < 0 {
			t++
		}
		if t == len(h.topics) || h.topics[t].id != tp.Topic {
			whole = false
			continue
		}
		for _, p := range tp.Partitions {
			// A target comes from the log: it may name what is not there, or what another has.
			if int(p) >= h.topics[t].partitions || p < 0 || h.taken[h.topics[t].base+int(p)] || len(kept) == quota {
				whole = false
				continue
			}
			h.taken[h.topics[t].base+int(p)] = true
			kept = append(kept, h.topics[t].base+int(p))
		}
	}
	return kept, whole
}

// fill deals out what nobody keeps.
func (h *homogeneous) fill() {
	next := 0
	for _, u := range h.unfilled {
		got := 0
		for ; next < len(h.taken) && got < u.missing; next++ {
			if !h.taken[next] {
				u.kept = append(u.kept, next)
				got++
			}
		}
		if got == 0 && u.whole {
			h.out[u.member] = h.spec.Members[u.member].Target
			continue
		}
		h.out[u.member] = assignment(h.topics, u.kept)
	}
}

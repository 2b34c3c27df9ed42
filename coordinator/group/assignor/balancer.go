package assignor

import (
	"cmp"
	"slices"
)

// balancer hands out, of the subscribers of a topic, who has least and who has most, without sorting them anew for each partition that moves. It
// keeps them sorted by what they had at reset and two ranges of equal level: [0, lowEnd) is filled one each, then rises by one and takes in who
// stands at the new level; [highStart, highEnd) is emptied the same way from the other end.
type balancer struct {
	size    []int // by member, the true sizes
	members []int32

	lowEnd, lowNext, lowLevel               int
	highStart, highEnd, highNext, highLevel int
}

// level says whether the members' sizes differ by one at most.
func (b *balancer) level(members []int32) bool {
	lo, hi := b.size[members[0]], b.size[members[0]]
	for _, m := range members[1:] {
		lo, hi = min(lo, b.size[m]), max(hi, b.size[m])
	}
	return hi-lo <= 1
}

// reset starts with a new list of members, at least one.
func (b *balancer) reset(members []int32) {
	b.members = append(b.members[:0], members...)
	slices.SortFunc(b.members, func(x, y int32) int {
		return cmp.Or(cmp.Compare(b.size[x], b.size[y]), cmp.Compare(x, y))
	})
	n := len(b.members)
	b.lowEnd, b.lowNext, b.lowLevel = 0, 0, b.size[b.members[0]]-1
	b.highStart, b.highEnd, b.highNext, b.highLevel = n, n, n-1, b.size[b.members[n-1]]+1
}

// least is who gets the next partition.
func (b *balancer) least() int32 {
	if b.lowNext >= b.lowEnd {
		b.lowLevel++
		for b.lowEnd < len(b.members) && b.size[b.members[b.lowEnd]] == b.lowLevel {
			b.lowEnd++
		}
		b.lowNext = 0
	}
	m := b.members[b.lowNext]
	b.lowNext++
	return m
}

// most is who gives the next partition, of those who have any of the topic; -1 when there is nobody.
func (b *balancer) most(has func(m int32) bool) int32 {
	for {
		if b.highNext < b.highStart {
			if b.highEnd <= b.highStart && b.highStart > 0 {
				// All of the range were left out: go on with the level of the next below.
				b.highLevel = b.size[b.members[b.highStart-1]]
			} else {
				b.highLevel--
			}
			for b.highStart > 0 && b.size[b.members[b.highStart-1]] == b.highLevel {
				b.highStart--
			}
			b.highNext = b.highEnd - 1
		}
		if b.highNext < 0 {
			return -1
		}
		m := b.members[b.highNext]
		if has(m) {
			b.highNext--
			return m
		}
		// It has none of this topic: out of the range, by a swap with its end.
		b.members[b.highNext], b.members[b.highEnd-1] = b.members[b.highEnd-1], m
		b.highEnd--
		b.highNext--
	}
}

// balanced says that one more move would not help.
func (b *balancer) balanced() bool { return b.highLevel-b.lowLevel <= 1 }

package assignor

import (
	"cmp"
	"slices"
)

// Range gives each member a run of consecutive partitions of each topic that it subscribes to, in the order of the members: static members
// first, by instance id, so that a new member id changes nothing; then the others by member id. Members of one subscription get the same
// numbers of topics that have equally many partitions (co-partitioning).
func Range(s Spec) []Assignment {
	out := make([]Assignment, len(s.Members))
	if len(s.Members) == 0 {
		return out
	}
	order := make([]int, len(s.Members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareRange(&s.Members[a], &s.Members[b]) })
	if s.homogeneous() {
		// Topics have few partitions, groups many members: going by topic touches only those who get something.
		d := dealer{out: out}
		for _, t := range s.Members[0].Topics {
			d.deal(t, s.Partitions(t), order)
		}
	} else {
		dealSubscribed(s, order, out)
	}
	for i, a := range out {
		if a.Equal(s.Members[i].Target) {
			out[i] = s.Members[i].Target
		}
	}
	return out
}

func compareRange(a, b *Member) int {
	switch {
	case a.InstanceID != nil && b.InstanceID != nil:
		return cmp.Compare(*a.InstanceID, *b.InstanceID)
	case a.InstanceID != nil:
		return -1
	case b.InstanceID != nil:
		return 1
	}
	return cmp.Compare(a.ID, b.ID)
}

func dealSubscribed(s Spec, order []int, out []Assignment) {
	subscribers := map[TopicID][]int{}
	for _, i := range order {
		for _, t := range s.Members[i].Topics {
			subscribers[t] = append(subscribers[t], i)
		}
	}
	d := dealer{out: out}
	for _, t := range s.subscribed() {
		d.deal(t, s.Partitions(t), subscribers[t])
	}
}

// dealer deals out topics in ascending order.
type dealer struct {
	out []Assignment
	all []int32 // 0, 1, 2 ...: every run is a piece of it
}

// deal gives the partitions of a topic to its subscribers; the first partitions%subscribers of them get one more.
func (d *dealer) deal(t TopicID, partitions int, subscribers []int) {
	for len(d.all) < partitions {
		d.all = append(d.all, int32(len(d.all)))
	}
	start := 0
	for k, m := range subscribers {
		end := start + partitions/len(subscribers)
		if k < partitions%len(subscribers) {
			end++
		}
		if start >= end {
			return
		}
		d.out[m] = append(d.out[m], TopicPartitions{t, d.all[start:end:end]})
		start = end
	}
}

package assignor

import (
	"bytes"
	"slices"
)

// TopicID is the id of a topic.
type TopicID = [16]byte

// TopicPartitions are partitions of one topic, ascending.
type TopicPartitions struct {
	Topic      TopicID
	Partitions []int32
}

// Assignment is what one member reads, ascending by topic, no topic without partitions. It is never changed in place: assignments are shared.
type Assignment []TopicPartitions

// Equal says whether a and b hold the same partitions. Assignments that are one slice cost nothing to compare.
func (a Assignment) Equal(b Assignment) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == 0 || &a[0] == &b[0] {
		return true
	}
	return slices.EqualFunc(a, b, func(x, y TopicPartitions) bool {
		return x.Topic == y.Topic && slices.Equal(x.Partitions, y.Partitions)
	})
}

// Of are the partitions of one topic.
func (a Assignment) Of(topic TopicID) []int32 {
	i, ok := slices.BinarySearchFunc(a, topic, func(tp TopicPartitions, t TopicID) int { return bytes.Compare(tp.Topic[:], t[:]) })
	if !ok {
		return nil
	}
	return a[i].Partitions
}

// Size is the number of partitions.
func (a Assignment) Size() int {
	n := 0
	for _, tp := range a {
		n += len(tp.Partitions)
	}
	return n
}

// Member is a member of the group as the assignor sees it.
type Member struct {
	ID         string
	InstanceID *string    // static members (KIP-345)
	Topics     []TopicID  // the topics that it subscribes to and that exist, ascending
	Target     Assignment // what it was assigned last
}

// Spec is the input of an assignor.
type Spec struct {
	Members    []Member                // ascending by ID
	Partitions func(topic TopicID) int // how many partitions a topic has
}

// Func computes an assignment for each member, in the order of Spec.Members. A member whose assignment does not change gets its Target back.
type Func func(Spec) []Assignment

// ByName are the assignors that a configuration may name.
var ByName = map[string]Func{"uniform": Uniform, "range": Range}

// homogeneous: all members subscribe to the same topics.
func (s Spec) homogeneous() bool {
	first := s.Members[0].Topics
	for _, m := range s.Members[1:] {
		if len(m.Topics) != len(first) {
			return false
		}
		if len(first) > 0 && &m.Topics[0] != &first[0] && !slices.Equal(m.Topics, first) {
			return false
		}
	}
	return true
}

// topic is a subscribed topic of a Spec, numbered by its place in the ascending list of them.
type topic struct {
	id         TopicID
	partitions int
	base       int // number of its partition 0, counted through all topics
}

// number gives each partition of the topics a number, so that slices serve as maps. total is how many there are.
func (s Spec) number(ids []TopicID) (topics []topic, total int) {
	topics = make([]topic, len(ids))
	for i, id := range ids {
		n := max(s.Partitions(id), 0)
		topics[i] = topic{id, n, total}
		total += n
	}
	return topics, total
}

// subscribed are all topics that members subscribe to, ascending.
func (s Spec) subscribed() []TopicID {
	seen := map[TopicID]struct{}{}
	var last []TopicID // members of one subscription share its slice
	for _, m := range s.Members {
		if len(m.Topics) == 0 || len(last) > 0 && &last[0] == &m.Topics[0] && len(last) == len(m.Topics) {
			continue
		}
		last = m.Topics
		for _, t := range m.Topics {
			seen[t] = struct{}{}
		}
	}
	ids := make([]TopicID, 0, len(seen))
	for t := range seen {
		ids = append(ids, t)
	}
	slices.SortFunc(ids, func(a, b TopicID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// assignment makes an Assignment of partition numbers, which it sorts.
func assignment(topics []topic, numbers []int) Assignment {
	if len(numbers) == 0 {
		return nil
	}
	slices.Sort(numbers)
	var a Assignment
	parts := make([]int32, len(numbers))
	t, start := 0, 0
	for i, n := range numbers {
		for n >= topics[t].base+topics[t].partitions {
			t, start = t+1, i
		}
		parts[i] = int32(n - topics[t].base)
		if last := len(a) - 1; last >= 0 && a[last].Topic == topics[t].id {
			a[last].Partitions = parts[start : i+1 : i+1]
		} else {
			start = i
			a = append(a, TopicPartitions{topics[t].id, parts[i : i+1 : i+1]})
		}
	}
	return a
}

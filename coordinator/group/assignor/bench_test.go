package assignor

import (
	"fmt"
	"testing"
)

// group has members of shape "one" (all subscribe to all topics) or "many" (each to half of them), topics of 10 partitions.
func group(members, partitions int, shape string) Spec {
	topics := make([]TopicID, partitions/10)
	for i := range topics {
		topics[i] = TopicID{byte(i >> 8), byte(i)}
	}
	s := Spec{Partitions: func(TopicID) int { return 10 }}
	half := len(topics) / 2
	for i := range members {
		sub := topics
		if shape == "many" {
			start := i % (half + 1)
			sub = topics[start : start+half]
		}
		s.Members = append(s.Members, Member{ID: fmt.Sprintf("member-%06d", i), Topics: sub})
	}
	return s
}

// The first assignment, and one more member in an assigned group.
func BenchmarkAssign(b *testing.B) {
	for _, name := range []string{"uniform", "range"} {
		for _, shape := range []string{"one", "many"} {
			for _, size := range [][2]int{{10, 100}, {100, 1000}, {1000, 1000}, {100, 10000}, {1000, 10000}} {
				s := group(size[0], size[1], shape)
				label := fmt.Sprintf("%s/%s/members=%d/partitions=%d", name, shape, size[0], size[1])
				b.Run(label+"/first", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						ByName[name](s)
					}
				})
				joined := s
				joined.Members = append([]Member(nil), s.Members...)
				old := joined
				old.Members = joined.Members[:size[0]-1]
				for i, a := range ByName[name](old) {
					joined.Members[i].Target = a
				}
				b.Run(label+"/join", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						ByName[name](joined)
					}
				})
			}
		}
	}
}

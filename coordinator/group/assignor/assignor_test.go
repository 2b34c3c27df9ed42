package assignor

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
)

// world is a group that changes at random.
type world struct {
	rng        *rand.Rand
	partitions map[TopicID]int
	topics     []TopicID
	members    []Member
	next       int
	same       bool // all members subscribe to all topics
}

func (w *world) spec() Spec {
	return Spec{Members: w.members, Partitions: func(t TopicID) int { return w.partitions[t] }}
}

func (w *world) topic() {
	w.next++
	id := TopicID{byte(w.rng.Uint32()), byte(w.next >> 8), byte(w.next)}
	w.partitions[id] = w.rng.IntN(12)
	w.topics = append(w.topics, id)
	slices.SortFunc(w.topics, compareTopic)
}

func compareTopic(a, b TopicID) int { return slices.Compare(a[:], b[:]) }

func (w *world) subscription() []TopicID {
	if w.same {
		return w.topics
	}
	var s []TopicID
	for _, t := range w.topics {
		if w.rng.IntN(2) == 0 {
			s = append(s, t)
		}
	}
	return s
}

// step changes one thing: a member comes, goes or subscribes anew, a topic comes, goes or grows.
func (w *world) step() {
	switch k := w.rng.IntN(10); {
	case k < 4 && len(w.members) < 20:
		w.next++
		m := Member{ID: fmt.Sprintf("m%03d-%d", w.rng.IntN(1000), w.next), Topics: w.subscription()}
		if w.rng.IntN(3) == 0 {
			id := fmt.Sprintf("i%d", w.next)
			m.InstanceID = &id
		}
		w.members = append(w.members, m)
		slices.SortFunc(w.members, func(a, b Member) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
	case k < 6 && len(w.members) > 0:
		w.members = slices.Delete(w.members, 0, 1)
	case k < 7 && len(w.topics) > 0:
		i := w.rng.IntN(len(w.topics))
		delete(w.partitions, w.topics[i])
		gone := w.topics[i]
		w.topics = slices.DeleteFunc(slices.Clone(w.topics), func(t TopicID) bool { return t == gone })
		for m := range w.members {
			w.members[m].Topics = slices.DeleteFunc(slices.Clone(w.members[m].Topics), func(t TopicID) bool { return t == gone })
		}
	case k < 8 && len(w.topics) > 0:
		w.partitions[w.topics[w.rng.IntN(len(w.topics))]] += w.rng.IntN(5)
	case k < 9 && len(w.members) > 0:
		w.members[w.rng.IntN(len(w.members))].Topics = w.subscription()
	default:
		w.topics = slices.Clone(w.topics)
		w.topic()
	}
	if w.same {
		for m := range w.members {
			w.members[m].Topics = w.topics
		}
	}
}

type partition struct {
	topic TopicID
	n     int32
}

// owners checks that every partition that somebody subscribes to has one owner, that the owner subscribes to it, and the form of the assignments.
func owners(t *testing.T, s Spec, out []Assignment) map[partition]int {
	t.Helper()
	if len(out) != len(s.Members) {
		t.Fatalf("%d assignments for %d members", len(out), len(s.Members))
	}
	owner := map[partition]int{}
	for i, a := range out {
		for j, tp := range a {
			if j > 0 && compareTopic(a[j-1].Topic, tp.Topic) >= 0 || len(tp.Partitions) == 0 || !slices.IsSorted(tp.Partitions) {
				t.Fatalf("assignment of %s is not in order: %v", s.Members[i].ID, a)
			}
			if !slices.Contains(s.Members[i].Topics, tp.Topic) {
				t.Fatalf("%s got the topic %x, which it does not subscribe to", s.Members[i].ID, tp.Topic)
			}
			for _, n := range tp.Partitions {
				p := partition{tp.Topic, n}
				if who, twice := owner[p]; twice {
					t.Fatalf("%v has the owners %d and %d", p, who, i)
				}
				if n < 0 || int(n) >= s.Partitions(tp.Topic) {
					t.Fatalf("%v does not exist", p)
				}
				owner[p] = i
			}
		}
	}
	for _, topic := range s.subscribed() {
		for n := range s.Partitions(topic) {
			if _, ok := owner[partition{topic, int32(n)}]; !ok {
				t.Fatalf("partition %d of %x has no owner", n, topic)
			}
		}
	}
	return owner
}

func walk(t *testing.T, same bool, f Func, check func(t *testing.T, s Spec, out []Assignment, owner map[partition]int)) {
	seed := rand.Uint64()
	if v := os.Getenv("WEIR_ASSIGNOR_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	defer func() {
		if t.Failed() {
			t.Logf("seed: WEIR_ASSIGNOR_SEED=%d", seed)
		}
	}()
	w := &world{rng: rand.New(rand.NewPCG(seed, 0)), partitions: map[TopicID]int{}, same: same}
	for range 1500 {
		w.step()
		s := w.spec()
		before := slices.Clone(s.Members)
		out := f(s)
		owner := owners(t, s, out)
		again := f(s)
		for i := range out {
			if !out[i].Equal(again[i]) {
				t.Fatalf("the same spec gave %v and %v", out[i], again[i])
			}
			if !before[i].Target.Equal(s.Members[i].Target) {
				t.Fatal("the spec was changed")
			}
		}
		check(t, s, out, owner)
		for i := range w.members {
			w.members[i].Target = out[i]
		}
		for i, a := range f(w.spec()) {
			if !a.Equal(out[i]) {
				t.Fatalf("the assignment is no fixed point: %v became %v", out[i], a)
			}
		}
	}
}

func TestUniformHomogeneous(t *testing.T) {
	walk(t, true, Uniform, func(t *testing.T, s Spec, out []Assignment, owner map[partition]int) {
		if len(out) == 0 {
			return
		}
		quota, extra := len(owner)/len(out), len(owner)%len(out)
		kept, most, larger := 0, 0, 0
		for i, a := range out {
			if n := a.Size(); n != quota && n != quota+1 {
				t.Fatalf("%s has %d of %d partitions of %d members", s.Members[i].ID, n, len(owner), len(out))
			}
			had := 0
			for _, tp := range s.Members[i].Target {
				if slices.Contains(s.Members[i].Topics, tp.Topic) {
					had += len(tp.Partitions)
				}
				for _, n := range tp.Partitions {
					if slices.Contains(a.Of(tp.Topic), n) {
						kept++
					}
				}
			}
			most += min(had, quota)
			if had > quota {
				larger++
			}
		}
		if most += min(larger, extra); kept != most {
			t.Fatalf("%d partitions stayed, %d could have", kept, most)
		}
	})
}

func TestUniformHeterogeneous(t *testing.T) {
	walk(t, false, Uniform, func(t *testing.T, s Spec, out []Assignment, owner map[partition]int) {
		// No single move helps: who has a partition has at most one more than anybody who could have it instead.
		for p, m := range owner {
			for i := range out {
				if slices.Contains(s.Members[i].Topics, p.topic) && out[m].Size()-out[i].Size() > 1 {
					t.Fatalf("%s has %d partitions, %v of them could be with %s, which has %d",
						s.Members[m].ID, out[m].Size(), p, s.Members[i].ID, out[i].Size())
				}
			}
		}
	})
}

func TestRange(t *testing.T) {
	for _, same := range []bool{true, false} {
		walk(t, same, Range, func(t *testing.T, s Spec, out []Assignment, owner map[partition]int) {
			for _, topic := range s.subscribed() {
				lo, hi := len(owner), 0
				for i := range out {
					if slices.Contains(s.Members[i].Topics, topic) {
						p := out[i].Of(topic)
						lo, hi = min(lo, len(p)), max(hi, len(p))
						if len(p) > 0 && int(p[len(p)-1]-p[0]) != len(p)-1 {
							t.Fatalf("%v is no range", p)
						}
					}
				}
				if hi-lo > 1 {
					t.Fatalf("of %x some have %d, some %d", topic, lo, hi)
				}
			}
		})
	}
}

// A topic of 2 partitions after one of 3 must not be spread as if both were one list, and static members come first whatever their member ids.
func TestRangeCopartitions(t *testing.T) {
	one, two := "1", "2"
	topics := []TopicID{{1}, {2}}
	s := Spec{
		Members: []Member{
			{ID: "a", Topics: topics},
			{ID: "b", InstanceID: &two, Topics: topics},
			{ID: "c", InstanceID: &one, Topics: topics},
		},
		Partitions: func(TopicID) int { return 4 },
	}
	for i, want := range [][]int32{{3}, {2}, {0, 1}} {
		for _, topic := range topics {
			if got := Range(s)[i].Of(topic); !slices.Equal(got, want) {
				t.Errorf("member %s, topic %x: %v, want %v", s.Members[i].ID, topic, got, want)
			}
		}
	}
}

// A target comes from the log, which may lie: partitions that are not there or that two members have.
func TestUniformBadTarget(t *testing.T) {
	bad := Assignment{{TopicID{1}, []int32{-1, 0, 0, 1, 7}}, {TopicID{9}, []int32{0}}}
	for _, second := range [][]TopicID{{{1}, {2}}, {{1}}} {
		s := Spec{
			Members:    []Member{{ID: "a", Topics: []TopicID{{1}, {2}}, Target: bad}, {ID: "b", Topics: second, Target: bad}},
			Partitions: func(TopicID) int { return 3 },
		}
		owners(t, s, Uniform(s))
	}
}

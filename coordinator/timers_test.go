package coordinator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Random timers against a map.
func TestTimersAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 50 {
		var x timers
		model := map[TimerKey]int64{}
		now := int64(0)
		for step := range 2000 {
			k := TimerKey{Kind: uint8(random.IntN(3)), Name: fmt.Sprint(random.IntN(20))}
			switch random.IntN(6) {
			case 0:
				x.set(&Timer{Key: k, Cancel: true})
				delete(model, k)
			case 1:
				now += random.Int64N(30)
				var want, got []string
				for k, at := range model {
					if at <= now {
						want = append(want, fmt.Sprint(k))
						delete(model, k)
					}
				}
				for k, ok := x.pop(now); ok; k, ok = x.pop(now) {
					got = append(got, fmt.Sprint(k))
				}
				slices.Sort(want)
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("round %d step %d: fired %v, want %v", round, step, got, want)
				}
			default:
				at := now + random.Int64N(100) - 5
				x.set(&Timer{Key: k, At: at})
				model[k] = at
			}
			if at, ok := x.next(); ok != (len(model) > 0) {
				t.Fatalf("round %d step %d: next %d %v with %d timers", round, step, at, ok, len(model))
			} else {
				for k, want := range model {
					if at > want {
						t.Fatalf("round %d step %d: next at %d, but %v is due at %d", round, step, at, k, want)
					}
				}
			}
			if len(x.heap) != len(model) || len(x.byKey) != len(model) {
				t.Fatalf("round %d step %d: %d and %d timers, want %d", round, step, len(x.heap), len(x.byKey), len(model))
			}
		}
	}
}

func TestTimersSetAnewAllocateNothing(t *testing.T) {
	var x timers
	for i := range 1000 {
		x.set(&Timer{Key: TimerKey{Name: fmt.Sprint(i)}, At: int64(i)})
	}
	at := int64(1000)
	k := TimerKey{Name: "500"}
	if n := testing.AllocsPerRun(1000, func() {
		at++
		x.set(&Timer{Key: k, At: at})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

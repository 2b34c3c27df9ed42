package controller

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestSortedMapAgainstMap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	m := sortedMap[string, int]{compare: strings.Compare}
	model := map[string]int{}
	for round := range 300 {
		old, oldModel := m, maps.Clone(model)
		e := m.edit()
		for range r.IntN(200) {
			k := strconv.Itoa(r.IntN(3000))
			if round%3 == 0 { // shrink
				if _, ok := model[k]; e.delete(k) != ok {
					t.Fatalf("delete %s: %v", k, !ok)
				}
				delete(model, k)
				continue
			}
			v := r.Int()
			e.set(k, v)
			model[k] = v
		}
		m = e.done()
		checkMap(t, m, model)
		checkMap(t, old, oldModel)
	}
	k := "15"
	var got []string
	for key := range m.from(k) {
		got = append(got, key)
	}
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(model)), func(s string) bool { return s < k })
	if !slices.Equal(got, want) {
		t.Fatalf("from %s: %d keys, want %d", k, len(got), len(want))
	}
}

func checkMap(t *testing.T, m sortedMap[string, int], model map[string]int) {
	t.Helper()
	if m.size != len(model) {
		t.Fatalf("size %d, want %d", m.size, len(model))
	}
	var keys []string
	for k, v := range m.all() {
		keys = append(keys, k)
		if got, ok := m.get(k); !ok || got != v || model[k] != v {
			t.Fatalf("%s: %d %v, want %d", k, got, ok, model[k])
		}
	}
	if !slices.Equal(keys, slices.Sorted(maps.Keys(model))) {
		t.Fatal("keys differ")
	}
	for i, c := range m.chunks {
		if m.firsts[i] != c.keys[0] || len(c.keys) > chunkMax {
			t.Fatalf("chunk %d of %d", i, len(c.keys))
		}
	}
}

package sim

import (
	"flag"
	"math/rand/v2"
	"testing"
)

var (
	seeds = flag.Int("seeds", 200, "how many seeds")
	seed  = flag.Uint64("seed", 0, "the one seed to run, 0: random ones")
)

// run runs a seed and says what led to a failure.
func run(t *testing.T, o Options) {
	t.Helper()
	w, err := runWorld(o)
	if testing.Verbose() {
		t.Logf("seed %d: %d acknowledged, %d leader epochs, %d batches of metadata, %d events", o.Seed, w.check.count, len(w.check.leaders), len(w.quorum.log), w.seq)
	}
	if err != nil {
		for _, line := range w.trace {
			t.Log(line)
		}
		t.Fatal(err)
	}
}

func TestSeeds(t *testing.T) {
	if *seed != 0 {
		run(t, optionsOf(*seed))
		return
	}
	first := rand.Uint64() | 1
	t.Logf("seeds from %d on", first)
	for i := range *seeds {
		run(t, optionsOf(first+uint64(i)))
	}
}

// optionsOf makes every other seed one in which crashes lose what was not synced.
func optionsOf(seed uint64) Options {
	return Options{Seed: seed, Brokers: 3 + int(seed%3), Partitions: 1 + int(seed>>2%3), ChaosMs: 5000, PowerLoss: seed%2 == 0}
}

package sim

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
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

// TestSeeds runs 200 seeds, or WEIR_SIM_SEEDS, from a random one on. WEIR_SIM_SEED runs one again.
func TestSeeds(t *testing.T) {
	if seed, err := strconv.ParseUint(os.Getenv("WEIR_SIM_SEED"), 10, 64); err == nil {
		run(t, optionsOf(seed))
		return
	}
	seeds := 200
	if n, err := strconv.Atoi(os.Getenv("WEIR_SIM_SEEDS")); err == nil {
		seeds = n
	}
	first := rand.Uint64() | 1
	t.Logf("seeds from %d on", first)
	for i := range seeds {
		run(t, optionsOf(first+uint64(i)))
	}
}

// optionsOf makes every other seed one in which crashes lose what was not synced.
func optionsOf(seed uint64) Options {
	return Options{Seed: seed, Brokers: 3 + int(seed%3), Partitions: 1 + int(seed>>2%3), ChaosMs: 5000, PowerLoss: seed%2 == 0}
}

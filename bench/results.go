package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// outcome is what one phase gave: all runs of both brokers, and where they come from. A phase is kept whole or not at all, because
// figures of different runs are not comparable.
type outcome struct {
	Phase   string  `json:"phase"`
	Commit  string  `json:"commit"` // of the binary that was measured
	Kafka   string  `json:"kafka"`
	Date    string  `json:"date"`
	Minutes float64 `json:"minutes"`
	Machine string  `json:"machine"`
	Scale   float64 `json:"scale"`
	// Works holds the runs by work and broker, in the order in which they were made.
	Works map[string]map[string][]result `json:"works"`
}

// keptRuns is the least that a kept phase has of each broker.
const keptRuns = 5

// runs is how many runs of each broker the figures of a work come from.
func (o outcome) runs(work string) int {
	least := math.MaxInt
	for _, runs := range o.Works[work] {
		least = min(least, len(runs))
	}
	return least
}

func resultFile(folder, phase string) string { return filepath.Join(folder, phase+".json") }

// keep writes the phase's file in place of what it held.
func (o outcome) keep(folder string) error {
	text, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	// By another name first: who interrupts a run keeps the figures of the one before.
	fresh := resultFile(folder, o.Phase) + ".new"
	if err := os.WriteFile(fresh, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, resultFile(folder, o.Phase))
}

// readResults brings the phases that have a file, in their order.
func readResults(folder string) ([]outcome, error) {
	var all []outcome
	for _, p := range phases {
		path := resultFile(folder, p.name)
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var o outcome
		if err := json.Unmarshal(text, &o); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if o.Phase != p.name || o.Scale != 1 {
			return nil, fmt.Errorf("%s: phase %q at scale %g", path, o.Phase, o.Scale)
		}
		if _, err := time.Parse(time.DateOnly, o.Date); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, o)
	}
	return all, nil
}

// value is a figure of one run, NaN where the run has none.
func (r result) value(name string) float64 {
	if v, ok := r[name]; ok {
		return v
	}
	return math.NaN()
}

// commit is what bench/run has built bin/weir from; it is marked where there were changes outside of bench/ and docs/.
func commit() string {
	revision := command("git", "rev-parse", "--short=7", "HEAD")
	if command("git", "status", "--porcelain", "--", ":!bench", ":!docs") != "" {
		revision += " with changes"
	}
	return revision
}

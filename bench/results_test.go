package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func fixture() outcome {
	return outcome{
		Phase: "start", Commit: "0123456", Kafka: kafkaVersion, Date: "2026-02-03", Minutes: 1.2, Machine: "a machine", Scale: 1,
		Works: map[string]map[string][]result{"start, empty": {
			"kafka": {{"ms": 2000, "RSS MiB": 380}, {"ms": 1000, "RSS MiB": 400}, {"ms": 1500}},
			"weir":  {{"ms": 30, "RSS MiB": 11}, {"ms": 40, "RSS MiB": 12}},
		}},
	}
}

// A phase that was kept is read again, and the page is made from what is there: bars, misses with their reasons, where it comes from.
func TestPageOfKeptPhases(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "results")
	if err := fixture().keep(folder); err != nil {
		t.Fatal(err)
	}
	again := fixture()
	again.Commit = "89abcde"
	if err := again.keep(folder); err != nil { // takes the place of the one before
		t.Fatal(err)
	}
	all, err := readResults(folder)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d phases, %v", len(all), err)
	}
	text := string(page(all, map[string]string{"start, empty: ms": "because", "start, empty: RSS MiB": "never shown"}))
	for _, want := range []string{
		"| start | 89abcde | 3 February 2026 | 2 | 2 |\n",
		"\nOn a machine.\n",
		"| start, empty | ms | 1000 | 30 | 0.03 | <= 0.02 x | **misses** |\n",
		"| start, empty | RSS MiB | - | 11 | - | < 25 | not measured |\n", // one run has no such figure
		"| 10 GiB | start, clean ms | - | - | - | <= 0.5 x | not measured |\n",
		"* start, empty, ms: because\n",
		"| start, empty | RSS MiB | kafka | 380, 400, - |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "never shown") {
		t.Error("a reason for a figure that does not miss")
	}
}

// A quotient is of the best with the best of the same broker, and its bar has nothing to do with Kafka.
func TestQuotient(t *testing.T) {
	f := figure{name: "a", over: "b", ratio: 1.08}
	got := f.of([]result{{"a": 12, "b": 10}, {"a": 11, "b": 11}})
	if got != 1.1 || f.holds(2, got) || !f.holds(1, 1.08) || f.bar() != "<= 1.08" {
		t.Error(got, f.bar())
	}
}

// What is not of a whole run is refused, whoever put it there.
func TestResultsThatAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*outcome){
		"scale": func(o *outcome) { o.Scale = 0.5 },
		"date":  func(o *outcome) { o.Date = "yesterday" },
	} {
		o := fixture()
		spoil(&o)
		folder := t.TempDir()
		if err := o.keep(folder); err != nil {
			t.Fatal(err)
		}
		if _, err := readResults(folder); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	folder := t.TempDir()
	if err := os.WriteFile(resultFile(folder, "start"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readResults(folder); err == nil || !strings.Contains(err.Error(), "start.json") {
		t.Errorf("half a file: %v", err)
	}
}

// The page in docs is the one that the files and the reasons give.
func TestPageIsFresh(t *testing.T) {
	all, err := readResults("results")
	if err != nil {
		t.Fatal(err)
	}
	why, err := readReasons("misses.txt")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", pageFile))
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != string(page(all, why)) {
		t.Error(pageFile + " is stale: bench/run -page")
	}
}

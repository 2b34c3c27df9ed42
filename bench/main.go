package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

var (
	resultsFolder = filepath.Join("bench", "results")
	reasonsFile   = filepath.Join("bench", "misses.txt")
	pageFile      = filepath.Join("docs", "benchmarks.md")
)

func measure() error {
	var known []string
	for _, p := range phases {
		known = append(known, p.name)
	}
	names := flag.String("brokers", "kafka,weir", "who is measured, in turns")
	runs := flag.Int("runs", keptRuns, "runs of each, after the warm-up")
	scale := flag.Float64("scale", 1, "of sizes, counts and times; anything but 1 is only a look")
	only := flag.String("only", ".", "a regular expression of phases: "+strings.Join(known, ", "))
	dir := flag.String("dir", filepath.Join("bin", "bench-data"), "where the data lives meanwhile: a disk with 30 GiB")
	page := flag.Bool("page", false, "measure nothing, only make "+pageFile+" again from "+resultsFolder+" and "+reasonsFile)
	flag.Parse()
	if *page {
		return writePage()
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if !slices.ContainsFunc(known, pattern.MatchString) {
		return fmt.Errorf("-only: %q is none of %s", *only, strings.Join(known, ", "))
	}
	path, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	s := &suite{names: strings.Split(*names, ","), runs: *runs, scale: *scale, only: pattern, dir: path}
	for _, n := range s.names {
		if n != "kafka" && n != "weir" {
			return fmt.Errorf("-brokers: %q is neither kafka nor weir", n)
		}
	}
	return s.run()
}

// writePage makes the page from the files that are there.
func writePage() error {
	all, err := readResults(resultsFolder)
	if err != nil {
		return err
	}
	why, err := readReasons(reasonsFile)
	if err != nil {
		return err
	}
	return os.WriteFile(pageFile, page(all, why), 0o644)
}

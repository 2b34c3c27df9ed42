package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure() error {
	names := flag.String("brokers", "kafka,weir", "who is measured, in turns")
	runs := flag.Int("runs", 5, "runs of each, after the warm-up")
	scale := flag.Float64("scale", 1, "of sizes, counts and times; anything but 1 is only a look")
	only := flag.String("only", ".", "a regular expression of phases: throughput, latency, start, memory, partitions, data")
	dir := flag.String("dir", filepath.Join("bin", "bench-data"), "where the data lives meanwhile: a disk with 30 GiB")
	page := flag.String("page", "", "where the page goes; by default docs/benchmarks.md for a whole run, standard output for any other")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	path, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	s := &suite{names: strings.Split(*names, ","), runs: *runs, scale: *scale, only: pattern, dir: path, all: map[string]map[string][]result{}}
	for _, n := range s.names {
		if n != "kafka" && n != "weir" {
			return fmt.Errorf("-brokers: %q is neither kafka nor weir", n)
		}
	}
	if *page == "" && *names == "kafka,weir" && *runs >= 5 && *scale == 1 && *only == "." {
		*page = filepath.Join("docs", "benchmarks.md")
	}
	why, err := readReasons(filepath.Join("bench", "misses.txt"))
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.run(); err != nil {
		return err
	}
	var out io.Writer = os.Stdout
	if *page != "" {
		file, err := os.Create(*page)
		if err != nil {
			return err
		}
		defer file.Close()
		out = file
	}
	s.write(out, began, why)
	return nil
}

package main

import (
	"maps"
	"math"
	"slices"
	"strconv"
)

// figure is one line of the table.
type figure struct {
	work, name string
	more       bool    // the larger the better
	ratio      float64 // of ours to Kafka's: at most, or with more at least
	limit      float64 // in place of a ratio: ours must be below
	over       string  // the figure is a quotient, by this other one of the same broker, and ratio is its limit whatever Kafka's is
}

// figures are what is promised.
var figures = []figure{
	{work: "produce 1 KiB", name: "CPU s/GiB", ratio: 0.65},
	{work: "produce 1 KiB", name: "user CPU s/GiB", ratio: 0.5},
	{work: "produce 1 KiB", name: "MB/s", ratio: 1.3, more: true},
	{work: "produce 100 B", name: "CPU s/GiB", ratio: 0.55},
	{work: "produce 100 B", name: "records/s", ratio: 1.2, more: true},
	{work: "consume 1 KiB", name: "CPU s/GiB", ratio: 0.9},
	{work: "consume 1 KiB", name: "MB/s", ratio: 0.95, more: true},
	{work: "1,000/s of 100 B", name: "ack p50 ms", ratio: 0.6},
	{work: "1,000/s of 100 B", name: "end-to-end p50 ms", ratio: 0.6},
	{work: "1,000/s of 100 B", name: "ack p99 ms", ratio: 0.4},
	{work: "1,000/s of 100 B", name: "end-to-end p99 ms", ratio: 0.4},
	{work: "1,000/s of 100 B", name: "CPU us/record", ratio: 0.6},
	{work: "5,000/s of 1 KiB", name: "ack p50 ms", ratio: 0.95},
	{work: "5,000/s of 1 KiB", name: "end-to-end p50 ms", ratio: 0.95},
	{work: "5,000/s of 1 KiB", name: "ack p99 ms", ratio: 0.4},
	{work: "5,000/s of 1 KiB", name: "end-to-end p99 ms", ratio: 0.4},
	{work: "5,000/s of 1 KiB", name: "CPU us/record", ratio: 0.85},
	{work: "start, empty", name: "ms", ratio: 0.02},
	{work: "10 GiB", name: "start, clean ms", ratio: 0.5},
	{work: "10 GiB", name: "start after kill -9 ms", ratio: 0.5},
	{work: "start, empty", name: "RSS MiB", limit: 25},
	{work: "1,000 partitions", name: "RSS MiB", limit: 60},
	{work: "1,000 partitions", name: "RSS after 4 GiB MiB", limit: 150},
	{work: "10,000 partitions", name: "1,000 created ms", ratio: 0.1},
	{work: "10,000 partitions", name: "9,000 more ms", ratio: 0.2},
	{work: "10,000 partitions", name: "start, clean ms", ratio: 0.1},
	{work: "10,000 partitions", name: "start after kill -9 ms", ratio: 0.05},
	{work: "10,000 partitions", name: "open files", limit: 1000},
	{work: "1,000 members, classic", name: "all join ms", ratio: 0.7},
	{work: "1,000 members, classic", name: "one leaves ms", ratio: 0.7},
	{work: "1,000 members, consumer", name: "all join ms", ratio: 0.7},
	{work: "1,000 members, consumer", name: "one leaves ms", ratio: 0.7},
	{work: "a member dies, classic", name: "reassigned ms", ratio: 1},
	{work: "a member dies, consumer", name: "reassigned ms", ratio: 1},
	{work: "commits of 100 clients", name: "commits/s", ratio: 1.5, more: true},
	{work: "commits of 100 clients", name: "CPU us/commit", ratio: 0.5},
	{work: "10,000 groups", name: "RSS MiB", limit: 150},
	{work: "10,000 groups", name: "first OffsetFetch after kill -9 ms", ratio: 0.2},
	{work: "consume-transform-produce", name: "transactions/s", ratio: 1.5, more: true},
	{work: "consume-transform-produce", name: "CPU us/transaction", ratio: 0.5},
	{work: "transactions of 1 record", name: "p50 ms", ratio: 0.6},
	{work: "transactions of 1 record", name: "p99 ms", ratio: 0.5},
	{work: "transactions of 1 record", name: "CPU us/transaction", ratio: 0.5},
	{work: "transactions of 10,000 records", name: "transactional CPU us/record", over: "idempotent CPU us/record", ratio: 1.08},
	{work: "10,000 transactional ids", name: "RSS MiB", limit: 60},
	{work: "10,000 transactional ids", name: "first InitProducerId after kill -9 ms", ratio: 0.2},
}

// of is the figure of some runs: the best of them, NaN of none.
func (f figure) of(runs []result) float64 {
	if f.over != "" {
		return f.best(runs, f.name) / f.best(runs, f.over)
	}
	return f.best(runs, f.name)
}

func (f figure) best(runs []result, name string) float64 {
	if len(runs) == 0 {
		return math.NaN()
	}
	best := runs[0].value(name)
	for _, r := range runs[1:] {
		if v := r.value(name); f.more == (v > best) {
			best = v
		}
	}
	return best
}

// holds says that ours is within the bar.
func (f figure) holds(kafka, ours float64) bool {
	switch {
	case f.over != "":
		return ours <= f.ratio
	case f.limit > 0:
		return ours < f.limit
	case f.more:
		return ours >= f.ratio*kafka
	}
	return ours <= f.ratio*kafka
}

// bar is the promise in words.
func (f figure) bar() string {
	switch {
	case f.over != "":
		return "<= " + number(f.ratio)
	case f.limit > 0:
		return "< " + number(f.limit)
	case f.more:
		return ">= " + number(f.ratio) + " x"
	}
	return "<= " + number(f.ratio) + " x"
}

// number shows three digits that count.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// title is the name of the line.
func (f figure) title() string {
	if f.over != "" {
		return f.name + " over " + f.over
	}
	return f.name
}

func sortedNames(r result) []string { return slices.Sorted(maps.Keys(r)) }

// Command bench measures the broker beside Apache Kafka on one machine in one run, and writes docs/benchmarks.md.
//
// A run of real size keeps the figures of each of its phases in bench/results, one file a phase, and the page is made from those
// files: so a phase can be measured again alone, and the page says for each which commit and day it is of. Any other run prints.
//
// It is a Go module of its own: the load comes from franz-go, which the broker does not need. Figures of different days or
// machines are not comparable, and on a virtual machine not even those of one hour: so both brokers run, each after a warm-up, and
// the same work is given to one and the other in turn, five times; the best of the one stands against the best of the other. Before
// each load a file of its size is written and removed, because memory that the host has yet to give costs several times the copy
// into it. Start reading at suite.go; the workloads are in load.go, latency.go, starts.go, groups.go and transactions.go, the bars in
// figures.go, what is kept in results.go, the page in page.go.
package main

// Command bench measures the broker beside Apache Kafka on one machine in one run, and writes docs/benchmarks.md.
//
// It is a Go module of its own: the load comes from franz-go, which the broker does not need. Figures of different days or
// machines are not comparable, and on a virtual machine not even those of one hour: so both brokers run, each after a warm-up, and
// the same work is given to one and the other in turn, five times; the best of the one stands against the best of the other. Before
// each load a file of its size is written and removed, because memory that the host has yet to give costs several times the copy
// into it. Start reading at suite.go; the workloads are in load.go, latency.go, partitions.go and starts.go, the bars in figures.go.
package main

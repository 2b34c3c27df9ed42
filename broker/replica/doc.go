// Package replica is the shell around broker/partition: the set of this broker's partitions, their locks, their logs, timers,
// retention, compaction, and the goroutines that carry out effects.
//
// It decides nothing that Kafka's rules decide; those are in broker/partition. Start reading at manager.go.
package replica

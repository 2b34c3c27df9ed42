// Package sim runs a whole cluster from one seed: the real controller, the real partitions over logs in memory, followers, clients that produce
// with acks=all, and between them a network that loses, delays and reorders, with a clock that is a number. What is not in it is not pure: Raft
// is a model of a replicated log (quorum.go), the shell around a partition is one of its own (broker.go, fetch.go).
//
// After each seed it holds that no acknowledged record is lost, that replicas are equal below their high watermarks, and that a leader epoch had
// one leader. Start reading at world.go.
package sim

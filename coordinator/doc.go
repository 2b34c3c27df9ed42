// Package coordinator is the runtime of a replicated state machine that lives in a compacted topic: groups, transactions, share
// groups. A machine is pure: an operation reads its state and returns Effects, and only Replay changes what must survive. The runtime owns
// what is not pure: one shard for each partition of the topic, its goroutine, clock, timers and log.
//
// It is not a machine, knows no group and no wire message, and imports nothing of ours: its log is an interface.
//
// Start reading at Effects and Machine in effects.go, then at shard.go.
package coordinator

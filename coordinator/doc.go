// Package coordinator is the runtime of a replicated state machine that lives in a compacted topic: groups, transactions, share
// groups. A machine is pure: an operation reads its state and returns Effects, and only Replay changes what must survive. The runtime owns
// what is not pure: one shard for each partition of the topic, with its clock, timers and log.
//
// Writes are write-behind: an operation's records are replayed at the offset that they will have, gathered with those of other
// operations, appended with one call, and its replies leave when the high watermark has passed them. There is no undo: where an append fails,
// or a machine does, every request that waits is failed, the machine is thrown away and the shard is loaded from the log again.
//
// It is not a machine, knows no group and no wire message, and imports nothing of ours: its log is an interface.
//
// Start reading at Effects and Machine in effects.go, then at shard.go.
package coordinator

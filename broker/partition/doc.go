// Package partition is Kafka's meaning of a log, without I/O: leader and follower, ISR, high watermark, last stable offset,
// producers and their sequences, leader epochs, and the waiters of produce and fetch, as steps (event, now) to effects.
//
// It takes no lock, starts no goroutine and reads no clock: broker/replica owns those. Its log is an interface that wal
// implements, and memlog, which knows synced from unsynced bytes and is made for simulation. Start reading at log.go, then
// partition.go.
package partition

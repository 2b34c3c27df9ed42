// Package memlog is a partition's log in memory, for tests and for simulation: it knows what is synced and what is not, so that it can
// crash like a machine does, and it fails where it is told to.
//
// It implements partition.Log and what wal.Log offers beside that, by the same rules. One goroutine at a time may use a Log. Start
// reading at log.go.
package memlog

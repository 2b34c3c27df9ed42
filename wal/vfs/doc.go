// Package vfs is the file system as an argument: the real one, and one that fails or crashes for tests.
//
// Only wal's own files go through it; what tidwall/wal writes does not. A descriptor of a file that tidwall/wal writes may still
// be opened here to sync it, and so Fault knows how much of each file has been made durable. Start reading at vfs.go.
package vfs

// Package vfs is the file system as an argument: the real one, and ones that fail or crash for tests.
//
// Only wal's own files go through it; what tidwall/wal writes does not. Start reading at vfs.go.
package vfs

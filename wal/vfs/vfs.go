package vfs

// FS is what wal asks of a file system.
type FS interface{}

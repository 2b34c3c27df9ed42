package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked is wrapped by the error of FS.Lock when somebody else holds the lock.
var ErrLocked = errors.New("locked")

// FS is what wal asks of a file system. Paths are the operating system's. Every method may be called by many goroutines at once.
type FS interface {
	// OpenFile opens name with the flags of package os.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Create makes name anew and empty, and opens it for writing; a file of that name is cut to nothing.
	Create(name string) (File, error)
	// Rename moves a file or directory, replacing a file; the change is durable after SyncDir of the directories concerned.
	Rename(from, to string) error
	// Remove unlinks a file or an empty directory; durable after SyncDir.
	Remove(name string) error
	// RemoveAll removes name and all below it; a missing name is no error.
	RemoveAll(name string) error
	// MkdirAll makes a directory and those above it.
	MkdirAll(name string, perm fs.FileMode) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat follows symbolic links.
	Stat(name string) (fs.FileInfo, error)
	// Truncate sets a file's size in bytes.
	Truncate(name string, size int64) error
	// SyncDir returns only when the names in the directory are durable.
	SyncDir(name string) error
	// Statfs says how large the file system that holds name is, and how much of it can be used.
	Statfs(name string) (Space, error)
	// Lock takes an exclusive advisory lock on the file name, which it creates, without waiting; Close releases it.
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.Writer
	io.Closer
	// Sync returns only when all bytes of the file, whoever wrote them, and its size are durable (fdatasync).
	Sync() error
	// Truncate sets the size in bytes.
	Truncate(size int64) error
	// Stat returns the file's attributes.
	Stat() (fs.FileInfo, error)
	// Fd is the descriptor, for sendfile(2). It is valid until Close.
	Fd() uintptr
}

// Space is the room of a file system, in bytes.
type Space struct {
	Total  int64 // its size
	Usable int64 // what this process may still write
}

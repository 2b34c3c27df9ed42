package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// ErrCrashed is returned by every operation of a Fault after its crash.
var ErrCrashed = errors.New("the machine has crashed")

// Kind says what an operation does.
type Kind string

// The kinds of operations.
const (
	Open     Kind = "open"
	Create   Kind = "create" // an open that makes the file
	Read     Kind = "read"
	Write    Kind = "write"
	Sync     Kind = "sync"
	Truncate Kind = "truncate"
	Rename   Kind = "rename"
	Remove   Kind = "remove"
	Mkdir    Kind = "mkdir"
	ReadDir  Kind = "readdir"
	Stat     Kind = "stat"
	SyncDir  Kind = "syncdir"
	Statfs   Kind = "statfs"
	Lock     Kind = "lock"
)

// Op is one operation, as predicates see it.
type Op struct {
	Kind Kind
	Path string
}

// Any matches every operation.
func Any(Op) bool { return true }

// Only returns a predicate that matches operations of these kinds.
func Only(kinds ...Kind) func(Op) bool {
	return func(op Op) bool {
		for _, k := range kinds {
			if op.Kind == k {
				return true
			}
		}
		return false
	}
}

// Fault is a file system over another, the real one, that fails on demand and knows what a crash of the machine could take: bytes
// that were not synced, and names whose directory was not. Closing a file never fails. It is safe for concurrent use.
type Fault struct {
	fs     FS
	shadow string // hard links to removed files, until their directory is synced
	track  tracker

	mu      sync.Mutex
	match   func(Op) bool
	left    int // matching operations until the fault; 0: there is none
	err     error
	fired   bool
	crashed bool
	free    *Space
}

// NewFault returns a Fault over inner. shadow is an empty directory on the same file system, where it keeps what was removed until
// the removal is durable; "" if CrashImage will not be asked for.
func NewFault(inner FS, shadow string) *Fault {
	f := &Fault{fs: inner, shadow: shadow}
	f.track.init(shadow)
	return f
}

// Fail lets the nth (from 1) operation from now on that match accepts fail with err, without being done. Others go on.
func (f *Fault) Fail(n int, err error, match func(Op) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.err, f.match, f.fired = n, err, match, false
}

// Crash lets the nth operation that match accepts, and everything after it, fail with ErrCrashed.
func (f *Fault) Crash(n int, match func(Op) bool) { f.Fail(n, ErrCrashed, match) }

// Heal takes back a fault that has not fired, and a crash.
func (f *Fault) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.crashed = 0, false
}

// Fired says whether the fault of the last Fail or Crash has come.
func (f *Fault) Fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

// SetSpace lets Statfs answer sp; nil: the truth.
func (f *Fault) SetSpace(sp *Space) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free = sp
}

func (f *Fault) before(kind Kind, path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return ErrCrashed
	}
	if f.left == 0 || !f.match(Op{kind, path}) {
		return nil
	}
	if f.left--; f.left > 0 {
		return nil
	}
	f.fired = true
	f.crashed = f.err == ErrCrashed
	return &fs.PathError{Op: string(kind), Path: path, Err: f.err}
}

// OpenFile implements FS.
func (f *Fault) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	kind := Open
	if flag&os.O_CREATE != 0 {
		kind = Create
	}
	if err := f.before(kind, name); err != nil {
		return nil, err
	}
	if flag&os.O_TRUNC != 0 {
		f.track.truncated(name, 0)
	}
	var file File
	open := func() (err error) {
		file, err = f.fs.OpenFile(name, flag, perm)
		return err
	}
	var err error
	if kind == Create {
		err = f.track.create(name, open)
	} else {
		err = open()
	}
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fault: f, name: name}, nil
}

// Create implements FS.
func (f *Fault) Create(name string) (File, error) {
	return f.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
}

// Rename implements FS.
func (f *Fault) Rename(from, to string) error {
	if err := f.before(Rename, from); err != nil {
		return err
	}
	return f.track.renamed(from, to, func() error { return f.fs.Rename(from, to) })
}

// Remove implements FS.
func (f *Fault) Remove(name string) error {
	if err := f.before(Remove, name); err != nil {
		return err
	}
	return f.track.removed(name, func() error { return f.fs.Remove(name) })
}

// RemoveAll implements FS. What it removes is gone at once, in a crash as well.
func (f *Fault) RemoveAll(name string) error {
	if err := f.before(Remove, name); err != nil {
		return err
	}
	return f.fs.RemoveAll(name)
}

// MkdirAll implements FS.
func (f *Fault) MkdirAll(name string, perm fs.FileMode) error {
	if err := f.before(Mkdir, name); err != nil {
		return err
	}
	if parent := filepath.Dir(name); parent != name {
		if _, err := f.fs.Stat(parent); err != nil {
			if err := f.MkdirAll(parent, perm); err != nil {
				return err
			}
		}
	}
	return f.track.create(name, func() error { return f.fs.MkdirAll(name, perm) })
}

// ReadDir implements FS.
func (f *Fault) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := f.before(ReadDir, name); err != nil {
		return nil, err
	}
	return f.fs.ReadDir(name)
}

// Stat implements FS.
func (f *Fault) Stat(name string) (fs.FileInfo, error) {
	if err := f.before(Stat, name); err != nil {
		return nil, err
	}
	return f.fs.Stat(name)
}

// Truncate implements FS.
func (f *Fault) Truncate(name string, size int64) error {
	if err := f.before(Truncate, name); err != nil {
		return err
	}
	f.track.truncated(name, size)
	return f.fs.Truncate(name, size)
}

// SyncDir implements FS.
func (f *Fault) SyncDir(name string) error {
	if err := f.before(SyncDir, name); err != nil {
		return err
	}
	if err := f.fs.SyncDir(name); err != nil {
		return err
	}
	f.track.syncedDir(name)
	return nil
}

// Statfs implements FS.
func (f *Fault) Statfs(name string) (Space, error) {
	if err := f.before(Statfs, name); err != nil {
		return Space{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.free != nil {
		return *f.free, nil
	}
	return f.fs.Statfs(name)
}

// Lock implements FS.
func (f *Fault) Lock(name string) (io.Closer, error) {
	if err := f.before(Lock, name); err != nil {
		return nil, err
	}
	return f.fs.Lock(name)
}

type faultFile struct {
	File
	fault *Fault
	name  string
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fault.before(Read, f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// Write writes half of p where it fails, as a full disk does.
func (f *faultFile) Write(p []byte) (int, error) {
	if err := f.fault.before(Write, f.name); err != nil {
		n := 0
		if !errors.Is(err, ErrCrashed) {
			n, _ = f.File.Write(p[:len(p)/2])
		}
		return n, err
	}
	return f.File.Write(p)
}

// Sync notes that all the file has now is durable, whoever wrote it.
func (f *faultFile) Sync() error {
	if err := f.fault.before(Sync, f.name); err != nil {
		return err
	}
	info, err := f.File.Stat()
	if err != nil {
		return err
	}
	if err := f.File.Sync(); err != nil {
		return err
	}
	f.fault.track.synced(info)
	return nil
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fault.before(Truncate, f.name); err != nil {
		return err
	}
	f.fault.track.truncated(f.name, size)
	return f.File.Truncate(size)
}

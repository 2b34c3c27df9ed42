//go:build !linux

package vfs

import "os"

const syncCall = "fsync"

// syncData is fsync(2), on macOS with F_FULLFSYNC: not every system has fdatasync.
func syncData(f *os.File) error { return f.Sync() }

package vfs

import (
	"os"
	"syscall"
)

const syncCall = "fdatasync"

// syncData is fdatasync(2): the size is covered, the time of change is not.
func syncData(f *os.File) error {
	return ignoringEINTR(func() error { return syscall.Fdatasync(int(f.Fd())) })
}

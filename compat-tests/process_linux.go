package compat

import "syscall"

// DieWithParent ends a child when the test process is killed: nothing else would.
func DieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

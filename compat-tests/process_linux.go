package compat

import "syscall"

// dieWithParent ends the broker when the test process is killed: nothing else would.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

package main

import "syscall"

// diesWithParent ends a broker whose measurement was killed.
var diesWithParent = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

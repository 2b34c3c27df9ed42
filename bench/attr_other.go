//go:build !linux

package main

import "syscall"

// diesWithParent is Linux's.
var diesWithParent *syscall.SysProcAttr

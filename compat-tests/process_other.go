//go:build !linux

package compat

import "syscall"

func DieWithParent() *syscall.SysProcAttr { return nil }

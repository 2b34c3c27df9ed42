//go:build !unix

package broker

// tuneSocket leaves the system's queue and buffers.
func tuneSocket(fd uintptr, backlog, receive, send int) error { return nil }

//go:build unix

package broker

import (
	"os"
	"syscall"
)

// tuneSocket changes a listening socket; a negative number leaves the system's.
func tuneSocket(fd uintptr, backlog, receive, send int) error {
	for option, n := range map[int]int{syscall.SO_RCVBUF: receive, syscall.SO_SNDBUF: send} {
		if n < 0 {
			continue
		}
		if err := syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, option, n); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if backlog < 0 {
		return nil
	}
	return os.NewSyscallError("listen", syscall.Listen(int(fd), backlog)) // of a socket that listens it changes the length only
}

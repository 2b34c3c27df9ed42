//go:build linux

package broker

import "golang.org/x/sys/unix"

// hungUp says whether the other side has closed, whatever it sent before that nobody has read.
func hungUp(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	for {
		_, err := unix.Poll(p, 0)
		if err != unix.EINTR {
			return p[0].Revents != 0 // POLLHUP and POLLERR come unasked
		}
	}
}

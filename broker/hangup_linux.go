//go:build linux

package broker

import "golang.org/x/sys/unix"

// hungUp says whether nobody is on the other side any more, whatever it sent before that nobody has read. One that only will not send
// more does not count, and over TCP cannot be told from one that has closed until it is sent something.
func hungUp(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: 0}}
	for {
		_, err := unix.Poll(p, 0)
		if err != unix.EINTR {
			return p[0].Revents != 0 // POLLHUP, POLLERR
		}
	}
}

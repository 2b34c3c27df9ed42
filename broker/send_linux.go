//go:build linux

package broker

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"

	"weir/protocol/record"
)

// rawSends says whether this system has the calls of this file.
const rawSends = true

// waitForMore has whoever waits for a socket to be readable wait for n bytes, or for the end. What is there already counts.
func waitForMore(fd uintptr, n int) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, n)
}

// readable is how many bytes a read of a socket would find.
func readable(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// sendVec writes all of bufs with one system call where the socket takes it. more says that further bytes of the same response
// follow at once, so that the kernel does not send a small segment for them.
func sendVec(raw syscall.RawConn, bufs [][]byte, more bool, f *flow) error {
	flags := unix.MSG_NOSIGNAL
	if more {
		flags |= unix.MSG_MORE
	}
	var serr error
	err := raw.Write(func(fd uintptr) bool {
		for len(bufs) > 0 {
			n, err := unix.SendmsgBuffers(int(fd), bufs[:min(len(bufs), maxVec)], nil, nil, flags)
			if err == unix.EINTR {
				continue
			}
			if err == unix.EAGAIN {
				return false
			}
			if err != nil {
				serr = err
				return true
			}
			f.passed.Add(int64(n))
			bufs = consume(bufs, n)
		}
		return true
	})
	if err == nil {
		err = serr
	}
	return err
}

// maxVec is below the kernel's UIO_MAXIOV.
const maxVec = 512

// consume drops the first n bytes of bufs, in place.
func consume(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs
}

// sendFile has the kernel send a piece of a segment from the page cache.
func sendFile(raw syscall.RawConn, p *record.Piece, f *flow) error {
	pos, left := p.Pos, p.N
	var serr error
	err := raw.Write(func(fd uintptr) bool {
		for left > 0 {
			n, err := unix.Sendfile(int(fd), p.FD, &pos, left)
			if err == unix.EINTR {
				continue
			}
			if err == unix.EAGAIN {
				return false
			}
			if err == nil && n == 0 {
				err = io.ErrUnexpectedEOF // the file is shorter than the log says
			}
			if err != nil {
				serr = err
				return true
			}
			f.passed.Add(int64(n))
			left -= n
		}
		return true
	})
	if err == nil {
		err = serr
	}
	return err
}

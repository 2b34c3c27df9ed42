package proxy

import (
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"weir/internal/buffer"
	"weir/protocol"
)

const (
	readBytes  = 16 << 10 // what a connection reads at once
	peekBytes  = 64 << 10 // the most that is looked at without being counted
	spliceFrom = 16 << 10 // what is moved by the kernel where it can be, as smaller runs cost more that way than they save
	copyBytes  = 64 << 10 // what is copied at once where it cannot be
)

// source is a connection that is read frame by frame, and to, where its bytes are passed on. Bytes that are not changed are marked with
// pass and written together, at the latest before somebody waits for more; the bulk of a large frame is moved by the kernel (splice).
// While nothing has arrived, no buffer is held. It is for one goroutine.
type source struct {
	nc  net.Conn
	tcp *net.TCPConn    // nil: the kernel cannot move bytes, or not bytes that mean anything (TLS)
	raw syscall.RawConn // nil: no descriptor to wait on
	to  *sink

	buf     *buffer.Buffer // nil: nothing has arrived
	m, r, w int            // buf.B[m:r] is marked, buf.B[r:w] is not looked at yet

	try func(fd uintptr) bool
	err error // what try met
}

// sink is where bytes go.
type sink struct {
	nc  net.Conn
	tcp *net.TCPConn
}

func newSource(nc net.Conn, to *sink) *source {
	s := &source{nc: nc, to: to}
	if tcp, ok := nc.(*net.TCPConn); ok {
		s.tcp = tcp
		s.raw, _ = tcp.SyscallConn()
	}
	return s
}

func newSink(nc net.Conn) *sink {
	tcp, _ := nc.(*net.TCPConn)
	return &sink{nc: nc, tcp: tcp}
}

func (s *sink) write(b []byte) error {
	_, err := s.nc.Write(b)
	return err
}

// writeHeld writes what holds memory that others wait for; stall 0: it holds none.
func (s *sink) writeHeld(b []byte, stall time.Duration) error {
	if stall > 0 {
		if err := s.nc.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			return err
		}
		defer s.nc.SetWriteDeadline(time.Time{})
	}
	return s.write(b)
}

// peek returns what has arrived, at least n bytes of it, without taking it. It is valid until the next call. At the end it is io.EOF where
// nothing is left, else io.ErrUnexpectedEOF.
func (s *source) peek(n int) ([]byte, error) {
	for s.w-s.r < n {
		if err := s.fill(n); err != nil {
			if err == io.EOF && s.w > s.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return s.buf.B[s.r:s.w], nil
}

// fill reads once, into a buffer that has room for n bytes.
func (s *source) fill(n int) error {
	if err := s.flush(); err != nil {
		return err
	}
	if s.w == s.r {
		s.drop()
		if n <= readBytes {
			return s.first()
		}
	}
	switch {
	case s.buf == nil:
		s.buf = buffer.Get(n)
	case len(s.buf.B) < n:
		nb := buffer.Get(n)
		s.w = copy(nb.B, s.buf.B[s.r:s.w])
		s.buf.Put()
		s.buf, s.m, s.r = nb, 0, 0
	case s.r+n > len(s.buf.B):
		s.w = copy(s.buf.B, s.buf.B[s.r:s.w])
		s.m, s.r = 0, 0
	}
	k, err := s.nc.Read(s.buf.B[s.w:])
	if s.w += k; k > 0 {
		return nil
	}
	return err
}

// first waits for bytes and takes a buffer when they are there.
func (s *source) first() error {
	if s.raw == nil {
		var one [1]byte
		if _, err := io.ReadFull(s.nc, one[:]); err != nil {
			return err
		}
		s.buf = buffer.Get(readBytes)
		s.buf.B[0] = one[0]
		s.m, s.r, s.w = 0, 0, 1
		return nil
	}
	if s.try == nil {
		s.try = s.tryFirst
	}
	err := s.raw.Read(s.try)
	if err == nil {
		err = s.err
	}
	if err == nil && s.w == 0 {
		err = io.EOF
	}
	if err != nil {
		s.drop()
	}
	return err
}

func (s *source) tryFirst(fd uintptr) bool {
	s.buf = buffer.Get(readBytes)
	s.m, s.r = 0, 0
	s.err = syscall.EINTR
	for s.err == syscall.EINTR {
		s.w, s.err = syscall.Read(int(fd), s.buf.B)
	}
	if s.err == syscall.EAGAIN {
		s.drop()
		return false
	}
	s.w = max(s.w, 0)
	return true
}

func (s *source) drop() {
	s.buf.Put()
	s.buf = nil
	s.m, s.r, s.w = 0, 0, 0
}

// flush writes what is marked.
func (s *source) flush() error {
	if s.m == s.r {
		return nil
	}
	err := s.to.write(s.buf.B[s.m:s.r])
	s.m = s.r
	return err
}

// skip drops n bytes that were peeked at.
func (s *source) skip(n int) error {
	if err := s.flush(); err != nil {
		return err
	}
	s.r += n
	s.m = s.r
	return nil
}

// pass passes the next n bytes on, whether they have arrived or not.
func (s *source) pass(n int) error {
	k := min(n, s.w-s.r)
	s.r += k
	n -= k
	for n > 0 {
		if err := s.flush(); err != nil {
			return err
		}
		if n >= spliceFrom {
			return s.bulk(n)
		}
		if err := s.fill(min(n, readBytes)); err != nil {
			return unexpected(err)
		}
		k := min(n, s.w-s.r)
		s.r += k
		n -= k
	}
	return nil
}

// bulk moves n bytes when nothing is buffered.
func (s *source) bulk(n int) error {
	s.drop()
	if s.tcp != nil && s.to.tcp != nil {
		k, err := s.to.tcp.ReadFrom(&io.LimitedReader{R: s.tcp, N: int64(n)})
		if err == nil && k < int64(n) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	b := buffer.Get(copyBytes)
	defer b.Put()
	for n > 0 {
		k, err := s.nc.Read(b.B[:min(n, len(b.B))])
		if k > 0 {
			n -= k
			if err := s.to.write(b.B[:k]); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return unexpected(err)
		}
	}
	return nil
}

// read takes len(b) bytes.
func (s *source) read(b []byte) error {
	if err := s.flush(); err != nil {
		return err
	}
	k := 0
	if s.buf != nil {
		k = copy(b, s.buf.B[s.r:s.w])
		s.r += k
		s.m = s.r
	}
	if k == len(b) {
		return nil
	}
	s.drop()
	_, err := io.ReadFull(s.nc, b[k:])
	return unexpected(err)
}

// readHeld is read into memory that others may wait for: it goes on, if slowly, or fails.
func (s *source) readHeld(b []byte, stall time.Duration) error {
	defer s.nc.SetReadDeadline(time.Time{})
	for some := range slices.Chunk(b, copyBytes) {
		if err := s.nc.SetReadDeadline(time.Now().Add(stall)); err != nil {
			return err
		}
		if err := s.read(some); err != nil {
			return err
		}
	}
	return nil
}

// discard drops n bytes, whether they have arrived or not.
func (s *source) discard(n int) error {
	for n > 0 {
		b, err := s.peek(1)
		if err != nil {
			return unexpected(err)
		}
		k := min(n, len(b))
		if err := s.skip(k); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// stop gives the buffer back.
func (s *source) stop() { s.drop() }

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// frameSize reads a frame's length, without taking it.
func (s *source) frameSize(least, most int) (int, error) {
	b, err := s.peek(4)
	if err != nil {
		return 0, err
	}
	size := int(int32(uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])))
	if size < least || size > most {
		hint := ""
		switch {
		case b[0] == 22 && b[1] == 3:
			hint = " (it looks like the beginning of TLS)"
		case b[0] >= 'A' && b[0] <= 'Z' && b[1] >= 'A' && b[1] <= 'Z':
			hint = " (it looks like HTTP)"
		}
		return 0, fmt.Errorf("%w: a frame of %d bytes, allowed are %d to %d%s", protocol.ErrMalformed, size, least, most, hint)
	}
	return size, nil
}

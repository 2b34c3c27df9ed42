package broker

import (
	"encoding/binary"
	"fmt"
	"io"
	"syscall"

	"weir/internal/buffer"
	"weir/protocol"
)

// frames reads length-prefixed frames. While nothing has arrived it holds no buffer: on a transport with a file descriptor it waits
// for readability first and takes a buffer then, so that ten thousand idle connections cost no more than their goroutines. One
// read usually brings the length and the frame together.
type frames struct {
	from   io.Reader
	raw    syscall.RawConn // nil: from has no descriptor to wait on
	max    int             // the largest frame: socket.request.max.bytes
	mem    *memory
	closed <-chan struct{}

	buf   *buffer.Buffer // nil: nothing has arrived
	r, w  int            // buf.B[r:w] has arrived and is not read
	used  int            // where the current frame ends in buf
	taken int            // of mem's total
	hint  int            // what the last frame needed
}

// next returns the next frame, without its length. It is valid until release. The error is io.EOF between frames, wraps
// protocol.ErrMalformed for a length that cannot be, and is the transport's otherwise.
func (f *frames) next() ([]byte, error) {
	if err := f.fill(4); err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(f.buf.B[f.r:])))
	if size < 0 || size > f.max {
		return nil, fmt.Errorf("%w: a frame of %d bytes, allowed are 0 to %d", protocol.ErrMalformed, size, f.max)
	}
	if err := f.fill(4 + size); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	f.used = f.r + 4 + size
	f.hint = 4 + size
	return f.buf.B[f.r+4 : f.used : f.used], nil
}

// release ends the use of the frame that next returned. The buffer goes back when nothing of the next frame is in it.
func (f *frames) release() {
	f.r = f.used
	if f.taken > 0 {
		f.mem.give(f.taken)
		f.taken = 0
	}
	if f.r == f.w {
		f.drop()
	}
}

func (f *frames) drop() {
	if f.buf != nil {
		f.buf.Put()
		f.buf = nil
	}
	f.r, f.w, f.used = 0, 0, 0
}

// stop gives everything back.
func (f *frames) stop() {
	if f.taken > 0 {
		f.mem.give(f.taken)
		f.taken = 0
	}
	f.drop()
}

// fill reads until n bytes have arrived.
func (f *frames) fill(n int) error {
	if f.w-f.r >= n {
		return nil
	}
	if f.buf == nil {
		if err := f.first(); err != nil {
			return err
		}
	}
	for f.w-f.r < n {
		ahead, err := f.room(n)
		if err != nil {
			return err
		}
		end := len(f.buf.B)
		if n > freeBytes { // do not begin the next frame in a large buffer: it would have to be moved
			end = min(end, f.r+n)
		}
		var m int
		for m == 0 && err == nil {
			m, err = f.from.Read(f.buf.B[f.w:end])
		}
		if ahead > 0 && (err != nil || f.w+m-f.r >= n) {
			f.mem.arrived(ahead)
			ahead = 0
		}
		f.w += m
		for ahead > 0 && err == nil && f.w-f.r < n { // the buffer is large enough: no need to look for room again
			m, err = f.from.Read(f.buf.B[f.w:end])
			f.w += m
		}
		if ahead > 0 {
			f.mem.arrived(ahead)
		}
		if err != nil && f.w-f.r < n {
			return err
		}
	}
	return nil
}

// first waits for the first bytes of a frame and takes a buffer when they are there.
func (f *frames) first() error {
	if f.raw == nil {
		var one [1]byte
		if _, err := io.ReadFull(f.from, one[:]); err != nil {
			return err
		}
		f.buf = buffer.Get(f.firstSize())
		f.buf.B[0] = one[0]
		f.w = 1
		return nil
	}
	var n int
	var rerr error
	err := f.raw.Read(func(fd uintptr) bool {
		f.buf = buffer.Get(f.firstSize())
		for {
			n, rerr = syscall.Read(int(fd), f.buf.B)
			if rerr != syscall.EINTR {
				break
			}
		}
		if rerr == syscall.EAGAIN {
			f.drop()
			return false
		}
		return true
	})
	switch {
	case err != nil:
		f.drop()
		return err
	case rerr != nil:
		f.drop()
		return rerr
	case n == 0:
		f.drop()
		return io.EOF
	}
	f.w = n
	return nil
}

// firstSize is the buffer to begin a frame with: a connection that sent large frames will send more of them, but what exceeds
// freeBytes is accounted for only once a length is known.
func (f *frames) firstSize() int {
	if f.hint > freeBytes {
		return freeBytes
	}
	return max(f.hint, wakeBytes)
}

// room makes the buffer ready to take more of a frame of n bytes. ahead is what of it was promised by mem and has not arrived.
func (f *frames) room(n int) (ahead int, err error) {
	have := f.w - f.r
	if len(f.buf.B)-f.r >= n && (f.taken >= n || n <= freeBytes) {
		return 0, nil
	}
	if n <= freeBytes {
		if len(f.buf.B) >= n { // the frame fits when it is moved to the front
			copy(f.buf.B, f.buf.B[f.r:f.w])
			f.r, f.w = 0, have
			return 0, nil
		}
		f.move(buffer.Get(n))
		return 0, nil
	}
	want := n
	if f.mem.tryAhead(n-have, 2*f.hint >= n) {
		ahead = n - have
	} else {
		want = min(n, max(2*have, freeBytes/4))
	}
	if want > freeBytes && want > f.taken {
		if err := f.mem.take(want-f.taken, f.closed); err != nil {
			if ahead > 0 {
				f.mem.arrived(ahead)
			}
			return 0, err
		}
		f.taken = want
	}
	if len(f.buf.B)-f.r < want {
		f.move(buffer.Get(want))
	}
	return ahead, nil
}

// move carries what has arrived over to another buffer.
func (f *frames) move(nb *buffer.Buffer) {
	copy(nb.B, f.buf.B[f.r:f.w])
	f.w -= f.r
	f.r = 0
	f.buf.Put()
	f.buf = nb
}

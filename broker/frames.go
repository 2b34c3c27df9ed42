package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
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

	flow flow

	try     func(fd uintptr) bool // tryFirst
	tryMore func(fd uintptr) bool // tryRest
	untry   func(fd uintptr)      // any
	into    []byte                // of tryRest
	n       int                   // what it read
	err     error                 // what either met
	least   int                   // fewer bytes do not wake who waits for more; 0: any do
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
	if f.least > 0 {
		if err := errors.Join(f.raw.Control(f.untry), f.err); err != nil {
			return nil, err
		}
	}
	return f.buf.B[f.r+4 : f.used : f.used], nil
}

// peek returns the first byte of the next frame, when it is there.
func (f *frames) peek() (byte, error) {
	if err := f.fill(1); err != nil {
		return 0, err
	}
	return f.buf.B[f.r], nil
}

// hand gives what has arrived to who reads on from here.
func (f *frames) hand() []byte {
	rest := slices.Clone(f.buf.B[f.r:f.w])
	f.drop()
	return rest
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

// watch waits until the client is gone, which is an error, or the transport's read deadline has come. It is nil where that cannot be
// told: without a descriptor the end is seen only when all that comes before it is read, no more than freeBytes is, and a client that
// has ended may still be there.
func (f *frames) watch(ended bool) error {
	if f.raw != nil {
		if err := f.raw.Read(hungUp); err != nil {
			return err
		}
		return io.ErrClosedPipe
	}
	for !ended && f.w-f.r < freeBytes {
		var err error
		switch {
		case f.buf == nil:
			err = f.first()
		case f.w == len(f.buf.B):
			f.fit(min(2*(f.w-f.r), freeBytes))
			fallthrough
		default:
			var n int
			n, err = f.from.Read(f.buf.B[f.w:])
			f.w += n
		}
		if err == io.EOF { // what comes before it is to be answered, and it is met again
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
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
			m, err = f.read(f.buf.B[f.w:end])
		}
		if ahead > 0 && (err != nil || f.w+m-f.r >= n) {
			f.mem.arrived(ahead)
			ahead = 0
		}
		f.w += m
		for ahead > 0 && err == nil && f.w-f.r < n { // the buffer is large enough: no need to look for room again
			m, err = f.read(f.buf.B[f.w:end])
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

// read waits for bytes of the current frame.
func (f *frames) read(b []byte) (int, error) {
	f.flow.holding.Store(f.taken > 0)
	n, err := f.more(b)
	f.flow.holding.Store(false)
	f.flow.passed.Add(int64(n))
	return n, err
}

// more reads into b, of the current frame. Bytes of a large frame come in many small pieces, and each would wake this goroutine, which
// costs more than to take it: so the kernel is told to wait for a good part of what is missing.
func (f *frames) more(b []byte) (int, error) {
	if f.raw == nil || len(b) < 2*freeBytes && f.least == 0 {
		return f.from.Read(b)
	}
	if f.tryMore == nil {
		f.tryMore, f.untry = f.tryRest, f.any
	}
	f.into, f.n, f.err = b, 0, nil
	err := f.raw.Read(f.tryMore)
	f.into = nil
	if err == nil {
		err = f.err
	}
	if err == nil && f.n == 0 {
		err = io.EOF
	}
	return f.n, err
}

// tryRest reads into f.into if something is there.
func (f *frames) tryRest(fd uintptr) bool {
	f.err = syscall.EINTR
	for f.err == syscall.EINTR {
		f.n, f.err = syscall.Read(int(fd), f.into)
	}
	f.n = max(f.n, 0)
	if f.err != syscall.EAGAIN {
		return true
	}
	if least := min(len(f.into), wakeForBytes); least != f.least {
		if f.err = waitForMore(fd, least); f.err != nil {
			return true
		}
		f.least = least
	}
	return false
}

// unread is how many bytes the kernel keeps back, or more have come since. Any goroutine may ask.
func (f *frames) unread() (n int) {
	if f.raw != nil {
		f.raw.Control(func(fd uintptr) { n = readable(fd) })
	}
	return n
}

// any ends what tryRest began: the next frame may be small.
func (f *frames) any(fd uintptr) {
	f.err = waitForMore(fd, 1)
	f.least = 0
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
	if f.try == nil {
		f.try = f.tryFirst
	}
	err := f.raw.Read(f.try)
	if err == nil {
		err = f.err
	}
	if err == nil && f.w == 0 {
		err = io.EOF
	}
	if err != nil {
		f.drop()
	}
	return err
}

// tryFirst reads into a new buffer, and keeps it if something was there. It is a method, and not made for each frame, as that
// would be allocated.
func (f *frames) tryFirst(fd uintptr) bool {
	f.buf = buffer.Get(f.firstSize())
	f.err = syscall.EINTR
	for f.err == syscall.EINTR {
		f.w, f.err = syscall.Read(int(fd), f.buf.B)
	}
	if f.err == syscall.EAGAIN {
		f.drop()
		return false
	}
	f.w = max(f.w, 0)
	return true
}

// firstSize is the buffer to begin a frame with: a connection that sent large frames will send more of them, but what exceeds
// freeBytes is accounted for only once a length is known.
func (f *frames) firstSize() int {
	if f.hint > freeBytes {
		return freeBytes
	}
	return max(f.hint, wakeBytes)
}

// room makes the buffer ready to take more of a frame of n bytes. ahead is what of it was promised by mem and has not arrived. Who
// waits for bytes holds a buffer that is promised, is small, or is not much larger than what has arrived: for whatever it was made
// large before, ten thousand clients may be waited for.
func (f *frames) room(n int) (ahead int, err error) {
	have := f.w - f.r
	if n <= wakeBytes {
		f.fit(wakeBytes)
		return 0, nil
	}
	want := n
	if f.mem.tryAhead(n-have, 2*f.hint >= n) {
		ahead = n - have
	} else if want = min(n, slow(have)); f.w < len(f.buf.B) && len(f.buf.B) <= 2*want {
		return 0, nil
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
	f.fit(want)
	return ahead, nil
}

// slow is the buffer for a frame of which have bytes are there and more come without a promise. It grows in small steps first, so
// that it costs little more than what was sent, and then in large ones, so that a large frame is not copied often.
func slow(have int) int {
	if have >= 4*freeBytes {
		return 2 * have
	}
	return max(have+have/4, slowBytes)
}

// fit makes the buffer one that has room for want bytes of the frame, and not much more.
func (f *frames) fit(want int) {
	switch size := len(f.buf.B); {
	case size < want || size > 2*want:
		f.move(buffer.Get(want))
	case size-f.r < want:
		copy(f.buf.B, f.buf.B[f.r:f.w])
		f.w -= f.r
		f.r = 0
	}
}

// move carries what has arrived over to another buffer.
func (f *frames) move(nb *buffer.Buffer) {
	f.w = copy(nb.B, f.buf.B[f.r:f.w])
	f.r = 0
	f.buf.Put()
	f.buf = nb
}

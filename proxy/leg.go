package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/internal/buffer"
	"weir/protocol"
)

// leg is one client connection's connection to one broker, where one client connection has several. Its requests are answered in order,
// so that what a client sends to one broker in an order arrives in it.
type leg struct {
	c    *conn
	id   int32
	nc   net.Conn
	in   *source
	out  *sink
	next int32

	mu      sync.Mutex
	waiting []*call
	err     error // it has ended
	ended   chan struct{}
	unwatch func() bool // of the end of the client's connection, which ends the leg
}

// call is one request to one broker.
type call struct {
	key, version int16
	correlation  int32
	req          kmsg.Request // to say what was not answered; its records are gone
	silent       bool

	ctx    context.Context // of the client's connection
	done   chan struct{}
	err    error
	resp   kmsg.Response // where there was none, or it was decoded
	frame  []byte        // without its length
	pooled *buffer.Buffer
	of     *budgets
	taken  int // of the budget for frames
	reads  int // of that for what they decode to
}

// take waits for some of a budget, but not for ever: what this connection holds for its other answers, somebody may be waiting for.
func (a *call) take(b *budget, n int) error {
	ctx, cancel := context.WithTimeout(a.ctx, a.of.stall)
	defer cancel()
	err := b.take(n, ctx.Done())
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %d bytes, and others do not give back theirs", errBudget, n)
	}
	return err
}

// Reserve implements protocol.Memory.
func (a *call) Reserve(n int) error {
	if n <= freeBytes {
		return nil
	}
	if err := a.take(&a.of.decoded, n); err != nil {
		return err
	}
	a.reads += n
	return nil
}

// release gives back what the answer holds.
func (a *call) release() {
	a.pooled.Put()
	a.pooled, a.frame = nil, nil
	a.of.frames.give(a.taken)
	a.of.decoded.give(a.reads)
	a.taken, a.reads = 0, 0
}

// decode makes the answer a message.
func (a *call) decode() (kmsg.Response, error) {
	if a.resp != nil || a.err != nil {
		return a.resp, a.err
	}
	resp, _, err := decodeAnswer(a.key, a.version, a.frame, a)
	if err != nil {
		return nil, err
	}
	a.resp = resp
	return resp, nil
}

// newLeg connects to a broker.
func newLeg(ctx context.Context, c *conn, id int32) (*leg, error) {
	nc, err := c.l.c.dial(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDial, err)
	}
	l := &leg{c: c, id: id, nc: nc, out: newSink(nc), ended: make(chan struct{})}
	l.in = newSource(nc, nil)
	l.unwatch = context.AfterFunc(ctx, func() { nc.Close() })
	go l.take()
	return l, nil
}

// send writes a request, with the leg's correlation id. The call is answered or fails.
func (l *leg) send(a *call, b []byte, stall time.Duration) error {
	l.mu.Lock()
	if l.err != nil {
		l.mu.Unlock()
		return l.err
	}
	l.next++
	a.correlation = l.next
	if !a.silent {
		l.waiting = append(l.waiting, a)
	}
	l.mu.Unlock()
	binary.BigEndian.PutUint32(b[8:], uint32(a.correlation))
	return l.out.writeHeld(b, stall)
}

// take reads answers until the end.
func (l *leg) take() {
	defer close(l.ended)
	defer func() {
		if p := recover(); p != nil {
			l.fail(fmt.Errorf("a panic: %v", p))
		}
	}()
	for {
		if err := l.one(); err != nil {
			l.fail(err)
			return
		}
	}
}

func (l *leg) one() error {
	size, err := l.in.frameSize(4, maxAnswer)
	if err != nil {
		return err
	}
	l.mu.Lock()
	var a *call
	if len(l.waiting) > 0 {
		a = l.waiting[0]
	}
	l.mu.Unlock()
	if a == nil {
		return fmt.Errorf("%w: an answer of %d bytes that nobody asked for", protocol.ErrMalformed, size)
	}
	b, err := l.in.peek(8)
	if err != nil {
		return err
	}
	if id := int32(binary.BigEndian.Uint32(b[4:])); id != a.correlation {
		return fmt.Errorf("%w: the answer to request %d has correlation id %d", protocol.ErrMalformed, a.correlation, id)
	}
	// Small answers are not waited for either: their number is bounded.
	if size > freeBytes {
		if err := a.take(&a.of.frames, size); err != nil {
			return err
		}
		a.taken = size
	}
	a.pooled = buffer.Get(4 + size)
	if err := l.in.readHeld(a.pooled.B[:4+size], a.of.stall); err != nil {
		a.release()
		return err
	}
	a.frame = a.pooled.B[4 : 4+size]
	l.mu.Lock()
	l.waiting = l.waiting[1:]
	l.mu.Unlock()
	close(a.done)
	return nil
}

// fail ends all calls.
func (l *leg) fail(err error) {
	l.nc.Close()
	l.mu.Lock()
	lost := l.waiting
	l.waiting, l.err = nil, err
	l.mu.Unlock()
	if errors.Is(err, protocol.ErrMalformed) || errors.Is(err, errBudget) || len(lost) > 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
		if l.c.ctx.Err() == nil {
			l.c.l.c.once("leg "+err.Error(), "a connection to an upstream broker has ended with requests unanswered", "broker", l.id, "client", l.c.who.Remote, "error", err.Error())
		}
	}
	for _, a := range lost {
		a.err = err
		close(a.done)
	}
}

// gone says whether the leg has ended.
func (l *leg) gone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err != nil
}

// close ends it and waits for its goroutine.
func (l *leg) close() {
	l.unwatch()
	l.nc.Close()
	<-l.ended
	l.in.stop()
}

package stream

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// Listener hands the accepted streams of one kind to a library that wants a net.Listener.
type Listener struct {
	hub   *Hub
	kind  Kind
	queue chan *lent
	done  chan struct{}
	once  sync.Once
}

// Listen returns the listener of a kind; its Take belongs into Config.Handle.
func Listen(kind Kind) *Listener {
	return &Listener{kind: kind, queue: make(chan *lent, 16), done: make(chan struct{})}
}

// Serve connects the listener with the hub that it gets its streams from.
func (l *Listener) Serve(h *Hub) { l.hub = h }

// lent is a stream that the library closes; the goroutine that accepted it waits for that.
type lent struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

// Close closes the stream.
func (c *lent) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Take hands a stream to who calls Accept, and returns when it is closed.
func (l *Listener) Take(nc net.Conn, _ Identity) {
	c := &lent{Conn: nc, closed: make(chan struct{})}
	select {
	case l.queue <- c:
	case <-l.done:
		return
	}
	select {
	case <-c.closed:
	case <-l.done: // what is still in the queue nobody will close
	}
}

// Accept waits for the next stream.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Streams gives what Accept would, for who never hears that nothing more comes.
func (l *Listener) Streams() <-chan net.Conn {
	out := make(chan net.Conn)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			select {
			case out <- c:
			case <-l.done:
				c.Close()
				return
			}
		}
	}()
	return out
}

// Close ends Accept and every stream that came by it.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is the address that others reach this node by.
func (l *Listener) Addr() net.Addr { return address(l.hub.Address()) }

// Dial opens a stream of the kind.
func (l *Listener) Dial(to string, timeout time.Duration) (net.Conn, error) {
	return l.DialNode(-1, to, timeout)
}

// DialNode is Dial that wants a certain node to answer; -1: any.
func (l *Listener) DialNode(node int32, to string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	nc, who, err := l.hub.Open(ctx, l.kind, to)
	if err == nil && node >= 0 && who.Node != node {
		nc.Close()
		return nil, fmt.Errorf("node %d is at %s, not node %d", who.Node, to, node)
	}
	return nc, err
}

// address is a host and port that need not be resolved.
type address string

// Network is "tcp".
func (a address) Network() string { return "tcp" }

// String is host:port.
func (a address) String() string { return string(a) }

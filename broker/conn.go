package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/api"
	"weir/internal/buffer"
	"weir/membership/stream"
	"weir/protocol"
)

const (
	maxQueued      = 128      // requests of one connection whose responses are not written yet
	maxQueuedBytes = 32 << 20 // and the bytes that they hold, or so
	queuedCost     = 1 << 10  // what a request in the queue costs beside what it brought
)

// conn is one client's connection. One goroutine reads frames, runs handlers in order and writes each response itself when nothing is
// queued before it. When a handler has to wait, its response is queued and a writer goroutine lives until the queue is empty; so
// several requests of a connection are in flight at once and the order on the wire is kept.
type conn struct {
	srv     *server
	nc      net.Conn
	in      frames
	out     sender
	session api.Session
	ctx     context.Context // done when the connection is closed
	cancel  context.CancelFunc
	usedMs  atomic.Int64 // when something was last read or written
	cluster bool         // other nodes come by its listener too
	handed  bool         // it was another node's
	decoded int          // what the current request decodes to
	answers int          // what is taken for its answer

	mu          sync.Mutex
	room        sync.Cond // the queue has become shorter
	queue       []queued
	queuedBytes int
	writing     bool // the writer goroutine exists: it alone writes
	watching    bool // the reader waits for the queue, and meanwhile for the client's end; a read deadline wakes it
	ended       bool // it waits for the queue's end, not for room
	failed      bool
}

// queued is a response that is not written yet.
type queued struct {
	key, version int16
	correlation  int32
	resp         api.Response
	encoded      []byte         // instead of resp
	pooled       *buffer.Buffer // what encoded is in, unless that became longer
	held         int            // bytes that it holds, or so
	taken        int            // of them, from the memory for answers
	mem          *memory        // where to
}

// serve reads and answers until the connection ends. It returns when the reader and the writer are done.
func (c *conn) serve() {
	defer func() {
		if p := recover(); p != nil {
			c.srv.log.Error("panic while serving a request; the connection is closed", "remote", c.session.RemoteHost, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if c.handOver() {
		return
	}
	defer c.stop()
	if !c.awaitReady() {
		return
	}
	for {
		if !c.admit() {
			return
		}
		frame, err := c.in.next()
		if err == nil {
			c.touch()
			err = c.request(frame)
			c.in.release()
		}
		if err != nil {
			c.fail(err)
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, protocol.ErrMalformed) {
				c.drain()
			}
			return
		}
	}
}

// handOver gives a connection of another node of the cluster to those who talk with it; it returns when that is over.
func (c *conn) handOver() bool {
	if !c.cluster {
		return false
	}
	first, err := c.in.peek()
	if err != nil || first != stream.Prefix {
		return false // what is wrong is met again
	}
	c.srv.detach(c)
	remote := c.nc.RemoteAddr().String()
	if err := c.srv.hub.Accept(c.nc, c.in.hand()); err != nil && c.ctx.Err() == nil {
		c.srv.refusals.warn(c.srv, "a stream of another node was refused", remote, c.session.ListenerName, err)
	}
	c.cancel()
	return true
}

// awaitReady keeps clients waiting until the broker answers. It is false when it will not.
func (c *conn) awaitReady() bool {
	if c.srv.ready == nil {
		return true
	}
	select {
	case <-c.srv.ready:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// drain lets the requests that came before the end be answered: a client that will send no more, or sends nonsense, may still read. Kafka,
// which takes a request only when the one before it is answered, sees the end only then. So a client that has closed altogether, which
// looks the same, is noticed when it is written to, or when the kernel finds that nobody is there (keep-alive).
func (c *conn) drain() {
	c.in.stop()
	c.giveRequest()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.await()
}

// stop closes the connection, lets the writer end, and gives everything back.
func (c *conn) stop() {
	c.cancel()
	c.nc.Close()
	c.mu.Lock()
	c.failed = true
	for c.writing {
		c.room.Wait()
	}
	for i := range c.queue {
		c.queue[i].release()
	}
	c.srv.mem.queued.Add(int64(c.queuedBytes))
	c.queue, c.queuedBytes = nil, 0
	c.mu.Unlock()
	c.in.stop()
	c.giveRequest()
}

// fail notes why the connection ends: nothing for an orderly end, one line for anything that the client did wrong.
func (c *conn) fail(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || c.ctx.Err() != nil {
		return
	}
	if errors.Is(err, protocol.ErrMalformed) || errors.Is(err, errMemory) {
		c.srv.log.Warn("connection closed", "remote", c.nc.RemoteAddr().String(), "listener", c.session.ListenerName, "error", err.Error())
		return
	}
	c.srv.log.Debug("connection lost", "remote", c.nc.RemoteAddr().String(), "error", err.Error())
}

func (c *conn) touch() { c.usedMs.Store(c.srv.now().UnixMilli()) }

// request runs one request. An error ends the connection.
func (c *conn) request(frame []byte) error {
	h, body, err := protocol.ParseHeader(frame)
	if err != nil {
		return err
	}
	row := c.srv.row(h.Key)
	if row == nil || !row.Served(c.session.OnController) {
		return fmt.Errorf("%w: api key %d is not served here", protocol.ErrMalformed, h.Key)
	}
	call := api.Call{Header: h, Session: &c.session, Received: c.srv.now(), Room: (*answering)(c)}
	if row.Accepts(h.Version) {
		call.Body = protocol.NewRequest(h)
		if err := protocol.Decode(call.Body, body, c); err != nil {
			return fmt.Errorf("%s v%d: %w", row.API.Name, h.Version, err)
		}
	} else if h.Key == int16(kmsg.ApiVersions) {
		call.Body = kmsg.NewPtrApiVersionsRequest() // KIP-511: the handler answers with version 0 and what there is
	} else {
		return fmt.Errorf("%w: %s v%d is not supported", protocol.ErrMalformed, row.API.Name, h.Version)
	}
	if c.decoded > freeBytes { // most answers are as long as their requests
		if err := call.Room.Reserve(c.decoded); err != nil {
			return err
		}
	}
	resp, err := row.Handle(c.srv.api, &call)
	if err != nil {
		return err
	}
	q := queued{key: h.Key, version: h.Version, correlation: h.CorrelationID, resp: resp, mem: c.srv.mem, taken: c.answers}
	c.answers = 0
	switch r := resp.(type) {
	case nil:
		q.release()
		c.giveDecoded()
		return nil
	case *api.Pending:
		q.held = queuedCost + max(c.decoded, r.Held)
	case kmsg.Response: // it may alias the frame and the request, which are not to wait for a client that reads slowly
		q.encode(r)
		q.held = queuedCost + len(q.encoded)
	case api.Streamed:
		q.take(r.Held())
		q.held = queuedCost + r.Held()
	}
	c.giveDecoded()
	return c.answer(q)
}

// Reserve implements protocol.Memory.
func (c *conn) Reserve(bytes int) error {
	if bytes > freeBytes {
		if err := c.srv.mem.takeDecoded(bytes, c.ctx.Done()); err != nil {
			return err
		}
	}
	c.decoded = bytes
	return nil
}

// answering is the connection as an api.Room.
type answering conn

// Reserve implements api.Room.
func (a *answering) Reserve(bytes int) error {
	if err := a.srv.mem.takeAnswer(bytes, a.ctx.Done()); err != nil {
		return err
	}
	a.answers += bytes
	return nil
}

// giveDecoded gives back what Reserve took.
func (c *conn) giveDecoded() {
	if c.decoded > freeBytes {
		c.srv.mem.giveDecoded(c.decoded)
	}
	c.decoded = 0
}

// giveRequest gives back what a request took that is not answered.
func (c *conn) giveRequest() {
	c.giveDecoded()
	if c.answers > 0 {
		c.srv.mem.forceAnswer(-c.answers)
		c.answers = 0
	}
}

// answer writes a response, or queues it behind others.
func (c *conn) answer(q queued) error {
	_, pending := q.resp.(*api.Pending)
	c.mu.Lock()
	if !pending && !c.writing {
		c.mu.Unlock()
		return c.write(&q)
	}
	defer c.mu.Unlock()
	if c.failed {
		q.release()
		return net.ErrClosed
	}
	c.queue = append(c.queue, q)
	c.hold(q.held)
	if !c.writing {
		c.writing = true
		go c.writer()
	}
	return nil
}

// hold notes that the queue holds n bytes more.
func (c *conn) hold(n int) {
	c.queuedBytes += n
	c.srv.mem.queued.Add(-int64(n))
}

// admit waits until the connection may have another request in the works. It is false when there will be no other.
func (c *conn) admit() bool { return c.await() }

// await waits until the queue is as wanted, and is false when the connection is no more. Nobody reads meanwhile, so it watches for the
// client's end: a client that has gone must not keep its requests waiting.
func (c *conn) await() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for blind := false; c.behind() && !c.failed; {
		if blind {
			c.room.Wait()
			continue
		}
		c.watching = true
		c.mu.Unlock()
		err := c.in.watch(c.ended)
		c.mu.Lock()
		c.watching = false
		c.nc.SetReadDeadline(time.Time{})
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			c.fail(err)
			return false
		}
		blind = err == nil
	}
	return !c.failed
}

// behind says whether the reader has to wait for the writer.
func (c *conn) behind() bool {
	if c.ended {
		return c.writing
	}
	return c.full()
}

// moved wakes the reader that waits for the queue. The lock is held.
func (c *conn) moved() {
	c.room.Broadcast()
	if c.watching && (!c.behind() || c.failed) {
		c.nc.SetReadDeadline(time.Unix(1, 0)) // the past
	}
}

// full says whether to leave further requests to the kernel. Where all connections together have queued too much, each still has
// one in the works, as in Kafka, where it is never more.
func (c *conn) full() bool {
	return len(c.queue) >= maxQueued || c.queuedBytes >= maxQueuedBytes || c.writing && c.srv.mem.tight()
}

// writer writes what is queued, in order, waiting for what is not ready, and ends when nothing is left.
func (c *conn) writer() {
	var q queued
	defer func() {
		p := recover()
		if p != nil {
			q.release()
			c.srv.log.Error("panic while answering a request; the connection is closed", "remote", c.session.RemoteHost, "panic", p, "stack", string(debug.Stack()))
			c.nc.Close()
			c.mu.Lock()
			c.failed, c.writing = true, false
			c.moved()
			c.mu.Unlock()
		}
	}()
	for {
		c.mu.Lock()
		if len(c.queue) == 0 || c.failed {
			c.writing = false
			c.moved()
			c.mu.Unlock()
			return
		}
		q = c.queue[0]
		c.queue[0] = queued{}
		c.queue = c.queue[1:]
		if len(c.queue) == 0 {
			c.queue = nil
		}
		c.hold(-q.held)
		c.moved()
		c.mu.Unlock()

		var err error
		if p, ok := q.resp.(*api.Pending); ok {
			q.resp, err = p.Wait(c.ctx)
		}
		if err == nil && (q.resp != nil || q.encoded != nil) {
			err = c.write(&q)
		}
		if err != nil {
			q.release()
			c.fail(err)
			c.nc.Close() // the reader ends, and stop with it
			c.mu.Lock()
			c.failed, c.writing = true, false
			c.moved()
			c.mu.Unlock()
			return
		}
	}
}

// write sends one response and releases it.
func (c *conn) write(q *queued) error {
	defer q.release()
	switch r := q.resp.(type) {
	case api.Streamed:
		q.take(r.Held())
		c.out.flow.holding.Store(q.taken > 0)
		if err := r.Stream(q.correlation, &c.out); err != nil {
			return err
		}
		if err := c.out.flush(false); err != nil {
			return err
		}
	default:
		if q.encoded == nil {
			q.encode(q.resp.(kmsg.Response))
		}
		c.out.flow.holding.Store(q.taken > 0)
		if err := c.out.bytes(q.encoded); err != nil {
			return err
		}
	}
	c.out.flow.holding.Store(false)
	c.touch()
	return nil
}

// encode makes the frame of a kmsg response.
func (q *queued) encode(r kmsg.Response) {
	q.pooled = buffer.Get(max(1, q.taken/2)) // half of what an answer takes is its encoded form, or so: one that grows is copied often
	dst := append(q.pooled.B[:0], 0, 0, 0, 0)
	dst = protocol.AppendResponseHeader(dst, q.key, r.GetVersion(), q.correlation)
	dst = r.AppendTo(dst)
	binary.BigEndian.PutUint32(dst, uint32(len(dst)-4))
	q.encoded, q.resp = dst, nil
	q.take(len(dst))
}

// take makes n bytes what is taken for the answer, if they are more than nothing.
func (q *queued) take(n int) {
	if n <= freeBytes {
		n = 0
	}
	if n != q.taken {
		q.mem.forceAnswer(n - q.taken)
		q.taken = n
	}
}

func (q *queued) release() {
	if q.taken > 0 {
		q.take(0)
	}
	q.pooled.Put()
	q.pooled, q.encoded = nil, nil
	if r, ok := q.resp.(api.Streamed); ok {
		r.Release()
	}
	q.resp = nil
}

// newConn prepares a connection.
func newConn(s *server, nc net.Conn, l *listener) *conn {
	c := &conn{srv: s, nc: nc, cluster: l.cluster && s.hub != nil}
	c.room.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	raw := rawOf(nc)
	c.in = frames{from: nc, raw: raw, max: s.maxFrame, mem: s.mem, closed: c.ctx.Done()}
	c.out = sender{conn: nc, raw: raw}
	c.session = api.Session{ListenerName: l.name, SecurityProtocol: l.securityProtocol, Principal: "User:ANONYMOUS", RemoteHost: hostOf(nc), OnController: l.controller}
	c.usedMs.Store(s.now().UnixMilli())
	return c
}

// hostOf is the address of a connection's other end, without its port.
func hostOf(nc net.Conn) string {
	host := nc.RemoteAddr().String()
	if h, _, err := net.SplitHostPort(host); err == nil {
		return h
	}
	return host
}

// idleSince says when the connection last did something.
func (c *conn) idleSince() time.Time { return time.UnixMilli(c.usedMs.Load()) }

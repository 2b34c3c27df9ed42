package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"weir/broker/api"
	"weir/membership/stream"
)

// server accepts connections on all listeners and runs them.
type server struct {
	api      *api.Server
	rows     []*api.Entry // by key
	log      *slog.Logger
	now      func() time.Time
	mem      *memory
	maxFrame int
	quotas   *quotas
	names    []string      // of the listeners
	idle     time.Duration // connections.max.idle.ms; 0: never
	ctx      context.Context
	cancel   context.CancelFunc
	hub      *stream.Hub   // nil: there are no other nodes
	ready    chan struct{} // closed when clients are answered; nil: they are

	refusals refusals

	mu             sync.Mutex
	conns          map[*conn]struct{}
	closed         bool
	watchingStalls bool
	wg             sync.WaitGroup
}

// listener is one of the sockets that the broker listens on.
type listener struct {
	net.Listener
	name             string
	securityProtocol int16
	controller       bool
	cluster          bool // other nodes come by it too
}

func (s *server) row(key int16) *api.Entry {
	if key < 0 || int(key) >= len(s.rows) {
		return nil
	}
	return s.rows[key]
}

// refusals logs why streams of other nodes were refused: each reason once in a while, for who is refused comes again and again.
type refusals struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// refusalEvery is how long a reason is not said again.
const refusalEvery = time.Minute

func (r *refusals) warn(s *server, what, remote, listener string, err error) {
	host, _, _ := net.SplitHostPort(remote)
	var op *net.OpError
	if errors.As(err, &op) { // it names the port, which is another one each time
		err = rootCause(err)
	}
	key, now := host+" "+err.Error(), s.now()
	r.mu.Lock()
	said, ok := r.last[key]
	if fresh := !ok || now.Sub(said) >= refusalEvery; !fresh {
		r.mu.Unlock()
		return
	}
	if len(r.last) > 100 || r.last == nil {
		r.last = map[string]time.Time{}
	}
	r.last[key] = now
	r.mu.Unlock()
	s.log.Warn(what, "remote", remote, "listener", listener, "error", err.Error())
}

// accept takes connections from l until it is closed.
func (s *server) accept(l *listener) {
	defer s.wg.Done()
	wait := 5 * time.Millisecond
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, or a connection that was reset before we saw it: go on, but do not spin.
			s.log.Warn("accept", "listener", l.name, "error", err.Error())
			select {
			case <-time.After(wait):
			case <-s.ctx.Done():
				return
			}
			wait = min(2*wait, time.Second)
			continue
		}
		wait = 5 * time.Millisecond
		if err := s.quotas.enter(s.ctx, l.name, hostOf(nc)); err != nil {
			nc.Close()
			if s.ctx.Err() == nil {
				s.log.Warn("connection refused", "remote", nc.RemoteAddr().String(), "listener", l.name, "error", err.Error())
			}
			continue
		}
		c := newConn(s, nc, l)
		if !s.add(c) {
			s.quotas.leave(l.name, c.session.RemoteHost)
			c.cancel()
			nc.Close()
			continue
		}
		if s.quotas.protected[l.name] {
			s.trim()
		}
		go func() {
			defer s.remove(c)
			c.serve()
		}()
	}
}

func (s *server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	s.wg.Add(1)
	return true
}

// detach leaves a connection to others: it is no client's.
func (s *server) detach(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.quotas.leave(c.session.ListenerName, c.session.RemoteHost)
	c.handed = true
	s.wg.Done()
}

func (s *server) remove(c *conn) {
	if c.handed {
		return
	}
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.quotas.leave(c.session.ListenerName, c.session.RemoteHost)
	s.wg.Done()
}

// reap closes connections that were idle for longer than connections.max.idle.ms.
func (s *server) reap() {
	defer s.wg.Done()
	if s.idle <= 0 {
		return
	}
	t := time.NewTicker(max(s.idle/4, 10*time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
		}
		dead := s.now().Add(-s.idle)
		s.mu.Lock()
		for c := range s.conns {
			if c.idleSince().Before(dead) {
				c.cancel()
				c.nc.Close()
			}
		}
		s.mu.Unlock()
	}
}

// close ends all connections and waits for them. Listeners are closed by their owner first.
func (s *server) close() {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.nc.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// rawOf returns what writev, sendfile and waiting for readability need; nil for transports that are not plain sockets.
func rawOf(nc net.Conn) syscall.RawConn {
	if !rawSends {
		return nil
	}
	switch nc := nc.(type) {
	case *net.TCPConn:
		if raw, err := nc.SyscallConn(); err == nil {
			return raw
		}
	case *net.UnixConn:
		if raw, err := nc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

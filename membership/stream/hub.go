package stream

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Config is what a Hub is made of.
type Config struct {
	Key      []byte          // cluster.key; empty: streams are not authenticated
	Identity func() Identity // of this node, as it knows itself now
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Address  string // how others reach this node, host:port
	// Joining is closed when a node that asks to join knows its cluster: streams of others that come earlier wait for that. nil: none wait.
	Joining <-chan struct{}
	// Handle is called on the goroutine of an accepted stream, which is closed when it returns.
	Handle map[Kind]func(net.Conn, Identity)
}

// Hub opens and accepts the streams of one node. Its methods may be called by any goroutine.
type Hub struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	streams map[net.Conn]struct{} // accepted ones, to be closed with the hub
	closed  bool
	running sync.WaitGroup // of Accept
}

// handshakeTimeout bounds the time from the first byte of a stream until both ends know each other.
const handshakeTimeout = 5 * time.Second

// maxStreams bounds the accepted streams: a cluster has few nodes, and each has a few to each other.
const maxStreams = 4096

// New returns a hub.
func New(c Config) *Hub {
	h := &Hub{cfg: c, streams: map[net.Conn]struct{}{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Address is how others reach this node, host:port.
func (h *Hub) Address() string { return h.cfg.Address }

// Open opens a stream to the node at an address and says who is there. Where the other end refuses, the error is a *Refused.
func (h *Hub) Open(ctx context.Context, kind Kind, address string) (net.Conn, Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	nc, err := h.cfg.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, Identity{}, err
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	who, err := h.greet(nc, kind)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		nc.Close()
		return nil, who, fmt.Errorf("%s stream to %s: %w", kind, address, err)
	}
	nc.SetDeadline(time.Time{})
	return nc, who, nil
}

// greet is the opener's part of the handshake.
func (h *Hub) greet(nc net.Conn, kind Kind) (Identity, error) {
	mine := newHello(kind, h.cfg.Key, h.cfg.Identity()).frame(Prefix)
	if _, err := nc.Write(mine); err != nil {
		return Identity{}, err
	}
	var status [1]byte
	if _, err := io.ReadFull(nc, status[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("closed without an answer: it is no node of a cluster, or no listener for one")
		}
		return Identity{}, err
	}
	body, err := readFrame(nc)
	switch {
	case err != nil:
		return Identity{}, err
	case status[0] == statusRefused:
		return Identity{}, &Refused{string(body)}
	case status[0] != statusWelcome:
		return Identity{}, errNoHello
	}
	if len(h.cfg.Key) > 0 {
		if len(body) < proofSize {
			return Identity{}, &Refused{"the other end has no cluster.key"}
		}
		said := body[:len(body)-proofSize]
		if !hmac.Equal(proof(h.cfg.Key, "accepted", mine, said), body[len(body)-proofSize:]) {
			return Identity{}, &Refused{"the other end has another cluster.key"}
		}
		if _, err := nc.Write(proof(h.cfg.Key, "opened", mine, said)); err != nil {
			return Identity{}, err
		}
		body = said
	}
	other, err := parseHello(body)
	if err != nil {
		return Identity{}, err
	}
	if why := mismatch(h.cfg.Identity(), other.who, kind); why != "" {
		return other.who, &Refused{why}
	}
	return other.who, nil
}

// Accept takes over a connection whose first byte was Prefix: rest is what was read of it, that byte included. Its error says why the stream
// was refused; the other end has heard it. It returns when the stream is over: it is closed then.
func (h *Hub) Accept(nc net.Conn, rest []byte) error {
	defer nc.Close()
	if !h.track(nc) {
		return nil
	}
	defer h.forget(nc)
	if len(rest) > 1 {
		nc = &begun{Conn: nc, rest: rest[1:]}
	}
	nc.SetDeadline(time.Now().Add(handshakeTimeout))
	opened, err := h.welcome(nc)
	if err != nil {
		return err
	}
	nc.SetDeadline(time.Time{})
	h.cfg.Handle[opened.kind](nc, opened.who)
	return nil
}

// welcome is the accepter's part of the handshake.
func (h *Hub) welcome(nc net.Conn) (*hello, error) {
	body, err := readFrame(nc)
	if err == nil && h.ctx.Err() != nil {
		err = h.ctx.Err()
	}
	var opened *hello
	if err == nil {
		opened, err = parseHello(body)
	}
	if err == nil {
		h.await(opened.who)
		err = h.judge(opened)
	}
	if err != nil {
		nc.Write(refusal(err.Error()))
		return nil, err
	}
	answer := newHello(opened.kind, h.cfg.Key, h.cfg.Identity()).frame(statusWelcome)
	if len(h.cfg.Key) == 0 {
		_, err = nc.Write(answer)
		return opened, err
	}
	theirs := opened.frame(Prefix)
	said := append([]byte(nil), answer[headSize:]...)
	answer = append(answer, proof(h.cfg.Key, "accepted", theirs, said)...)
	setLength(answer)
	if _, err := nc.Write(answer); err != nil {
		return nil, err
	}
	got := make([]byte, proofSize)
	if _, err := io.ReadFull(nc, got); err != nil {
		return nil, fmt.Errorf("it did not prove that it has this node's cluster.key: %w", err)
	}
	if !hmac.Equal(got, proof(h.cfg.Key, "opened", theirs, said)) {
		return nil, errors.New("it has another cluster.key")
	}
	return opened, nil
}

// await lets a node that was told its cluster a moment ago take note of it.
func (h *Hub) await(other Identity) {
	mine := h.cfg.Identity()
	if h.cfg.Joining == nil || other.Cluster == "" || mine.Cluster != "" || mine.Quorum != "" {
		return
	}
	t := time.NewTimer(handshakeTimeout)
	defer t.Stop()
	select {
	case <-h.cfg.Joining:
	case <-h.ctx.Done():
	case <-t.C:
	}
}

// judge says why a stream is refused.
func (h *Hub) judge(opened *hello) error {
	if h.cfg.Handle[opened.kind] == nil {
		return fmt.Errorf("streams of kind %d are not served here", opened.kind)
	}
	switch has := len(h.cfg.Key) > 0; {
	case has && opened.flags&keyed == 0:
		return errors.New("this node has a cluster.key, the other has none")
	case !has && opened.flags&keyed != 0:
		return errors.New("this node has no cluster.key, the other has one")
	}
	if why := mismatch(h.cfg.Identity(), opened.who, opened.kind); why != "" {
		return errors.New(why)
	}
	return nil
}

func (h *Hub) track(nc net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.streams) >= maxStreams {
		return false
	}
	h.streams[nc] = struct{}{}
	h.running.Add(1)
	return true
}

func (h *Hub) forget(nc net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, nc)
	h.running.Done()
}

// Close closes every accepted stream and waits for those who handle them.
func (h *Hub) Close() {
	h.cancel()
	h.mu.Lock()
	h.closed = true
	for nc := range h.streams {
		nc.Close()
	}
	h.mu.Unlock()
	h.running.Wait()
}

// begun is a connection of which something was read already.
type begun struct {
	net.Conn
	rest []byte
}

// Read gives what was read before, and then the connection's own bytes.
func (b *begun) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return b.Conn.Read(p)
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

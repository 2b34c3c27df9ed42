package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/membership/stream"
	"weir/protocol"
)

// forwarder carries requests to the active controller, on whatever node that is: Kafka's forwarding, without an envelope, for the broker that
// was asked has authorized the request. While there is no controller, requests wait for one as long as they may. It implements api.Controller.
type forwarder struct {
	b *Broker

	mu     sync.Mutex
	leader string     // where idle leads to
	idle   []net.Conn // streams that nobody uses now
	closed bool
}

func newForwarder(b *Broker) *forwarder { return &forwarder{b: b} }

// maxIdleStreams is how many streams to the controller are kept for later.
const maxIdleStreams = 8

// leaderPause is how long a request waits before it looks for the controller again.
const leaderPause = 5 * time.Millisecond

// Submit has the active controller decide a request, and returns when this node's image shows what came of it. As in Kafka a request whose
// answer is lost with the controller is sent to the next one: it may find that what it asks for is there.
func (c *forwarder) Submit(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	for {
		resp, err := c.once(ctx, req)
		if ctx.Err() != nil || !errors.Is(err, protocol.NotController) && !errors.Is(err, protocol.RequestTimedOut) {
			return resp, err
		}
		select {
		case <-ctx.Done():
			return nil, protocol.RequestTimedOut
		case <-c.b.ctx.Done():
			return nil, protocol.NotController
		case <-c.b.node.Done():
			return nil, protocol.UnknownServerError
		case <-time.After(leaderPause):
		}
	}
}

// once tries the controller that is known now. NOT_CONTROLLER and REQUEST_TIMED_OUT mean that another one may be asked.
func (c *forwarder) once(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	id, address := c.b.node.LeaderAddress()
	switch {
	case id == c.b.nodeID:
		resp, _, err := c.b.decide(ctx, req)
		return resp, err
	case id < 0:
		return nil, protocol.NotController
	}
	nc, err := c.stream(ctx, address)
	if err != nil {
		return nil, protocol.NotController
	}
	body, err := call(ctx, nc, question(ctx, req), c.b.server.maxFrame)
	if err != nil {
		nc.Close()
		return nil, protocol.RequestTimedOut
	}
	c.keep(address, nc)
	resp, offset, err := parseAnswer(req, body)
	if err == nil && !ofBroker(req) && c.b.node.WaitImage(ctx, offset) != nil {
		err = protocol.RequestTimedOut
	}
	return resp, err
}

// question is a request as callRequest carries it.
func question(ctx context.Context, req kmsg.Request) []byte {
	limit := int32(30_000)
	if d, ok := ctx.Deadline(); ok {
		limit = int32(max(1, min(time.Until(d).Milliseconds(), int64(limit))))
	}
	q := binary.BigEndian.AppendUint16(startCall(callRequest), uint16(req.Key()))
	q = binary.BigEndian.AppendUint16(q, uint16(req.GetVersion()))
	q = binary.BigEndian.AppendUint32(q, uint32(limit))
	return req.AppendTo(q)
}

// ofBroker says whether a request is one that brokers make by themselves: its answer does not rest on this node's image.
func ofBroker(req kmsg.Request) bool {
	switch req.(type) {
	case *kmsg.BrokerRegistrationRequest, *kmsg.BrokerHeartbeatRequest, *kmsg.AllocateProducerIDsRequest, *kmsg.AlterPartitionRequest,
		*kmsg.AssignReplicasToDirsRequest:
		return true
	}
	return false
}

// stream returns a stream to the controller, an idle one if there is one. One whose other end has gone is not taken.
func (c *forwarder) stream(ctx context.Context, address string) (net.Conn, error) {
	c.mu.Lock()
	c.point(address)
	for n := len(c.idle); n > 0; n = len(c.idle) {
		nc := c.idle[n-1]
		c.idle = c.idle[:n-1]
		if alive(nc) {
			c.mu.Unlock()
			return nc, nil
		}
		nc.Close()
	}
	c.mu.Unlock()
	nc, _, err := c.b.hub.Open(ctx, stream.Call, address)
	return nc, err
}

// alive says whether an idle stream is still open: nothing is to be read from it.
func alive(nc net.Conn) bool {
	var one [1]byte
	nc.SetReadDeadline(time.Now().Add(50 * time.Microsecond))
	_, err := nc.Read(one[:])
	var timeout net.Error
	ok := errors.As(err, &timeout) && timeout.Timeout()
	nc.SetReadDeadline(time.Time{})
	return ok
}

// keep puts a stream back.
func (c *forwarder) keep(address string, nc net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || address != c.leader || len(c.idle) >= maxIdleStreams {
		nc.Close()
		return
	}
	c.idle = append(c.idle, nc)
}

// point drops the streams to another controller. The lock is held.
func (c *forwarder) point(address string) {
	if c.leader != address {
		c.drop()
		c.leader = address
	}
}

func (c *forwarder) drop() {
	for _, nc := range c.idle {
		nc.Close()
	}
	c.idle = nil
}

// close drops the idle streams.
func (c *forwarder) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.drop()
}

// decide has this node's controller decide a request.
func (b *Broker) decide(ctx context.Context, req kmsg.Request) (kmsg.Response, int64, error) {
	if q, ok := req.(*kmsg.BrokerRegistrationRequest); ok {
		b.peers.checkPredecessor(ctx, q)
	}
	if isQuorumKey(req.Key()) {
		resp, err := b.quorum.quorumRequest(ctx, req)
		return resp, b.node.Image().Offset, err
	}
	resp, offset, err := b.node.Decide(ctx, req)
	if q, ok := req.(*kmsg.UnregisterBrokerRequest); ok && err == nil && resp.(*kmsg.UnregisterBrokerResponse).ErrorCode == 0 {
		b.quorum.forget(q.BrokerID)
	}
	return resp, offset, err
}

// forget drops a node that has no vote from the quorum, once its broker is unregistered. A process that still runs comes again.
func (b *quorum) forget(id int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.node.Servers() {
		if s.ID == id && !s.Voter && id != b.nodeID {
			if err := b.node.Remove(id); err != nil {
				b.log.Warn("an unregistered node still follows the metadata", "node", id, "error", err.Error())
			}
		}
	}
}

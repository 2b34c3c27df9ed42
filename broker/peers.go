package broker

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller/raft"
	"weir/membership/stream"
	"weir/protocol"
)

// peers are the processes of other nodes, as this one finds them. To each it holds a stream on which nothing is said: its end is noticed in
// less than a millisecond where the process dies. The loss of a host, or of the network, is Serf's to find. It is a part of the broker.
type peers struct {
	*Broker
	wake chan struct{} // somebody was let in

	mu       sync.Mutex
	watching map[int32]bool
	gone     map[int32]protocol.UUID // incarnations that are no more
}

// Times of watching. A process is gone when nobody listens where it did, redials times in a row.
const (
	redials      = 3
	redialPause  = 10 * time.Millisecond
	confirmLimit = 300 * time.Millisecond
	watchSoon    = 50 * time.Millisecond
	watchLater   = time.Second
)

// watch watches every node of the quorum, those too that come later.
func (b *peers) watch() {
	t := time.NewTicker(watchSoon)
	defer t.Stop()
	for {
		for _, s := range b.node.Servers() {
			if s.ID != b.nodeID && b.peers.take(s.ID) {
				b.tasks.Go(func() { b.watchPeer(s.ID) })
			}
		}
		select {
		case <-b.ctx.Done():
			return
		case <-t.C:
		case <-b.peers.wake:
		}
	}
}

func (p *peers) take(id int32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watching[id] {
		return false
	}
	p.watching[id] = true
	return true
}

func (p *peers) drop(id int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watching, id)
}

func (p *peers) set(id int32, incarnation protocol.UUID, gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case gone:
		p.gone[id] = incarnation
	case p.gone[id] == incarnation:
		delete(p.gone, id)
	}
}

func (p *peers) isGone(id int32, incarnation protocol.UUID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.gone[id]
	return ok && g == incarnation
}

// nodeAddress is where a node is, as far as is known; "" where it is no node of the quorum.
func (b *peers) nodeAddress(id int32) string {
	for _, s := range b.node.Servers() {
		if s.ID == id {
			if now, ok := b.members.address(id); ok {
				return now
			}
			return s.Address
		}
	}
	return ""
}

// watchPeer holds a stream to a node until that is not one any more. Where the stream has ended, and nobody listens any more, the process at
// its other end is gone.
func (b *peers) watchPeer(id int32) {
	defer b.peers.drop(id)
	var last *protocol.UUID // the process whose stream has ended, while it is not known why
	refused, wait := 0, watchSoon
	for b.ctx.Err() == nil {
		address := b.nodeAddress(id)
		if address == "" {
			return
		}
		nc, who, err := b.hub.Open(b.ctx, stream.Watch, address)
		switch {
		case err == nil && who.Node == id:
			incarnation := protocol.UUID(who.Incarnation)
			b.peers.set(id, incarnation, false)
			b.hold(nc)
			last, refused, wait = &incarnation, 0, watchSoon
			continue
		case err == nil:
			nc.Close()
			refused = 0
		case errors.Is(err, syscall.ECONNREFUSED):
			refused++
		default: // a time-out proves nothing, and a process that ends may still be connected to
			refused = 0
		}
		if last != nil && refused >= redials && b.ctx.Err() == nil {
			b.processGone(id, *last)
			last = nil
		}
		pause := redialPause
		if last == nil {
			pause, wait = wait, min(2*wait, watchLater)
		}
		if sleep(b.ctx, pause) != nil {
			return
		}
	}
}

// hold returns when a stream ends.
func (b *peers) hold(nc net.Conn) {
	stop := context.AfterFunc(b.ctx, func() { nc.Close() })
	defer stop()
	defer nc.Close()
	watched(nc, stream.Identity{})
}

// confirmGone asks a process that Serf does not hear: where it answers, it lives.
func (b *peers) confirmGone(id int32, incarnation protocol.UUID, address string) {
	ctx, cancel := context.WithTimeout(b.ctx, confirmLimit)
	defer cancel()
	nc, who, err := b.hub.Open(ctx, stream.Watch, address)
	if err == nil {
		nc.Close()
		if protocol.UUID(who.Incarnation) == incarnation {
			return
		}
	}
	if b.ctx.Err() == nil {
		b.processGone(id, incarnation)
	}
}

// processGone takes note that a process is no more. The active controller fences its broker.
func (b *peers) processGone(id int32, incarnation protocol.UUID) {
	if id == b.nodeID || b.isGone(id, incarnation) { // this one's predecessor, or said already
		return
	}
	b.set(id, incarnation, true)
	b.log.Info("the process of a node is gone", "node", id)
	if b.node.Serving() {
		b.fenceGone()
	}
	if leader, _ := b.node.LeaderAddress(); leader == id {
		b.hasten(id)
	}
}

// hasten elects another leader as soon as it can be: the voter with the lowest id of those that are left.
func (b *peers) hasten(gone int32) {
	for _, s := range b.node.Servers() {
		if s.Voter && s.ID != gone {
			candidate := s.ID == b.nodeID
			if b.node.Voter() {
				b.tasks.Go(func() { b.node.Hasten(b.ctx, candidate) })
			}
			return
		}
	}
}

// fenceGone fences the brokers whose processes are gone. A node that becomes the active controller does so at once.
func (b *peers) fenceGone() {
	if !b.started.Load() {
		return
	}
	for _, r := range b.node.Image().Brokers() {
		if r.Fenced || !b.peers.isGone(r.ID, r.Incarnation) {
			continue
		}
		ctx, cancel := context.WithTimeout(b.ctx, time.Second)
		err := b.node.Gone(ctx, r.ID, r.Epoch, true)
		cancel()
		if err != nil {
			b.log.Warn("a broker whose process is gone was not fenced", "broker", r.ID, "error", err.Error())
			continue
		}
		b.log.Info("fenced a broker whose process is gone", "broker", r.ID)
	}
}

// checkPredecessor lets a broker that comes back take its place at once where its process before is provably no more: nobody listens where it
// did, or another process does. Otherwise the registration has to wait until its session has run out.
func (b *peers) checkPredecessor(ctx context.Context, q *kmsg.BrokerRegistrationRequest) {
	old := b.node.Image().Broker(q.BrokerID)
	if old == nil || old.Fenced || old.Incarnation == protocol.UUID(q.IncarnationID) || q.BrokerID == b.nodeID {
		return
	}
	address := b.nodeAddress(q.BrokerID)
	gone := b.peers.isGone(old.ID, old.Incarnation)
	if !gone && address != "" {
		dctx, cancel := context.WithTimeout(ctx, confirmLimit)
		nc, who, err := b.hub.Open(dctx, stream.Watch, address)
		cancel()
		if err == nil {
			nc.Close()
		}
		gone = err == nil && protocol.UUID(who.Incarnation) != old.Incarnation || errors.Is(err, syscall.ECONNREFUSED)
	}
	if gone {
		if err := b.node.Gone(ctx, old.ID, old.Epoch, false); err != nil && !errors.Is(err, raft.ErrNotLeader) {
			b.log.Debug("the process before could not be taken for gone", "broker", old.ID, "error", err.Error())
		}
	}
}

package broker

import (
	"net"
	"strconv"
	"sync"

	"weir/membership"
	"weir/protocol"
)

// gossip is what Serf knows, once there is somebody to know: a cluster of one has no need of it. It is a part of the broker.
type gossip struct {
	*Broker
	once sync.Once

	mu     sync.RWMutex
	m      *membership.Membership
	closed bool
}

// address is where a node is now, as far as Serf knows.
func (g *gossip) address(node int32) (string, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.m == nil {
		return "", false
	}
	return g.m.Address(node)
}

func (g *gossip) close() {
	g.mu.Lock()
	g.closed = true
	m := g.m
	g.m = nil
	g.mu.Unlock()
	if m != nil {
		m.Close() // what fails then is that nobody heard the goodbye
	}
}

// meetOthers begins what only a cluster of several needs: gossip, watching each other, and telling the leader that this node is there.
func (b *Broker) meetOthers() {
	b.members.once.Do(func() {
		b.tasks.Go(b.members.start)
		b.tasks.Go(b.peers.watch)
		b.tasks.Go(b.quorum.attend)
	})
}

// start starts Serf on the port that nodes reach each other by, once the cluster has an id.
func (b *gossip) start() {
	select {
	case <-b.joining:
	case <-b.ctx.Done():
		return
	}
	var packets []net.PacketConn
	var bound *net.TCPAddr
	for _, l := range b.listeners {
		a, ok := l.Addr().(*net.TCPAddr)
		if !l.cluster || !ok {
			continue
		}
		p, err := b.cfg.ListenPacket("udp", a.String())
		if err != nil {
			b.log.Warn("no packets of gossip: nodes find each other and notice the loss of a host by streams only", "address", a.String(), "error", rootCause(err).Error())
			continue
		}
		if packets = append(packets, p); bound == nil {
			bound = a
		}
	}
	ip, port := b.here(bound)
	id := b.known.Load()
	rack := b.static.String("broker.rack")
	m, err := membership.Start(membership.Config{
		Self:    membership.Member{Node: id.node, Incarnation: b.incarnation.String(), Address: b.hub.Address(), Rack: rack[:min(len(rack), 64)], Version: "1"},
		Cluster: id.cluster, Key: []byte(b.static.String("cluster.key")), Streams: b.gossips, Packets: packets, IP: ip, Port: port,
		Seeds: b.seeds, Failed: b.memberFailed, Logger: b.loggers.logger(membershipLogger),
	})
	if err != nil {
		b.log.Warn("no gossip: the loss of a host is noticed late", "error", err.Error())
		return
	}
	b.mu.Lock()
	closed := b.closed
	if !closed {
		b.m = m
	}
	b.mu.Unlock()
	if closed {
		m.Close()
	}
}

// here is where others send packets to: by number, as Serf wants it.
func (b *gossip) here(bound *net.TCPAddr) (net.IP, int) {
	host, text, _ := net.SplitHostPort(b.hub.Address())
	port, _ := strconv.Atoi(text)
	if bound != nil && !bound.IP.IsUnspecified() {
		return bound.IP, port
	}
	ips, _ := net.LookupIP(host)
	for _, ip := range ips {
		if ip.To4() != nil {
			return ip, port
		}
	}
	if len(ips) > 0 {
		return ips[0], port
	}
	return net.IPv4(127, 0, 0, 1), port
}

// seeds are the addresses of all nodes that are known, and of those that this one was told of.
func (b *gossip) seeds() []string {
	_, out := b.entry.seeds()
	for _, s := range b.node.Servers() {
		if s.ID != b.nodeID {
			out = append(out, s.Address)
		}
	}
	return out
}

// memberFailed is told by Serf that a process does not answer.
func (b *gossip) memberFailed(m membership.Member) {
	incarnation, err := protocol.ParseUUID(m.Incarnation)
	if err != nil {
		return
	}
	b.tasks.Go(func() { b.peers.confirmGone(m.Node, incarnation, m.Address) })
}

package broker

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"weir/broker/api"
	"weir/broker/fetch"
)

// accept takes connections from now on. What others of the cluster say is listened to at once, clients are answered when the broker is ready.
func (b *Broker) accept() {
	b.openHub()
	ctx, cancel := context.WithCancel(context.Background())
	maxFrame := b.static.Int("socket.request.max.bytes")
	q, names := b.newQuotas()
	s := &server{
		rows: api.Entries(), log: b.log, now: b.cfg.Now, mem: newMemory(b.requestMemory(maxFrame)), maxFrame: maxFrame,
		quotas: q, names: names, idle: time.Duration(b.static.Int64("connections.max.idle.ms")) * time.Millisecond,
		ctx: ctx, cancel: cancel, conns: map[*conn]struct{}{}, hub: b.hub, ready: make(chan struct{}),
	}
	s.mem.short = s.shortage
	b.server = s
	b.control = newForwarder(b)
	s.wg.Add(1 + len(b.listeners))
	go s.reap()
	for _, l := range b.listeners {
		go s.accept(l)
	}
}

// newAPI makes what the handlers stand on. The coordinators come later: they stand on it themselves.
func (b *Broker) newAPI() *api.Server {
	newID := func() int32 {
		var r [4]byte
		b.cfg.Rand(r[:])
		return int32(binary.LittleEndian.Uint32(r[:]))
	}
	return &api.Server{
		NodeID: b.nodeID, ClusterID: b.clusterID, Image: b.node.Image, Controller: b.control, Replicas: b.replicas,
		Sessions:      fetch.NewCache(b.static.Int("max.incremental.fetch.session.cache.slots"), newID),
		FetchMaxBytes: int32(b.static.Int("fetch.max.bytes")),
		Authorizer:    api.AllowAll{}, Now: b.cfg.Now, Log: b.loggers.logger(requestLogger), Loggers: b.loggers, Config: b.static,
		NewID: b.cfg.random,
		LeaderID: func() int32 {
			if id, _, ok := b.node.Leader(); ok {
				return id
			}
			return -1
		},
	}
}

// serve begins to answer clients.
func (b *Broker) serve() {
	s := b.server
	s.api = b.api
	b.node.Subscribe(s.reconfigure)
	close(s.ready)
}

// requestMemory is how many bytes of large frames may be in memory at once: queued.max.request.bytes where it is set, else a bound
// that lets several of the largest frames in.
func (b *Broker) requestMemory(maxFrame int) int64 {
	if n := b.static.Int64("queued.max.request.bytes"); n > 0 {
		return max(n, int64(maxFrame)+4)
	}
	return min(max(512<<20, 3*int64(maxFrame)), math.MaxInt64)
}

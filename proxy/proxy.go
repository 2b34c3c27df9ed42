package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"weir/proxy/filter"
)

// Proxy is a running proxy.
type Proxy struct {
	cfg      Config
	ctx      context.Context
	cancel   context.CancelFunc
	requests budgets
	answers  budgets

	reloading sync.Mutex
	clusters  []*cluster // guarded by reloading

	mu        sync.Mutex
	listeners map[*listener]struct{}
	conns     map[*conn]struct{}
	closed    bool
	wg        sync.WaitGroup
}

// listener is one port.
type listener struct {
	c    *cluster
	nl   net.Listener
	id   int32 // whose connections it takes, -1: the bootstrap address
	port int
}

func (l *listener) addr() string { return l.nl.Addr().String() }

// Start opens the listeners of all clusters. Nothing is asked of an upstream before a client asks.
func Start(cfg Config) (*Proxy, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	p := &Proxy{cfg: cfg, listeners: map[*listener]struct{}{}, conns: map[*conn]struct{}{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for _, b := range []*budgets{&p.requests, &p.answers} {
		b.frames.total, b.decoded.total, b.stall = cfg.Memory, cfg.Memory, cfg.StallTimeout
	}
	for _, v := range cfg.Clusters {
		c, err := p.open(v)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.clusters = append(p.clusters, c)
	}
	return p, nil
}

// open opens the bootstrap address of a cluster.
func (p *Proxy) open(v Cluster) (*cluster, error) {
	c := &cluster{p: p, name: v.Name, log: p.cfg.Logger, brokers: map[int32]*broker{}, where: newWhereabouts()}
	if v.Name != "" {
		c.log = c.log.With("cluster", v.Name)
	}
	c.cfg.Store(&v)
	c.chain.Store(filter.NewChain(v.Filters...))
	c.mu.Lock() // the first connection may come before listen returns
	defer c.mu.Unlock()
	var err error
	if c.first, err = p.listen(c, v.Listen, -1); err != nil {
		return nil, fmt.Errorf("cluster %q: %w", v.Name, err)
	}
	return c, nil
}

// Reload makes clusters what the proxy stands in front of. A cluster that keeps its name, its addresses and its mode keeps its connections: its
// filters and upstream are the new ones from the next request and connection on. One that is no more takes no new connections. Where the
// clusters as a whole cannot be, nothing is changed; where one cannot be opened, the others are.
func (p *Proxy) Reload(clusters []Cluster) error {
	cfg := p.cfg
	cfg.Clusters = clusters
	cfg, err := cfg.complete()
	if err != nil {
		return err
	}
	p.reloading.Lock()
	defer p.reloading.Unlock()
	stay := map[string]*cluster{}
	for _, c := range p.clusters {
		for i := range cfg.Clusters {
			if v := &cfg.Clusters[i]; v.Name == c.name && v.samePlace(c.conf()) {
				stay[c.name] = c
				c.cfg.Store(v)
				c.chain.Store(filter.NewChain(v.Filters...))
			}
		}
		if stay[c.name] == nil {
			c.close()
		}
	}
	var all []*cluster
	var errs []error
	for _, v := range cfg.Clusters {
		c := stay[v.Name]
		if c == nil {
			if c, err = p.open(v); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		all = append(all, c)
	}
	p.clusters = all
	return errors.Join(errs...)
}

// Addr is where the first cluster listens.
func (p *Proxy) Addr() string {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	return p.clusters[0].first.addr()
}

// Ready says in one line what is open.
func (p *Proxy) Ready() string {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	var parts []string
	for _, c := range p.clusters {
		name := "proxy"
		if c.name != "" {
			name += " " + c.name
		}
		parts = append(parts, fmt.Sprintf("%s on %s for %s", name, c.first.addr(), strings.Join(c.conf().Upstream, ",")))
	}
	return strings.Join(parts, "; ")
}

// listen opens a port of a cluster and takes connections on it.
func (p *Proxy) listen(c *cluster, addr string, id int32) (*listener, error) {
	nl, err := p.cfg.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &listener{c: c, nl: nl, id: id}
	if a, ok := nl.Addr().(*net.TCPAddr); ok {
		l.port = a.Port
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		nl.Close()
		return nil, errClosing
	}
	p.listeners[l] = struct{}{}
	p.wg.Add(1)
	go p.accept(l)
	return l, nil
}

// accept takes connections until the listener is closed.
func (p *Proxy) accept(l *listener) {
	defer p.wg.Done()
	defer func() {
		p.mu.Lock()
		delete(p.listeners, l)
		p.mu.Unlock()
	}()
	wait := time.Duration(0)
	for {
		nc, err := l.nl.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || p.ctx.Err() != nil {
				return
			}
			// Too many open files, mostly: waiting lets others end.
			l.c.once("accept", "a connection cannot be taken", "listener", l.addr(), "error", err.Error())
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(wait):
			case <-p.ctx.Done():
			}
			continue
		}
		wait = 0
		p.begin(l, nc)
	}
}

// begin serves a new connection.
func (p *Proxy) begin(l *listener, nc net.Conn) {
	if files := l.c.conf().TLS; files != nil {
		server, err := files.Server()
		if err != nil {
			nc.Close()
			return
		}
		nc = tls.Server(nc, server)
	}
	c := newConn(l, nc)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		nc.Close()
		return
	}
	p.conns[c] = struct{}{}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		c.serve()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
}

// isSelf says whether a connection that was opened upstream ends at a listener of this proxy.
func (p *Proxy) isSelf(nc net.Conn) bool {
	remote, ok1 := nc.RemoteAddr().(*net.TCPAddr)
	local, ok2 := nc.LocalAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.listeners {
		a, ok := l.nl.Addr().(*net.TCPAddr)
		if ok && a.Port == remote.Port && (a.IP.Equal(remote.IP) || a.IP.IsUnspecified() && local.IP.Equal(remote.IP)) {
			return true
		}
	}
	return false
}

// Close ends all connections and returns when nothing of the proxy is left.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.cancel()
	for l := range p.listeners {
		l.nl.Close()
	}
	conns := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		c.end()
	}
	p.wg.Wait()
	return nil
}

package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/protocol"
	"weir/proxy/filter"
)

// errClosing says that the proxy, or one connection of it, ends.
var errClosing = errors.New("closing")

// maxBrokers bounds the brokers of one cluster: each has a port here, and an answer from upstream can name any number.
const maxBrokers = 1024

// cluster is one virtual cluster: an upstream cluster, the addresses at which it is offered, and the filters between.
type cluster struct {
	p     *Proxy
	name  string
	cfg   atomic.Pointer[Cluster]
	log   *slog.Logger
	chain atomic.Pointer[filter.Chain]
	next  atomic.Uint32 // which of the upstream addresses is tried first
	where *whereabouts  // for the mode with one address

	mu      sync.Mutex
	first   *listener
	brokers map[int32]*broker
	said    map[string]time.Time // what was logged, and when
	closed  bool
}

// broker is one broker of the upstream cluster.
type broker struct {
	id     int32
	addr   string    // where it is
	l      *listener // where it is offered; nil in the modes with one port
	failed error     // why it is not offered
}

// conf is how the cluster is configured now.
func (c *cluster) conf() *Cluster { return c.cfg.Load() }

// named is the broker of a name that a client has asked for in its TLS hello, -1: the bootstrap address.
func (c *cluster) named(server string) (int32, error) {
	name := c.conf().Advertise
	if server == "" || strings.EqualFold(server, name) {
		return -1, nil
	}
	first, rest, _ := strings.Cut(server, ".")
	if strings.EqualFold(rest, name) && len(first) > 1 && (first[0] == 'b' || first[0] == 'B') {
		id, err := strconv.ParseUint(first[1:], 10, 31)
		if err == nil && c.known(int32(id)) != nil {
			return int32(id), nil
		}
	}
	return -1, fmt.Errorf("%w: no broker of the name %q is known", protocol.ErrMalformed, server)
}

// learn notes where a broker is, and offers it if it is new.
func (c *cluster) learn(id int32, host string, port int32) (*broker, error) {
	if id < 0 || host == "" || len(host) > 255 || port < 1 || port > 65535 {
		return nil, fmt.Errorf("broker %d at %q port %d cannot be", id, host, port)
	}
	addr := net.JoinHostPort(host, strconv.Itoa(int(port)))
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.brokers[id]
	if b != nil && b.addr == addr && b.failed == nil {
		return b, nil
	}
	if c.closed {
		return nil, errClosing
	}
	if b == nil {
		if len(c.brokers) >= maxBrokers {
			return nil, fmt.Errorf("the cluster names more than %d brokers", maxBrokers)
		}
		b = &broker{id: id}
		c.brokers[id] = b
	} else if b.addr != addr && b.failed == nil {
		c.log.Info("a broker has moved", "broker", id, "from", b.addr, "to", addr)
	}
	b.addr = addr
	if b.l == nil && !c.conf().ports() {
		b.l, b.failed = c.first, nil
		c.log.Info("broker", "id", id, "upstream", addr)
	} else if b.l == nil {
		b.failed = c.offer(b)
		if b.failed == nil {
			c.log.Info("broker", "id", id, "upstream", addr, "at", b.l.addr())
		}
	}
	return b, b.failed
}

// offer opens the port of a broker. The lock is held.
func (c *cluster) offer(b *broker) error {
	host, _, err := net.SplitHostPort(c.conf().Listen)
	if err != nil {
		return err
	}
	port := 0
	if base := c.conf().BasePort; base >= 0 {
		if port = base + int(b.id); port > 65535 {
			return fmt.Errorf("broker %d would be at port %d: there is none above 65535", b.id, port)
		}
	}
	b.l, err = c.p.listen(c, net.JoinHostPort(host, strconv.Itoa(port)), b.id)
	return err
}

// known is a broker that was learned.
func (c *cluster) known(id int32) *broker {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.brokers[id]; b != nil && b.failed == nil {
		return b
	}
	return nil
}

// upstream is where connections that came in for a broker go, -1 for the bootstrap address.
func (c *cluster) upstream(id int32) []string {
	if id >= 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if b := c.brokers[id]; b != nil && b.failed == nil {
			return []string{b.addr}
		}
		return nil
	}
	all := c.conf().Upstream
	at := int(c.next.Add(1)-1) % len(all)
	return slices.Concat(all[at:], all[:at])
}

// dial opens a connection to a broker.
func (c *cluster) dial(ctx context.Context, id int32) (net.Conn, error) {
	all := c.upstream(id)
	if len(all) == 0 {
		return nil, fmt.Errorf("broker %d is not known", id)
	}
	var errs []error
	for _, addr := range all {
		nc, err := c.dialOne(ctx, addr)
		if err == nil {
			return nc, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (c *cluster) dialOne(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.p.cfg.DialTimeout)
	defer cancel()
	nc, err := c.p.cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if c.p.isSelf(nc) {
		nc.Close()
		return nil, fmt.Errorf("%s is an address of this proxy: it would ask itself without end", addr)
	}
	files := c.conf().UpstreamTLS
	if files == nil {
		return nc, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		nc.Close()
		return nil, err
	}
	tc := tls.Client(nc, files.Client(host))
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("TLS with %s: %w", addr, err)
	}
	return tc, nil
}

// once logs a line that would come again and again, no more than every ten seconds.
func (c *cluster) once(key, text string, args ...any) {
	now := c.p.cfg.Now()
	c.mu.Lock()
	if c.said == nil || len(c.said) > 1000 {
		c.said = map[string]time.Time{}
	}
	quiet := now.Sub(c.said[key]) < 10*time.Second
	if !quiet {
		c.said[key] = now
	}
	c.mu.Unlock()
	if !quiet {
		c.log.Warn(text, args...)
	}
}

// close closes all listeners.
func (c *cluster) close() {
	c.mu.Lock()
	c.closed = true
	all := []*listener{c.first}
	for _, b := range c.brokers {
		all = append(all, b.l)
	}
	c.mu.Unlock()
	for _, l := range all {
		if l != nil {
			l.nl.Close()
		}
	}
}

// view is the cluster as one connection's client sees it.
type view struct {
	c    *cluster
	host string // where the client reached the proxy
	seen map[int32]string
}

// advertised is the host that is told to clients.
func (v *view) advertised() string {
	if a := v.c.conf().Advertise; a != "" {
		return a
	}
	return v.host
}

// broker implements names.
func (v *view) broker(id int32, host string, port int32) (string, int32, bool) {
	var b *broker
	if host == "" {
		if b = v.c.known(id); b == nil {
			return "", 0, false
		}
	} else {
		if before, twice := v.seen[id]; twice && before != join(host, port) {
			v.c.once(fmt.Sprint("twice ", id), "one answer has a broker id at two addresses; the second is left out", "broker", id, "first", before, "second", join(host, port))
			return "", 0, false
		}
		if v.seen == nil {
			v.seen = map[int32]string{}
		}
		v.seen[id] = join(host, port)
		var err error
		if b, err = v.c.learn(id, host, port); err != nil {
			v.c.once(fmt.Sprint("offer ", id), "a broker cannot be offered to clients and is left out", "broker", id, "error", err.Error())
			return "", 0, false
		}
	}
	if v.c.conf().SNI {
		return fmt.Sprintf("b%d.%s", id, v.advertised()), int32(b.l.port), true
	}
	return v.advertised(), int32(b.l.port), true
}

// bootstrap implements names.
func (v *view) bootstrap() (string, int32) {
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	return v.advertised(), int32(v.c.first.port)
}

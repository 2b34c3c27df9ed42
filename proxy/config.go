package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"weir/proxy/filter"
	"weir/security"
)

// Config is what a proxy is started with.
type Config struct {
	Clusters []Cluster

	// MaxRequestBytes is the largest frame that is taken from a client; 0 is Kafka's default, 100 MiB.
	MaxRequestBytes int
	// Memory bounds what frames that have to be looked at whole take, and once more what they decode to, in each direction; 0 is 256 MiB.
	// Frames that are passed on take none.
	Memory int
	// DialTimeout bounds the opening of a connection upstream; 0 is ten seconds.
	DialTimeout time.Duration
	// StallTimeout is how long somebody may leave bytes unread that hold memory, or send nothing of a frame that does; 0 is half a minute.
	StallTimeout time.Duration

	// DrainTimeout is how long the answers to a client that sends no more are waited for; 0 is ten minutes.
	DrainTimeout time.Duration

	Logger *slog.Logger
	Now    func() time.Time                                                  // nil: the clock
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the network
	Listen func(network, addr string) (net.Listener, error)                  // nil: the network
}

// Cluster is one virtual cluster.
type Cluster struct {
	Name string
	// Upstream are addresses of brokers, host:port, as in bootstrap.servers.
	Upstream []string
	// Listen is the address for clients, host:port, which they use to find the brokers.
	Listen string
	// BasePort is where the port of a broker counts from: it has BasePort plus its id. 0 is one above Listen's port, -1 any free port.
	BasePort int
	// Single offers all brokers at the address of Listen: the proxy sends each request to the broker that answers for it.
	Single bool
	// SNI offers all brokers at the address of Listen by names: that of the bootstrap address is Advertise, that of a broker is its id after a b,
	// a dot, and Advertise. Clients say in their TLS hello which one they mean.
	SNI bool
	// TLS is what clients are shown, nil: they talk without TLS. UpstreamTLS is the same of the brokers.
	TLS, UpstreamTLS *security.TLS
	// Advertise is the host that clients are told; "" is the one at which they reached the proxy.
	Advertise string
	// PassUnknown passes on API keys and versions that this proxy does not know. They may carry addresses of the cluster, so by
	// default clients are not told of them.
	PassUnknown bool
	// Filters see the requests in this order.
	Filters []filter.Filter
}

// complete checks a configuration and fills in the defaults.
func (c Config) complete() (Config, error) {
	set := func(n *int, to int) {
		if *n == 0 {
			*n = to
		}
	}
	set(&c.MaxRequestBytes, 100<<20)
	set(&c.Memory, 256<<20)
	if c.DialTimeout == 0 {
		c.DialTimeout = 10 * time.Second
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = 30 * time.Second
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 10 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Listen == nil {
		c.Listen = net.Listen
	}
	if len(c.Clusters) == 0 {
		return c, errors.New("there is no cluster to stand in front of")
	}
	c.Clusters = append([]Cluster(nil), c.Clusters...)
	names, taken := map[string]bool{}, map[string]string{}
	for i := range c.Clusters {
		v := &c.Clusters[i]
		if err := v.complete(); err != nil {
			return c, fmt.Errorf("cluster %q: %w", v.Name, err)
		}
		if names[v.Name] {
			return c, fmt.Errorf("there are two clusters of the name %q", v.Name)
		}
		names[v.Name] = true
		if other, ok := taken[v.Listen]; ok && !anyPort(v.Listen) {
			return c, fmt.Errorf("clusters %q and %q both listen on %s", other, v.Name, v.Listen)
		}
		taken[v.Listen] = v.Name
	}
	return c, nil
}

func anyPort(addr string) bool {
	_, port, err := net.SplitHostPort(addr)
	return err == nil && port == "0"
}

func (v *Cluster) complete() error {
	if len(v.Upstream) == 0 {
		return errors.New("it has no upstream address")
	}
	for _, a := range v.Upstream {
		if host, _, err := splitAddr(a, false); err != nil || host == "" {
			return fmt.Errorf("upstream %q: allowed is host:port", a)
		}
	}
	_, port, err := splitAddr(v.Listen, true)
	if err != nil {
		return fmt.Errorf("listen %q: allowed is host:port", v.Listen)
	}
	switch {
	case v.Single && v.SNI:
		return errors.New("one address without names (single) and with names (sni) exclude each other")
	case v.SNI && (v.TLS == nil || v.Advertise == ""):
		return errors.New("sni needs TLS, and the name that clients are told (advertise)")
	}
	if v.TLS != nil {
		if _, err := v.TLS.Server(); err != nil {
			return err
		}
	}
	switch {
	case v.BasePort == 0 && port == 0:
		v.BasePort = -1
	case v.BasePort == 0:
		v.BasePort = port + 1
	case v.BasePort < -1 || v.BasePort > 65535:
		return fmt.Errorf("base port %d: allowed are 1 to 65535, or -1 for any that are free", v.BasePort)
	}
	return nil
}

func splitAddr(a string, zero bool) (string, int, error) {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !zero {
		return "", 0, fmt.Errorf("no port: %q", port)
	}
	return host, int(n), nil
}

// ports says whether each broker has a port of its own.
func (v *Cluster) ports() bool { return !v.Single && !v.SNI }

// samePlace says whether clients find both at the same addresses.
func (v *Cluster) samePlace(w *Cluster) bool {
	return v.Listen == w.Listen && v.BasePort == w.BasePort && v.Single == w.Single && v.SNI == w.SNI && (v.TLS == nil) == (w.TLS == nil)
}

// Check says what is wrong with a cluster by itself.
func (v Cluster) Check() error { return v.complete() }

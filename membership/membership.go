package membership

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

// Member is one process of the cluster, as Serf knows it.
type Member struct {
	Node        int32
	Incarnation string // of the process
	Address     string // where its streams are, host:port
	Rack        string
	Version     string
	Status      Status
}

// Status is what Serf says of a member.
type Status string

// What Serf says.
const (
	Alive   Status = "alive"
	Leaving Status = "leaving"
	Left    Status = "left"
	Failed  Status = "failed"
)

// Config is what membership is started with.
type Config struct {
	Self    Member // this process; Status is not looked at
	Cluster string // its id; members of another are kept out
	Key     []byte // not empty: what is said is encrypted with it
	Streams Streams
	Packets []net.PacketConn // on the port of the streams, closed with it; none: others are asked by streams only
	IP      net.IP           // and Port: where others send packets and open streams
	Port    int
	// Seeds are addresses of members, asked for until one of them, or somebody else, is found, and from time to time after that.
	Seeds  func() []string
	Failed func(Member) // told that a member does not answer, in order, by one goroutine
	Logger *slog.Logger
}

// Streams opens and accepts streams of gossip.
type Streams interface {
	Dial(address string, timeout time.Duration) (net.Conn, error)
	Streams() <-chan net.Conn
}

// Membership is this process's view. Its methods may be called by any goroutine.
type Membership struct {
	cfg    Config
	serf   *serf.Serf
	net    *transport
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu    sync.RWMutex
	alive map[int32]Member
}

// The times of failure detection: a dead host is found in 1.0 to 1.4 s, and a process that is late for 0.3 s is not taken for one.
const (
	probeInterval  = 250 * time.Millisecond
	probeTimeout   = 100 * time.Millisecond
	gossipInterval = 50 * time.Millisecond
	suspicionMult  = 3
)

// How often seeds are asked: until somebody is found, and after that.
const (
	joinSoon  = 100 * time.Millisecond
	joinLater = 10 * time.Second
)

// Start starts membership. It does not wait for others.
func Start(c Config) (*Membership, error) {
	m := &Membership{cfg: c, alive: map[int32]Member{}}
	m.net = newTransport(&m.cfg)
	conf := serf.DefaultConfig()
	conf.Init()
	// A process that comes back at once is another member: the one before it may be suspected still.
	conf.NodeName = strconv.Itoa(int(c.Self.Node)) + "#" + c.Self.Incarnation
	conf.Tags = map[string]string{
		tagNode: strconv.Itoa(int(c.Self.Node)), tagIncarnation: c.Self.Incarnation, tagCluster: c.Cluster, tagAddress: c.Self.Address,
		tagRack: c.Self.Rack, tagVersion: c.Self.Version,
	}
	conf.EnableNameConflictResolution = false
	conf.LeavePropagateDelay = 2 * gossipInterval
	conf.BroadcastTimeout = 5 * gossipInterval
	conf.DisableCoordinates = true
	conf.ValidateNodeNames = false
	conf.ReconnectInterval, conf.ReconnectTimeout, conf.TombstoneTimeout = joinLater, 24*time.Hour, time.Hour
	conf.Merge = merging{c.Cluster}
	events := make(chan serf.Event, 1024)
	conf.EventCh = events
	lines := log.New(logWriter{c.Logger}, "", 0)
	conf.Logger, conf.LogOutput = lines, nil

	ml := memberlist.DefaultLANConfig()
	ml.Transport, ml.Logger, ml.LogOutput = m.net, lines, nil
	ml.BindAddr, ml.BindPort, ml.AdvertiseAddr, ml.AdvertisePort = c.IP.String(), c.Port, c.IP.String(), c.Port
	ml.ProbeInterval, ml.ProbeTimeout, ml.GossipInterval, ml.SuspicionMult = probeInterval, probeTimeout, gossipInterval, suspicionMult
	ml.TCPTimeout, ml.DeadNodeReclaimTime = 2*time.Second, 100*time.Millisecond
	if len(c.Key) > 0 {
		key := sha256.Sum256(append([]byte("gossip"), c.Key...))
		ml.SecretKey = key[:]
	}
	conf.MemberlistConfig = ml
	s, err := serf.Create(conf)
	if err != nil {
		m.net.Shutdown()
		return nil, fmt.Errorf("membership: %w", err)
	}
	m.serf = s
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	m.tasks.Go(func() { m.watch(ctx, events) })
	m.tasks.Go(func() { m.join(ctx) })
	return m, nil
}

// The names of tags: all of them together have no more than 512 bytes.
const (
	tagNode        = "id"
	tagIncarnation = "inc"
	tagCluster     = "cluster"
	tagAddress     = "addr"
	tagRack        = "rack"
	tagVersion     = "ver"
)

func memberOf(s serf.Member) (Member, bool) {
	id, err := strconv.ParseInt(s.Tags[tagNode], 10, 32)
	m := Member{Node: int32(id), Incarnation: s.Tags[tagIncarnation], Address: s.Tags[tagAddress], Rack: s.Tags[tagRack], Version: s.Tags[tagVersion],
		Status: Status(s.Status.String())}
	return m, err == nil
}

// watch takes Serf's events: it never waits for others, for Serf holds a lock meanwhile.
func (m *Membership) watch(ctx context.Context, events <-chan serf.Event) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if e, ok := e.(serf.MemberEvent); ok {
				m.take(e)
			}
		}
	}
}

func (m *Membership) take(e serf.MemberEvent) {
	for _, sm := range e.Members {
		member, ok := memberOf(sm)
		if !ok || sm.Tags[tagCluster] != m.cfg.Cluster {
			continue
		}
		m.mu.Lock()
		known := m.alive[member.Node]
		switch e.Type {
		case serf.EventMemberJoin, serf.EventMemberUpdate:
			m.alive[member.Node] = member
		case serf.EventMemberFailed, serf.EventMemberLeave, serf.EventMemberReap:
			if known.Incarnation == member.Incarnation {
				delete(m.alive, member.Node)
			}
		}
		m.mu.Unlock()
		m.cfg.Logger.Debug("membership", "event", e.Type.String(), "node", member.Node, "address", member.Address)
		if e.Type == serf.EventMemberFailed {
			member.Status = Failed
			m.cfg.Failed(member)
		}
	}
}

// join asks seeds for as long as nobody is known but this process, and now and then after that: Serf itself asks once only, and a cluster
// that was cut in two has to find together.
func (m *Membership) join(ctx context.Context) {
	wait := joinSoon
	for {
		if seeds := m.resolve(m.cfg.Seeds()); len(seeds) > 0 {
			n, err := m.serf.Join(seeds, true)
			if err != nil && n == 0 {
				m.cfg.Logger.Debug("membership: nobody answers yet", "asked", seeds, "error", err.Error())
			}
		}
		if m.others() {
			wait = joinLater
		} else {
			wait = min(2*wait, joinLater/2)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// resolve gives addresses by number: the library would ask name servers in its own way.
func (m *Membership) resolve(seeds []string) []string {
	var out []string
	for _, seed := range seeds {
		a, err := net.ResolveTCPAddr("tcp", seed)
		if err != nil || a.Port == m.cfg.Port && a.IP.Equal(m.cfg.IP) {
			continue
		}
		if s := a.String(); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (m *Membership) others() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.alive) > 1
}

// Address is where a node that is alive has its streams.
func (m *Membership) Address(node int32) (string, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	member, ok := m.alive[node]
	return member.Address, ok && member.Address != ""
}

// Members are all that Serf knows, by node.
func (m *Membership) Members() []Member {
	var out []Member
	for _, s := range m.serf.Members() {
		if member, ok := memberOf(s); ok {
			out = append(out, member)
		}
	}
	slices.SortStableFunc(out, func(a, b Member) int { return int(a.Node) - int(b.Node) })
	return out
}

// Close says goodbye to the others and ends.
func (m *Membership) Close() error {
	m.cancel()
	m.tasks.Wait()
	err := m.serf.Leave()
	if e := m.serf.Shutdown(); err == nil {
		err = e
	}
	return err
}

// merging keeps out members of another cluster. It implements serf.MergeDelegate.
type merging struct{ cluster string }

// NotifyMerge refuses to be one with a group of which somebody is of another cluster.
func (d merging) NotifyMerge(members []*serf.Member) error {
	for _, s := range members {
		if other := s.Tags[tagCluster]; other != d.cluster {
			return fmt.Errorf("%w: %s is of cluster %s, not %s", errForeign, s.Name, other, d.cluster)
		}
	}
	return nil
}

var errForeign = errors.New("another cluster")

// logWriter takes the lines of the libraries: what is wrong, not what they do. Whoever sends rubbish was refused before.
type logWriter struct{ to *slog.Logger }

// Write implements io.Writer: one line a call.
func (w logWriter) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if w.to != nil {
		w.to.Debug("membership: " + text)
	}
	return len(line), nil
}

var _ io.Writer = logWriter{}

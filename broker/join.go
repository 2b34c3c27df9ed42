package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"weir/config"
	"weir/controller/raft"
	"weir/membership/stream"
)

// founding is what the metadata begins as.
type founding struct {
	how    raft.Founding
	voters []raft.Server
}

// entry is how this node comes to its cluster. It is a part of the broker.
type entry struct{ *Broker }

// found decides whether this node founds a cluster, alone or with the other voters, or belongs to one. A node without metadata that has
// somebody to ask is let in first: it then has an id and knows its cluster.
func (b *entry) found(ctx context.Context) (founding, error) {
	if b.hasMetadata(b.dirAt(b.static.MetadataLogDir())) {
		b.settle()
		return b.goOn(), nil
	}
	seeds, others := b.seeds()
	voters := b.voters()
	switch {
	case len(b.static.List("cluster.join")) > 0:
		if len(others) == 0 {
			return founding{}, fmt.Errorf("cluster.join=%s: allowed is the address of another node", b.static.String("cluster.join"))
		}
	case b.voterList != "" && b.votes():
		f := founding{how: raft.Together}
		for _, v := range voters {
			f.voters = append(f.voters, raft.Server{ID: v.ID, Address: net.JoinHostPort(v.Host, strconv.Itoa(int(v.Port)))})
		}
		b.settle()
		return f, nil
	case len(others) == 0 && !b.votes():
		return founding{}, errors.New("process.roles=broker: allowed is that beside controller.quorum.voters, controller.quorum.bootstrap.servers or cluster.join, which name a controller")
	case len(others) == 0, b.votes() && b.isMine(seeds[0]) && !b.isThere(ctx, others):
		if b.clusterID == "" {
			b.clusterID = b.cfg.random().String()
		}
		b.settle()
		return founding{how: raft.Alone}, nil
	}
	return founding{how: raft.Never}, b.join(ctx, others)
}

// goOn is for a directory that has metadata: nothing is founded. Only a node that was told of nobody insists on being a cluster of its own.
func (b *entry) goOn() founding {
	if _, others := b.seeds(); len(others) > 0 || b.voterList != "" {
		return founding{how: raft.Never}
	}
	return founding{how: raft.Alone}
}

// hasRole says whether process.roles has a role.
func (b *Broker) hasRole(role string) bool {
	return slices.Contains(b.static.List("process.roles"), role)
}

// votes says whether this node may have a vote.
func (b *Broker) votes() bool { return b.hasRole("controller") }

// seeds are the addresses of nodes that this one was told of, and those of them that are not its own.
func (b *entry) seeds() (all, others []string) {
	all = append(all, b.static.List("cluster.join")...)
	for _, v := range b.voters() {
		all = append(all, net.JoinHostPort(v.Host, strconv.Itoa(int(v.Port))))
	}
	if b.static.IsSet("process.roles") {
		all = append(all, b.static.List("controller.quorum.bootstrap.servers")...)
	}
	for _, address := range all {
		if !b.isMine(address) && !slices.Contains(others, address) {
			others = append(others, address)
		}
	}
	return all, others
}

// isMine says whether an address is one that this node listens on.
func (b *entry) isMine(address string) bool {
	host, port, err := splitAddress(address)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(b.endpoints, func(l config.Listener) bool {
		bound := l.Port
		if bound == 0 {
			bound = l.AdvertisedPort
		}
		if int32(port) != bound && int32(port) != l.AdvertisedPort {
			return false
		}
		return host == l.Host || host == l.AdvertisedHost || b.isLocal(host)
	})
}

// isLocal says whether a host is this machine.
func (b *entry) isLocal(host string) bool {
	if name, err := os.Hostname(); err == nil && name == host || host == "localhost" {
		return true
	}
	ips, err := net.LookupIP(host)
	if err != nil {
		return false
	}
	mine, _ := net.InterfaceAddrs()
	for _, ip := range ips {
		if ip.IsLoopback() || slices.ContainsFunc(mine, func(a net.Addr) bool { n, ok := a.(*net.IPNet); return ok && n.IP.Equal(ip) }) {
			return true
		}
	}
	return false
}

// settle lets others know which node this is: from now on it takes part.
func (b *Broker) settle() {
	before := b.known.Swap(&membershipID{b.clusterID, b.nodeID})
	if before == nil || before.cluster == "" {
		if b.clusterID != "" {
			close(b.joining)
		}
	}
}

// askTimeout bounds one question to a node.
const askTimeout = 5 * time.Second

// joinPause is between two rounds of questions.
const joinPause = 100 * time.Millisecond

// isThere says whether one of the nodes at the addresses belongs to a cluster.
func (b *entry) isThere(ctx context.Context, addresses []string) bool {
	for _, address := range addresses {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		nc, who, err := b.hub.Open(ctx, stream.Call, address)
		cancel()
		if err == nil {
			nc.Close()
		}
		if who.Cluster != "" {
			return true
		}
	}
	return false
}

// join asks to be let in until somebody says yes, or no: then the node is told of in the cluster's quorum, and knows its own id.
func (b *entry) join(ctx context.Context, seeds []string) error {
	last := errors.New("nobody was asked")
	said := time.Time{}
	for {
		for _, address := range seeds {
			a, err := b.ask(ctx, address, b.joiner(false))
			if err == nil {
				b.clusterID, b.nodeID = a.Cluster, a.Node
				b.static = b.static.WithNodeID(a.Node, "the cluster")
				b.settle()
				b.log.Info("joined a cluster", "cluster", a.Cluster, "node", a.Node, "by", address)
				return nil
			}
			var refused *stream.Refused
			if errors.As(err, &refused) || errors.Is(err, errNotAdmitted) {
				return fmt.Errorf("not let into the cluster of %s: %w", address, err)
			}
			last = err
		}
		if now := b.cfg.Now(); now.Sub(said) > 10*time.Second {
			said = now
			b.log.Info("no member of the cluster answers yet", "asked", seeds, "error", last.Error())
		}
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return fmt.Errorf("no cluster to join at %v: %w", seeds, errors.Join(waited(ctx, ctx.Err()), last))
		}
	}
}

// joiner is what this node says of itself to the leader.
func (b *entry) joiner(ready bool) joiner {
	j := joiner{Node: -1, Cluster: b.static.ClusterID(), Address: b.hub.Address(), Incarnation: b.incarnation.String(), Votes: b.votes(), Ready: ready}
	if known := b.known.Load(); known != nil {
		j.Cluster = known.cluster
	}
	if b.static.IsSet("node.id") {
		j.Node = b.nodeID
	}
	if j.Empty = !b.started.Load(); !j.Empty {
		j.Index = b.node.AppliedIndex()
	}
	return j
}

// ask asks a node, and the leader where that is another one.
func (b *entry) ask(ctx context.Context, address string, j joiner) (admitted, error) {
	for range 3 {
		var a admitted
		if err := b.calls.askOne(ctx, address, callJoin, j, &a); err != nil {
			return a, err
		}
		switch {
		case a.Refused != "":
			return a, fmt.Errorf("%w: %s", errNotAdmitted, a.Refused)
		case a.Leader == "":
			return a, nil
		case a.Leader == address:
			return a, errNoLeader
		}
		address = a.Leader
	}
	return admitted{}, errNoLeader
}

var errNoLeader = errors.New("the cluster has no leader yet")

// errNotAdmitted is an answer to callJoin that will not become another one.
var errNotAdmitted = errors.New("refused")

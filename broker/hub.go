package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"weir/config"
	"weir/membership/stream"
)

// openHub prepares the streams between nodes. They come by the controller's listener where there is one, else by that of the brokers.
func (b *Broker) openHub() {
	name, host, port := b.clusterEndpoint()
	for _, l := range b.listeners {
		l.cluster = l.name == name
	}
	b.rafts, b.gossips, b.joining = stream.Listen(stream.Raft), stream.Listen(stream.Gossip), make(chan struct{})
	b.hub = stream.New(stream.Config{
		Key: []byte(b.static.String("cluster.key")), Identity: b.identity, Dial: b.cfg.Dial,
		Address: net.JoinHostPort(host, strconv.Itoa(int(port))), Joining: b.joining,
		Handle: map[stream.Kind]func(net.Conn, stream.Identity){
			stream.Raft: b.rafts.Take, stream.Gossip: b.gossips.Take, stream.Call: b.calls.answerCalls, stream.Watch: watched,
		},
	})
	b.rafts.Serve(b.hub)
	b.gossips.Serve(b.hub)
}

// clusterEndpoint is the listener that nodes reach each other by, as others reach it. A voter is where the list of voters says.
func (b *Broker) clusterEndpoint() (name, host string, port int32) {
	i := slices.IndexFunc(b.endpoints, func(l config.Listener) bool { return l.Controller })
	if i < 0 {
		i = slices.IndexFunc(b.endpoints, func(l config.Listener) bool { return l.InterBroker })
	}
	if i < 0 {
		i = 0
	}
	e := b.endpoints[i]
	name, host, port = e.Name, e.AdvertisedHost, e.AdvertisedPort
	if e.Controller {
		for _, v := range b.voters() {
			if v.ID == b.nodeID {
				return name, v.Host, v.Port
			}
		}
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
		if h, err := os.Hostname(); err == nil {
			host = h
		}
	}
	return name, host, port
}

// voters is controller.quorum.voters, where roles are given: without them it is a cluster of one, whatever an old file says.
func (b *Broker) voters() []config.Voter {
	if !b.static.IsSet("process.roles") {
		return nil
	}
	voters, _ := config.ParseVoters(b.static.String("controller.quorum.voters"))
	return voters
}

// quorumName is the list of voters in one form, so that nodes can tell whether they were given the same; "" where there is none, or just
// one.
func (b *Broker) quorumName() string {
	voters := b.voters()
	if len(voters) < 2 {
		return ""
	}
	var all []string
	for _, v := range voters {
		all = append(all, strconv.Itoa(int(v.ID))+"@"+net.JoinHostPort(v.Host, strconv.Itoa(int(v.Port))))
	}
	slices.Sort(all)
	sum := sha256.Sum256([]byte(strings.Join(all, ",")))
	return hex.EncodeToString(sum[:16])
}

// identity is what this node says of itself to others.
func (b *Broker) identity() stream.Identity {
	id := stream.Identity{Quorum: b.voterList, Node: -1, Incarnation: b.incarnation}
	if known := b.known.Load(); known != nil {
		id.Cluster, id.Node = known.cluster, known.node
	}
	return id
}

// membershipID is which node of which cluster this is. The cluster's id may be unknown until there is a first leader.
type membershipID struct {
	cluster string
	node    int32
}

// watched holds a stream on which nothing is said. It ends with this process, which is what the other end wants to know.
func watched(nc net.Conn, _ stream.Identity) {
	var one [1]byte
	nc.Read(one[:])
}

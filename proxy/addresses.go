package proxy

import (
	"net"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// names say under which address clients reach a broker. ok is false where they cannot: then the broker is left out of the answer.
type names interface {
	// broker is asked with the address that the cluster gives, which is where a new connection to that broker will go.
	broker(id int32, host string, port int32) (string, int32, bool)
	// bootstrap is the address of what is no broker for clients: a controller.
	bootstrap() (string, int32)
}

// rewriting is what is done to one key's answers.
type rewriting struct {
	from int16 // the first version that has addresses
	hint bool  // only in the answer's own tagged field 0, which most answers do not have (KIP-951)
	fn   func(names, kmsg.Response)
}

// rewritings are the answers with addresses of brokers. A test compares them with all fields of all answers that kmsg knows.
var rewritings = map[int16]rewriting{
	0:  {10, true, as(produceHosts)},
	1:  {16, true, as(fetchHosts)},
	3:  {0, false, as(metadataHosts)},
	10: {0, false, as(coordinatorHosts)},
	32: {0, false, as(configHosts)},
	55: {2, false, as(quorumHosts)},
	60: {0, false, as(clusterHosts)},
	78: {0, true, as(shareFetchHosts)},
	79: {0, true, as(shareAcknowledgeHosts)},
}

func as[R kmsg.Response](f func(names, R)) func(names, kmsg.Response) {
	return func(n names, r kmsg.Response) { f(n, r.(R)) }
}

// keep rewrites the brokers of a list in place and drops those that clients cannot reach.
func keep[B any](n names, all []B, of func(*B) (id int32, host *string, port *int32)) []B {
	kept := all[:0]
	for i := range all {
		id, host, port := of(&all[i])
		h, p, ok := n.broker(id, *host, *port)
		if ok {
			*host, *port = h, p
			kept = append(kept, all[i])
		}
	}
	return kept
}

func metadataHosts(n names, r *kmsg.MetadataResponse) {
	r.Brokers = keep(n, r.Brokers, func(b *kmsg.MetadataResponseBroker) (int32, *string, *int32) { return b.NodeID, &b.Host, &b.Port })
}

func produceHosts(n names, r *kmsg.ProduceResponse) {
	r.Brokers = keep(n, r.Brokers, func(b *kmsg.ProduceResponseBroker) (int32, *string, *int32) { return b.NodeID, &b.Host, &b.Port })
}

func fetchHosts(n names, r *kmsg.FetchResponse) {
	r.Brokers = keep(n, r.Brokers, func(b *kmsg.FetchResponseBroker) (int32, *string, *int32) { return b.NodeID, &b.Host, &b.Port })
}

func shareFetchHosts(n names, r *kmsg.ShareFetchResponse) {
	r.NodeEndpoints = keep(n, r.NodeEndpoints, func(b *kmsg.ShareFetchResponseNodeEndpoint) (int32, *string, *int32) {
		return b.NodeID, &b.Host, &b.Port
	})
}

func shareAcknowledgeHosts(n names, r *kmsg.ShareAcknowledgeResponse) {
	r.NodeEndpoints = keep(n, r.NodeEndpoints, func(b *kmsg.ShareAcknowledgeResponseNodeEndpoint) (int32, *string, *int32) {
		return b.NodeID, &b.Host, &b.Port
	})
}

// clusterHosts rewrites brokers, or controllers, which clients of brokers cannot reach.
func clusterHosts(n names, r *kmsg.DescribeClusterResponse) {
	if r.EndpointType == 2 {
		for i := range r.Brokers {
			r.Brokers[i].Host, r.Brokers[i].Port = n.bootstrap()
		}
		return
	}
	r.Brokers = keep(n, r.Brokers, func(b *kmsg.DescribeClusterResponseBroker) (int32, *string, *int32) {
		return b.NodeID, &b.Host, &b.Port
	})
}

// coordinatorHosts rewrites the coordinators. One that cannot be reached is one that there is not, as Kafka says it.
func coordinatorHosts(n names, r *kmsg.FindCoordinatorResponse) {
	const notAvailable = 15
	one := func(code *int16, id *int32, host *string, port *int32) {
		if *code != 0 {
			*host, *port = "", -1
			return
		}
		h, p, ok := n.broker(*id, *host, *port)
		if *host, *port = h, p; !ok {
			*code, *id, *host, *port = notAvailable, -1, "", -1
		}
	}
	if r.Version < 4 {
		one(&r.ErrorCode, &r.NodeID, &r.Host, &r.Port)
	} else {
		r.Host, r.Port = "", 0 // not on the wire
	}
	for i := range r.Coordinators {
		c := &r.Coordinators[i]
		one(&c.ErrorCode, &c.NodeID, &c.Host, &c.Port)
	}
}

// quorumHosts rewrites the listeners of the controllers.
func quorumHosts(n names, r *kmsg.DescribeQuorumResponse) {
	for i := range r.Nodes {
		for j := range r.Nodes[i].Listeners {
			l := &r.Nodes[i].Listeners[j]
			host, port := n.bootstrap()
			l.Host, l.Port = host, uint16(port)
		}
	}
}

// configHosts rewrites the settings of brokers that have addresses in them, and what they were set to elsewhere.
func configHosts(n names, r *kmsg.DescribeConfigsResponse) {
	for i := range r.Resources {
		res := &r.Resources[i]
		if res.ResourceType != kmsg.ConfigResourceTypeBroker {
			continue
		}
		id, err := strconv.ParseInt(res.ResourceName, 10, 32)
		if err != nil {
			id = -1 // the default of the cluster
		}
		for j := range res.Configs {
			c := &res.Configs[j]
			c.Value = configHost(n, int32(id), c.Name, c.Value)
			for k := range c.ConfigSynonyms {
				s := &c.ConfigSynonyms[k]
				s.Value = configHost(n, int32(id), s.Name, s.Value)
			}
		}
	}
}

// configHost rewrites one setting.
func configHost(n names, id int32, name string, value *string) *string {
	if i := strings.LastIndexByte(name, '.'); strings.HasPrefix(name, "listener.name.") && i > 0 {
		name = name[i+1:] // what is set for one listener
	}
	if value == nil || *value == "" {
		return value
	}
	var s string
	switch name {
	case "listeners", "advertised.listeners":
		s = listenerHosts(n, id, *value)
	case "controller.quorum.voters", "controller.quorum.bootstrap.servers", "bootstrap.servers", "zookeeper.connect":
		s = eachHost(*value, func(string) string { return join(n.bootstrap()) })
	case "host.name", "advertised.host.name":
		s, _ = reach(n, id)
	case "port", "advertised.port":
		_, port := reach(n, id)
		s = strconv.Itoa(int(port))
	default:
		return value
	}
	return &s
}

// reach is where clients reach broker id, as far as it is known.
func reach(n names, id int32) (string, int32) {
	if id >= 0 {
		if host, port, ok := n.broker(id, "", 0); ok {
			return host, port
		}
	}
	return n.bootstrap()
}

// listenerHosts rewrites NAME://host:port,... Listeners of other names become the address for clients too: no other is to be seen.
func listenerHosts(n names, id int32, value string) string {
	parts := strings.Split(value, ",")
	for i, p := range parts {
		name, _, ok := strings.Cut(p, "://")
		if !ok {
			name = "PLAINTEXT"
		}
		parts[i] = name + "://" + join(reach(n, id))
	}
	return strings.Join(parts, ",")
}

// eachHost rewrites a list of host:port, or of id@host:port, and leaves what follows a slash.
func eachHost(value string, to func(string) string) string {
	list, path, slash := strings.Cut(value, "/")
	parts := strings.Split(list, ",")
	for i, p := range parts {
		id, addr, ok := strings.Cut(p, "@")
		if ok {
			parts[i] = id + "@" + to(addr)
		} else {
			parts[i] = to(p)
		}
	}
	if list = strings.Join(parts, ","); slash {
		list += "/" + path
	}
	return list
}

func join(host string, port int32) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }

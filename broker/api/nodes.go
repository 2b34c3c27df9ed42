package api

import (
	"slices"

	"weir/controller"
	"weir/protocol"
)

// node is a broker as the clients of one listener see it.
type node struct {
	*controller.Broker
	host string
	port int32
}

// nodes returns the brokers that have the listener, by id. Clients must only be told addresses of the listener they came by: others
// may not be reachable for them or may speak another security protocol. Fenced brokers are left out unless asked for.
func nodes(img *controller.Image, listener string, fenced bool) []node {
	out := make([]node, 0, len(img.Brokers()))
	for _, b := range img.Brokers() {
		if b.Fenced && !fenced {
			continue
		}
		if e, ok := b.Endpoint(listener); ok {
			out = append(out, node{Broker: b, host: e.Host, port: e.Port})
		}
	}
	return out
}

// rackAware is the replica.selector.class that this broker knows.
const rackAware = "org.apache.kafka.common.replica.RackAwareReplicaSelector"

// near returns the brokers in a consumer's rack that it can reach; nil where it is to read from leaders (KIP-392).
func near(s *Server, o *fetchOp, rack string) []int32 {
	if rack == "" || o.version < 11 || o.follower || s.Config.String("replica.selector.class") != rackAware {
		return nil
	}
	out := []int32{}
	for _, n := range nodes(s.Image(), o.listener, false) {
		if n.Rack == rack {
			out = append(out, n.ID)
		}
	}
	return out
}

// controllerID returns the broker that a client sends requests for the controller to: the controller where clients can reach it, else
// this broker, else any, for every broker forwards. Clients ask again and again while it is -1 or not in the list of brokers.
func (s *Server) controllerID(alive []node) int32 {
	has := func(id int32) bool {
		return id >= 0 && slices.ContainsFunc(alive, func(n node) bool { return n.ID == id && !n.Fenced })
	}
	if s.LeaderID != nil {
		if id := s.LeaderID(); has(id) {
			return id
		}
	}
	if has(s.NodeID) {
		return s.NodeID
	}
	for _, n := range alive {
		if !n.Fenced {
			return n.ID
		}
	}
	return -1
}

// offline says whether a replica cannot serve clients of the listener: its broker is gone, fenced or not on that listener, or the
// directory it lies in is offline.
func offline(img *controller.Image, listener string, p *controller.Partition, i int) bool {
	b := img.Broker(p.Replicas[i])
	if b == nil || b.Fenced {
		return true
	}
	if _, ok := b.Endpoint(listener); !ok {
		return true
	}
	return i < len(p.Directories) && !onlineDir(b, p.Directories[i])
}

// onlineDir is Kafka's BrokerRegistration.hasOnlineDir: a replica that is not assigned yet counts as online.
func onlineDir(b *controller.Broker, dir protocol.UUID) bool {
	switch dir {
	case controller.DirUnassigned, controller.DirMigrating:
		return true
	case controller.DirLost:
		return false
	}
	return len(b.LogDirs) == 0 || slices.Contains(b.LogDirs, dir)
}

// offlineReplicas returns the replicas that are offline, nil for none.
func offlineReplicas(img *controller.Image, listener string, p *controller.Partition) []int32 {
	var out []int32
	for i, id := range p.Replicas {
		if offline(img, listener, p, i) {
			out = append(out, id)
		}
	}
	return out
}

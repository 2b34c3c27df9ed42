package broker

import (
	"slices"
	"strconv"
	"time"

	"weir/config"
	"weir/controller"
)

// reconfigure takes the dynamic settings of brokers that connections are held against. Those of logs and producers are taken by
// broker/replica; requests read theirs from the image.
func (s *server) reconfigure(_, img *controller.Image, delta *controller.Delta) {
	if !slices.ContainsFunc(delta.Configs, func(r controller.Resource) bool { return r.Type == controller.BrokerConfig }) {
		return
	}
	s.quotas.set(limitsOf(s.layers(img), s.names))
	s.trim()
}

// layers are the places that this broker's settings come from.
func (s *server) layers(img *controller.Image) *config.Layers {
	return &config.Layers{
		Static:  s.api.Config,
		Cluster: img.Config(controller.BrokerConfig, ""),
		Broker:  img.Config(controller.BrokerConfig, strconv.Itoa(int(s.api.NodeID))),
	}
}

// trim closes the connections beyond max.connections, those first that did nothing for the longest.
func (s *server) trim() {
	n := s.quotas.excess()
	if n <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*conn
	for c := range s.conns {
		if !s.quotas.protected[c.session.ListenerName] {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *conn) int { return a.idleSince().Compare(b.idleSince()) })
	for _, c := range all[:min(n, len(all))] {
		c.cancel()
		c.nc.Close()
	}
}

// newQuotas makes the quotas of the broker's listeners. The limits are those of its start until the first image is seen.
func (b *Broker) newQuotas() (q *quotas, names []string) {
	protected, clients := map[string]bool{}, map[string]bool{}
	for _, l := range b.listeners {
		if !slices.Contains(names, l.name) {
			names = append(names, l.name)
		}
		if l.controller {
			protected[l.name] = true
		} else {
			clients[l.name] = true
		}
	}
	for _, e := range b.endpoints {
		if e.InterBroker && len(clients) > 1 {
			protected[e.Name] = true
		}
	}
	q = newQuotas(limitsOf(&config.Layers{Static: b.static}, names), b.cfg.Now)
	q.protected = protected
	window := time.Duration(b.static.Int("quota.window.size.seconds")) * time.Second
	q.longest, q.burst = window, max(1, time.Duration(b.static.Int("quota.window.num")-1))*window
	return q, names
}

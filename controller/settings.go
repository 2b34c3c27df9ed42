package controller

import (
	"strconv"
	"strings"

	"weir/config"
)

// layers are the places that settings come from on this node, for a topic with the given own settings.
func (c *Controller) layers(m *Image, topic map[string]string) *config.Layers {
	return &config.Layers{
		Static:  c.cfg.Static,
		Cluster: m.Config(BrokerConfig, ""),
		Broker:  m.Config(BrokerConfig, strconv.Itoa(int(c.cfg.NodeID))),
		Topic:   topic,
	}
}

// topicDefaults is the configuration of a topic that sets nothing.
func (c *Controller) topicDefaults(m *Image) *config.Topic { return c.layers(m, nil).TopicConfig() }

// electionOf says how hard a leader is looked for when a partition of the topic loses its own.
func electionOf(m *Image, t *Topic, base *config.Topic) election {
	unclean := base.UncleanLeaderElection
	if v, ok := m.Config(TopicConfig, t.Name)["unclean.leader.election.enable"]; ok {
		unclean = strings.EqualFold(strings.TrimSpace(v), "true")
	}
	if unclean {
		return electUnclean
	}
	return electOnline
}

// minISROf is the topic's min.insync.replicas, but never more than it has replicas.
func minISROf(m *Image, t *Topic, base *config.Topic) int {
	n := int(base.MinInsyncReplicas)
	if v, ok := m.Config(TopicConfig, t.Name)["min.insync.replicas"]; ok {
		if own, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			n = own
		}
	}
	if len(t.Partitions) > 0 {
		n = min(n, len(t.Partitions[0].Replicas))
	}
	return n
}

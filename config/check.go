package config

import (
	"sort"
	"strings"
)

// CheckTopic holds one topic setting against its row; a *InvalidConfig says what is wrong.
func CheckTopic(name, value string) error {
	s := Lookup(TopicScope, name)
	if s == nil {
		return &InvalidConfig{"Unknown topic config name: " + name}
	}
	if wrong := s.Check(value); wrong != "" {
		return &InvalidConfig{wrong}
	}
	return nil
}

// CheckTopicSet holds all of a topic's own settings (l.Topic) against their rows and against each other over what the broker gives
// them; a *InvalidConfig says what is wrong.
func (l *Layers) CheckTopicSet() error {
	for _, name := range sortedKeys(l.Topic) {
		if Lookup(TopicScope, name) == nil {
			return &InvalidConfig{"Unknown topic config name: " + name}
		}
	}
	for _, name := range sortedKeys(l.Topic) {
		if err := CheckTopic(name, l.Topic[name]); err != nil {
			return err
		}
	}
	value := func(name string) string {
		return Lookup(TopicScope, name).Canonical(l.topicText(Lookup(TopicScope, name)))
	}
	low, high := value("min.compaction.lag.ms"), value("max.compaction.lag.ms")
	if toInt64("", low) > toInt64("", high) {
		return &InvalidConfig{"conflict topic config setting min.compaction.lag.ms (" + low + ") > max.compaction.lag.ms (" + high + ")"}
	}
	if value("remote.storage.enable") == "true" {
		return &InvalidConfig{"Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."}
	}
	return nil
}

// CheckBroker holds one dynamic change of a broker setting against the table: a *InvalidRequest says what is wrong. clusterDefault
// is a change for all brokers (broker resource "").
func CheckBroker(name, value string, clusterDefault bool) error {
	l := Layers{}
	if clusterDefault {
		l.Cluster = map[string]string{name: value}
	} else {
		l.Broker = map[string]string{name: value}
	}
	return l.CheckBrokerSet(clusterDefault)
}

// CheckBrokerSet holds all dynamic settings of a broker (l.Broker), or of all of them (l.Cluster, with clusterDefault), against the
// table and each other: a *InvalidRequest says what is wrong. Kafka answers so for bad values too (KAFKA-13609).
func (l *Layers) CheckBrokerSet(clusterDefault bool) error {
	set := l.Broker
	if clusterDefault {
		set = l.Cluster
	}
	names := sortedKeys(set)
	if bad := filter(names, func(n string) bool { s := Lookup(BrokerScope, n); return s != nil && s.Update == ReadOnly }); bad != "" {
		return &InvalidRequest{"Cannot update these configs dynamically: [" + bad + "]"}
	}
	if bad := filter(names, perListenerOnly); bad != "" {
		return &InvalidRequest{"These security configs can be dynamically updated only per-listener using the listener prefix: [" + bad + "]"}
	}
	for _, name := range names {
		if s := lookupBase(name); s != nil {
			if wrong := s.Check(set[name]); wrong != "" {
				return &InvalidRequest{wrong}
			}
		}
	}
	if clusterDefault {
		if bad := filter(names, perBrokerOnly); bad != "" {
			return &InvalidRequest{"Cannot update these configs at default cluster level, broker id must be specified: [" + bad + "]"}
		}
	}
	return l.checkBroker(func(key, allowed string) error {
		return &InvalidRequest{"Invalid value " + l.String(key) + " for configuration " + key + ": allowed is " + allowed}
	})
}

// perListenerOnly are the settings of key and trust stores: dynamic with a listener's prefix only.
func perListenerOnly(name string) bool {
	return strings.HasPrefix(name, "ssl.key.password") || strings.HasPrefix(name, "ssl.keystore.") || strings.HasPrefix(name, "ssl.truststore.")
}

func perBrokerOnly(name string) bool {
	if base, ok := listenerBase(name); ok {
		return base != "max.connections" && base != "max.connection.creation.rate" && base != "num.network.threads"
	}
	s := Lookup(BrokerScope, name)
	return s != nil && s.Update == PerBroker
}

func filter(names []string, keep func(string) bool) string {
	var kept []string
	for _, n := range names {
		if keep(n) {
			kept = append(kept, n)
		}
	}
	return strings.Join(kept, ", ")
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

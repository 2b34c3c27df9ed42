package config

import (
	"slices"
	"sort"
	"strconv"
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

// CheckBrokerSet holds all dynamic settings that a broker is to have (l.Broker), or all of them (l.Cluster, with clusterDefault),
// against the table and each other: a *InvalidRequest says what is wrong. Kafka answers so for bad values too (KAFKA-13609).
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
	if bad := filter(names, perBrokerOnly); clusterDefault && bad != "" {
		return &InvalidRequest{"Cannot update these configs at default cluster level, broker id must be specified: [" + bad + "]"}
	}
	if c := l.conflicts(); c != nil {
		return &InvalidRequest{c.kafka}
	}
	if wrong := l.checkLocalRetention(set); wrong != "" {
		return &InvalidRequest{wrong}
	}
	return nil
}

// checkLocalRetention: what is kept on local disks is no more than what is kept at all. Kafka checks it for brokers even without
// tiered storage, for topics only with it.
func (l *Layers) checkLocalRetention(set map[string]string) string {
	for _, pair := range [...][2]string{{"log.local.retention.ms", "log.retention.ms"}, {"log.local.retention.bytes", "log.retention.bytes"}} {
		local, all := pair[0], pair[1]
		if _, ok := set[local]; !ok {
			continue
		}
		limit := l.Int64("log.retention.bytes")
		if all == "log.retention.ms" {
			limit = l.retentionMs()
		}
		value, text := l.Int64(local), strconv.FormatInt(limit, 10)
		switch {
		case limit < 0:
		case value == -1:
			return "Invalid value -1 for configuration " + local + ": Value must not be -1 as " + all + " value is set as " + text + "."
		case value > limit:
			return "Invalid value " + l.String(local) + " for configuration " + local + ": Value must not be more than " + all + " property value: " + text
		}
	}
	return ""
}

// threadPools may at most double and at most halve in one step.
var threadPools = [...]string{
	"background.threads", "num.io.threads", "num.network.threads", "num.recovery.threads.per.data.dir", "num.replica.fetchers",
}

// CheckBrokerSteps holds what is to be against what is in force now (before): numbers of threads may change by a factor of two at a
// time, and listeners not at all, as in Kafka. The broker that they are for checks it, after CheckBrokerSet; a *InvalidRequest says
// what is wrong.
func (l *Layers) CheckBrokerSteps(before *Layers) error {
	if !slices.Equal(l.List("listeners"), before.List("listeners")) {
		return &InvalidRequest{"Advertised listeners cannot be altered when using a Raft-based metadata quorum."}
	}
	for _, name := range threadPools {
		from, to := before.Int64(name), l.Int64(name)
		text := "Dynamic thread count update validation failed for " + name + "=" + strconv.FormatInt(to, 10) + ", value should "
		switch {
		case to > 2*from:
			return &InvalidRequest{text + "not be greater than double the current value " + strconv.FormatInt(from, 10)}
		case to < from/2:
			return &InvalidRequest{text + "be at least half the current value " + strconv.FormatInt(from, 10)}
		}
	}
	const cleaners = "log.cleaner.threads"
	from, to := before.Int64(cleaners), l.Int64(cleaners)
	switch {
	case to == from:
	case to < 1:
		return &InvalidRequest{"Log cleaner threads should be at least 1"}
	case to < from/2:
		return &InvalidRequest{"Log cleaner threads cannot be reduced to less than half the current value " + strconv.FormatInt(from, 10)}
	case to > 2*from:
		return &InvalidRequest{"Log cleaner threads cannot be increased to more than double the current value " + strconv.FormatInt(from, 10)}
	}
	return nil
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

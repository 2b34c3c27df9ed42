package config

import (
	"fmt"
	"sort"
	"strings"
)

// notSettings are the variables that start like a setting and are none: they steer images and Java (Kafka's docker wrapper excludes
// them by the same names).
var notSettings = [...]string{
	"KAFKA_VERSION", "KAFKA_HEAP_OPTS", "KAFKA_LOG4J_OPTS", "KAFKA_OPTS", "KAFKA_JMX_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS",
	"KAFKA_GC_LOG_OPTS", "KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_LOG4J_LOGGERS", "KAFKA_TOOLS_LOG4J_LOGLEVEL", "KAFKA_JMX_HOSTNAME",
}

// FromEnv reads settings from variables NAME=value, by the rules of Kafka's images: KAFKA_ and KAFKA_CFG_ are cut off, then in lower
// case _ is a dot, __ an underscore, ___ a hyphen; hyphens stay. CLUSTER_ID is the cluster's id. X_FILE reads the value of X by
// readFile where X is a known setting and X_FILE is not; nil reads none. Where both prefixes set a key, KAFKA_ counts.
func FromEnv(environ []string, readFile func(path string) ([]byte, error)) (Source, error) {
	s := Source{kind: kindEnv}
	sorted := append([]string(nil), environ...)
	sort.Slice(sorted, func(i, j int) bool { // CLUSTER_ID, then KAFKA_CFG_ before KAFKA_, which counts as the later one
		a, b := sorted[i], sorted[j]
		if x, y := envRank(a), envRank(b); x != y {
			return x < y
		}
		return a < b
	})
	for _, variable := range sorted {
		name, value, ok := strings.Cut(variable, "=")
		if !ok {
			continue
		}
		key, known := envKey(name)
		if !known {
			continue
		}
		if base, isFile := strings.CutSuffix(key, ".file"); isFile && Lookup(BrokerScope, key) == nil && lookupBase(base) != nil {
			if readFile == nil {
				continue
			}
			text, err := readFile(value)
			if err != nil {
				return Source{}, fmt.Errorf("%s: %w", name, err)
			}
			key, value = base, strings.TrimRight(string(text), "\r\n")
		}
		s.entries = append(s.entries, entry{key: key, value: value, origin: name})
	}
	s.fixEnvListeners()
	return s, nil
}

func envRank(variable string) int {
	switch {
	case strings.HasPrefix(variable, "KAFKA_CFG_"):
		return 1
	case strings.HasPrefix(variable, "KAFKA_"):
		return 2
	}
	return 0
}

// envKey is the setting that a variable names, if it names one at all.
func envKey(name string) (string, bool) {
	switch name {
	case "CLUSTER_ID", "KAFKA_CLUSTER_ID", "KAFKA_KRAFT_CLUSTER_ID", "KAFKA_CFG_CLUSTER_ID", "KAFKA_CFG_KRAFT_CLUSTER_ID":
		return "cluster.id", true
	}
	for _, not := range notSettings {
		if name == not {
			return "", false
		}
	}
	rest, ok := strings.CutPrefix(name, "KAFKA_")
	if !ok {
		return "", false
	}
	rest, bitnami := strings.CutPrefix(rest, "CFG_")
	if rest == "" {
		return "", false
	}
	key := strings.ReplaceAll(strings.ToLower(rest), "_", ".")
	key = strings.ReplaceAll(key, "...", "-")
	key = strings.ReplaceAll(key, "..", "_")
	if bitnami { // it knows no escapes, but mends the two listener names that need one
		key = strings.ReplaceAll(key, ".sasl.ssl.", ".sasl_ssl.")
		key = strings.ReplaceAll(key, ".sasl.plaintext.", ".sasl_plaintext.")
	}
	return key, true
}

// fixEnvListeners does what the images' configure scripts do before Kafka sees the variables: empty listener lists are not set, and
// listeners that are not set follow the advertised ones, on all interfaces.
func (s *Source) fixEnvListeners() {
	kept := s.entries[:0]
	for _, e := range s.entries {
		if (e.key == "listeners" || e.key == "advertised.listeners") && strings.TrimSpace(e.value) == "" {
			continue
		}
		kept = append(kept, e)
	}
	s.entries = kept
	advertised, roles := s.last("advertised.listeners"), s.last("process.roles")
	if advertised == nil || s.last("listeners") != nil || roles != nil && strings.TrimSpace(roles.value) == "controller" {
		return
	}
	var b strings.Builder
	for i, item := range SplitList(advertised.value) {
		if i > 0 {
			b.WriteByte(',')
		}
		name, address, ok := strings.Cut(item, "://")
		if colon := strings.LastIndexByte(address, ':'); ok && colon >= 0 {
			item = name + "://0.0.0.0" + address[colon:]
		}
		b.WriteString(item)
	}
	s.entries = append(s.entries, entry{key: "listeners", value: b.String(), origin: advertised.origin})
}

func (s *Source) last(key string) *entry {
	for i := len(s.entries) - 1; i >= 0; i-- {
		if s.entries[i].key == key {
			return &s.entries[i]
		}
	}
	return nil
}

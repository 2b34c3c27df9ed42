package config

import "strings"

// foreignPrefixes begin keys that are known to mean nothing here: ZooKeeper's, the JVM's, Confluent's, and those of things that run
// beside a broker in the same compose file.
var foreignPrefixes = [...]string{
	"zookeeper.", "confluent.", "rest.", "jmx.", "heap.", "log4j.", "tools.log4j.", "schema.registry.", "password.encoder.", "ksql.", "connect.",
	"gc.log.", "jvm.", "opts", "rsm.config.", "rlmm.config.", "kraft.", "java.",
}

// foreignKeys are single keys of that kind, most of them Kafka's own of earlier versions.
var foreignKeys = [...]string{
	"advertised.host.name", "advertised.port", "broker.id.generation.enable", "control.plane.listener.name",
	"controller.quorum.fetch.snapshot.max.bytes.enable", "host.name", "inter.broker.protocol.version", "log.message.downconversion.enable",
	"log.message.format.version", "log.message.timestamp.difference.max.ms", "max.incremental.fetch.session.cache.size",
	"offsets.commit.required.acks", "port", "replica.high.watermark.checkpoint.interval", "reserved.broker.max.id",
	"auto.include.jmx.reporter", "metric.reporter.class", "create.topics",
	"ssl.keystore.filename", "ssl.keystore.credentials", "ssl.key.credentials", "ssl.truststore.filename", "ssl.truststore.credentials",
}

func foreign(key string) bool {
	for _, prefix := range foreignPrefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	for _, k := range foreignKeys {
		if key == k {
			return true
		}
	}
	return false
}

func unknownKey(e entry) Warning {
	text := "unknown key " + e.key + " (set by " + e.origin + ")"
	if topic := Lookup(TopicScope, e.key); topic != nil && len(topic.Synonyms) > 0 {
		return Warning{e.key, text + ": it is a topic's; the broker's is " + topic.Synonyms[0].Name}
	}
	if near := Nearest(BrokerScope, e.key); near != "" {
		text += ": did you mean " + near + "?"
	}
	return Warning{e.key, text}
}

// Nearest is the known name that differs from name by the fewest characters; "" where none is near enough to be meant.
func Nearest(scope Scope, name string) string {
	best, distance := "", max(2, len(name)/4)+1
	for _, table := range tables(scope) {
		for i := range table {
			s := &table[i]
			if s.Internal || abs(len(s.Name)-len(name)) >= distance {
				continue
			}
			if d := editDistance(s.Name, name, distance); d < distance || d == distance && best != "" && s.Name < best {
				best, distance = s.Name, d
			}
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// editDistance counts the characters to insert, delete, replace or swap between a and b; it gives up at limit.
func editDistance(a, b string, limit int) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least > limit {
			return limit + 1
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

package config

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// kafkaSets is what the broker behind the golden tables was started with.
var kafkaSets = []string{
	"process.roles=broker,controller", "node.id=1", "controller.quorum.voters=1@127.0.0.1:9093",
	"listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093", "advertised.listeners=PLAINTEXT://127.0.0.1:9092",
	"controller.listener.names=CONTROLLER", "log.dirs=/var/kafka", "offsets.topic.replication.factor=1",
	"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "share.coordinator.state.topic.replication.factor=1",
	"share.coordinator.state.topic.min.isr=1", "group.initial.rebalance.delay.ms=0",
}

// line writes d as a line of the golden tables.
func line(resource string, d Described) string {
	value := func(v string, null bool) string {
		if null {
			return "<null>"
		}
		return v
	}
	var synonyms []string
	for _, s := range d.Synonyms {
		synonyms = append(synonyms, fmt.Sprintf("%s=%s@%d", s.Name, value(s.Value, s.Null), s.Source))
	}
	return strings.Join([]string{
		resource, d.Name, strconv.Itoa(int(d.Type)), value(d.Value, d.Null), strconv.Itoa(int(d.Source)), strconv.FormatBool(d.ReadOnly),
		strconv.FormatBool(d.Sensitive), strings.Join(synonyms, ";"),
	}, "\t")
}

// compare holds what is described against a golden table.
func compare(t *testing.T, table string, described map[string][]Described) {
	t.Helper()
	got := map[string]string{}
	for resource, all := range described {
		for _, d := range all {
			got[resource+"\t"+d.Name] = line(resource, d)
			if d.IsDefault != (d.Source == FromDefault) {
				t.Errorf("%s: is default %t with source %d", d.Name, d.IsDefault, d.Source)
			}
		}
	}
	n := 0
	for _, row := range golden(t, table) {
		if described[row[0]] == nil {
			continue
		}
		n++
		key, want := row[0]+"\t"+row[1], strings.Join(row, "\t")
		have := got[key]
		delete(got, key)
		if row[0] == "4" && otherDefaults[row[1]] != "" { // Weir's default is one more or another synonym
			if s := Lookup(BrokerScope, row[1]); strings.Contains(want, "@4") {
				have, want = have[:strings.LastIndex(have, "\t")], want[:strings.LastIndex(want, "\t")]
			} else {
				want = strings.ReplaceAll(want, row[3], s.Default)
			}
		}
		if have != want {
			t.Errorf("\n have %s\nKafka %s", have, want)
		}
	}
	for _, extra := range got {
		t.Errorf("Kafka does not describe\n      %s", extra)
	}
	if n < 30 {
		t.Errorf("only %d lines compared", n)
	}
}

// min.insync.replicas is a dynamic default in Kafka 4.4: with eligible leader replicas the controller writes it (KIP-966).
var elr = map[string]string{"min.insync.replicas": "1"}

func TestDescribeAsKafka(t *testing.T) {
	l := Layers{Static: resolve(t, kafkaSets...), Cluster: elr}
	compare(t, "describe.tsv", map[string][]Described{
		"2": l.DescribeTopic(nil, true, false), "4": l.DescribeBroker(nil, true, false), "32": l.DescribeGroup(nil, true, false),
	})
}

func TestLayersAsKafka(t *testing.T) {
	sets := append([]string{
		"log.retention.hours=24", "log.roll.ms=7000000", "foo.bar=1", "zookeeper.connect=x", "listener.name.plaintext.max.connections=7",
		"ssl.keystore.password=secret", "listener.name.plaintext.ssl.keystore.password=hush", "group.consumer.regex.refresh.interval.ms=20000",
		"log.cleanup.policy=compact,compact", "log.cleaner.min.cleanable.ratio=1", "log.flush.scheduler.interval.ms=99",
		"message.max.bytes=2000000", "auto.create.topics.enable=FALSE", "broker.id=1", "group.consumer.heartbeat.interval.ms=6000",
		"log.retention.check.interval.ms=+5",
	}, kafkaSets...)
	l := Layers{
		Static: resolve(t, sets...),
		Cluster: map[string]string{
			"min.insync.replicas": "1", "message.max.bytes": "2000001", "log.flush.interval.messages": "9", "log.retention.ms": "111111111",
		},
		Broker: map[string]string{
			"message.max.bytes": "2000002", "log.roll.ms": "6000000", "listener.name.plaintext.max.connections": "5",
			"listener.name.plaintext.ssl.keystore.password": "secret2", "nope": "1",
		},
		Topic: map[string]string{
			"max.message.bytes": "2000003", "cleanup.policy": "compact , delete", "preallocate": "TRUE", "min.cleanable.dirty.ratio": "1",
			"internal.segment.bytes": "1048577",
		},
		Group: map[string]string{"consumer.session.timeout.ms": "46000", "share.auto.offset.reset": "earliest", "streams.assignor.name": "sticky"},
	}
	compare(t, "layers.tsv", map[string][]Described{
		"0": l.DescribeClusterDefault(nil, true, false), "2": l.DescribeTopic(nil, true, false), "4": l.DescribeBroker(nil, true, false),
		"32": l.DescribeGroup(nil, true, false),
	})
	for _, all := range [][]Described{l.DescribeBroker(nil, true, true), l.DescribeClusterDefault(nil, true, true)} {
		for _, d := range all {
			if shown := fmt.Sprint(d.Value, d.Synonyms); strings.Contains(shown, "secret") || strings.Contains(shown, "hush") {
				t.Errorf("%s shows a secret: %v", d.Name, d)
			}
		}
	}
}

// A dynamic value hides the static one of the same setting by another name, as in Kafka; what is in force does not change.
func TestShadowedValues(t *testing.T) {
	l := Layers{
		Static: resolve(t, "log.flush.scheduler.interval.ms=99", "log.retention.minutes=5"),
		Broker: map[string]string{"log.flush.interval.ms": "7", "log.retention.ms": "8"},
	}
	for name, want := range map[string]string{
		"log.flush.scheduler.interval.ms": "9223372036854775807", "log.flush.interval.ms": "7", "log.retention.minutes": "", "log.retention.ms": "8",
	} {
		if got := l.DescribeBroker([]string{name}, false, false); len(got) != 1 || got[0].Value != want || got[0].Null != (want == "") {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
	if topic := l.TopicConfig(); topic.FlushMs != 7 || topic.RetentionMs != 8 {
		t.Errorf("in force: %d %d", topic.FlushMs, topic.RetentionMs)
	}
}

func TestTopicFromSynonyms(t *testing.T) {
	for _, test := range []struct {
		sets string
		want int64
	}{
		{"log.retention.hours=2", 2 * 3600 * 1000}, {"log.retention.hours=2 log.retention.minutes=3", 3 * 60 * 1000}, {"log.retention.hours=-1", -1},
		{"log.retention.minutes=-7", -1}, {"log.retention.ms=-7", -1}, {"log.retention.minutes=3 log.retention.ms=4", 4},
	} {
		l := Layers{Static: resolve(t, strings.Fields(test.sets)...)}
		if got := l.TopicConfig().RetentionMs; got != test.want {
			t.Errorf("%s: %d, want %d", test.sets, got, test.want)
		}
	}
	l := Layers{Static: resolve(t, "log.roll.hours=3", "log.roll.jitter.hours=1", "compression.type=uncompressed", "log.cleanup.policy=compact,delete")}
	if c := l.TopicConfig(); c.SegmentMs != 3*hours || c.SegmentJitterMs != hours || c.CompressionType != "none" || !c.CleanupCompact || !c.CleanupDelete {
		t.Errorf("%+v", c)
	}
	l.Topic = map[string]string{"cleanup.policy": ""}
	if c := l.TopicConfig(); c.CleanupCompact || c.CleanupDelete {
		t.Errorf("an empty policy keeps everything: %+v", c)
	}
}

// The response that creates a topic finds a value's source where DescribeConfigs does not look.
func TestDescribeNewTopic(t *testing.T) {
	l := Layers{Static: resolve(t, "log.retention.hours=24"), Cluster: map[string]string{"log.roll.hours": "7"}, Topic: map[string]string{"segment.bytes": "2000000"}}
	got := map[string]ValueSource{}
	for _, d := range l.DescribeNewTopic() {
		got[d.Name] = d.Source
		if d.IsDefault != (d.Source == FromDefault) {
			t.Errorf("%+v", d)
		}
	}
	for name, want := range map[string]ValueSource{"retention.ms": FromStatic, "segment.ms": FromClusterDefault, "segment.bytes": FromTopic, "flush.ms": FromDefault} {
		if got[name] != want {
			t.Errorf("%s is from %d, want %d", name, got[name], want)
		}
	}
}

func TestDescribeWhatIsAskedFor(t *testing.T) {
	l := Layers{Topic: map[string]string{"retention.ms": "5"}}
	got := l.DescribeTopic([]string{"nope", "retention.ms"}, false, false)
	if len(got) != 1 || got[0].Name != "retention.ms" || got[0].Value != "5" || got[0].Synonyms != nil || got[0].Doc != "" {
		t.Errorf("retention.ms: %+v", got)
	}
	if got = l.DescribeTopic([]string{"retention.ms"}, true, true); got[0].Doc == "" || len(got[0].Synonyms) != 1 {
		t.Errorf("with synonyms and documentation: %+v", got)
	}
	if got = l.DescribeBroker([]string{"retention.ms", "num.partitions"}, false, true); len(got) != 1 || got[0].Doc == "" || !got[0].ReadOnly {
		t.Errorf("num.partitions: %+v", got)
	}
	if got = l.DescribeBroker([]string{"cluster.id"}, false, false); len(got) != 0 {
		t.Errorf("a setting that Kafka does not have is described: %+v", got)
	}
	if got = l.DescribeClusterDefault(nil, true, true); len(got) != 0 {
		t.Errorf("nothing is set for the cluster: %+v", got)
	}
}

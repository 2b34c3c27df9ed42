package config

import (
	"slices"
	"strings"
	"testing"
)

func TestPrecedence(t *testing.T) {
	file, err := FromProperties("server.properties", []byte("# a comment\nnum.partitions=2\nlog.dirs = /a, /b ,/a\nmessage.max.bytes: 7\n"+
		"log.retention.ms=1\nlog.retention.ms=2\nbroker.rack=caf\\u00e9 ${HOME}\ncontroller.quorum.voters=1@a:1,\\\n   2@b:1\n"))
	if err != nil {
		t.Fatal(err)
	}
	env, _ := FromEnv([]string{"KAFKA_NUM_PARTITIONS=3", "KAFKA_MESSAGE_MAX_BYTES=8"}, nil)
	sets, _ := FromSets([]string{"num.partitions=4", "num.partitions = 5 "})
	s, warnings, err := Resolve(file, env, sets)
	if err != nil || len(warnings) != 0 {
		t.Fatal(err, warnings)
	}
	for _, test := range []struct{ name, value, origin string }{
		{"num.partitions", "5", "--set"},
		{"message.max.bytes", "8", "KAFKA_MESSAGE_MAX_BYTES"},
		{"log.retention.ms", "2", "server.properties"},
		{"broker.rack", "café ${HOME}", "server.properties"},
		{"controller.quorum.voters", "1@a:1,2@b:1", "server.properties"},
		{"log.segment.bytes", "1073741824", "default"},
		{"node.id", "1", "default"},
	} {
		if s.String(test.name) != test.value || s.Origin(test.name) != test.origin {
			t.Errorf("%s: %q from %s, want %q from %s", test.name, s.String(test.name), s.Origin(test.name), test.value, test.origin)
		}
	}
	if dirs := s.LogDirs(); !slices.Equal(dirs, []string{"/a", "/b"}) || s.MetadataLogDir() != "/a" {
		t.Errorf("log.dirs: %q, metadata in %s", dirs, s.MetadataLogDir())
	}
	if s.Int("num.partitions") != 5 || s.Int64("log.retention.ms") != 2 || !s.Bool("auto.create.topics.enable") || s.Float("log.cleaner.min.cleanable.ratio") != 0.5 {
		t.Error("typed getters")
	}
	if s.Has("log.retention.minutes") || !s.Has("log.retention.hours") || s.IsSet("log.retention.hours") || !s.IsSet("log.dirs") {
		t.Error("Has and IsSet")
	}
}

func TestDefaults(t *testing.T) {
	for _, s := range []*Static{nil, resolve(t)} {
		if s.NodeID() != 1 || s.ClusterID() != "" || !slices.Equal(s.LogDirs(), []string{"./data"}) || s.MetadataLogDir() != "./data" {
			t.Errorf("%d %q %q", s.NodeID(), s.ClusterID(), s.LogDirs())
		}
	}
	s := resolve(t, "log.dir=/x", "metadata.log.dir=/m", "cluster.id=ciWo7IWazngRchmPES6q5A==")
	if !slices.Equal(s.LogDirs(), []string{"/x"}) || s.MetadataLogDir() != "/m" || s.ClusterID() != "ciWo7IWazngRchmPES6q5A" {
		t.Errorf("%q %s %s", s.LogDirs(), s.MetadataLogDir(), s.ClusterID())
	}
}

func TestNodeID(t *testing.T) {
	file := func(text string) Source { s, _ := FromProperties("f", []byte(text)); return s }
	tests := []struct {
		file, set string
		id        int32
		wrong     string
	}{
		{"broker.id=4", "", 4, ""},
		{"node.id=4", "", 4, ""},
		{"node.id=4\nbroker.id=4", "", 4, ""},
		{"node.id=4", "broker.id=5", 5, ""},
		{"broker.id=4", "node.id=5", 5, ""},
		{"broker.id=-1", "", 1, ""},
		{"node.id=4\nbroker.id=5", "", 0, "broker.id=5: allowed is 4, as node.id says (set by f)"},
		{"broker.id=5\nnode.id=4", "", 0, "node.id=4: allowed is 5, as broker.id says (set by f)"},
		{"node.id=-1", "", 0, "node.id=-1: allowed is a whole number of at least 0 (set by f)"},
		{"broker.id=-2", "", 0, "broker.id=-2: allowed is a whole number of at least 0 (set by f)"},
		{"node.id=x", "", 0, "node.id=x: allowed is a whole number of at least 0 (set by f)"},
	}
	for _, test := range tests {
		var sets Source
		if test.set != "" {
			sets, _ = FromSets([]string{test.set})
		}
		s, _, err := Resolve(file(test.file), sets)
		if test.wrong != "" {
			if err == nil || err.Error() != test.wrong {
				t.Errorf("%q: %v, want %s", test.file, err, test.wrong)
			}
			continue
		}
		if err != nil || s.NodeID() != test.id || s.Int("broker.id") != int(test.id) && s.IsSet("broker.id") {
			t.Errorf("%q %q: %v, %v", test.file, test.set, s, err)
		}
	}
}

// A bad value is one line with key, value, what is allowed and where it was set. Secrets stay hidden.
func TestBadValues(t *testing.T) {
	tests := []struct{ set, want string }{
		{"log.retention.ms=abc", "log.retention.ms=abc: allowed is a whole number (set by --set)"},
		{"num.partitions=0", "num.partitions=0: allowed is a whole number of at least 1 (set by --set)"},
		{"compression.lz4.level=18", "compression.lz4.level=18: allowed is a whole number from 1 to 17 (set by --set)"},
		{"compression.gzip.level=0", "compression.gzip.level=0: allowed is -1 or a whole number from 1 to 9 (set by --set)"},
		{"compression.type=brotli", "compression.type=brotli: allowed is one of uncompressed, zstd, lz4, snappy, gzip, producer (set by --set)"},
		{"log.cleanup.policy=shred", "log.cleanup.policy=shred: allowed is a list of compact, delete, separated by commas (set by --set)"},
		{"log.dirs=", "log.dirs=: allowed is a list, separated by commas, not empty (set by --set)"},
		{"log.dirs=/a,,/b", "log.dirs=/a,,/b: allowed is a list, separated by commas, not empty (set by --set)"},
		{"log.cleaner.min.cleanable.ratio=2", "log.cleaner.min.cleanable.ratio=2: allowed is a number from 0 to 1 (set by --set)"},
		{"auto.create.topics.enable=yes", "auto.create.topics.enable=yes: allowed is true or false (set by --set)"},
		{"offsets.topic.replication.factor=40000", "offsets.topic.replication.factor=40000: allowed is a whole number of at least 1 (set by --set)"},
		{"remote.log.storage.manager.impl.prefix=", "remote.log.storage.manager.impl.prefix=: allowed is a text that is not empty (set by --set)"},
		{"listener.name.x.max.connections=many", "listener.name.x.max.connections=many: allowed is a whole number of at least 0 (set by --set)"},
		{"controller.quorum.voters=1@host", "controller.quorum.voters=1@host: allowed is a list of id@host:port, separated by commas (set by --set)"},
		{"cluster.id=short", "cluster.id=short: allowed is 16 bytes in URL-safe base64: 22 characters (set by --set)"},
		{"log.retention.hours=0", "log.retention.hours=0: allowed is -1, for no limit, or at least 1 (set by --set)"},
		{"log.roll.ms=0", "log.roll.ms=0: allowed is at least 1 (set by --set)"},
		{"log.cleaner.dedupe.buffer.size=1048576", "log.cleaner.dedupe.buffer.size=1048576: allowed is more than 1048576 for each of log.cleaner.threads (set by --set)"},
		{"replica.fetch.wait.max.ms=40000", "replica.socket.timeout.ms=30000: allowed is at least replica.fetch.wait.max.ms (set by default)"},
		{"group.consumer.session.timeout.ms=70000", "group.consumer.session.timeout.ms=70000: allowed is at most group.consumer.max.session.timeout.ms (set by --set)"},
		{"max.connections.per.ip=0", "max.connections.per.ip=0: allowed is 0 only beside max.connections.per.ip.overrides (set by --set)"},
		{"cordoned.log.dirs=/nope", "cordoned.log.dirs=/nope: allowed is directories of log.dirs (set by --set)"},
	}
	for _, test := range tests {
		source, err := FromSets([]string{test.set})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = Resolve(source); err == nil || err.Error() != test.want || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s:\nhave %v\nwant %s", test.set, err, test.want)
		}
	}
	if _, err := FromSets([]string{"novalue"}); err == nil || err.Error() != "--set novalue: allowed is key=value" {
		t.Error(err)
	}
	if _, err := FromProperties("f", []byte("a=\\u00zz")); err == nil || !strings.HasPrefix(err.Error(), "f: ") {
		t.Error(err)
	}
	source, _ := FromSets([]string{"sasl.jaas.config=secret"})
	s, _, _ := Resolve(source)
	for _, v := range s.All() {
		if v.Value == "secret" && !v.Sensitive {
			t.Error("a secret is not marked")
		}
	}
}

func TestUnknownKeys(t *testing.T) {
	source, _ := FromSets([]string{
		"log.retentoin.hours=1", "num.partition=2", "retention.ms=5", "zzz.qqq.xxx=1", "zookeeper.connect=z:2181", "confluent.license.topic=x",
		"listener.name.a.ssl.keystore.location=/k", "listener.name.a.nope=1", "inter.broker.protocol.version=3.9", "listener.name.a.plain.sasl.jaas.config=x",
	})
	_, warnings, err := Resolve(source)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"unknown key listener.name.a.nope (set by --set)",
		"unknown key log.retentoin.hours (set by --set): did you mean log.retention.hours?",
		"unknown key num.partition (set by --set): did you mean num.partitions?",
		"unknown key retention.ms (set by --set): it is a topic's; the broker's is log.retention.ms",
		"unknown key zzz.qqq.xxx (set by --set)",
		"ignored, because only ZooKeeper, the JVM, older versions or Confluent's additions use it: " +
			"confluent.license.topic, inter.broker.protocol.version, zookeeper.connect",
		"known, but without effect yet: listener.name.a.plain.sasl.jaas.config, listener.name.a.ssl.keystore.location",
	}
	var got []string
	for _, w := range warnings {
		got = append(got, w.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("have\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Nearest finds every name again with one character less, more, other, or two swapped.
func TestNearest(t *testing.T) {
	for _, s := range Settings(BrokerScope) {
		if s.Internal {
			continue
		}
		n := len(s.Name) / 2
		for _, typo := range []string{
			s.Name[:n] + s.Name[n+1:], s.Name[:n] + "q" + s.Name[n:], s.Name[:n] + "q" + s.Name[n+1:], s.Name[:n] + s.Name[n+1:n+2] + s.Name[n:n+1] + s.Name[n+2:],
		} {
			if got := Nearest(BrokerScope, typo); got != s.Name && editDistance(got, typo, 2) > 1 {
				t.Errorf("%s: %q, want %s", typo, got, s.Name)
			}
		}
	}
	if got := Nearest(BrokerScope, "x"); got != "" {
		t.Errorf("x: %q", got)
	}
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"kitten", "sitting", 3}} {
		if got := editDistance(test.a, test.b, 10); got != test.want {
			t.Errorf("%s %s: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

// A file as people wrote it for ZooKeeper, with ids and listeners only: a cluster of one.
func TestZooKeeperFile(t *testing.T) {
	file, _ := FromProperties("server.properties", []byte("broker.id=7\nzookeeper.connect=localhost:2181\nlisteners=PLAINTEXT://:9092\n"+
		"advertised.listeners=PLAINTEXT://localhost:9092\nlog.dirs=/tmp/kafka-logs\nzookeeper.connection.timeout.ms=18000\ngroup.initial.rebalance.delay.ms=0\n"))
	s, warnings, err := Resolve(file)
	if err != nil || s.NodeID() != 7 || len(warnings) != 1 || !slices.Equal(s.List("process.roles"), []string{"broker", "controller"}) {
		t.Errorf("%v %v", warnings, err)
	}
}

func TestGettersPanicOnBugs(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a name that the table does not have is no panic")
		}
	}()
	resolve(t).Int("log.retentoin.ms")
}

func TestCanonical(t *testing.T) {
	tests := []struct {
		kind        Type
		value, want string
	}{
		{Double, "1", "1.0"}, {Double, "0.5", "0.5"}, {Double, "1e7", "1.0E7"}, {Double, "12345678.9", "1.23456789E7"}, {Double, "0.0001", "1.0E-4"},
		{Double, "-0.25", "-0.25"}, {Double, "0", "0.0"}, {Double, "1.7976931348623157E308", "1.7976931348623157E308"}, {Double, "Infinity", "Infinity"},
		{Double, "-Infinity", "-Infinity"}, {Double, "NaN", "NaN"},
		{Int, " +5 ", "5"}, {Boolean, "TRUE", "true"}, {List, " a , b,a", "a,b"}, {String, " x ", "x"}, {List, "", ""},
	}
	for _, test := range tests {
		if got := (&Setting{Type: test.kind}).Canonical(test.value); got != test.want {
			t.Errorf("%s %q: %q, want %q", test.kind, test.value, got, test.want)
		}
	}
}

func TestShareReset(t *testing.T) {
	s := Lookup(GroupScope, "share.auto.offset.reset")
	for _, good := range []string{"latest", "earliest", "by_duration:P1D", "by_duration:PT1H30M", "by_duration:P2DT3H4M5.6S", "by_duration:pt0s"} {
		if wrong := s.Check(good); wrong != "" {
			t.Error(good, wrong)
		}
	}
	for _, bad := range []string{"", "none", "by_duration:", "by_duration:P", "by_duration:PT", "by_duration:P1DT", "by_duration:1D", "by_duration:PT1M1H", "by_duration:P1.5D", "by_duration:PTH"} {
		if s.Check(bad) == "" {
			t.Errorf("%q is accepted", bad)
		}
	}
}

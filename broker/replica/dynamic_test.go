package replica

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/broker/partition"
	"weir/config"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
)

// elsewhere are the dynamic settings of brokers that are acted on, and no topic's, with the test that sees it.
var elsewhere = map[string]string{
	"follower.replication.throttled.rate":       "TestThrottled",
	"group.consumer.assignment.interval.ms":     "broker TestGroupSettingsAreDynamic",
	"leader.replication.throttled.rate":         "TestThrottled",
	"listener.security.protocol.map":            "broker: protocols of listeners stay as they are until the next start",
	"listeners":                                 "broker TestMessageSizeIsDynamic: refused",
	"log.cleaner.backoff.ms":                    "TestCleanerIsDynamic",
	"log.cleaner.dedupe.buffer.size":            "TestCleanerIsDynamic",
	"log.cleaner.io.buffer.load.factor":         "TestCleanerIsDynamic",
	"log.cleaner.io.buffer.size":                "TestCleanerIsDynamic",
	"log.cleaner.io.max.bytes.per.second":       "TestCleanerIsDynamic",
	"log.cleaner.threads":                       "TestCleanerIsDynamic",
	"max.connection.creation.rate":              "broker TestCreationRate",
	"max.connections":                           "broker TestFewerConnections",
	"max.connections.per.ip":                    "broker TestConnectionLimitsAreDynamic",
	"max.connections.per.ip.overrides":          "broker TestConnectionLimitsAreDynamic",
	"num.replica.fetchers":                      "TestFetchersAreDynamic",
	"producer.id.expiration.ms":                 "TestProducerExpiryIsDynamic",
	"transaction.partition.verification.enable": "broker TestVerificationIsDynamic",
}

// Every dynamic setting of brokers that topics inherit reaches a partition that is in use at once: the static one, over it the cluster's,
// over that the broker's own, over all the topic's.
func TestInheritedSettingsAreDynamic(t *testing.T) {
	b := newBed(t, 1)
	defer b.close()
	id := partition.ID{Topic: b.topic("t", one, 0)}
	b.ok(id, 1)
	inForce := func() config.Topic { return *b.m.get(id).topic.cfg }
	change := func(resourceType int8, name, key string, value *string) {
		b.change(&controller.ConfigRecord{ResourceType: resourceType, ResourceName: name, Name: key, Value: value})
	}
	seen := map[string]bool{}
	before := inForce()
	for _, s := range config.Settings(config.TopicScope) {
		if !s.Honoured || len(s.Synonyms) == 0 {
			continue
		}
		key := s.Synonyms[0].Name
		seen[key] = true
		if config.Lookup(config.BrokerScope, key).Update != config.ClusterWide {
			t.Errorf("%s cannot be changed for the cluster", key)
		}
		values := othersOf(s)
		want := make([]config.Topic, len(values))
		for i, v := range values {
			want[i] = *before.With(map[string]string{s.Name: v})
		}
		for i, step := range []struct {
			resourceType int8
			name, key    string
			value        *string
			want         config.Topic
		}{
			{controller.BrokerConfig, "", key, &values[0], want[0]},
			{controller.BrokerConfig, "1", key, &values[1], want[1]},
			{controller.BrokerConfig, "2", key, &values[0], want[1]}, // another broker's
			{controller.TopicConfig, "t", s.Name, &values[0], want[0]},
			{controller.TopicConfig, "t", s.Name, nil, want[1]},
			{controller.BrokerConfig, "1", key, nil, want[0]},
			{controller.BrokerConfig, "", key, nil, before},
		} {
			change(step.resourceType, step.name, step.key, step.value)
			if got := inForce(); got != step.want {
				t.Errorf("%s, step %d: %+v, want %+v", key, i, got, step.want)
			}
		}
		if want[0] == before || want[1] == want[0] {
			t.Errorf("%s: no partition reads it", s.Name)
		}
	}
	for _, s := range config.Settings(config.BrokerScope) {
		if s.Honoured && s.Update != config.ReadOnly && !seen[s.Name] && elsewhere[s.Name] == "" {
			t.Errorf("%s is acted on and dynamic: let a test see that a change acts at once, and name it in elsewhere", s.Name)
		}
	}
}

// othersOf are two valid values of a setting, neither of them the default.
func othersOf(s *config.Setting) []string {
	var found []string
	for _, v := range []string{"true", "false", "compact", "compact,delete", "gzip", "zstd", "LogAppendTime", "CreateTime", "5", "6", "2000000", "3000000", "0.25", "0.75"} {
		if s.Check(v) == "" && v != s.Default {
			found = append(found, v)
		}
	}
	if len(found) == 1 { // two values in all
		found = append(found, s.Default)
	}
	return found[:2]
}

// Producers are forgotten by the time that holds when they are looked at.
func TestProducerExpiryIsDynamic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1, "producer.id.expiration.ms=86400000")
		defer b.close()
		ids := []partition.ID{{Topic: b.topic("a", one, 0)}, {Topic: b.topic("b", one, 0)}}
		for i, id := range ids {
			w := record.Builder{LeaderEpoch: -1, ProducerID: int64(7 + i), HasProducer: true}
			w.Add(b.nowMs(), nil, []byte("x"))
			wantCode(t, "append", b.append(id, 1, w.Bytes()).Code, protocol.None)
		}
		known := func() (n int) {
			b.m.expireProducers()
			for _, id := range ids {
				r := b.m.get(id)
				r.mu.Lock()
				n += r.p.Producers()
				r.mu.Unlock()
			}
			return n
		}
		time.Sleep(time.Hour)
		if n := known(); n != 2 {
			t.Fatalf("%d producers", n)
		}
		minute := "60000"
		b.change(&controller.ConfigRecord{ResourceType: controller.BrokerConfig, ResourceName: "2", Name: "producer.id.expiration.ms", Value: &minute})
		if n := known(); n != 2 {
			t.Fatalf("%d producers after another broker's change", n)
		}
		b.change(&controller.ConfigRecord{ResourceType: controller.BrokerConfig, Name: "producer.id.expiration.ms", Value: &minute})
		if n := known(); n != 0 {
			t.Fatalf("%d producers after a minute was enough", n)
		}
	})
}

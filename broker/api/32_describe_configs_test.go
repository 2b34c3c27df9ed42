package api

import (
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/controller"
	"weir/protocol"
)

func describeOf(resources ...kmsg.DescribeConfigsRequestResource) *kmsg.DescribeConfigsRequest {
	q := kmsg.NewPtrDescribeConfigsRequest()
	q.Resources = resources
	q.IncludeSynonyms, q.IncludeDocumentation = true, true
	return q
}

func settingsOf(resourceType int8, name string, keys ...string) kmsg.DescribeConfigsRequestResource {
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceType(resourceType), name, keys
	return r
}

func TestDescribeConfigs(t *testing.T) {
	versions(t, 32, func(t *testing.T, v int16) {
		w := newWorld(t)
		w.s.Config = settings(t, "log.retention.hours=100", "log.segment.bytes=104857600", "node.id=1")
		w.topic("a", []int32{1})
		w.set(controller.TopicConfig, "a", "retention.ms", "1000")
		w.set(controller.BrokerConfig, "", "log.segment.bytes", "209715200")
		w.set(controller.BrokerConfig, "1", "log.cleanup.policy", "compact")
		w.set(controller.GroupConfig, "g", "consumer.session.timeout.ms", "50000")
		w.set(controller.ClientMetricsConfig, "m", "interval.ms", "60000")
		r := call[*kmsg.DescribeConfigsResponse](w, v, describeOf(
			settingsOf(2, "a", "retention.ms", "segment.bytes", "no.such", "cleanup.policy", "flush.ms"),
			settingsOf(4, "1", "log.retention.hours", "log.retention.ms", "ssl.key.password", "node.id"),
			settingsOf(4, ""), settingsOf(32, "g", "consumer.session.timeout.ms"), settingsOf(16, "m"),
		))
		type entry struct {
			name, value                string
			source                     config.ValueSource
			readOnly, sensitive        bool
			kind                       config.Type
			synonyms                   int
			firstSynonym, lastSynonym  string
			firstSource, synonymSource config.ValueSource
		}
		want := [][]entry{{
			{"cleanup.policy", "compact", config.FromBroker, false, false, config.List, 2, "log.cleanup.policy", "log.cleanup.policy", config.FromBroker, config.FromDefault},
			{"flush.ms", "9223372036854775807", config.FromDefault, false, false, config.Long, 0, "", "", 0, 0},
			{"retention.ms", "1000", config.FromTopic, false, false, config.Long, 1, "retention.ms", "retention.ms", config.FromTopic, config.FromTopic},
			{"segment.bytes", "209715200", config.FromClusterDefault, false, false, config.Int, 3, "log.segment.bytes", "log.segment.bytes", config.FromClusterDefault, config.FromDefault},
		}, {
			{"log.retention.hours", "100", config.FromStatic, true, false, config.Int, 2, "log.retention.hours", "log.retention.hours", config.FromStatic, config.FromDefault},
			{"log.retention.ms", "<null>", config.FromDefault, false, false, config.Long, 0, "", "", 0, 0},
			{"node.id", "1", config.FromStatic, true, false, config.Int, 2, "node.id", "node.id", config.FromStatic, config.FromDefault},
			{"ssl.key.password", "<null>", config.FromDefault, false, true, config.Password, 0, "", "", 0, 0},
		}, {
			{"log.segment.bytes", "209715200", config.FromClusterDefault, false, false, config.Int, 1, "log.segment.bytes", "log.segment.bytes", config.FromClusterDefault, config.FromClusterDefault},
		}, {
			{"consumer.session.timeout.ms", "50000", config.FromGroup, false, false, config.Int, 2, "consumer.session.timeout.ms", "group.consumer.session.timeout.ms", config.FromGroup, config.FromDefault},
		}, {
			{"interval.ms", "60000", config.FromClientMetrics, false, false, config.Int, 1, "interval.ms", "interval.ms", config.FromClientMetrics, config.FromClientMetrics},
			{"match", "", config.FromDefault, false, false, config.List, 0, "", "", 0, 0},
			{"metrics", "", config.FromDefault, false, false, config.List, 0, "", "", 0, 0},
		}}
		if len(r.Resources) != len(want) {
			t.Fatalf("%+v", r.Resources)
		}
		for i, res := range r.Resources {
			code(t, res.ErrorCode, protocol.None, res.ResourceName)
			if value(res.ErrorMessage) != "" || len(res.Configs) != len(want[i]) {
				t.Fatalf("%d: %q, %d settings: %+v", i, value(res.ErrorMessage), len(res.Configs), res.Configs)
			}
			for j, x := range want[i] {
				c := res.Configs[j]
				got := entry{c.Name, value(c.Value), config.ValueSource(c.Source), c.ReadOnly, c.IsSensitive, config.Type(c.ConfigType), len(c.ConfigSynonyms), "", "", 0, 0}
				if n := len(c.ConfigSynonyms); n > 0 {
					got.firstSynonym, got.lastSynonym = c.ConfigSynonyms[0].Name, c.ConfigSynonyms[n-1].Name
					got.firstSource, got.synonymSource = config.ValueSource(c.ConfigSynonyms[0].Source), config.ValueSource(c.ConfigSynonyms[n-1].Source)
				}
				if v < 3 {
					x.kind = 0
				}
				if got != x {
					t.Errorf("%+v, want %+v", got, x)
				}
				if (c.Documentation != nil && *c.Documentation != "") != (v >= 3) {
					t.Errorf("%s: documentation %s", c.Name, value(c.Documentation))
				}
			}
		}
		q := describeOf(settingsOf(2, "a", "retention.ms"))
		q.IncludeSynonyms, q.IncludeDocumentation = false, false
		if c := call[*kmsg.DescribeConfigsResponse](w, v, q).Resources[0].Configs[0]; len(c.ConfigSynonyms) > 0 || c.Documentation != nil {
			t.Errorf("not asked for: %+v", c)
		}
		for _, all := range []kmsg.DescribeConfigsRequestResource{settingsOf(2, "a"), {ResourceType: 2, ResourceName: "a", ConfigNames: []string{}}} {
			if n := len(call[*kmsg.DescribeConfigsResponse](w, v, describeOf(all)).Resources[0].Configs); n != 37 {
				t.Errorf("a topic has %d settings, in Kafka 4.4 it has 37", n)
			}
		}
	})
}

func TestDescribeConfigsRefuses(t *testing.T) {
	w := newWorld(t)
	w.topic("secret", []int32{1})
	w.auth.deny(DescribeConfigs, TopicResource, "secret")
	w.auth.deny(DescribeConfigs, GroupResource, "secret")
	for _, c := range []struct {
		resourceType int8
		name         string
		code         protocol.Code
		message      string
	}{
		{2, "secret", protocol.TopicAuthorizationFailed, "Topic authorization failed."},
		{2, "gone", protocol.UnknownTopicOrPartition, ""},
		{2, "bad name", protocol.InvalidTopicException, "Topic name is invalid: 'bad name' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{2, "", protocol.InvalidTopicException, "Topic name is invalid: the empty string is not allowed"},
		{4, "2", protocol.InvalidRequest, "Unexpected broker id, expected 1 or empty string, but received 2"},
		{4, "x", protocol.InvalidRequest, "Broker id must be an integer, but it is: x"},
		{4, "99999999999", protocol.InvalidRequest, "Broker id must be an integer, but it is: 99999999999"},
		{4, "+1", protocol.None, ""},
		{4, "01", protocol.None, ""},
		{8, "", protocol.InvalidRequest, "Broker id must not be empty"},
		{8, "2", protocol.InvalidRequest, "Unexpected broker id, expected 1 but received 2"},
		{16, "", protocol.InvalidRequest, "Client metrics subscription name must not be empty"},
		{32, "", protocol.InvalidRequest, "Group name must not be empty"},
		{32, "secret", protocol.GroupAuthorizationFailed, "Group authorization failed."},
	} {
		r := call[*kmsg.DescribeConfigsResponse](w, 4, describeOf(settingsOf(c.resourceType, c.name, "node.id"))).Resources[0]
		if code(t, r.ErrorCode, c.code, c.name); value(r.ErrorMessage) != c.message || int8(r.ResourceType) != c.resourceType || r.ResourceName != c.name {
			t.Errorf("%+v: %+v %q", c, r, value(r.ErrorMessage))
		}
	}
	for _, unknown := range []int8{0, 1, 3, 64, -1} {
		r := call[*kmsg.DescribeConfigsResponse](w, 4, describeOf(settingsOf(4, ""), settingsOf(unknown, "x")))
		for i := range r.Resources {
			code(t, r.Resources[i].ErrorCode, protocol.InvalidRequest, "beside an unknown type")
		}
	}
	w.auth.deny(DescribeConfigs, ClusterResource, ClusterName)
	r := call[*kmsg.DescribeConfigsResponse](w, 4, describeOf(settingsOf(4, "1"), settingsOf(2, "gone"), settingsOf(8, "1"), settingsOf(16, "m")))
	code(t, r.Resources[0].ErrorCode, protocol.UnknownTopicOrPartition, "what may be asked comes first")
	for i := 1; i < 4; i++ {
		code(t, r.Resources[i].ErrorCode, protocol.ClusterAuthorizationFailed, "denied")
	}
}

func TestDescribeLoggers(t *testing.T) {
	w := newWorld(t)
	describe := func(keys ...string) []kmsg.DescribeConfigsResponseResourceConfig {
		return call[*kmsg.DescribeConfigsResponse](w, 4, describeOf(settingsOf(8, "1", keys...))).Resources[0].Configs
	}
	if got := describe(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	all := levels{RootLogger: 0, "weir.a": slog.LevelWarn}
	w.s.Loggers = all
	for level, name := range map[slog.Level]string{slog.LevelInfo: "INFO", slog.LevelDebug: "DEBUG", -8: "TRACE", -100: "TRACE", 8: "ERROR", 12: "FATAL", 5: "WARN"} {
		all[RootLogger] = level
		got := describe()
		if len(got) != 2 || got[0].Name != "root" || got[1].Name != "weir.a" || value(got[1].Value) != "WARN" || value(got[0].Value) != name || got[0].Source != 6 || value(got[0].Documentation) != "" {
			t.Errorf("%v: %+v", level, got)
		}
	}
	if got := describe("weir.a"); len(got) != 1 || got[0].Name != "weir.a" {
		t.Errorf("%+v", got)
	}
	if got := describe("no.such"); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

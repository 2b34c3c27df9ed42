package config

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

// otherOutcomes are the changes whose answer is not Kafka's to the letter: "" is another text with the same code.
var otherOutcomes = map[string]string{
	"4 listeners=PLAINTEXT://:1":             "",
	"4 min.insync.replicas=2":                "the controller refuses it where eligible leader replicas are on (KIP-966)",
	"4 max.connections.per.ip.overrides=x":   "",
	"0 max.connections.per.ip.overrides=x":   "",
	"4 principal.builder.class=foo":          "no classes are loaded, so none is missing",
	"0 principal.builder.class=foo":          "no classes are loaded, so none is missing",
	"4 metric.reporters=foo":                 "no classes are loaded, so none is missing",
	"0 metric.reporters=foo":                 "no classes are loaded, so none is missing",
	"2 errors.deadletterqueue.group.enable=": "",
}

// change applies one key=value, key+=value, key-=value or !key to a set, as IncrementalAlterConfigs does.
func change(scope Scope, text string) (map[string]string, error) {
	if name, ok := strings.CutPrefix(text, "!"); ok {
		_ = name
		return map[string]string{}, nil
	}
	key, value, _ := strings.Cut(text, "=")
	var err error
	switch {
	case strings.HasSuffix(key, "+"):
		key = key[:len(key)-1]
		value, err = Append(scope, key, "", false, value)
	case strings.HasSuffix(key, "-"):
		key = key[:len(key)-1]
		value, err = Subtract(scope, key, "", false, value)
	}
	return map[string]string{key: value}, err
}

// alter is the outcome of one change in the form of the golden table.
func alter(resource, text string) (code, message string) {
	scope := map[string]Scope{"2": TopicScope, "4": BrokerScope, "0": BrokerScope, "32": GroupScope, "16": ClientMetricsScope}[resource]
	set, err := change(scope, text)
	l := Layers{}
	if err == nil {
		switch resource {
		case "2":
			l.Topic = set
			err = l.CheckTopicSet()
		case "4":
			l.Broker = set
			err = errors.Join(l.CheckBrokerSet(false), l.CheckBrokerSteps(&Layers{}))
		case "0":
			l.Cluster = set
			err = errors.Join(l.CheckBrokerSet(true), l.CheckBrokerSteps(&Layers{}))
		case "32":
			l.Group = set
			err = l.CheckGroupSet()
		case "16":
			err = CheckClientMetricsSet(set, func(p string) bool { _, err := regexp.Compile(p); return err == nil })
		}
	}
	var invalid *InvalidConfig
	var request *InvalidRequest
	switch {
	case err == nil:
		return "0", ""
	case errors.As(err, &invalid):
		return "40", invalid.Message
	case errors.As(err, &request):
		return "42", request.Message
	}
	return "?", err.Error()
}

// Kafka wraps some messages in others; what is inside counts.
var wrapped = strings.NewReplacer(
	"Invalid value org.apache.kafka.common.config.ConfigException: ", "", " for configuration Invalid dynamic configuration", "")

func TestAlterAsKafka(t *testing.T) {
	for _, row := range golden(t, "alter.tsv") {
		code, message := alter(row[0], row[1])
		reason, other := otherOutcomes[row[0]+" "+row[1]]
		if code != row[2] && reason == "" {
			t.Errorf("%s %s: code %s (%s), Kafka's is %s (%s)", row[0], row[1], code, message, row[2], row[3])
		} else if want := wrapped.Replace(row[3]); message != want && !other {
			t.Errorf("%s %s:\n have %s\nKafka %s", row[0], row[1], message, want)
		}
		if other && code == row[2] && message == wrapped.Replace(row[3]) {
			t.Errorf("%s %s: is Kafka's answer after all", row[0], row[1])
		}
	}
}

func TestCheckTogether(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"compaction lags", (&Layers{Topic: map[string]string{"min.compaction.lag.ms": "100", "max.compaction.lag.ms": "50"}}).CheckTopicSet(),
			"conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)"},
		{"over the broker's", (&Layers{Cluster: map[string]string{"log.cleaner.max.compaction.lag.ms": "50"},
			Topic: map[string]string{"min.compaction.lag.ms": "100"}}).CheckTopicSet(),
			"conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)"},
		{"name before value", (&Layers{Topic: map[string]string{"a.b": "1", "z": "2", "retention.ms": "x"}}).CheckTopicSet(), "Unknown topic config name: a.b"},
		{"all that is not dynamic", (&Layers{Broker: map[string]string{"num.partitions": "3", "nope": "1", "default.replication.factor": "2"}}).CheckBrokerSet(false),
			"Cannot update these configs dynamically: [default.replication.factor, num.partitions]"},
		{"session and heartbeat", (&Layers{Static: nil, Broker: map[string]string{"group.consumer.max.heartbeat.interval.ms": "60000"},
			Group: map[string]string{"consumer.heartbeat.interval.ms": "45000"}}).CheckGroupSet(),
			"consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"},
		{"one topic setting", CheckTopic("retention.ms", "-2"), "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
		{"one broker setting", CheckBroker("node.id", "2", false), "Cannot update these configs dynamically: [node.id]"},
		{"cleaner threads", (&Layers{Cluster: map[string]string{"log.cleaner.threads": "0"}}).CheckBrokerSteps(&Layers{}), "Log cleaner threads should be at least 1"},
		{"other listeners", (&Layers{Broker: map[string]string{"listeners": "PLAINTEXT://:1"}}).CheckBrokerSteps(&Layers{}),
			"Advertised listeners cannot be altered when using a Raft-based metadata quorum."},
		{"the same listeners", (&Layers{Broker: map[string]string{"listeners": " PLAINTEXT://127.0.0.1:9092, PLAINTEXT://[::1]:9092"}}).CheckBrokerSteps(&Layers{}), ""},
		{"the ratio's bounds count", errors.Join(CheckTopic("min.cleanable.dirty.ratio", "0"), CheckTopic("min.cleanable.dirty.ratio", "1")), ""},
		{"local retention follows", (&Layers{Broker: map[string]string{"log.local.retention.ms": "-2", "log.retention.ms": "5"}}).CheckBrokerSet(false), ""},
		{"local retention", (&Layers{Broker: map[string]string{"log.local.retention.bytes": "6", "log.retention.bytes": "5"}}).CheckBrokerSet(false),
			"Invalid value 6 for configuration log.local.retention.bytes: Value must not be more than log.retention.bytes property value: 5"},
		{"cordoned", (&Layers{Broker: map[string]string{"cordoned.log.dirs": "a,*"}}).CheckBrokerSet(false),
			"requirement failed: When cordoned.log.dirs is set to *, it must not contain other values"},
		{"all cordoned", (&Layers{Broker: map[string]string{"cordoned.log.dirs": "*"}}).CheckBrokerSet(false), ""},
		{"fine", (&Layers{Broker: map[string]string{"log.retention.ms": "-5"}}).CheckBrokerSet(false), ""},
	}
	for _, test := range tests {
		if test.err == nil && test.want == "" {
			continue
		}
		if test.err == nil || test.err.Error() != test.want {
			t.Errorf("%s: %v, want %q", test.name, test.err, test.want)
		}
	}
}

func TestAppendSubtract(t *testing.T) {
	tests := []struct {
		do             func(Scope, string, string, bool, string) (string, error)
		current, value string
		isSet          bool
		want           string
	}{
		{Append, "", "compact", false, "delete,compact"},
		{Append, "", "compact", true, "compact"},
		{Append, "compact", "compact,delete", true, "compact,delete"},
		{Subtract, "", "delete", false, ""},
		{Subtract, "compact,delete", "compact", true, "delete"},
		{Subtract, "compact", "delete", true, "compact"},
	}
	for _, test := range tests {
		if got, err := test.do(TopicScope, "cleanup.policy", test.current, test.isSet, test.value); err != nil || got != test.want {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
	if _, err := Subtract(BrokerScope, "num.partitions", "", false, "1"); err == nil || err.Error() != "Config value subtract is not allowed for config key: num.partitions" {
		t.Error(err)
	}
}

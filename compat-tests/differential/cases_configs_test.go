package differential

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kinds of resources that have settings.
const (
	ofTopic         = kmsg.ConfigResourceTypeTopic
	ofBroker        = kmsg.ConfigResourceTypeBroker
	ofBrokerLogger  = kmsg.ConfigResourceTypeBrokerLogger
	ofClientMetrics = kmsg.ConfigResourceTypeClientMetrics
	ofGroup         = kmsg.ConfigResourceTypeGroupConfig
)

func describe(kind kmsg.ConfigResourceType, name string, keys ...string) *kmsg.DescribeConfigsRequest {
	request := kmsg.NewPtrDescribeConfigsRequest()
	request.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: keys}}
	request.IncludeSynonyms = true
	return request
}

type change struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string
}

const (
	set    = kmsg.IncrementalAlterConfigOpSet
	unset  = kmsg.IncrementalAlterConfigOpDelete
	add    = kmsg.IncrementalAlterConfigOpAppend
	remove = kmsg.IncrementalAlterConfigOpSubtract
)

func incremental(kind kmsg.ConfigResourceType, name string, changes ...change) *kmsg.IncrementalAlterConfigsRequest {
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
	for _, c := range changes {
		resource.Configs = append(resource.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: c.name, Op: c.op, Value: c.value})
	}
	request.Resources = append(request.Resources, resource)
	return request
}

func replace(kind kmsg.ConfigResourceType, name string, changes ...change) *kmsg.AlterConfigsRequest {
	request := kmsg.NewPtrAlterConfigsRequest()
	resource := kmsg.AlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
	for _, c := range changes {
		resource.Configs = append(resource.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: c.name, Value: c.value})
	}
	request.Resources = append(request.Resources, resource)
	return request
}

// describeSet asks for what is set on a resource once the last change has arrived: answers come from metadata that follows. A
// topic made after the change is there when the change is; what takes its settings from metadata may be a little behind still.
func (s *session) describeSet(what string, kind kmsg.ConfigResourceType, name string, keys ...string) {
	s.t.Helper()
	s.create("fence"+itoa(int(s.counter)), 1)
	before := ""
	for same := 0; same < 3; time.Sleep(5 * time.Millisecond) { // equal answers in a row
		now := ""
		for _, r := range s.quiet(4, describe(kind, name, keys...)).(*kmsg.DescribeConfigsResponse).Resources {
			for _, c := range r.Configs {
				now += c.Name + "=" + or(c.Value, "null") + c.Source.String() + "\n"
			}
		}
		if same++; now != before {
			same, before = 0, now
		}
	}
	s.ask(what, 4, describe(kind, name, keys...))
}

var configScripts = []script{
	{"a topic's settings", 32, 1, 4, func(s *session, v int16) {
		s.create("a", 1, "retention.ms", "1000", "cleanup.policy", "compact")
		s.ask("all", v, describe(ofTopic, s.topic("a")))
		s.ask("two", v, describe(ofTopic, s.topic("a"), "retention.ms", "segment.bytes"))
		s.ask("unknown ones", v, describe(ofTopic, s.topic("a"), "no.such", "retention.ms"))
		none := describe(ofTopic, s.topic("a"))
		none.Resources[0].ConfigNames = []string{}
		s.ask("none", v, none)
		plain := describe(ofTopic, s.topic("a"))
		plain.IncludeSynonyms, plain.IncludeDocumentation = false, true
		s.ask("with documentation", v, plain)
		s.ask("an unknown topic", v, describe(ofTopic, s.topic("none")))
		s.ask("a bad name", v, describe(ofTopic, "not legal"))
		s.ask("no name", v, describe(ofTopic, ""))
		twice := describe(ofTopic, s.topic("a"), "retention.ms")
		twice.Resources = append(twice.Resources, twice.Resources[0])
		s.ask("twice", v, twice)
		s.ask("nothing", v, kmsg.NewPtrDescribeConfigsRequest())
	}},
	{"a broker's settings", 32, 1, 4, func(s *session, v int16) {
		s.ask("all", v, describe(ofBroker, "1"))
		s.ask("one", v, describe(ofBroker, "1", "log.retention.hours"))
		s.ask("unknown", v, describe(ofBroker, "1", "no.such"))
		s.ask("for all brokers", v, describe(ofBroker, ""))
		s.ask("another broker", v, describe(ofBroker, "7"))
		s.ask("no number", v, describe(ofBroker, "one"))
	}},
	{"settings of other things", 32, 1, 4, func(s *session, v int16) {
		s.ask("a group", v, describe(ofGroup, "g"))
		s.ask("client metrics", v, describe(ofClientMetrics, "m"))
		s.ask("loggers of another broker", v, describe(ofBrokerLogger, "7"))
		s.ask("an unknown kind", v, describe(99, "x"))
		s.ask("kind 0", v, describe(0, "x"))
	}},
	// A resource twice in one request is not asked for: Kafka never answers that.
	{"all settings anew", 33, 0, 2, func(s *session, v int16) {
		s.create("a", 1, "retention.ms", "1000", "max.message.bytes", "2000")
		s.ask("set", v, replace(ofTopic, s.topic("a"), change{"segment.bytes", 0, ptr("2000000")}, change{"flush.ms", 0, ptr("50")}))
		s.describeSet("then", ofTopic, s.topic("a"), "retention.ms", "max.message.bytes", "segment.bytes", "flush.ms")
		s.ask("a bad value", v, replace(ofTopic, s.topic("a"), change{"retention.ms", 0, ptr("soon")}))
		s.ask("an unknown setting", v, replace(ofTopic, s.topic("a"), change{"no.such", 0, ptr("1")}))
		s.ask("no value", v, replace(ofTopic, s.topic("a"), change{"retention.ms", 0, nil}))
		only := replace(ofTopic, s.topic("a"), change{"retention.ms", 0, ptr("77")})
		only.ValidateOnly = true
		s.ask("validated only", v, only)
		s.ask("an unknown topic", v, replace(ofTopic, s.topic("none"), change{"retention.ms", 0, ptr("77")}))
		s.ask("a bad name", v, replace(ofTopic, "not legal", change{"retention.ms", 0, ptr("77")}))
		s.ask("an unknown kind", v, replace(99, "x", change{"retention.ms", 0, ptr("77")}))
		s.ask("a broker's that cannot change", v, replace(ofBroker, "1", change{"node.id", 0, ptr("2")}))
		s.ask("another broker's", v, replace(ofBroker, "7", change{"message.max.bytes", 0, ptr("70000")}))
		s.ask("nothing", v, kmsg.NewPtrAlterConfigsRequest())
		s.describeSet("at last", ofTopic, s.topic("a"), "retention.ms", "max.message.bytes", "segment.bytes", "flush.ms")
		s.ask("all to default", v, replace(ofTopic, s.topic("a")))
		s.describeSet("by default", ofTopic, s.topic("a"), "segment.bytes", "flush.ms")
	}},
	{"a topic's settings changed", 44, 0, 1, func(s *session, v int16) {
		s.create("a", 1, "retention.ms", "1000")
		topic := s.topic("a")
		for _, step := range []struct {
			what    string
			changes []change
		}{
			{"set two", []change{{"segment.bytes", set, ptr("2000000")}, {"compression.type", set, ptr("zstd")}}},
			{"unset one", []change{{"retention.ms", unset, nil}}},
			{"unset what is not set", []change{{"flush.ms", unset, nil}}},
			{"add to a list", []change{{"cleanup.policy", add, ptr("compact")}}},
			{"add what is there", []change{{"cleanup.policy", add, ptr("compact")}}},
			{"take from a list", []change{{"cleanup.policy", remove, ptr("delete")}}},
			{"take what is not there", []change{{"cleanup.policy", remove, ptr("delete")}}},
			{"add nonsense to a list", []change{{"cleanup.policy", add, ptr("burn")}}},
			{"add to what is no list", []change{{"retention.ms", add, ptr("1")}}},
			{"take from what is no list", []change{{"retention.ms", remove, ptr("1")}}},
			{"a bad value", []change{{"retention.ms", set, ptr("soon")}}},
			{"an unknown setting", []change{{"no.such", set, ptr("1")}}},
			{"unset an unknown setting", []change{{"no.such", unset, nil}}},
			{"no value", []change{{"retention.ms", set, nil}}},
			{"a setting twice", []change{{"retention.ms", set, ptr("1")}, {"retention.ms", set, ptr("2")}}},
			{"an unknown change", []change{{"retention.ms", 9, ptr("1")}}},
			{"a good one and a bad one", []change{{"max.message.bytes", set, ptr("5000")}, {"retention.ms", set, ptr("soon")}}},
			{"nothing", nil},
		} {
			s.ask(step.what, v, incremental(ofTopic, topic, step.changes...))
			s.describeSet("after "+step.what, ofTopic, topic, "segment.bytes", "compression.type", "retention.ms", "flush.ms", "cleanup.policy", "max.message.bytes")
		}
		only := incremental(ofTopic, topic, change{"retention.ms", set, ptr("77")})
		only.ValidateOnly = true
		s.ask("validated only", v, only)
		s.ask("an unknown topic", v, incremental(ofTopic, s.topic("none"), change{"retention.ms", set, ptr("77")}))
		s.ask("a bad name", v, incremental(ofTopic, "not legal", change{"retention.ms", set, ptr("77")}))
		s.ask("no name", v, incremental(ofTopic, "", change{"retention.ms", set, ptr("77")}))
		twice := incremental(ofTopic, topic, change{"retention.ms", set, ptr("77")})
		twice.Resources = append(twice.Resources, twice.Resources[0])
		s.ask("a topic twice", v, twice)
		s.ask("an unknown kind", v, incremental(99, "x", change{"retention.ms", set, ptr("77")}))
		s.ask("no resource", v, kmsg.NewPtrIncrementalAlterConfigsRequest())
		s.create("b", 1)
		strange := incremental(ofTopic, topic, change{"retention.ms", 9, ptr("1")})
		strange.Resources = append(strange.Resources, incremental(ofTopic, s.topic("b"), change{"retention.ms", set, ptr("77777")}).Resources...)
		s.ask("an unknown change beside a good one", v, strange)
		s.describeSet("after an unknown change", ofTopic, s.topic("b"), "retention.ms")
		two := incremental(ofTopic, s.topic("none"), change{"retention.ms", set, ptr("1")})
		two.Resources = append(two.Resources, incremental(ofTopic, s.topic("b"), change{"retention.ms", set, ptr("88888")}).Resources...)
		s.ask("an unknown topic beside a good one", v, two)
		s.describeSet("after an unknown topic", ofTopic, s.topic("b"), "retention.ms")
		s.describeSet("at last", ofTopic, topic)
	}},
	{"a broker's settings changed", 44, 0, 1, func(s *session, v int16) {
		keys := []string{"message.max.bytes", "log.retention.ms", "num.io.threads", "log.cleaner.threads", "min.insync.replicas"}
		for _, broker := range []string{"1", "", "7", "one"} {
			for _, c := range []change{
				{"message.max.bytes", set, ptr("900000")}, {"message.max.bytes", set, ptr("many")}, {"log.retention.ms", set, ptr("5000000")},
				{"node.id", set, ptr("2")}, {"num.partitions", set, ptr("3")}, {"no.such", set, ptr("1")}, {"log.dirs", set, ptr("x")},
				{"message.max.bytes", unset, nil}, {"log.retention.ms", unset, nil}, {"no.such", unset, nil},
			} {
				s.ask("broker "+broker+": "+c.name+" "+or(c.value, "unset"), v, incremental(ofBroker, broker, c))
				if broker == "1" || broker == "" {
					s.describeSet("then", ofBroker, broker, keys...)
				}
			}
		}
	}},
	{"log directories", 35, 1, 5, func(s *session, v int16) {
		s.create("a", 2)
		s.create("b", 1)
		s.fill("a", 1, 5)
		ask := func(what string, topics []kmsg.DescribeLogDirsRequestTopic) {
			request := kmsg.NewPtrDescribeLogDirsRequest()
			request.Topics = topics
			s.ask(what, v, request)
		}
		ask("one partition", []kmsg.DescribeLogDirsRequestTopic{{Topic: s.topic("a"), Partitions: []int32{1}}})
		ask("two topics", []kmsg.DescribeLogDirsRequestTopic{{Topic: s.topic("a"), Partitions: []int32{0, 1}}, {Topic: s.topic("b"), Partitions: []int32{0}}})
		ask("unknown ones", []kmsg.DescribeLogDirsRequestTopic{{Topic: s.topic("none"), Partitions: []int32{0}}, {Topic: s.topic("a"), Partitions: []int32{7}}})
		ask("none", []kmsg.DescribeLogDirsRequestTopic{})
		twice := kmsg.DescribeLogDirsRequestTopic{Topic: s.topic("a"), Partitions: []int32{1, 1, -1}}
		ask("a topic and a partition twice", []kmsg.DescribeLogDirsRequestTopic{twice, twice})
	}},
}

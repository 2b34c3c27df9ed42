package tools

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	compat "weir-compat"
)

// Classes of Kafka's tools.
const (
	topicCommand         = "org.apache.kafka.tools.TopicCommand"
	configCommand        = "kafka.admin.ConfigCommand"
	getOffsetShell       = "org.apache.kafka.tools.GetOffsetShell"
	deleteRecordsCommand = "org.apache.kafka.tools.DeleteRecordsCommand"
)

func TestTopicCommand(t *testing.T) {
	b := compat.Shared(t)
	topic := compat.TopicName(t)
	tool(t, b, nil, topicCommand, "--create", "--topic", topic, "--partitions", "3", "--replication-factor", "1", "--config", "retention.ms=123456",
		"--config", "segment.bytes=2097152")
	refused(t, b, "already exists", topicCommand, "--create", "--topic", topic)
	tool(t, b, nil, topicCommand, "--create", "--topic", topic, "--if-not-exists")
	refused(t, b, "InvalidReplicationFactorException", topicCommand, "--create", "--topic", topic+"-2", "--replication-factor", "3")
	refused(t, b, "InvalidTopicException", topicCommand, "--create", "--topic", "not legal!")
	refused(t, b, "Not a number of type LONG", topicCommand, "--create", "--topic", topic+"-2", "--config", "retention.ms=soon")

	if list := tool(t, b, nil, topicCommand, "--list"); !strings.Contains("\n"+list, "\n"+topic+"\n") {
		t.Errorf("%s is not in the list:\n%s", topic, list)
	}
	contains(t, tool(t, b, nil, topicCommand, "--describe", "--topic", topic), "PartitionCount: 3", "ReplicationFactor: 1",
		"retention.ms=123456", "segment.bytes=2097152", "Partition: 2\tLeader: 1\tReplicas: 1\tIsr: 1")
	refused(t, b, "does not exist", topicCommand, "--describe", "--topic", topic+"-none")

	tool(t, b, nil, topicCommand, "--alter", "--topic", topic, "--partitions", "5")
	refused(t, b, "InvalidPartitionsException", topicCommand, "--alter", "--topic", topic, "--partitions", "4")
	contains(t, tool(t, b, nil, topicCommand, "--describe", "--topic", topic), "PartitionCount: 5", "Partition: 4\tLeader: 1")
	if under := tool(t, b, nil, topicCommand, "--describe", "--under-replicated-partitions", "--topic", topic); strings.Contains(under, topic) {
		t.Errorf("under-replicated: %s", under)
	}

	tool(t, b, nil, topicCommand, "--delete", "--topic", topic)
	refused(t, b, "does not exist", topicCommand, "--delete", "--topic", topic)
	tool(t, b, nil, topicCommand, "--delete", "--topic", topic, "--if-exists")
	if list := tool(t, b, nil, topicCommand, "--list"); strings.Contains("\n"+list, "\n"+topic+"\n") {
		t.Errorf("%s is still in the list:\n%s", topic, list)
	}
}

func TestConfigCommandTopics(t *testing.T) {
	b := compat.Shared(t)
	topic := compat.CreateTopic(t, b, 1)
	entity := []string{"--entity-type", "topics", "--entity-name", topic}
	config := func(args ...string) string { return tool(t, b, nil, configCommand, append(entity, args...)...) }

	config("--alter", "--add-config", "retention.ms=7200000,cleanup.policy=[compact,delete],max.message.bytes=77777")
	described := config("--describe")
	contains(t, described, "retention.ms=7200000", "cleanup.policy=compact,delete", "max.message.bytes=77777", "DYNAMIC_TOPIC_CONFIG:retention.ms=7200000")
	config("--alter", "--delete-config", "retention.ms")
	described = config("--describe")
	if strings.Contains(described, "retention.ms=") {
		t.Errorf("retention.ms is still there:\n%s", described)
	}
	contains(t, config("--describe", "--all"), "retention.ms=604800000", "segment.bytes=1073741824", "min.insync.replicas=1",
		"DEFAULT_CONFIG:log.segment.bytes=1073741824", "message.timestamp.type=CreateTime", "sensitive=false")

	refused(t, b, "InvalidConfigurationException", configCommand, append(entity, "--alter", "--add-config", "retention.ms=soon")...)
	refused(t, b, "InvalidConfigurationException", configCommand, append(entity, "--alter", "--add-config", "no.such.setting=1")...)
}

func TestConfigCommandBrokers(t *testing.T) {
	b := compat.Start(t)
	one := []string{"--entity-type", "brokers", "--entity-name", "1"}
	every := []string{"--entity-type", "brokers", "--entity-default"}
	config := func(entity []string, args ...string) string {
		return tool(t, b, nil, configCommand, append(append([]string{}, entity...), args...)...)
	}
	contains(t, config(one, "--describe", "--all"), "All configs for broker 1 are:", "log.retention.hours=168", "node.id=1", "log.segment.bytes=1073741824",
		"STATIC_BROKER_CONFIG:listeners=PLAINTEXT://")

	config(every, "--alter", "--add-config", "log.retention.ms=8000000,message.max.bytes=900000")
	contains(t, config(every, "--describe"), "log.retention.ms=8000000", "message.max.bytes=900000", "DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=900000")
	config(one, "--alter", "--add-config", "message.max.bytes=800000")
	contains(t, config(one, "--describe"), "message.max.bytes=800000", "DYNAMIC_BROKER_CONFIG:message.max.bytes=800000")

	// A topic follows the broker's default where it has none of its own.
	topic := compat.CreateTopic(t, b, 1)
	contains(t, config([]string{"--entity-type", "topics", "--entity-name", topic}, "--describe", "--all"), "retention.ms=8000000", "max.message.bytes=800000")

	config(one, "--alter", "--delete-config", "message.max.bytes")
	if described := config(one, "--describe"); strings.Contains(described, "DYNAMIC_BROKER_CONFIG:message.max.bytes") {
		t.Errorf("message.max.bytes is still there:\n%s", described)
	}
	refused(t, b, "InvalidRequestException", configCommand, append(one, "--alter", "--add-config", "node.id=7")...)
	refused(t, b, "InvalidRequestException", configCommand, append(one, "--alter", "--add-config", "message.max.bytes=many")...)
}

func TestOffsetTools(t *testing.T) {
	b := compat.Shared(t)
	topic := compat.CreateTopic(t, b, 2)
	kcat(t, b, strings.NewReader(numbered(0, 100)), "-P", "-t", topic, "-p", "0")
	kcat(t, b, strings.NewReader(numbered(0, 40)), "-P", "-t", topic, "-p", "1")
	offsets := func(time string) string {
		return tool(t, b, nil, getOffsetShell, "--topic", topic, "--time", time)
	}
	want := func(got string, zero, one int) {
		t.Helper()
		if want := fmt.Sprintf("%s:0:%d\n%s:1:%d\n", topic, zero, topic, one); got != want {
			t.Errorf("offsets %q, want %q", got, want)
		}
	}
	want(offsets("-1"), 100, 40)
	want(offsets("-2"), 0, 0)
	want(offsets("0"), 0, 0)
	contains(t, offsets("-3"), topic+":0:") // the offset of the largest timestamp: one of the last records
	contains(t, tool(t, b, nil, getOffsetShell, "--topic-partitions", topic+":1"), topic+":1:40")

	spec := filepath.Join(t.TempDir(), "offsets.json")
	text := fmt.Sprintf(`{"version": 1, "partitions": [{"topic": %q, "partition": 0, "offset": 30}, {"topic": %q, "partition": 1, "offset": -1}]}`, topic, topic)
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	contains(t, tool(t, b, nil, deleteRecordsCommand, "--offset-json-file", spec), "partition: "+topic+"-0\tlow_watermark: 30", "partition: "+topic+"-1\tlow_watermark: 40")
	want(offsets("-2"), 30, 40)
	want(offsets("-1"), 100, 40)
	if out := kcat(t, b, nil, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q"); out != numbered(30, 100) {
		t.Errorf("after the deletion %d lines are there, want 70", strings.Count(out, "\n"))
	}
}

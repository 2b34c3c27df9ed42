package controller

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// soleBroker is a cluster of one with broker 1, as the oracle of the tables below had it.
func soleBroker(t *testing.T) *world {
	w := newWorld(t, 7, false)
	w.c.cfg.NodeID, w.c.cfg.NumPartitions, w.c.cfg.DefaultReplicationFactor = 1, 1, 1
	w.commit([]Record{&RegisterBrokerRecord{BrokerID: 1, Incarnation: uuidA, BrokerEpoch: -1, LogDirs: []protocol.UUID{uuidB}}})
	return w
}

func topic(name string, partitions int32, factor int16) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, factor
	return t
}

func assigned(name string, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
	t := topic(name, -1, -1)
	for i, r := range replicas {
		t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: r})
	}
	return t
}

func with(t kmsg.CreateTopicsRequestTopic, configs ...string) kmsg.CreateTopicsRequestTopic {
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]}
		if configs[i+1] == "null" {
			c.Value = nil
		}
		t.Configs = append(t.Configs, c)
	}
	return t
}

// What Kafka 4.4.0 answers, asked with its own client.
func TestCreateTopics(t *testing.T) {
	w := soleBroker(t)
	w.handle(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{topic("a.b", 1, 1)}})
	gap := assigned("p0", []int32{1})
	gap.ReplicaAssignment[0].Partition = 1
	twice := assigned("p0", []int32{1}, []int32{1})
	twice.ReplicaAssignment[1].Partition = 0
	factor := assigned("p0", []int32{1})
	factor.ReplicationFactor = 1
	for _, c := range []struct {
		topic   kmsg.CreateTopicsRequestTopic
		code    protocol.Code
		message string
	}{
		{topic("", 1, 1), protocol.InvalidTopicException, "Topic name is invalid: the empty string is not allowed"},
		{topic(".", 1, 1), protocol.InvalidTopicException, "Topic name is invalid: '.' is not allowed"},
		{topic("..", 1, 1), protocol.InvalidTopicException, "Topic name is invalid: '..' is not allowed"},
		{topic("a b", 1, 1), protocol.InvalidTopicException, "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"},
		{topic(strings.Repeat("x", 250), 1, 1), protocol.InvalidTopicException, "Topic name is invalid: the length of '" + strings.Repeat("x", 250) + "' is longer than the max allowed length 249"},
		{topic("a_b", 1, 1), protocol.InvalidTopicException, "Topic 'a_b' collides with existing topic: a.b"},
		{topic("a.b", 1, 1), protocol.TopicAlreadyExists, "Topic 'a.b' already exists."},
		{topic("__cluster_metadata", 1, 1), protocol.InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited."},
		{topic("p0", 0, 1), protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."},
		{topic("p0", -2, 1), protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value."},
		{topic("p0", 1, 0), protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value."},
		{topic("p0", 1, 2), protocol.InvalidReplicationFactor, "Unable to replicate the partition 2 time(s): The target replication factor of 2 cannot be reached because only 1 broker(s) are registered or some brokers have all their log directories cordoned."},
		{assigned("p0", []int32{1, 2}), protocol.InvalidReplicaAssignment, "The manual partition assignment includes broker 2, but no such broker is registered."},
		{assigned("p0", []int32{1, 1}), protocol.InvalidReplicaAssignment, "The manual partition assignment includes the broker 1 more than once."},
		{assigned("p0", []int32{}), protocol.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list."},
		{gap, protocol.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence"},
		{twice, protocol.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition 0"},
		{factor, protocol.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1."},
		{with(topic("p0", 1, 1), "retention.ms", "null"), protocol.InvalidConfig, "Null value not supported for topic configs: retention.ms"},
		{with(topic("p0", 1, 1), "foo", "1"), protocol.InvalidConfig, "Unknown topic config name: foo"},
		{with(topic("p0", 0, 2), "retention.ms", "abc"), protocol.InvalidConfig, "Invalid value abc for configuration retention.ms: Not a number of type LONG"},
		{with(topic("p0", 1, 1), "retention.ms", "abc", "zoo", "1"), protocol.InvalidConfig, "Unknown topic config name: zoo"},
		{topic("p0", 10_000, 1), protocol.PolicyViolation, "Unable to perform excessively large batch operation."},
		{with(topic("p0", 9999, 1), "retention.ms", "1"), protocol.PolicyViolation, "Unable to perform excessively large batch operation."},
		{topic("p0", 10_001, 1), protocol.PolicyViolation, "Excessively large number of partitions per request."},
		{topic("p0", 1<<31-1, 1), protocol.PolicyViolation, "Excessively large number of partitions per request."},
		{topic("big", 9999, 1), protocol.None, ""},
		{topic("default", -1, -1), protocol.None, ""},
		{assigned("man", []int32{1}, []int32{1}), protocol.None, ""},
	} {
		before := w.m
		r := w.handle(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{c.topic}}).(*kmsg.CreateTopicsResponse)
		a := r.Topics[0]
		message := ""
		if a.ErrorMessage != nil {
			message = *a.ErrorMessage
		}
		if len(r.Topics) != 1 || a.Topic != c.topic.Topic || protocol.Code(a.ErrorCode) != c.code || message != c.message {
			t.Errorf("%.20s %d %d: %v %q", c.topic.Topic, c.topic.NumPartitions, c.topic.ReplicationFactor, protocol.Code(a.ErrorCode), message)
		}
		if changed := w.m != before; changed != (c.code == 0) {
			t.Errorf("%s: changed %v", c.topic.Topic, changed)
		}
	}
	if n := len(w.m.Topic("big").Partitions); n != 9999 {
		t.Errorf("big has %d partitions", n)
	}
}

func TestCreateTopicsTogether(t *testing.T) {
	w := soleBroker(t)
	q := &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{
		topic("twice", 1, 1), topic("good", 2, 1), topic("twice", 1, 1), topic("bad name", 1, 1), topic("c.d", 1, 1), topic("c_d", 1, 1),
	}}
	q.ValidateOnly = true
	before := w.m
	if w.handle(q); w.m != before {
		t.Fatal("validate only changed something")
	}
	q.ValidateOnly = false
	r := w.handle(q).(*kmsg.CreateTopicsResponse)
	want := map[string]protocol.Code{"twice": protocol.InvalidRequest, "good": 0, "bad name": protocol.InvalidTopicException, "c.d": 0, "c_d": 0}
	if len(r.Topics) != len(want) {
		t.Fatalf("%d answers", len(r.Topics))
	}
	for _, a := range r.Topics {
		if protocol.Code(a.ErrorCode) != want[a.Topic] {
			t.Errorf("%s: %v", a.Topic, protocol.Code(a.ErrorCode))
		}
		if tp := w.m.Topic(a.Topic); (tp != nil) != (a.ErrorCode == 0) || tp != nil && tp.ID != protocol.UUID(a.TopicID) {
			t.Errorf("%s: %+v", a.Topic, tp)
		}
	}
	// Two of 6,000 are too many together, and nothing is made.
	q = &kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{topic("x", 6000, 1), topic("y", 6000, 1)}}
	r = w.handle(q).(*kmsg.CreateTopicsResponse)
	for _, a := range r.Topics {
		if protocol.Code(a.ErrorCode) != protocol.PolicyViolation || w.m.Topic(a.Topic) != nil {
			t.Errorf("%s: %v", a.Topic, protocol.Code(a.ErrorCode))
		}
	}
}

func TestCreateTopicsEcho(t *testing.T) {
	w := soleBroker(t)
	w.commit([]Record{&ConfigRecord{BrokerConfig, "", "min.insync.replicas", ptr("1")}})
	r := w.handle(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{with(topic("echo", 3, 1), "retention.ms", "5")}}).(*kmsg.CreateTopicsResponse)
	a := r.Topics[0]
	if a.NumPartitions != 3 || a.ReplicationFactor != 1 || a.ConfigErrorCode != 0 {
		t.Fatalf("%+v", a)
	}
	want := map[string]string{"retention.ms": "5/1", "min.insync.replicas": "1/3", "cleanup.policy": "delete/5", "segment.bytes": "1073741824/5"}
	for _, c := range a.Configs {
		if v, ok := want[c.Name]; ok && v != *c.Value+"/"+string(rune('0'+c.Source)) {
			t.Errorf("%s: %s from %d", c.Name, *c.Value, c.Source)
		}
		delete(want, c.Name)
	}
	if len(want) > 0 || !slices.IsSortedFunc(a.Configs, func(a, b kmsg.CreateTopicsResponseTopicConfig) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("missing %v, or not sorted", want)
	}
	p := w.m.Topic("echo").Partitions[2]
	if p.Leader != 1 || p.LeaderEpoch != 0 || p.PartitionEpoch != 0 || p.Directories[0] != uuidB || !slices.Equal(p.ISR, []int32{1}) {
		t.Errorf("%+v", p)
	}
}

func TestCreatePartitions(t *testing.T) {
	w := soleBroker(t)
	w.handle(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{topic("man", 2, 1)}})
	for _, c := range []struct {
		name    string
		count   int32
		assign  [][]int32
		code    protocol.Code
		message string
	}{
		{"nope", 3, nil, protocol.UnknownTopicOrPartition, ""}, // without words, alone of all
		{"man", 2, nil, protocol.InvalidPartitions, "Topic already has 2 partition(s)."},
		{"man", 1, nil, protocol.InvalidPartitions, "The topic man currently has 2 partition(s); 1 would not be an increase."},
		{"man", -1, nil, protocol.InvalidPartitions, "The topic man currently has 2 partition(s); -1 would not be an increase."},
		{"man", 4, [][]int32{{1}}, protocol.InvalidReplicaAssignment, "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."},
		{"man", 3, [][]int32{{1, 2}}, protocol.InvalidReplicaAssignment, "The manual partition assignment includes broker 2, but no such broker is registered."},
		{"man", 3, [][]int32{{}}, protocol.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list."},
		{"man", 10_003, nil, protocol.PolicyViolation, "Excessively large number of additional partitions per request."},
		{"man", 3, [][]int32{{1}}, protocol.None, ""},
		{"man", 10_003, nil, protocol.None, ""},
	} {
		q := kmsg.CreatePartitionsRequestTopic{Topic: c.name, Count: c.count}
		for _, a := range c.assign {
			q.Assignment = append(q.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: a})
		}
		a := w.handle(&kmsg.CreatePartitionsRequest{Topics: []kmsg.CreatePartitionsRequestTopic{q}}).(*kmsg.CreatePartitionsResponse).Topics[0]
		if protocol.Code(a.ErrorCode) != c.code || c.message != "" && (a.ErrorMessage == nil || *a.ErrorMessage != c.message) {
			t.Errorf("%s %d: %v %v", c.name, c.count, protocol.Code(a.ErrorCode), a.ErrorMessage)
		}
	}
	if n := w.m.NumPartitions(); n != 10_003 {
		t.Errorf("%d partitions", n)
	}
}

func TestDeleteTopics(t *testing.T) {
	w := soleBroker(t)
	w.handle(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{with(topic("a", 1, 1), "retention.ms", "5"), topic("b", 1, 1), topic("c.c", 1, 1)}})
	b := w.m.Topic("b").ID
	ask := func(name string, id protocol.UUID) kmsg.DeleteTopicsRequestTopic {
		t := kmsg.DeleteTopicsRequestTopic{TopicID: id}
		if name != "" {
			t.Topic = &name
		}
		return t
	}
	q := &kmsg.DeleteTopicsRequest{Topics: []kmsg.DeleteTopicsRequestTopic{
		ask("a", protocol.UUID{}), ask("nope", protocol.UUID{}), ask("", uuidB), ask("", protocol.UUID{}), ask("b", b), ask("c.c", protocol.UUID{}), ask("c.c", protocol.UUID{}),
	}}
	want := []protocol.Code{0, protocol.UnknownTopicOrPartition, protocol.UnknownTopicID, protocol.InvalidRequest, protocol.InvalidRequest, protocol.InvalidRequest}
	r := w.handle(q).(*kmsg.DeleteTopicsResponse)
	for i, a := range r.Topics {
		if protocol.Code(a.ErrorCode) != want[i] {
			t.Errorf("%d: %v", i, protocol.Code(a.ErrorCode))
		}
	}
	if w.m.Topic("a") != nil || w.m.Topic("b") == nil || w.m.Topic("c.c") == nil || w.m.Config(TopicConfig, "a") != nil {
		t.Error("the wrong topics are gone")
	}
	// By name and by id at once is a mistake; by id alone works, and the name can be used again with its collisions.
	r = w.handle(&kmsg.DeleteTopicsRequest{Topics: []kmsg.DeleteTopicsRequestTopic{ask("b", protocol.UUID{}), ask("", b)}}).(*kmsg.DeleteTopicsResponse)
	for _, a := range r.Topics {
		if protocol.Code(a.ErrorCode) != protocol.InvalidRequest {
			t.Errorf("named twice: %v", protocol.Code(a.ErrorCode))
		}
	}
	w.handle(&kmsg.DeleteTopicsRequest{Topics: []kmsg.DeleteTopicsRequestTopic{ask("", w.m.Topic("c.c").ID)}})
	a := w.handle(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{topic("c_c", 1, 1)}}).(*kmsg.CreateTopicsResponse).Topics[0]
	if a.ErrorCode != 0 {
		t.Errorf("name of a deleted topic: %v", protocol.Code(a.ErrorCode))
	}
	w.c.cfg.DeleteTopics = false
	r = w.handle(&kmsg.DeleteTopicsRequest{Topics: []kmsg.DeleteTopicsRequestTopic{ask("", b)}}).(*kmsg.DeleteTopicsResponse)
	if protocol.Code(r.Topics[0].ErrorCode) != protocol.TopicDeletionDisabled {
		t.Errorf("%v", protocol.Code(r.Topics[0].ErrorCode))
	}
}

func TestIncrementalAlterConfigs(t *testing.T) {
	w := soleBroker(t)
	w.handle(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{topic("man", 1, 1)}})
	const (
		set = kmsg.IncrementalAlterConfigOpSet
		del = kmsg.IncrementalAlterConfigOpDelete
		add = kmsg.IncrementalAlterConfigOpAppend
		sub = kmsg.IncrementalAlterConfigOpSubtract
	)
	const (
		onTopic  = kmsg.ConfigResourceTypeTopic
		onBroker = kmsg.ConfigResourceTypeBroker
	)
	for _, c := range []struct {
		kind       kmsg.ConfigResourceType
		name, key  string
		op         kmsg.IncrementalAlterConfigOp
		value      string
		code       protocol.Code
		message    string
		afterwards string // the value of key, "-" for none
	}{
		{onTopic, "man", "retention.ms", set, "5", 0, "", "5"},
		{onTopic, "man", "retention.ms", del, "null", 0, "", "-"},
		{onTopic, "man", "cleanup.policy", add, "compact", 0, "", "delete,compact"},
		{onTopic, "man", "cleanup.policy", sub, "delete", 0, "", "compact"},
		{onTopic, "man", "cleanup.policy", sub, "compact", 0, "", ""},
		{onTopic, "man", "cleanup.policy", add, "foo", protocol.InvalidConfig, "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete", ""},
		{onTopic, "man", "foo", del, "null", 0, "", "-"},
		{onTopic, "man", "foo", set, "5", protocol.InvalidConfig, "Unknown topic config name: foo", "-"},
		{onTopic, "man", "retention.ms", add, "5", protocol.InvalidConfig, "Can't APPEND to key retention.ms because its type is not LIST.", "-"},
		{onTopic, "man", "retention.ms", set, "null", protocol.InvalidRequest, "Null value not supported for : retention.ms", "-"},
		{onTopic, "man", "retention.ms", 9, "5", protocol.UnknownServerError, "", "-"},
		{onBroker, "1", "log.retention.ms", 9, "5", protocol.InvalidRequest, "Unknown operations type 9", "-"},
		{onTopic, "nope", "retention.ms", set, "5", protocol.UnknownTopicOrPartition, "The topic 'nope' does not exist.", "-"},
		{onTopic, "nope", "retention.ms", set, "x", protocol.InvalidConfig, "Invalid value x for configuration retention.ms: Not a number of type LONG", "-"},
		{onTopic, "", "retention.ms", set, "5", protocol.InvalidRequest, "Default topic resources are not allowed.", "-"},
		{onTopic, "no pe", "retention.ms", set, "5", protocol.InvalidTopicException, "Topic name is invalid: 'no pe' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", "-"},
		{onBroker, "1", "log.retention.ms", set, "5000000", 0, "", "5000000"},
		{onBroker, "1", "log.retention.ms", set, "x", protocol.InvalidRequest, "Invalid value x for configuration log.retention.ms: Not a number of type LONG", "5000000"},
		{onBroker, "1", "node.id", set, "5", protocol.InvalidRequest, "Cannot update these configs dynamically: [node.id]", "-"},
		{onBroker, "1", "foo.bar", set, "5", 0, "", "5"},
		{onBroker, "7", "log.retention.ms", set, "5000000", protocol.BrokerIDNotRegistered, "No broker with id 7 found.", "-"},
		{onBroker, "x", "log.retention.ms", set, "5000000", protocol.InvalidRequest, "Unable to parse broker name as a base 10 number.", "-"},
		{onBroker, "", "log.retention.ms", set, "5000000", 0, "", "5000000"},
		{onBroker, "", "log.retention.ms", del, "null", 0, "", "-"},
		{kmsg.ConfigResourceType(32), "g", "consumer.session.timeout.ms", set, "50000", 0, "", "50000"},
		{kmsg.ConfigResourceType(32), "g", "consumer.session.timeout.ms", set, "1", protocol.InvalidConfig,
			"consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive.", "50000"},
		{kmsg.ConfigResourceType(32), "g", "no.such", set, "1", protocol.InvalidConfig, "Unknown group config name: no.such", "-"},
		{kmsg.ConfigResourceType(32), "", "consumer.session.timeout.ms", set, "50000", protocol.InvalidRequest, "Default group resources are not allowed.", "-"},
		{kmsg.ConfigResourceType(16), "c", "interval.ms", set, "50000", protocol.InvalidRequest, "Unknown resource type 16", "-"},
		{kmsg.ConfigResourceType(8), "1", "kafka", set, "INFO", protocol.InvalidRequest, "Unknown resource type 8", "-"},
		{kmsg.ConfigResourceType(0), "1", "kafka", set, "INFO", protocol.InvalidRequest, "Unknown resource type 0", "-"},
	} {
		value := &c.value
		if c.value == "null" {
			value = nil
		}
		q := &kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: c.kind, ResourceName: c.name,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: c.key, Op: c.op, Value: value}}}}}
		a := w.handle(q).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
		if protocol.Code(a.ErrorCode) != c.code || c.message != "" && *a.ErrorMessage != c.message {
			t.Errorf("%s %s %s: %v %v", c.name, c.key, c.value, protocol.Code(a.ErrorCode), a.ErrorMessage)
		}
		v, ok := w.m.Config(int8(c.kind), c.name)[c.key]
		if ok == (c.afterwards == "-") || ok && v != c.afterwards {
			t.Errorf("%s %s is %q %v", c.name, c.key, v, ok)
		}
	}
}

func TestAlterConfigsReplaces(t *testing.T) {
	w := soleBroker(t)
	w.handle(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{with(topic("t", 1, 1), "retention.ms", "5", "segment.ms", "7000")}})
	q := &kmsg.AlterConfigsRequest{Resources: []kmsg.AlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t",
		Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "retention.bytes", Value: ptr("9")}}}}}
	q.ValidateOnly = true
	before := w.m
	if w.handle(q); w.m != before {
		t.Fatal("validate only changed something")
	}
	q.ValidateOnly = false
	w.handle(q)
	if c := w.m.Config(TopicConfig, "t"); len(c) != 1 || c["retention.bytes"] != "9" {
		t.Fatalf("%v", c)
	}
	q.Resources = append(q.Resources, q.Resources[0])
	for _, a := range w.handle(q).(*kmsg.AlterConfigsResponse).Resources {
		if protocol.Code(a.ErrorCode) != protocol.InvalidRequest || *a.ErrorMessage != "Each resource must appear at most once." {
			t.Errorf("%+v", a)
		}
	}
}

// Placement: no broker twice, racks before repetition, leaders even, unfenced first.
func TestPlacement(t *testing.T) {
	m := NewImage()
	var records []Record
	for id := range int32(6) {
		rack := string(rune('a' + id/2))
		records = append(records, &RegisterBrokerRecord{BrokerID: id, Incarnation: uuidA, BrokerEpoch: -1, Rack: rack, Fenced: id == 5})
	}
	m, _, err := Merge(m, records, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	p := newPlacer(m, rand.New(rand.NewPCG(seed, 0)))
	leaders := map[int32]int{}
	for range 600 {
		r := p.place(3)
		racks := map[string]bool{}
		for _, id := range r {
			racks[m.Broker(id).Rack] = true
		}
		if len(r) != 3 || repeats(r) || len(racks) != 3 || r[0] == 5 {
			t.Fatalf("%v", r)
		}
		leaders[r[0]]++
	}
	for id := range int32(5) {
		if leaders[id] < 60 {
			t.Errorf("broker %d leads %d of 600", id, leaders[id])
		}
	}
	if r := p.place(6); repeats(r) || len(r) != 6 {
		t.Errorf("%v", r)
	}
	if p.check(7) == "" || p.check(0) == "" {
		t.Error("impossible factors are placed")
	}
}

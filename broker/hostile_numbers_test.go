package broker_test

import (
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// question is a well-formed request with an impossible number or name in it, the code that Kafka gives, and where in the answer it is.
type question struct {
	name string
	req  kmsg.Request
	want protocol.Code
	code func(kmsg.Response) int16
}

func deleteRecords(partition int32, offset int64) kmsg.Request {
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.Version, r.TimeoutMillis = 2, 1000
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = "witness"
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	topic.Partitions = append(topic.Partitions, p)
	r.Topics = append(r.Topics, topic)
	return r
}

func listOffsets(partition int32, timestamp int64, epoch int32) kmsg.Request {
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version, r.ReplicaID = 7, -1
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = "witness"
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp, p.CurrentLeaderEpoch = partition, timestamp, epoch
	topic.Partitions = append(topic.Partitions, p)
	r.Topics = append(r.Topics, topic)
	return r
}

func epochEnd(partition, current, epoch int32) kmsg.Request {
	r := kmsg.NewPtrOffsetForLeaderEpochRequest()
	r.Version, r.ReplicaID = 4, -1
	topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
	topic.Topic = "witness"
	p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, current, epoch
	topic.Partitions = append(topic.Partitions, p)
	r.Topics = append(r.Topics, topic)
	return r
}

func createTopic(name string, partitions int32, factor int16, change ...func(*kmsg.CreateTopicsRequestTopic)) kmsg.Request {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version, r.TimeoutMillis = 5, 5000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, factor
	for _, c := range change {
		c(&topic)
	}
	r.Topics = append(r.Topics, topic)
	return r
}

func createPartitions(count int32) kmsg.Request {
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.Version, r.TimeoutMillis = 2, 5000
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = "witness", count
	r.Topics = append(r.Topics, topic)
	return r
}

func initProducer(id int64, epoch int16) kmsg.Request {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.ProducerID, r.ProducerEpoch, r.TransactionTimeoutMillis = 4, id, epoch, math.MaxInt32
	return r
}

func alterConfig(resource kmsg.ConfigResourceType, of, name string, value *string, op kmsg.IncrementalAlterConfigOp) kmsg.Request {
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.Version = 1
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = resource, of
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Value, c.Op = name, value, op
	res.Configs = append(res.Configs, c)
	r.Resources = append(r.Resources, res)
	return r
}

// hostileQuestions are asked about the topic "witness", which has one partition and a few records.
func hostileQuestions() []question {
	deleted := func(r kmsg.Response) int16 { return r.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode }
	listed := func(r kmsg.Response) int16 { return r.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode }
	ended := func(r kmsg.Response) int16 {
		return r.(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0].ErrorCode
	}
	created := func(r kmsg.Response) int16 { return r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode }
	grown := func(r kmsg.Response) int16 { return r.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode }
	given := func(r kmsg.Response) int16 { return r.(*kmsg.InitProducerIDResponse).ErrorCode }
	altered := func(r kmsg.Response) int16 { return r.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode }
	assigned := func(of ...int32) func(*kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = of[0], of[1:]
			t.ReplicaAssignment = append(t.ReplicaAssignment, a)
		}
	}
	set := func(name, value string) func(*kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = name, &value
			t.Configs = append(t.Configs, c)
		}
	}
	topic, loggers, huge := kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBrokerLogger, "99999999999999999999"
	return []question{
		{"delete up to -2", deleteRecords(0, -2), protocol.OffsetOutOfRange, deleted},
		{"delete up to the highest offset", deleteRecords(0, math.MaxInt64), protocol.OffsetOutOfRange, deleted},
		{"delete up to the lowest offset", deleteRecords(0, math.MinInt64), protocol.OffsetOutOfRange, deleted},
		{"delete in partition -1", deleteRecords(-1, 0), protocol.UnknownTopicOrPartition, deleted},
		{"delete in the highest partition", deleteRecords(math.MaxInt32, 0), protocol.UnknownTopicOrPartition, deleted},
		{"list at the lowest timestamp", listOffsets(0, math.MinInt64, -1), protocol.UnsupportedVersion, listed},
		{"list at timestamp -100", listOffsets(0, -100, -1), protocol.UnsupportedVersion, listed},
		{"list at the highest timestamp", listOffsets(0, math.MaxInt64, -1), protocol.None, listed},
		{"list in partition -1", listOffsets(-1, -1, -1), protocol.UnknownTopicOrPartition, listed},
		{"list at an epoch to come", listOffsets(0, -1, math.MaxInt32), protocol.UnknownLeaderEpoch, listed},
		{"list at epoch -2", listOffsets(0, -1, -2), protocol.FencedLeaderEpoch, listed},
		{"end of the highest epoch", epochEnd(0, -1, math.MaxInt32), protocol.None, ended},
		{"end of the lowest epoch", epochEnd(0, -1, math.MinInt32), protocol.None, ended},
		{"end at an epoch to come", epochEnd(0, math.MaxInt32, 0), protocol.UnknownLeaderEpoch, ended},
		{"end in partition -1", epochEnd(-1, -1, 0), protocol.UnknownTopicOrPartition, ended},
		{"no partitions", createTopic("t", 0, 1), protocol.InvalidPartitions, created},
		{"partitions -2", createTopic("t", -2, 1), protocol.InvalidPartitions, created},
		{"2^31-1 partitions", createTopic("t", math.MaxInt32, 1), protocol.PolicyViolation, created},
		{"no replicas", createTopic("t", 1, 0), protocol.InvalidReplicationFactor, created},
		{"-5 replicas", createTopic("t", 1, -5), protocol.InvalidReplicationFactor, created},
		{"32767 replicas", createTopic("t", 1, math.MaxInt16), protocol.InvalidReplicationFactor, created},
		{"a topic without a name", createTopic("", 1, 1), protocol.InvalidTopicException, created},
		{"topic .", createTopic(".", 1, 1), protocol.InvalidTopicException, created},
		{"topic ..", createTopic("..", 1, 1), protocol.InvalidTopicException, created},
		{"topic ../../etc/passwd", createTopic("../../etc/passwd", 1, 1), protocol.InvalidTopicException, created},
		{"topic of 250 letters", createTopic(strings.Repeat("a", 250), 1, 1), protocol.InvalidTopicException, created},
		{"topic with a zero byte", createTopic("a\x00b", 1, 1), protocol.InvalidTopicException, created},
		{"topic of other letters", createTopic("größe", 1, 1), protocol.InvalidTopicException, created},
		{"partition numbers with a gap", createTopic("t", -1, -1, assigned(1, 1)), protocol.InvalidReplicaAssignment, created},
		{"partition -1 assigned", createTopic("t", -1, -1, assigned(-1, 1)), protocol.InvalidReplicaAssignment, created},
		{"nobody is assigned", createTopic("t", -1, -1, assigned(0)), protocol.InvalidReplicaAssignment, created},
		{"broker -1 is assigned", createTopic("t", -1, -1, assigned(0, -1)), protocol.InvalidReplicaAssignment, created},
		{"a broker is assigned twice", createTopic("t", -1, -1, assigned(0, 1, 1)), protocol.InvalidReplicaAssignment, created},
		{"numbers and an assignment", createTopic("t", 1, 1, assigned(0, 1)), protocol.InvalidRequest, created},
		{"an unknown setting", createTopic("t", 1, 1, set("no.such", "1")), protocol.InvalidConfig, created},
		{"a setting beyond its type", createTopic("t", 1, 1, set("retention.ms", huge)), protocol.InvalidConfig, created},
		{"a setting below its range", createTopic("t", 1, 1, set("segment.bytes", "-1")), protocol.InvalidConfig, created},
		{"grow to -1", createPartitions(-1), protocol.InvalidPartitions, grown},
		{"grow to 0", createPartitions(0), protocol.InvalidPartitions, grown},
		{"grow to 1 again", createPartitions(1), protocol.InvalidPartitions, grown},
		{"grow to 2^31-1", createPartitions(math.MaxInt32), protocol.PolicyViolation, grown},
		{"a producer id without an epoch", initProducer(5, -1), protocol.InvalidRequest, given},
		{"an epoch without a producer id", initProducer(-1, 5), protocol.InvalidRequest, given},
		{"lowest producer id", initProducer(math.MinInt64, math.MinInt16), protocol.None, given},
		{"operation 9", alterConfig(topic, "witness", "retention.ms", &huge, 9), protocol.UnknownServerError, altered},
		{"operation -1", alterConfig(topic, "witness", "retention.ms", &huge, -1), protocol.UnknownServerError, altered},
		{"set to nothing", alterConfig(topic, "witness", "retention.ms", nil, 0), protocol.InvalidRequest, altered},
		{"append to what is no list", alterConfig(topic, "witness", "retention.ms", &huge, 2), protocol.InvalidConfig, altered},
		{"a value beyond its type", alterConfig(topic, "witness", "retention.ms", &huge, 0), protocol.InvalidConfig, altered},
		{"resource type 99", alterConfig(99, "witness", "retention.ms", &huge, 0), protocol.InvalidRequest, altered},
		{"a broker that is no number", alterConfig(kmsg.ConfigResourceTypeBroker, "x", "num.io.threads", &huge, 0), protocol.InvalidRequest, altered},
		{"loggers of another broker", alterConfig(loggers, "77", "root", &huge, 0), protocol.InvalidRequest, altered},
	}
}

// TestHostileNumbers asks questions that are well formed and make no sense. Each gets the code that Kafka gives.
func TestHostileNumbers(t *testing.T) {
	b := newTCPBed(t)
	w := b.witness(t)
	nc := b.dial(t)
	defer nc.Close()
	kafka := map[string]protocol.Code{ // where Weir means to answer something else
		"lowest producer id": protocol.CoordinatorLoadInProgress, // the first time only; Weir waits for the controller
	}
	for i, q := range hostileQuestions() {
		resp, err := exchange(nc, q.req, int32(i))
		if err != nil {
			t.Fatalf("%s: %v", q.name, err)
		}
		if got := protocol.Code(q.code(resp)); got != q.want && (b.log != nil || got != kafka[q.name]) {
			t.Errorf("%s: got %v, want %v", q.name, got, q.want)
		}
	}
	w.check(t)
}

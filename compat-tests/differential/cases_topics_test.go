package differential

import (
	"math"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// newTopic is a request for one topic.
func newTopic(name string, partitions int32, replicas int16) kmsg.CreateTopicsRequestTopic {
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, replicas
	return topic
}

func createTopics(topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Topics, request.TimeoutMillis = topics, 10_000
	return request
}

func assigned(name string, replicas ...[]int32) kmsg.CreateTopicsRequestTopic {
	topic := newTopic(name, -1, -1)
	for i, r := range replicas {
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: r})
	}
	return topic
}

var topicScripts = []script{
	{"creation", 19, 2, 7, func(s *session, v int16) {
		s.ask("one", v, createTopics(newTopic(s.topic("a"), 3, 1)))
		s.settle("a", 3)
		s.ask("again", v, createTopics(newTopic(s.topic("a"), 3, 1)))
		s.ask("two", v, createTopics(newTopic(s.topic("b"), 1, 1), newTopic(s.topic("c"), 2, 1)))
		s.ask("the same twice", v, createTopics(newTopic(s.topic("d"), 1, 1), newTopic(s.topic("d"), 1, 1), newTopic(s.topic("e"), 1, 1)))
		s.ask("none", v, createTopics())
		for _, n := range []int32{-1, 0, -2} {
			s.ask("partitions "+itoa(n), v, createTopics(newTopic(s.topic("p")+itoa(n), n, 1)))
		}
		for _, n := range []int16{-1, 0, -2, 2} {
			s.ask("replicas "+itoa(n), v, createTopics(newTopic(s.topic("r")+itoa(n), 1, n)))
		}
		for _, name := range []string{"", ".", "..", "a b", "ü", "a/b", strings.Repeat("y", 250), "__cluster_metadata"} {
			s.ask("name "+name, v, createTopics(newTopic(name, 1, 1)))
		}
		s.ask("a dot", v, createTopics(newTopic(s.topic("x.y"), 1, 1)))
		s.ask("an underscore in its place", v, createTopics(newTopic(s.topic("x_y"), 1, 1)))
		s.ask("names that collide in one request", v, createTopics(newTopic(s.topic("u.w"), 1, 1), newTopic(s.topic("u_w"), 1, 1)))
		s.ask("more partitions than go into one request", v, createTopics(newTopic(s.topic("many"), 20_000, 1), newTopic(s.topic("beside"), 1, 1)))
		s.ask("the most replicas", v, createTopics(newTopic(s.topic("most"), 1, 32767)))
		hurry := createTopics(newTopic(s.topic("hurry"), 1, 1))
		hurry.TimeoutMillis = 0
		s.ask("no time", v, hurry)
		hurry.TimeoutMillis = -1
		s.ask("less than no time", v, hurry)
		only := createTopics(newTopic(s.topic("v"), 1, 1), newTopic(s.topic("a"), 1, 1))
		only.ValidateOnly = true
		s.ask("validated only", v, only)
		s.ask("validated before, now created", v, createTopics(newTopic(s.topic("v"), 1, 1)))
	}},
	{"creation with settings", 19, 2, 7, func(s *session, v int16) {
		for _, c := range [][]string{
			{"retention.ms", "1000"}, {"retention.ms", "soon"}, {"retention.ms", "-2"}, {"retention.ms", "-1"}, {"retention.ms", ""}, {"no.such", "1"}, {"", "1"},
			{"cleanup.policy", "compact"}, {"cleanup.policy", "compact,delete"}, {"cleanup.policy", "burn"}, {"cleanup.policy", ""}, {"compression.type", "lz4"},
			{"compression.type", "rar"}, {"min.insync.replicas", "0"}, {"min.insync.replicas", "2"}, {"segment.bytes", "13"}, {"segment.bytes", "1048576"},
			{"max.message.bytes", "-1"}, {"message.timestamp.type", "LogAppendTime"}, {"message.timestamp.type", "Never"}, {"preallocate", "maybe"},
			{"min.cleanable.dirty.ratio", "1.5"}, {"min.cleanable.dirty.ratio", "0.25"}, {"message.timestamp.after.max.ms", "5"}, {"flush.messages", "0"},
			{"remote.storage.enable", "true"}, {"message.format.version", "3.0"}, {"compression.gzip.level", "10"}, {"compression.zstd.level", "22"},
			{"follower.replication.throttled.replicas", "0:1"}, {"follower.replication.throttled.replicas", "x"}, {"local.retention.ms", "5000"},
		} {
			topic := newTopic(s.topic(strings.ReplaceAll(strings.Join(c, "-"), ",", "")), 1, 1)
			topic.Topic = strings.TrimRight(topic.Topic, "-")
			topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: c[0], Value: &c[1]}}
			s.ask(strings.Join(c, "="), v, createTopics(topic))
		}
		topic := newTopic(s.topic("null"), 1, 1)
		topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}
		s.ask("no value", v, createTopics(topic))
		topic = newTopic(s.topic("twice"), 1, 1)
		topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms", Value: ptr("1000")}, {Name: "retention.ms", Value: ptr("2000")}}
		s.ask("a setting twice", v, createTopics(topic))
		topic = newTopic(s.topic("lag"), 1, 1)
		topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "min.compaction.lag.ms", Value: ptr("1000")}, {Name: "max.compaction.lag.ms", Value: ptr("500")}}
		s.ask("settings that contradict", v, createTopics(topic))
	}},
	{"creation with places", 19, 2, 7, func(s *session, v int16) {
		s.ask("here", v, createTopics(assigned(s.topic("here"), []int32{1}, []int32{1})))
		s.ask("on an unknown broker", v, createTopics(assigned(s.topic("there"), []int32{7})))
		s.ask("nowhere", v, createTopics(assigned(s.topic("nowhere"), []int32{})))
		s.ask("twice on one", v, createTopics(assigned(s.topic("twice"), []int32{1, 1})))
		s.ask("uneven", v, createTopics(assigned(s.topic("uneven"), []int32{1}, []int32{1, 2})))
		s.ask("a negative broker", v, createTopics(assigned(s.topic("negative"), []int32{-1})))
		both := assigned(s.topic("both"), []int32{1})
		both.NumPartitions = 1
		s.ask("and a count", v, createTopics(both))
		both = assigned(s.topic("both-r"), []int32{1})
		both.ReplicationFactor = 1
		s.ask("and a replication factor", v, createTopics(both))
		gap := assigned(s.topic("gap"), []int32{1}, []int32{1})
		gap.ReplicaAssignment[1].Partition = 2
		s.ask("with a gap", v, createTopics(gap))
		double := assigned(s.topic("double"), []int32{1}, []int32{1})
		double.ReplicaAssignment[1].Partition = 0
		s.ask("a partition twice", v, createTopics(double))
	}},
	{"deletion", 20, 1, 6, func(s *session, v int16) {
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			s.create(name, 1)
		}
		remove := func(names ...string) *kmsg.DeleteTopicsRequest {
			request := kmsg.NewPtrDeleteTopicsRequest()
			request.TimeoutMillis, request.TopicNames = 10_000, names
			for _, n := range names {
				request.Topics = append(request.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &n})
			}
			return request
		}
		s.ask("one", v, remove(s.topic("a")))
		s.ask("again", v, remove(s.topic("a")))
		s.ask("twice", v, remove(s.topic("b"), s.topic("b"), s.topic("c")))
		s.ask("none", v, remove())
		s.ask("bad names", v, remove("", "not legal"))
		hurry := remove(s.topic("e"))
		hurry.TimeoutMillis = 0
		s.ask("no time", v, hurry)
		if v < 6 {
			return
		}
		request := kmsg.NewPtrDeleteTopicsRequest()
		request.TimeoutMillis = 10_000
		for _, step := range []struct {
			what   string
			topics []kmsg.DeleteTopicsRequestTopic
		}{
			{"neither name nor id", []kmsg.DeleteTopicsRequestTopic{{}}},
			{"unknown id", []kmsg.DeleteTopicsRequestTopic{{TopicID: noSuchID}}},
			{"id and name", []kmsg.DeleteTopicsRequestTopic{{TopicID: s.ids["d"], Topic: ptr(s.topic("d"))}}},
			{"id, and the name apart", []kmsg.DeleteTopicsRequestTopic{{TopicID: s.ids["e"]}, {Topic: ptr(s.topic("e"))}}},
			{"id", []kmsg.DeleteTopicsRequestTopic{{TopicID: s.ids["d"]}}},
		} {
			request.Topics = step.topics
			s.ask(step.what, v, request)
		}
	}},
	{"more partitions", 37, 0, 3, func(s *session, v int16) {
		s.create("a", 2)
		s.create("b", 1)
		grow := func(name string, count int32, replicas ...[]int32) *kmsg.CreatePartitionsRequest {
			request := kmsg.NewPtrCreatePartitionsRequest()
			topic := kmsg.CreatePartitionsRequestTopic{Topic: s.topic(name), Count: count}
			for _, r := range replicas {
				topic.Assignment = append(topic.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: r})
			}
			request.Topics, request.TimeoutMillis = []kmsg.CreatePartitionsRequestTopic{topic}, 10_000
			return request
		}
		s.ask("to four", v, grow("a", 4))
		for _, n := range []int32{4, 3, 0, -1} {
			s.ask("to "+itoa(n), v, grow("a", n))
		}
		s.ask("unknown", v, grow("none", 4))
		s.ask("a bad name", v, grow("/ not legal", 4))
		s.ask("more than go into one request", v, grow("a", 20_000))
		s.ask("the most", v, grow("a", 1<<31-1))
		hurry := grow("b", 3)
		hurry.TimeoutMillis = 0
		s.ask("no time", v, hurry)
		s.ask("here", v, grow("a", 5, []int32{1}))
		s.ask("too few places", v, grow("a", 7, []int32{1}))
		s.ask("too many places", v, grow("a", 6, []int32{1}, []int32{1}))
		s.ask("an unknown broker", v, grow("a", 6, []int32{9}))
		s.ask("two replicas", v, grow("a", 6, []int32{1, 2}))
		s.ask("no replica", v, grow("a", 6, []int32{}))
		twice := grow("a", 6)
		twice.Topics = append(twice.Topics, twice.Topics[0], grow("b", 2).Topics[0])
		s.ask("a topic twice", v, twice)
		only := grow("b", 5)
		only.ValidateOnly = true
		s.ask("validated only", v, only)
		request := kmsg.NewPtrMetadataRequest()
		request.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr(s.topic("a"))}}
		s.settle("a", 5)
		s.ask("after it all", 12, request)
	}},
	{"deleted records", 21, 0, 2, func(s *session, v int16) {
		s.create("a", 2)
		s.create("compacted", 1, "cleanup.policy", "compact")
		s.fill("a", 0, 10)
		cut := func(name string, partition int32, offset int64) *kmsg.DeleteRecordsRequest {
			request := kmsg.NewPtrDeleteRecordsRequest()
			request.TimeoutMillis = 10_000
			request.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: s.topic(name), Partitions: []kmsg.DeleteRecordsRequestTopicPartition{
				{Partition: partition, Offset: offset}}}}
			return request
		}
		for _, offset := range []int64{3, 2, 11, -2, -1} {
			s.ask("before "+itoa(int(offset)), v, cut("a", 0, offset))
			s.ask("starts then", 7, listOffsets(s.topic("a"), 0, -2))
		}
		for _, offset := range []int64{math.MinInt64, math.MaxInt64, 5} {
			s.ask("before "+itoa(int(offset)), v, cut("a", 0, offset))
		}
		s.ask("nothing is left to read", 12, s.fetch(12, "a", 0, 4))
		s.ask("what is left to find", 7, listOffsets(s.topic("a"), 0, s.start))
		s.fill("a", 0, 2)
		s.ask("what came after", 12, s.fetch(12, "a", 0, 10))
		s.ask("what came after, by time", 7, listOffsets(s.topic("a"), 0, s.start))
		s.ask("what came after, the largest time", 7, listOffsets(s.topic("a"), 0, -3))
		s.ask("of an empty one", v, cut("a", 1, -1))
		s.ask("unknown topic", v, cut("none", 0, 1))
		s.ask("unknown partition", v, cut("a", 9, 1))
		s.ask("negative partition", v, cut("a", -1, 1))
		s.ask("of a compacted one", v, cut("compacted", 0, 0))
		none := kmsg.NewPtrDeleteRecordsRequest()
		s.ask("of none", v, none)
		two := cut("a", 0, -1)
		two.Topics[0].Partitions = append(two.Topics[0].Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: 0, Offset: 20},
			kmsg.DeleteRecordsRequestTopicPartition{Partition: 1, Offset: 0})
		s.ask("a partition twice", v, two)
	}},
}

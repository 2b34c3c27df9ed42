package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// ask sends a request and gives its response.
type ask func(name string, version int16, req kmsg.Request) kmsg.Response

// script is what TestLikeKafka sends: each step depends on those before.
func script(do ask) {
	scriptCreate(do)
	scriptMetadata(do)
	scriptDelete(do)
	scriptGrow(do)
	scriptPages(do)
	scriptDescribe(do)
	scriptAlter(do)
	scriptIncrement(do)
	scriptCluster(do)
	scriptProducerIDs(do)
}

// made is a CreateTopics for one topic after f has changed it.
func made(name string, f func(t *kmsg.CreateTopicsRequestTopic)) *kmsg.CreateTopicsRequest {
	q := createOf(10_000, name)
	f(&q.Topics[0])
	return q
}

func withConfig(key, value string) func(t *kmsg.CreateTopicsRequestTopic) {
	return func(t *kmsg.CreateTopicsRequestTopic) {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: nullable(value)})
	}
}

func scriptCreate(do ask) {
	for v := int16(2); v <= 7; v++ {
		do("create", v, createOf(10_000, fmt.Sprintf("plain-%d", v)))
	}
	do("create many", 7, createOf(10_000, "zeta", "alpha", "mid", "dup", "dup", "bad name", "plain-7", "__cluster_metadata", "", ".."))
	q := createOf(10_000, "zeta2", "dup", "dup", "zeta")
	q.ValidateOnly = true
	do("create, validate only", 7, q)
	do("create none", 7, createOf(10_000))
	do("create without time", 7, createOf(0, "late", "late2"))
	for _, v := range []int16{3, 7} {
		do("create defaults", v, made(fmt.Sprintf("defaults-%d", v), func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions, t.ReplicationFactor = -1, -1 }))
	}
	do("create 0 partitions", 7, made("p0", func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions = 0 }))
	do("create -2 partitions", 7, made("p0", func(t *kmsg.CreateTopicsRequestTopic) { t.NumPartitions = -2 }))
	do("create factor 2", 7, made("f2", func(t *kmsg.CreateTopicsRequestTopic) { t.ReplicationFactor = 2 }))
	do("create factor 0", 7, made("f0", func(t *kmsg.CreateTopicsRequestTopic) { t.ReplicationFactor = 0 }))
	do("create with settings", 7, made("cfg", withConfig("retention.ms", "1000")))
	do("create with an unknown setting", 7, made("bad", withConfig("retention.mss", "1000")))
	do("create with a bad setting", 7, made("bad", withConfig("retention.ms", "x")))
	do("create with a null setting", 7, made("bad", withConfig("retention.ms", "<null>")))
	assigned := func(lists ...[]int32) func(t *kmsg.CreateTopicsRequestTopic) {
		return func(t *kmsg.CreateTopicsRequestTopic) {
			t.NumPartitions, t.ReplicationFactor = -1, -1
			for i, l := range lists {
				t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: l})
			}
		}
	}
	do("create assigned", 7, made("assigned", assigned([]int32{1}, []int32{1})))
	do("create assigned to nobody", 7, made("bad", assigned([]int32{2})))
	do("create assigned twice", 7, made("bad", assigned([]int32{1, 1})))
	do("create assigned to none", 7, made("bad", assigned([]int32{})))
}

func scriptMetadata(do ask) {
	for v := int16(0); v <= 13; v++ {
		if v >= 4 {
			q := metadataOf("zeta", "nope", "alpha", "bad name", "zeta", "", ".")
			q.IncludeClusterAuthorizedOperations, q.IncludeTopicAuthorizedOperations = true, true
			do("metadata named", v, q)
		}
		if v != 0 {
			do("metadata of none", v, metadataOf())
		}
		if v == 0 || v == 1 || v == 13 {
			all := metadataOf()
			all.Topics = nil
			do("metadata of all", v, all)
		}
	}
	id := do("create for its id", 7, createOf(10_000, "by-id")).(*kmsg.CreateTopicsResponse).Topics[0].TopicID
	for _, v := range []int16{10, 11, 12, 13} {
		topics := func(name string, ids ...[16]byte) *kmsg.MetadataRequest {
			q := metadataOf()
			q.IncludeTopicAuthorizedOperations = true
			if name != "" {
				q = metadataOf(name)
			}
			for _, id := range ids {
				q.Topics = append(q.Topics, kmsg.MetadataRequestTopic{TopicID: id})
			}
			return q
		}
		do("metadata by id", v, topics("", id))
		do("metadata by unknown id", v, topics("", id, protocol.UUID{1}))
		do("metadata by id and name", v, topics("alpha", id, protocol.UUID{1}))
		both := topics("alpha")
		both.Topics[0].TopicID = id
		do("metadata by id with another name", v, both)
		do("metadata by neither", v, topics("alpha", protocol.UUID{}))
	}
}

func scriptDelete(do ask) {
	ids := func() (out []protocol.UUID) {
		for _, t := range do("create to delete", 7, createOf(10_000, "d1", "d2", "d3", "d4")).(*kmsg.CreateTopicsResponse).Topics {
			out = append(out, t.TopicID)
		}
		return out
	}
	for v := int16(1); v <= 5; v++ {
		ids()
		do("delete", v, deleteOf("d3", "d1", "gone", "d2", "dup", "dup", "bad name", "d4"))
	}
	id := ids()
	q := deleteOf("d1", id[1], id[2], id[2], "d4", nil, protocol.UUID{9})
	q.Topics[4].TopicID = id[3]
	do("delete by id", 6, q)
	do("delete again", 6, deleteOf("d1", id[0]))
	do("delete by name and id", 6, deleteOf("d4", id[3], "d3"))
	q = deleteOf("zeta", id[2])
	q.TimeoutMillis = 0
	do("delete without time", 6, q)
	do("delete none", 6, deleteOf())
}

func scriptGrow(do ask) {
	do("create to grow", 7, createOf(10_000, "g1", "g2"))
	grow := func(timeoutMs int32, topics ...any) *kmsg.CreatePartitionsRequest {
		q := kmsg.NewPtrCreatePartitionsRequest()
		q.TimeoutMillis = timeoutMs
		for _, x := range topics {
			switch x := x.(type) {
			case string:
				q.Topics = append(q.Topics, kmsg.CreatePartitionsRequestTopic{Topic: x})
			case int:
				q.Topics[len(q.Topics)-1].Count = int32(x)
			case []int32:
				t := &q.Topics[len(q.Topics)-1]
				t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: x})
			}
		}
		return q
	}
	for v := int16(0); v <= 3; v++ {
		n := 2 + int(v)
		do("grow one of three", v, grow(10_000, "g2", n, "g1", 1, "gone", 3))
		do("grow twice", v, grow(10_000, "g2", n, "g1", 5, "g1", 6))
		do("grow by the wrong number", v, grow(10_000, "g1", 2, []int32{1}, []int32{1}))
		do("grow to nobody", v, grow(10_000, "g1", 2, []int32{2}))
		do("grow to 0 or none", v, grow(10_000, "g1", 0, "gone", -1))
		do("grow without time", v, grow(0, "g1", 0, "gone", -1))
		q := grow(10_000, "g1", 100)
		q.ValidateOnly = true
		do("grow, validate only", v, q)
	}
	do("grow assigned", 3, grow(10_000, "g1", 2, []int32{1}))
}

func scriptPages(do ask) {
	q := createOf(10_000, "t1", "t2", "t3")
	for i := range q.Topics {
		q.Topics[i].NumPartitions = 3
	}
	do("create for pages", 7, q)
	do("page named", 0, partitionsOf(2000, "", 0, "t3", "nope", "t1", "bad name", "t1"))
	do("page of 4", 0, partitionsOf(4, "", 0, "t3", "t2", "t1"))
	do("page of 3", 0, partitionsOf(3, "", 0, "t3", "t2", "t1"))
	do("page of 0", 0, partitionsOf(0, "", 0, "t3", "t2", "t1"))
	do("page of -1", 0, partitionsOf(-1, "", 0, "t3", "t2", "t1"))
	do("page from within", 0, partitionsOf(4, "t2", 1, "t3", "t2", "t1"))
	do("page from beyond", 0, partitionsOf(4, "t2", 9, "t3", "t2", "t1"))
	do("page from another topic", 0, partitionsOf(4, "t1", 1, "t3", "t2"))
	do("page from -1", 0, partitionsOf(4, "t1", -1, "t3", "t1"))
	do("page from no topic", 0, partitionsOf(4, "nope", 1, "t3", "nope"))
	do("page of 1 with no topic", 0, partitionsOf(1, "", 0, "nope", "t1", "t2"))
	do("page up to no topic", 0, partitionsOf(3, "", 0, "t1", "t1a", "t2"))
	do("page of all", 0, partitionsOf(7, "", 0))
	do("page of all from between", 0, partitionsOf(4, "t15", 0))
	do("page of all from within", 0, partitionsOf(4, "t2", 2))
}

func scriptDescribe(do ask) {
	for v := int16(1); v <= 4; v++ {
		do("describe topic", v, describeOf(settingsOf(2, "cfg", "retention.ms", "segment.bytes", "no.such", "cleanup.policy", "flush.ms")))
	}
	q := describeOf(settingsOf(2, "cfg", "retention.ms"))
	q.IncludeSynonyms = false
	do("describe without synonyms", 4, q)
	do("describe all of a topic", 4, describeOf(settingsOf(2, "alpha")))
	do("describe errors", 4, describeOf(settingsOf(2, "gone"), settingsOf(2, "bad name"), settingsOf(2, ""), settingsOf(4, "2"), settingsOf(4, "x"),
		settingsOf(4, "99999999999"), settingsOf(8, "2"), settingsOf(8, ""), settingsOf(16, ""), settingsOf(32, "")))
	do("describe broker", 4, describeOf(settingsOf(4, "1", "log.retention.hours", "log.retention.ms", "log.segment.bytes", "num.io.threads", "ssl.key.password", "auto.create.topics.enable"),
		settingsOf(4, "01", "num.io.threads"), settingsOf(4, "", "log.retention.ms")))
	do("describe subscription", 4, describeOf(settingsOf(16, "x")))
	do("describe group", 4, describeOf(settingsOf(32, "g", "consumer.session.timeout.ms", "share.auto.offset.reset")))
	for _, unknown := range []int8{0, 1, 3, 64} {
		do("describe unknown type", 4, describeOf(settingsOf(unknown, "x"), settingsOf(2, "alpha", "retention.ms")))
	}
}

// alterSteps are the same for both requests.
var alterSteps = []change{
	{2, "cfg", []op{{"retention.ms", 0, "5000"}}},
	{2, "cfg", []op{{"retention.ms", 0, "<null>"}, {"flush.ms", 0, "<null>"}}},
	{2, "cfg", []op{{"retention.ms", 0, "1"}, {"retention.ms", 0, "1"}}},
	{2, "cfg", []op{{"no.such", 0, "1"}}},
	{2, "cfg", []op{{"retention.ms", 0, "x"}}},
	{2, "gone", []op{{"retention.ms", 0, "1"}}},
	{2, "bad name", []op{{"retention.ms", 0, "1"}}},
	{2, "", []op{{"retention.ms", 0, "1"}}},
	{4, "2", []op{{"num.io.threads", 0, "9"}}},
	{4, "x", []op{{"num.io.threads", 0, "9"}}},
	{4, "1", []op{{"node.id", 0, "9"}}},
	{4, "1", []op{{"no.such", 0, "9"}}},
	{4, "1", []op{{"num.io.threads", 0, "x"}}},
	{4, "1", []op{{"log.retention.ms", 0, "123456"}}},
	{0, "1", []op{{"root", 0, "INFO"}}},
	{3, "1", []op{{"root", 0, "INFO"}}},
	{32, "g", []op{{"consumer.session.timeout.ms", 0, "50000"}}},
	{32, "g", []op{{"no.such", 0, "50000"}}},
	{32, "", []op{{"consumer.session.timeout.ms", 0, "50000"}}},
	{16, "m", []op{{"interval.ms", 0, "50000"}}},
	{16, "m", []op{{"no.such", 0, "50000"}}},
}

func describeAltered(do ask) {
	do("describe altered", 4, describeOf(settingsOf(2, "cfg", "retention.ms", "cleanup.policy", "flush.ms"), settingsOf(4, "1", "log.retention.ms", "log.retention.hours", "log.retention.minutes"),
		settingsOf(4, "", "log.retention.ms")))
}

func describeAlteredOthers(do ask) {
	do("describe altered others", 4, describeOf(settingsOf(16, "m"), settingsOf(32, "g", "consumer.session.timeout.ms")))
}

func scriptAlter(do ask) {
	for i, c := range alterSteps {
		for _, v := range []int16{0, 2} {
			do(fmt.Sprintf("alter %d %q %v", c.resourceType, c.name, c.ops), v, legacy(c))
		}
		if i%5 == 0 {
			describeAltered(do)
		}
	}
	do("alter loggers", 2, legacy(change{8, "1", []op{{"root", 0, "INFO"}}}))
	do("alter many", 2, legacy(change{2, "gone", []op{{"flush.ms", 0, "9"}}}, change{2, "alpha", []op{{"flush.ms", 0, "9"}}}, change{4, "7", []op{{"num.io.threads", 0, "9"}}}, change{2, "cfg", []op{{"flush.ms", 0, "9"}}}))
	describeAltered(do)
	describeAlteredOthers(do)
	do("alter to nothing", 2, legacy(change{2, "cfg", nil}, change{4, "1", nil}))
	do("alter others to nothing", 2, legacy(change{32, "g", nil}, change{16, "m", nil}))
	describeAltered(do)
}

func scriptIncrement(do ask) {
	for _, c := range alterSteps {
		do(fmt.Sprintf("increment %d %q %v", c.resourceType, c.name, c.ops), 1, incremental(c))
	}
	describeAltered(do)
	describeAlteredOthers(do)
	for _, c := range []change{
		{2, "cfg", []op{{"retention.ms", 1, "<null>"}}},
		{2, "cfg", []op{{"flush.ms", 1, "<null>"}}},
		{2, "cfg", []op{{"no.such", 1, "<null>"}}},
		{2, "cfg", []op{{"cleanup.policy", 2, "compact"}}},
		{2, "cfg", []op{{"retention.ms", 2, "1"}}},
		{2, "cfg", []op{{"cleanup.policy", 3, "delete"}}},
		{2, "cfg", nil},
		{4, "1", []op{{"no.such", 2, "9"}}},
		{4, "1", []op{{"num.io.threads", 7, "9"}}},
		{4, "1", []op{{"num.io.threads", 2, "9"}}},
		{4, "", []op{{"log.retention.ms", 0, "654321"}}},
		{4, "", []op{{"advertised.listeners", 0, "PLAINTEXT://h:1"}}},
		{4, "", []op{{"num.io.threads", 0, "x"}}},
	} {
		do(fmt.Sprintf("increment %d %q %v", c.resourceType, c.name, c.ops), 1, incremental(c))
		describeAltered(do)
	}
	for _, o := range []op{{"root", 0, "X"}, {"no.such", 0, "INFO"}, {"root", 1, "<null>"}, {"root", 2, "INFO"}} {
		do(fmt.Sprintf("increment loggers %v", o), 1, incremental(change{8, "1", []op{o}}))
	}
	do("increment loggers of another", 1, incremental(change{8, "2", nil}))
	do("increment loggers of none", 1, incremental(change{8, "", nil}))
	q := incremental(change{2, "cfg", []op{{"flush.ms", 0, "77"}}}, change{2, "gone", []op{{"flush.ms", 0, "77"}}})
	q.ValidateOnly = true
	do("increment, validate only", 0, q)
	do("increment many", 0, incremental(change{2, "alpha", nil}, change{2, "gone", nil}, change{2, "cfg", nil}, change{2, "alpha", nil}))
	do("increment back", 1, incremental(change{4, "1", []op{{"log.retention.ms", 1, "<null>"}, {"no.such", 1, "<null>"}}}, change{4, "", []op{{"log.retention.ms", 1, "<null>"}}}))
	describeAltered(do)
}

func scriptCluster(do ask) {
	for v := int16(0); v <= 2; v++ {
		for endpoint := int8(0); endpoint <= 3; endpoint++ {
			if v == 0 && endpoint != 1 {
				continue
			}
			q := kmsg.NewPtrDescribeClusterRequest()
			q.EndpointType = endpoint
			do("cluster", v, q)
			q.IncludeClusterAuthorizedOperations, q.IncludeFencedBrokers = true, true
			do("cluster with operations", v, q)
		}
	}
}

func scriptProducerIDs(do ask) {
	empty := ""
	for v := int16(0); v <= 5; v++ {
		for _, c := range []struct {
			txn       *string
			timeoutMs int32
			id        int64
			epoch     int16
		}{{nil, 1000, -1, -1}, {nil, -5, -1, -1}, {nil, 0, 5, -1}, {nil, 0, -1, 5}, {nil, 0, 5, 5}, {&empty, 1000, -1, -1}} {
			q := kmsg.NewPtrInitProducerIDRequest()
			q.TransactionalID, q.TransactionTimeoutMillis, q.ProducerID, q.ProducerEpoch = c.txn, c.timeoutMs, c.id, c.epoch
			do(fmt.Sprintf("producer id %v %d %d %d", c.txn != nil, c.timeoutMs, c.id, c.epoch), v, q)
		}
	}
}

package broker_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/api"
)

// many makes n elements with set.
func many[T any](n int, set func(e *T, i int)) []T {
	all := make([]T, n)
	for i := range all {
		set(&all[i], i)
	}
	return all
}

// multiplying is for each key the request, of a megabyte or less, whose answer is the largest that we can think of. "wide" is a topic of
// 2,000 partitions.
var multiplying = map[int16]func() []kmsg.Request{
	0: func() []kmsg.Request {
		parts := func(e *kmsg.ProduceRequestTopicPartition, i int) { e.Partition = int32(i) % 2000 }
		return []kmsg.Request{
			&kmsg.ProduceRequest{Version: 9, Acks: 1, Topics: []kmsg.ProduceRequestTopic{{Topic: "wide", Partitions: many(160e3, parts)}}},
			&kmsg.ProduceRequest{Version: 9, Acks: 1, Topics: many(160e3, func(e *kmsg.ProduceRequestTopic, i int) {
				e.Topic, e.Partitions = "x", nil
			})},
		}
	},
	1: func() []kmsg.Request {
		parts := func(e *kmsg.FetchRequestTopicPartition, i int) { e.Partition, e.FetchOffset = int32(i)%2000, 1 }
		return []kmsg.Request{&kmsg.FetchRequest{Version: 4, ReplicaID: -1, Topics: []kmsg.FetchRequestTopic{{Topic: "wide", Partitions: many(60e3, parts)}}}}
	},
	2: func() []kmsg.Request {
		parts := func(e *kmsg.ListOffsetsRequestTopicPartition, i int) { e.Partition, e.Timestamp = int32(i), -1 }
		return []kmsg.Request{&kmsg.ListOffsetsRequest{Version: 1, ReplicaID: -1, Topics: []kmsg.ListOffsetsRequestTopic{{Topic: "wide", Partitions: many(80e3, parts)}}}}
	},
	3: func() []kmsg.Request {
		return []kmsg.Request{
			&kmsg.MetadataRequest{Version: 9, Topics: many(140e3, func(e *kmsg.MetadataRequestTopic, i int) {
				name := fmt.Sprintf("%05x", i)
				e.Topic = &name
			})},
			&kmsg.MetadataRequest{Version: 9, IncludeTopicAuthorizedOperations: true, Topics: many(150e3, func(e *kmsg.MetadataRequestTopic, i int) {
				name := "wide"
				e.Topic = &name
			})},
			&kmsg.MetadataRequest{Version: 9},
		}
	},
	18: func() []kmsg.Request { return []kmsg.Request{&kmsg.ApiVersionsRequest{Version: 0}} },
	19: func() []kmsg.Request {
		topics := func(name string) func(e *kmsg.CreateTopicsRequestTopic, i int) {
			return func(e *kmsg.CreateTopicsRequestTopic, i int) {
				e.Topic, e.NumPartitions, e.ReplicationFactor = fmt.Sprintf(name, i), -1, -1
			}
		}
		return []kmsg.Request{
			&kmsg.CreateTopicsRequest{Version: 7, TimeoutMillis: 15000, ValidateOnly: true, Topics: many(9999, topics("%05x"))},
			&kmsg.CreateTopicsRequest{Version: 7, TimeoutMillis: 15000, ValidateOnly: true, Topics: many(65e3, topics("%05x"))},
			&kmsg.CreateTopicsRequest{Version: 7, TimeoutMillis: 15000, ValidateOnly: true, Topics: many(60e3, topics("%05x/"))},
		}
	},
	20: func() []kmsg.Request {
		return []kmsg.Request{&kmsg.DeleteTopicsRequest{Version: 5, TimeoutMillis: 15000, TopicNames: many(140e3, func(e *string, i int) { *e = fmt.Sprintf("%05x", i) })}}
	},
	21: func() []kmsg.Request {
		parts := func(e *kmsg.DeleteRecordsRequestTopicPartition, i int) { e.Partition = int32(i) % 2000 }
		return []kmsg.Request{&kmsg.DeleteRecordsRequest{Version: 1, TimeoutMillis: 15000, Topics: []kmsg.DeleteRecordsRequestTopic{{Topic: "wide", Partitions: many(80e3, parts)}}}}
	},
	22: func() []kmsg.Request { return []kmsg.Request{kmsg.NewPtrInitProducerIDRequest()} },
	23: func() []kmsg.Request {
		parts := func(e *kmsg.OffsetForLeaderEpochRequestTopicPartition, i int) {
			e.Partition, e.CurrentLeaderEpoch = int32(i)%2000, -1
		}
		return []kmsg.Request{&kmsg.OffsetForLeaderEpochRequest{Version: 3, ReplicaID: -2, Topics: []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "wide", Partitions: many(80e3, parts)}}}}
	},
	32: func() []kmsg.Request {
		var all []kmsg.Request
		for _, r := range []struct {
			kind kmsg.ConfigResourceType
			name string
		}{{kmsg.ConfigResourceTypeBroker, "1"}, {kmsg.ConfigResourceTypeTopic, "wide"}, {kmsg.ConfigResourceTypeGroupConfig, "g"}, {kmsg.ConfigResourceTypeBrokerLogger, "1"}, {kmsg.ConfigResourceTypeTopic, "/"}} {
			for _, extra := range []bool{false, true} {
				n := 100_000
				all = append(all, &kmsg.DescribeConfigsRequest{Version: 3, IncludeSynonyms: extra, IncludeDocumentation: extra,
					Resources: many(min(n, 900_000/(7+len(r.name))), func(e *kmsg.DescribeConfigsRequestResource, i int) {
						e.ResourceType, e.ResourceName = r.kind, r.name
					})})
			}
		}
		return all
	},
	33: func() []kmsg.Request {
		return []kmsg.Request{&kmsg.AlterConfigsRequest{Version: 1, Resources: many(80e3, func(e *kmsg.AlterConfigsRequestResource, i int) {
			e.ResourceType, e.ResourceName = kmsg.ConfigResourceTypeBroker, fmt.Sprintf("%05d", i+2)
		})}}
	},
	35: func() []kmsg.Request {
		return []kmsg.Request{
			&kmsg.DescribeLogDirsRequest{Version: 1},
			&kmsg.DescribeLogDirsRequest{Version: 1, Topics: []kmsg.DescribeLogDirsRequestTopic{{Topic: "wide", Partitions: many(240e3, func(e *int32, i int) { *e = int32(i) })}}},
		}
	},
	37: func() []kmsg.Request {
		return []kmsg.Request{&kmsg.CreatePartitionsRequest{Version: 2, TimeoutMillis: 15000, Topics: many(80e3, func(e *kmsg.CreatePartitionsRequestTopic, i int) {
			e.Topic, e.Count = fmt.Sprintf("%05x", i), 1
		})}}
	},
	43: func() []kmsg.Request {
		ids := func(e *int32, i int) { *e = int32(i) }
		return []kmsg.Request{
			&kmsg.ElectLeadersRequest{Version: 2, TimeoutMillis: 15000, Topics: []kmsg.ElectLeadersRequestTopic{{Topic: "wide", Partitions: many(240e3, ids)}}},
			&kmsg.ElectLeadersRequest{Version: 2, TimeoutMillis: 15000, Topics: many(140e3, func(e *kmsg.ElectLeadersRequestTopic, i int) { e.Topic = "x" })},
		}
	},
	45: func() []kmsg.Request {
		parts := func(e *kmsg.AlterPartitionAssignmentsRequestTopicPartition, i int) { e.Partition = int32(i) }
		return []kmsg.Request{&kmsg.AlterPartitionAssignmentsRequest{Version: 1, TimeoutMillis: 15000,
			Topics: []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "wide", Partitions: many(160e3, parts)}}}}
	},
	46: func() []kmsg.Request {
		return []kmsg.Request{&kmsg.ListPartitionReassignmentsRequest{TimeoutMillis: 15000,
			Topics: []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: "wide", Partitions: many(240e3, func(e *int32, i int) { *e = int32(i) % 2000 })}}}}
	},
	44: func() []kmsg.Request {
		return []kmsg.Request{
			&kmsg.IncrementalAlterConfigsRequest{Version: 0, Resources: many(80e3, func(e *kmsg.IncrementalAlterConfigsRequestResource, i int) {
				e.ResourceType, e.ResourceName = kmsg.ConfigResourceTypeTopic, fmt.Sprintf("%05x", i)
			})},
			&kmsg.IncrementalAlterConfigsRequest{Version: 0, ValidateOnly: true, Resources: many(60e3, func(e *kmsg.IncrementalAlterConfigsRequestResource, i int) {
				e.ResourceType, e.ResourceName = kmsg.ConfigResourceTypeBroker, fmt.Sprintf("%06d1", i) // all are broker 1, or unknown
			})},
		}
	},
	55: func() []kmsg.Request {
		return []kmsg.Request{&kmsg.DescribeQuorumRequest{Version: 2, Topics: []kmsg.DescribeQuorumRequestTopic{{
			Topic: "wide", Partitions: many(200e3, func(e *kmsg.DescribeQuorumRequestTopicPartition, i int) { e.Partition = int32(i) }),
		}}}}
	},
	60: func() []kmsg.Request { return []kmsg.Request{kmsg.NewPtrDescribeClusterRequest()} },
	64: func() []kmsg.Request { return []kmsg.Request{&kmsg.UnregisterBrokerRequest{BrokerID: 77}} },
	75: func() []kmsg.Request {
		return []kmsg.Request{
			&kmsg.DescribeTopicPartitionsRequest{ResponsePartitionLimit: 1 << 30, Topics: many(140e3, func(e *kmsg.DescribeTopicPartitionsRequestTopic, i int) { e.Topic = fmt.Sprintf("%05x", i) })},
			&kmsg.DescribeTopicPartitionsRequest{ResponsePartitionLimit: 1 << 30, Topics: many(150e3, func(e *kmsg.DescribeTopicPartitionsRequestTopic, i int) { e.Topic = "wide" })},
		}
	},
	80: func() []kmsg.Request {
		return []kmsg.Request{&kmsg.AddRaftVoterRequest{Version: 1, TimeoutMillis: 1000, VoterID: 77, Listeners: many(200e3, func(e *kmsg.AddRaftVoterRequestListener, i int) { e.Port = uint16(i) })}}
	},
	81: func() []kmsg.Request { return []kmsg.Request{&kmsg.RemoveRaftVoterRequest{VoterID: 77}} },
}

// TestHostileAnswers: no request of a megabyte, whatever its answer, costs 150 MB.
func TestHostileAnswers(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector multiplies memory")
	}
	const bound = 150_000_000
	for _, row := range api.Table {
		requests := multiplying[row.Key]
		if requests == nil {
			t.Errorf("%s: no request that multiplies: add one", kmsg.NameForKey(row.Key))
			continue
		}
		for i, r := range requests() {
			t.Run(fmt.Sprintf("%s %d", kmsg.NameForKey(row.Key), i), func(t *testing.T) {
				bytes := sized(encode(r, 1))
				if len(bytes) > 1<<20 {
					t.Fatalf("a request of %d bytes", len(bytes))
				}
				b := newChild(t)
				w := b.witness(t)
				b.createWide(t)
				b.createGroups(t)
				b.createTransactions(t)
				before, _ := b.rss(t)
				answer := b.send(t, bytes)
				_, peak := b.rss(t)
				t.Logf("%d bytes cost %d MB and are answered with %d bytes", len(bytes), (peak-before)/1e6, len(answer))
				if peak-before > bound {
					t.Errorf("it costs %d MB, allowed are %d MB", (peak-before)/1e6, int64(bound)/1e6)
				}
				w.check(t)
			})
		}
	}
}

// createWide makes a topic of 2,000 partitions.
func (b *bed) createWide(t *testing.T) {
	nc := b.dial(t)
	defer nc.Close()
	r := &kmsg.CreateTopicsRequest{Version: 4, TimeoutMillis: 15000, Topics: []kmsg.CreateTopicsRequestTopic{{Topic: "wide", NumPartitions: 2000, ReplicationFactor: 1}}}
	resp, err := exchange(nc, r, 1)
	if err != nil || resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0 {
		t.Fatalf("create: %+v, %v", resp, err)
	}
}

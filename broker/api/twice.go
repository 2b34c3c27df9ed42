package api

import "github.com/twmb/franz-go/pkg/kmsg"

// Kafka reads the partitions of some requests into a map: of those that are named twice the last counts, and a topic that is named
// twice is answered once. What is here brings such a request into that form. No client sends one, so it may be slow.

// few are compared with each other, which allocates nothing.
const few = 32

func hasTwice[T any, K comparable](all []T, key func(*T) K) bool {
	for i := 1; i < len(all); i++ {
		k := key(&all[i])
		for j := range i {
			if key(&all[j]) == k {
				return true
			}
		}
	}
	return false
}

// once keeps of each key one element, in place: what merge makes of all that have it, where the first was.
func once[T any, K comparable](all []T, key func(*T) K, merge func(first, next T) T) []T {
	if len(all) <= few && !hasTwice(all, key) {
		return all
	}
	at := make(map[K]int)
	out := all[:0]
	for i := range all {
		k := key(&all[i])
		if j, ok := at[k]; ok {
			out[j] = merge(out[j], all[i])
			continue
		}
		at[k] = len(out)
		out = append(out, all[i])
	}
	return out
}

func last[T any](_, next T) T { return next }

type topicKey struct {
	name string
	id   [16]byte
}

func produceOnce(q *kmsg.ProduceRequest) {
	q.Topics = once(q.Topics, func(t *kmsg.ProduceRequestTopic) topicKey { return topicKey{t.Topic, t.TopicID} },
		func(first, next kmsg.ProduceRequestTopic) kmsg.ProduceRequestTopic {
			first.Partitions = append(first.Partitions, next.Partitions...)
			return first
		})
	for i := range q.Topics {
		t := &q.Topics[i]
		t.Partitions = once(t.Partitions, func(p *kmsg.ProduceRequestTopicPartition) int32 { return p.Partition }, last[kmsg.ProduceRequestTopicPartition])
	}
}

func deleteRecordsOnce(q *kmsg.DeleteRecordsRequest) {
	q.Topics = once(q.Topics, func(t *kmsg.DeleteRecordsRequestTopic) string { return t.Topic },
		func(first, next kmsg.DeleteRecordsRequestTopic) kmsg.DeleteRecordsRequestTopic {
			first.Partitions = append(first.Partitions, next.Partitions...)
			return first
		})
	for i := range q.Topics {
		t := &q.Topics[i]
		t.Partitions = once(t.Partitions, func(p *kmsg.DeleteRecordsRequestTopicPartition) int32 { return p.Partition },
			last[kmsg.DeleteRecordsRequestTopicPartition])
	}
}

// listOffsetsOnce says which partitions were named more than once: Kafka refuses them, and answers each once.
func listOffsetsOnce(q *kmsg.ListOffsetsRequest) map[topicPartition]bool {
	twice := duplicatePartitions(q)
	q.Topics = once(q.Topics, func(t *kmsg.ListOffsetsRequestTopic) string { return t.Topic },
		func(first, next kmsg.ListOffsetsRequestTopic) kmsg.ListOffsetsRequestTopic {
			first.Partitions = append(first.Partitions, next.Partitions...)
			return first
		})
	for i := range q.Topics {
		t := &q.Topics[i]
		t.Partitions = once(t.Partitions, func(p *kmsg.ListOffsetsRequestTopicPartition) int32 { return p.Partition }, last[kmsg.ListOffsetsRequestTopicPartition])
	}
	return twice
}

package api

import (
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/controller"
	"weir/protocol"
)

// Room lends memory for an answer.
type Room interface {
	// Reserve takes so many bytes, beside those that it has given, until the answer is written. It may wait for them. Its error is the
	// handler's.
	Reserve(bytes int) error
}

// MaxAnswer is what the answer to one request may take while it is made and encoded, as handlers estimate it: 300,000 partitions in
// Metadata, or all settings of some 3,000 topics. All answers together have twice as much.
const MaxAnswer = 64 << 20

// reserve takes memory for an answer that may be many times its request, before it is made.
func (c *Call) reserve(bytes int) error {
	if bytes > MaxAnswer {
		return fmt.Errorf("%w: the answer to %s would take %d bytes, allowed are %d", protocol.ErrMalformed, kmsg.NameForKey(c.Header.Key), bytes, MaxAnswer)
	}
	if c.Room == nil {
		return nil
	}
	return c.Room.Reserve(bytes)
}

// createdSettingCost is what a setting of a new topic costs in the answer, or so.
const createdSettingCost = 150

// What a topic and a partition cost while they are described and encoded, or so, beside replicas.
const (
	topicCost     = 400
	partitionCost = 200
)

// cost is what the answer will cost. Topics that are still to be created have a partition or so.
func (w *metadataWork) cost() int {
	n := (len(w.unknownIDs) + len(w.denied)) * topicCost
	if w.all {
		for t := range w.img.Topics() {
			n += costOf(t)
		}
		return n
	}
	for _, name := range w.names {
		n += costOf(w.img.Topic(name))
	}
	return n
}

// costOf is what it costs to describe a topic; nil is one that is not there.
func costOf(t *controller.Topic) int {
	if t == nil {
		return topicCost
	}
	n := topicCost + len(t.Partitions)*partitionCost
	if len(t.Partitions) > 0 {
		n += 12 * len(t.Partitions) * len(t.Partitions[0].Replicas)
	}
	return n
}

// What a setting costs while it is described and encoded, or so.
const (
	settingCost  = 400
	synonymsCost = 400
	docCost      = 300
)

// reserve takes memory for the answer and returns how many of the resources fit into it.
func (d *describer) reserve(c *Call, q *kmsg.DescribeConfigsRequest) (fit int, err error) {
	each := settingCost
	if d.synonyms {
		each += synonymsCost
	}
	if d.docs {
		each += docCost
	}
	cost, room := 0, MaxAnswer-len(q.Resources)*settingCost // an error costs no more than a setting
	most := maxSettings()
	for ; fit < len(q.Resources); fit++ {
		r := &q.Resources[fit]
		n := most[int8(r.ResourceType)]
		if len(r.ConfigNames) > 0 {
			n = min(n, len(r.ConfigNames))
		}
		if cost+n*each > room {
			break
		}
		cost += n * each
	}
	return fit, c.reserve(cost + len(q.Resources)*settingCost)
}

// maxSettings is how many settings a resource of each type has at most.
var maxSettings = sync.OnceValue(func() map[int8]int {
	return map[int8]int{
		controller.TopicConfig:         len(config.Settings(config.TopicScope)),
		controller.BrokerConfig:        len(config.Settings(config.BrokerScope)),
		controller.GroupConfig:         len(config.Settings(config.GroupScope)),
		controller.ClientMetricsConfig: len(config.Settings(config.ClientMetricsScope)),
		controller.BrokerLoggerConfig:  64,
	}
})

// What each costs, or so, beside strings and bytes. What is encoded is counted three times, for a buffer that grows is copied.
const (
	describedCost = 600 // a group
	offsetCost    = 200
	memberCost    = 600
	producerCost  = 300
	// one of a list
	transactionCost = 200
)

func weighOffsets(response any) int {
	n := describedCost
	for _, t := range response.(*kmsg.OffsetFetchResponseGroup).Topics {
		n += topicCost + offsetCost*len(t.Partitions)
		for i := range t.Partitions {
			n += 3 * len(*t.Partitions[i].Metadata)
		}
	}
	return n
}

func weighGroup(response any) int {
	n := describedCost
	for i := range response.(*kmsg.DescribeGroupsResponseGroup).Members {
		m := &response.(*kmsg.DescribeGroupsResponseGroup).Members[i]
		n += memberCost + 3*(len(m.ProtocolMetadata)+len(m.MemberAssignment)) // they are the group's own, and encoded
	}
	return n
}

func weighConsumerGroup(response any) int {
	n := describedCost
	topics := func(all []kmsg.AssignmentTopicPartition) {
		for i := range all {
			n += topicCost + 20*len(all[i].Partitions)
		}
	}
	for i := range response.(*kmsg.ConsumerGroupDescribeResponseGroup).Members {
		m := &response.(*kmsg.ConsumerGroupDescribeResponseGroup).Members[i]
		n += memberCost
		for _, t := range m.SubscribedTopics {
			n += 4*len(t) + 16
		}
		topics(m.Assignment.TopicPartitions)
		topics(m.TargetAssignment.TopicPartitions)
	}
	return n
}

func weighTransaction(response any) int {
	n := describedCost
	for _, t := range response.(*kmsg.DescribeTransactionsResponseTransactionState).Topics {
		n += topicCost + 20*len(t.Partitions)
	}
	return n
}

func weighTransactions(response any) int {
	n := 0
	for _, x := range response.([]kmsg.ListTransactionsResponseTransactionState) {
		n += transactionCost + 4*len(x.TransactionalID)
	}
	return n
}

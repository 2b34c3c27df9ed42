package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// DescribeTopicPartitions (75), v0. Answered by any broker.
//
// Versions: 0 flexible (KIP-966).
// Needs: DESCRIBE on Topic.
// Differs from Kafka: nothing known.

func describeTopicPartitions(s *Server, c *Call, q *kmsg.DescribeTopicPartitionsRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	switch {
	case !cursorValid(q):
		return nothingDescribed(q, resp, protocol.InvalidRequest), nil
	case slices.ContainsFunc(q.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == "" }):
		return nothingDescribed(q, resp, protocol.UnknownServerError), nil // no name is an exception without a code in Kafka
	}
	d := describePage{s: s, who: c.Session, img: s.Image(), resp: resp}
	limit := min(int64(q.ResponsePartitionLimit), s.Config.Int64("max.request.partition.size.limit"))
	d.left = int(max(limit, 1))
	if err := c.reserve(len(q.Topics)*topicCost + d.left*(topicCost+partitionCost)); err != nil {
		return nil, err
	}
	from := ""
	if q.Cursor != nil {
		from, d.first = q.Cursor.Topic, int(q.Cursor.Partition)
		d.firstTopic = from
	}
	if len(q.Topics) == 0 {
		for t := range d.img.TopicsFrom(from) {
			if d.s.mayTopic(d.who, Describe, t.Name) && !d.add(t.Name) {
				break
			}
		}
		return resp, nil
	}
	var denied []kmsg.DescribeTopicPartitionsResponseTopic
	for _, name := range sortedNames(q, from) {
		if !s.mayTopic(c.Session, Describe, name) {
			// The topic is not looked up: nothing is told of whether it exists.
			t := kmsg.NewDescribeTopicPartitionsResponseTopic()
			t.ErrorCode, t.Topic, t.AuthorizedOperations = int16(protocol.TopicAuthorizationFailed), &name, unknownOperations
			denied = append(denied, t)
			continue
		}
		if !d.add(name) {
			break
		}
	}
	resp.Topics = append(resp.Topics, denied...)
	return resp, nil
}

// nothingDescribed answers every topic, in the order of the request, with the same code.
func nothingDescribed(q *kmsg.DescribeTopicPartitionsRequest, resp *kmsg.DescribeTopicPartitionsResponse, code protocol.Code) Response {
	for i := range q.Topics {
		t := kmsg.NewDescribeTopicPartitionsResponseTopic()
		t.ErrorCode, t.Topic, t.AuthorizedOperations = int16(code), &q.Topics[i].Topic, unknownOperations
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// cursorValid says whether the cursor points into the topics asked for.
func cursorValid(q *kmsg.DescribeTopicPartitionsRequest) bool {
	if q.Cursor == nil {
		return true
	}
	listed := slices.ContainsFunc(q.Topics, func(t kmsg.DescribeTopicPartitionsRequestTopic) bool { return t.Topic == q.Cursor.Topic })
	return q.Cursor.Partition >= 0 && (len(q.Topics) == 0 || listed)
}

// sortedNames are the topics asked for, at or after from, without repetition.
func sortedNames(q *kmsg.DescribeTopicPartitionsRequest, from string) []string {
	names := make([]string, 0, len(q.Topics))
	for i := range q.Topics {
		if q.Topics[i].Topic >= from {
			names = append(names, q.Topics[i].Topic)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// describePage fills a response up to its limit of partitions.
type describePage struct {
	s          *Server
	who        *Session
	img        *controller.Image
	resp       *kmsg.DescribeTopicPartitionsResponse
	left       int    // partitions that still fit
	firstTopic string // the cursor's topic begins at partition first
	first      int
}

// add describes a topic, or what fits of it. It returns false when the page is full, with the cursor set to where the next begins.
func (d *describePage) add(name string) bool {
	if d.left == 0 {
		d.next(name, 0)
		return false
	}
	t := kmsg.NewDescribeTopicPartitionsResponseTopic()
	t.Topic, t.IsInternal = &name, isInternal(name)
	t.AuthorizedOperations = d.s.authorizedOperations(d.who, TopicResource, name)
	topic := d.img.Topic(name)
	if topic == nil {
		t.ErrorCode = int16(protocol.UnknownTopicOrPartition)
		if topicNameProblem(name) != "" {
			t.ErrorCode = int16(protocol.InvalidTopicException)
		}
		d.resp.Topics = append(d.resp.Topics, t)
		return true
	}
	t.TopicID = topic.ID
	begin := 0
	if name == d.firstTopic {
		begin = min(d.first, len(topic.Partitions))
	}
	end := min(len(topic.Partitions), begin+d.left)
	for i := begin; i < end; i++ {
		t.Partitions = append(t.Partitions, d.partition(i, topic.Partitions[i]))
	}
	d.resp.Topics = append(d.resp.Topics, t)
	d.left -= end - begin
	if end < len(topic.Partitions) {
		d.next(name, end)
		return false
	}
	return true
}

func (d *describePage) next(topic string, partition int) {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, int32(partition)
	d.resp.NextCursor = &c
}

// partition describes one partition. It has no error code of its own in Kafka: a missing leader is -1.
func (d *describePage) partition(i int, p *controller.Partition) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	rp := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	rp.Partition, rp.LeaderID, rp.LeaderEpoch = int32(i), -1, p.LeaderEpoch
	rp.Replicas, rp.ISR, rp.OfflineReplicas = p.Replicas, p.ISR, offlineReplicas(d.img, d.who.ListenerName, p)
	rp.EligibleLeaderReplicas, rp.LastKnownELR = notNull(p.ELR), notNull(p.LastELR)
	if leader := d.img.Broker(p.Leader); leader != nil {
		if _, ok := leader.Endpoint(d.who.ListenerName); ok {
			rp.LeaderID = p.Leader
		}
	}
	return rp
}

// notNull keeps an empty list from being encoded as null: tools print the two differently.
func notNull(ids []int32) []int32 {
	if ids == nil {
		return []int32{}
	}
	return ids
}

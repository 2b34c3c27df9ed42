package controller

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/protocol"
)

// alterPartition decides AlterPartition (KIP-497): leaders say which replicas are in sync, from version 2
// on, the first that Kafka 4 serves. A partition's epochs let each change be made
// from what it knows of exactly once.
func (c *Controller) alterPartition(in Input, q *kmsg.AlterPartitionRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.AlterPartitionResponse)
	if _, code := checkBrokerEpoch(in.Image, q.BrokerID, q.BrokerEpoch); code != protocol.None {
		r.ErrorCode = int16(code)
		return r, nil
	}
	base := c.topicDefaults(in.Image)
	var records []Record
	seen := map[*Partition]bool{}
	for i := range q.Topics {
		t := &q.Topics[i]
		a := kmsg.NewAlterPartitionResponseTopic()
		a.TopidID = t.TopicID // kmsg's spelling
		topic := in.Image.TopicByID(t.TopicID)
		for j := range t.Partitions {
			p := kmsg.NewAlterPartitionResponseTopicPartition()
			p.Partition = t.Partitions[j].Partition
			p.ErrorCode = int16(protocol.UnknownTopicID)
			if topic != nil {
				old := topic.Partition(p.Partition)
				if seen[old] && old != nil {
					// Named twice in a request: the second was made from what the first has changed.
					p.ErrorCode = int16(protocol.InvalidUpdateVersion)
				} else if rec := alterOne(in.Image, base, topic, q, &t.Partitions[j], &p); rec != nil {
					seen[old] = true
					records = append(records, rec)
				}
			}
			a.Partitions = append(a.Partitions, p)
		}
		r.Topics = append(r.Topics, a)
	}
	return r, records
}

// alterOne decides one partition: it fills in the answer and returns the record, if something changes.
func alterOne(m *Image, base *config.Topic, topic *Topic, q *kmsg.AlterPartitionRequest, want *kmsg.AlterPartitionRequestTopicPartition, answer *kmsg.AlterPartitionResponseTopicPartition) Record {
	old := topic.Partition(want.Partition)
	isr := want.NewISR
	if q.Version >= 3 {
		isr = make([]int32, len(want.NewEpochISR))
		for i := range isr {
			isr[i] = want.NewEpochISR[i].BrokerID
		}
	}
	if code := checkAlter(m, old, q, want, isr); code != protocol.None {
		answer.ErrorCode = int16(code)
		return nil
	}
	change := changeOf(m, topic, want.Partition)
	change.election, change.minISR = electionOf(m, topic, base), minISROf(m, topic, base)
	change.isr = slices.Clone(isr)
	change.recovering = want.LeaderRecoveryState == 1
	rec := change.build()
	now := old
	if rec != nil {
		now = old.changed(rec)
		if rec.Leader != NoLeaderChange && rec.Leader != q.BrokerID {
			// The change completed a reassignment which took the leader out: it is made, and the leader has to look again.
			answer.ErrorCode = int16(protocol.NewLeaderElected)
			return rec
		}
	}
	answer.ErrorCode = none
	answer.LeaderID, answer.LeaderEpoch, answer.ISR = now.Leader, now.LeaderEpoch, now.ISR
	answer.LeaderRecoveryState, answer.PartitionEpoch = now.recoveryState(), now.PartitionEpoch
	if rec == nil {
		return nil
	}
	return rec
}

// checkAlter holds a wanted ISR against the partition, in Kafka's order.
func checkAlter(m *Image, p *Partition, q *kmsg.AlterPartitionRequest, want *kmsg.AlterPartitionRequestTopicPartition, isr []int32) protocol.Code {
	switch {
	case p == nil:
		return protocol.UnknownTopicOrPartition
	case want.LeaderEpoch > p.LeaderEpoch || want.PartitionEpoch > p.PartitionEpoch:
		return protocol.NotController // this node is behind: likely it leads no longer
	case want.LeaderEpoch < p.LeaderEpoch:
		return protocol.FencedLeaderEpoch
	case q.BrokerID != p.Leader:
		return protocol.InvalidRequest
	case want.PartitionEpoch < p.PartitionEpoch:
		return protocol.InvalidUpdateVersion
	case !containsAll(p.Replicas, isr) || repeats(isr) || !slices.Contains(isr, p.Leader):
		return protocol.InvalidRequest
	case want.LeaderRecoveryState != 0 && want.LeaderRecoveryState != 1:
		return protocol.InvalidRequest
	case want.LeaderRecoveryState == 1 && (len(isr) > 1 || !p.Recovering):
		return protocol.InvalidRequest
	}
	for i, id := range isr {
		b := m.Broker(id)
		ok := b != nil && !b.Fenced && !b.ShuttingDown
		if ok && q.Version >= 3 {
			epoch := want.NewEpochISR[i].BrokerEpoch
			ok = epoch == -1 || epoch == b.Epoch
		}
		if !ok {
			return protocol.IneligibleReplica
		}
	}
	return protocol.None
}

func repeats(ids []int32) bool {
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return true
		}
	}
	return false
}

package group

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// ConsumerGroupDescribe (69) of one group: the reply is a *kmsg.ConsumerGroupDescribeResponseGroup.
func (m *Machine) ConsumerGroupDescribe(now int64, t coordinator.Token, id string) coordinator.Effects {
	s := m.begin(now)
	resp := kmsg.NewConsumerGroupDescribeResponseGroup()
	resp.Group = id
	g := m.groups[id]
	switch {
	case g == nil:
		message := fmt.Sprintf("Group %s not found.", id)
		resp.ErrorCode, resp.ErrorMessage = int16(protocol.GroupIDNotFound), &message
	case g.consumer == nil:
		message := fmt.Sprintf("Group %s is not a consumer group.", id)
		resp.ErrorCode, resp.ErrorMessage = int16(protocol.GroupIDNotFound), &message
	default:
		c := g.consumer
		resp.State, resp.Epoch, resp.AssignmentEpoch = c.stateName(), c.epoch, c.assignmentEpoch
		cs := s.consumer(c)
		resp.AssignorName = cs.preferred(c.votes)
		for _, member := range c.members {
			resp.Members = append(resp.Members, cs.describeMember(member))
		}
	}
	s.reply(t, &resp)
	return s.e
}

func (s consumerStep) describeMember(m *consumerMember) kmsg.ConsumerGroupDescribeResponseGroupMember {
	d := kmsg.NewConsumerGroupDescribeResponseGroupMember()
	d.MemberID, d.InstanceID, d.RackID, d.MemberEpoch = m.id, m.instanceID, m.rackID, m.epoch
	d.ClientID, d.ClientHost = m.clientID, m.clientHost
	d.SubscribedTopics, d.SubscribedTopicRegex = slices.Clone(m.topics), m.regex
	d.MemberType = 1
	if m.classic != nil {
		d.MemberType = 0
	}
	d.Assignment = s.describeAssignment(held(m))
	d.TargetAssignment = s.describeAssignment(fromAssignment(s.c.targets[m.id]))
	return d
}

// held is what a member may read: what it must give up counts until it said that it did.
func held(m *consumerMember) []topicPartitions {
	if len(m.revoking) == 0 {
		return m.assigned
	}
	var all []ownedPartition
	for _, list := range [2][]topicPartitions{m.assigned, m.revoking} {
		for _, tp := range list {
			all = appendOwned(all, tp)
		}
	}
	slices.SortStableFunc(all, compareOwned)
	return gather(all)
}

func (s consumerStep) describeAssignment(list []topicPartitions) kmsg.Assignment {
	var a kmsg.Assignment
	for _, tp := range list {
		if name, ok := s.m.md.TopicName(tp.topic); ok {
			a.TopicPartitions = append(a.TopicPartitions, kmsg.AssignmentTopicPartition{
				TopicID: tp.topic, Topic: name, Partitions: slices.Clone(tp.partitions),
			})
		}
	}
	return a
}

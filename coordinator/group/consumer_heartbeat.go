package group

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// refusal is an error for the client, with Kafka's message. An operation that ends in one causes nothing else.
type refusal struct {
	code    protocol.Code
	message string
}

func refuse(code protocol.Code, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// undo takes back what the operation caused so far.
func (s *step) undo() {
	s.e.Records, s.e.Replies, s.e.Timers = s.e.Records[:0], s.e.Replies[:0], s.e.Timers[:0]
}

// ConsumerGroupHeartbeat (68): the reply is a *kmsg.ConsumerGroupHeartbeatResponse.
func (m *Machine) ConsumerGroupHeartbeat(now int64, t coordinator.Token, c Client, r *kmsg.ConsumerGroupHeartbeatRequest) coordinator.Effects {
	s := m.begin(now)
	resp, err := s.consumerHeartbeat(c, r)
	if err != nil {
		s.undo()
		resp = newHeartbeatResponse(r)
		resp.ErrorCode, resp.ErrorMessage = int16(err.code), &err.message
	}
	s.reply(t, resp)
	return s.e
}

func newHeartbeatResponse(r *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.Version = r.Version
	return resp
}

func (s *step) consumerHeartbeat(c Client, r *kmsg.ConsumerGroupHeartbeatRequest) (*kmsg.ConsumerGroupHeartbeatResponse, *refusal) {
	if err := s.checkHeartbeat(r); err != nil {
		return nil, err
	}
	if r.MemberEpoch < 0 {
		return s.consumerLeave(r)
	}
	o := &change{consumerStep: s.consumer(nil), client: c}
	if err := o.openGroup(r.Group, r.MemberEpoch == epochJoin); err != nil {
		return nil, err
	}
	if err := o.checkFull(r.MemberID, r.InstanceID); err != nil {
		return nil, err
	}
	memberID := r.MemberID
	if memberID == "" {
		memberID = c.NewID
	}
	if err := o.openMember(memberID, r.InstanceID, r.MemberEpoch, r.Topics, false); err != nil {
		return nil, err
	}
	o.update(func(v *consumerMemberValue) { updateFromHeartbeat(v, c, r) })
	if err := o.subscribe(); err != nil {
		return nil, err
	}
	epoch, target := o.assign()
	o.reconcile(epoch, target, ownedOf(r.Topics), r.Topics != nil)
	o.done()
	cfg := s.m.cfg.Group(r.Group)
	s.arm(timer(timerConsumerSession, r.Group, memberID), s.now+int64(cfg.ConsumerSessionMs))

	resp := newHeartbeatResponse(r)
	resp.MemberID, resp.MemberEpoch, resp.HeartbeatIntervalMillis = &o.next.id, o.next.epoch, cfg.ConsumerHeartbeatMs
	full := r.RebalanceTimeoutMillis != -1 && (r.SubscribedTopicNames != nil || r.SubscribedTopicRegex != nil) && r.Topics != nil
	if full || r.MemberEpoch == epochJoin || !equalOwned(o.old.assigned, o.next.assigned) {
		resp.Assignment = assignmentOf(o.next.assigned)
	}
	return resp, nil
}

// checkHeartbeat checks what can be checked without a group.
func (s *step) checkHeartbeat(r *kmsg.ConsumerGroupHeartbeatRequest) *refusal {
	invalid := func(message string) *refusal { return &refusal{protocol.InvalidRequest, message} }
	switch {
	case (r.Version >= 1 || r.MemberEpoch > 0 || r.MemberEpoch == epochLeave) && blank(r.MemberID):
		return invalid("MemberId can't be empty.")
	case blank(r.Group):
		return invalid("GroupId can't be empty.")
	case r.InstanceID != nil && blank(*r.InstanceID):
		return invalid("InstanceId can't be empty.")
	case r.RackID != nil && blank(*r.RackID):
		return invalid("RackId can't be empty.")
	case r.MemberEpoch == epochJoin && r.RebalanceTimeoutMillis == -1:
		return invalid("RebalanceTimeoutMs must be provided in first request.")
	case r.MemberEpoch == epochJoin && (r.Topics == nil || len(r.Topics) > 0):
		return invalid("TopicPartitions must be empty when (re-)joining.")
	case r.MemberEpoch == epochJoin && r.SubscribedTopicNames == nil && r.SubscribedTopicRegex == nil:
		return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	case r.MemberEpoch == epochStaticLeave && r.InstanceID == nil:
		return invalid("InstanceId can't be null.")
	case r.MemberEpoch < epochStaticLeave:
		return invalid("MemberEpoch is invalid.")
	}
	if known := s.m.cfg.ConsumerAssignors; r.ServerAssignor != nil && !slices.Contains(known, *r.ServerAssignor) {
		return refuse(protocol.UnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.",
			*r.ServerAssignor, strings.Join(known, ", "))
	}
	return nil
}

// blank is Java's trim().isEmpty().
func blank(s string) bool {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' }) == ""
}

// updateFromHeartbeat takes over what the request says; what it leaves out stays.
func updateFromHeartbeat(v *consumerMemberValue, c Client, r *kmsg.ConsumerGroupHeartbeatRequest) {
	if r.InstanceID != nil {
		v.instanceID = r.InstanceID
	}
	if r.RackID != nil {
		v.rackID = r.RackID
	}
	if r.RebalanceTimeoutMillis != -1 {
		v.rebalanceMs = r.RebalanceTimeoutMillis
	}
	if r.ServerAssignor != nil {
		v.assignor = r.ServerAssignor
	}
	if r.SubscribedTopicNames != nil {
		v.topics = sortedSet(r.SubscribedTopicNames)
	}
	if r.SubscribedTopicRegex != nil {
		v.regex = r.SubscribedTopicRegex
	}
	v.clientID, v.clientHost, v.classic = c.ID, c.Host, nil
}

// ownedOf is the partitions that a member says it has, in order.
func ownedOf(topics []kmsg.ConsumerGroupHeartbeatRequestTopic) []topicPartitions {
	list := make([]topicPartitions, 0, len(topics))
	for _, t := range topics {
		list = append(list, topicPartitions{topic: t.TopicID, partitions: t.Partitions})
	}
	return sortedOwned(list, 0)
}

func equalOwned(a, b []topicPartitions) bool {
	return slices.EqualFunc(a, b, func(x, y topicPartitions) bool {
		return x.topic == y.topic && slices.Equal(x.partitions, y.partitions) && slices.Equal(x.epochs, y.epochs)
	})
}

// assignmentOf is the answer's form. Partitions are copied: members share theirs with no one, and answers belong to the caller.
func assignmentOf(list []topicPartitions) *kmsg.ConsumerGroupHeartbeatResponseAssignment {
	a := &kmsg.ConsumerGroupHeartbeatResponseAssignment{Topics: make([]kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic, len(list))}
	for i, t := range list {
		a.Topics[i].TopicID, a.Topics[i].Partitions = t.topic, slices.Clone(t.partitions)
	}
	return a
}

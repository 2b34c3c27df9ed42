package group

import (
	"cmp"
	"slices"

	"weir/coordinator/group/assignor"
	"weir/protocol"
)

// The consumer protocol (KIP-848): the coordinator computes who reads what. A group has an epoch that rises with each change of members,
// subscriptions or topics. For an epoch an assignor computes a target, and each member moves towards it with its heartbeats: it gives up
// what is not its any more, says so, and then gets what others have given up. Its member epoch is the epoch of the target that it moved
// to last.
//
// Where to read: consumer_heartbeat.go (an operation from end to end), consumer_change.go (what a new subscription means),
// consumer_assign.go (the target), consumer_reconcile.go (one member's move), consumer_leave.go (who goes),
// consumer_regex.go, consumer_replay.go (the records). consumer_classic.go lets members of the classic protocol take part,
// consumer_upgrade.go and consumer_downgrade.go change a group from one protocol to the other.

// The states of a member (MemberState).
const (
	memberStable     int8 = 0
	memberUnrevoked  int8 = 1 // it must give up partitions and has not said that it did
	memberUnreleased int8 = 2 // it waits for partitions that others have not given up
)

// The epochs of a request and a record that are none.
const (
	epochJoin        int32 = 0
	epochLeave       int32 = -1
	epochStaticLeave int32 = -2 // it will be back under its instance id
)

// consumerMember is a member. It is never changed: Replay puts another one in its place.
type consumerMember struct {
	id                   string
	epoch, previousEpoch int32
	state                int8
	consumerMemberValue  // topics are sorted and shared, regex is not nil
	assigned             []topicPartitions
	revoking             []topicPartitions // it may read them still
}

var noRegex = ""

// newConsumerMember is a member that said nothing yet.
func newConsumerMember(id string) *consumerMember {
	return &consumerMember{id: id, previousEpoch: -1, consumerMemberValue: consumerMemberValue{rebalanceMs: -1, regex: &noRegex}}
}

func (m *consumerMember) reconciled(epoch int32) bool {
	return m.state == memberStable && m.epoch == epoch
}

// assignor.TopicID and protocol.UUID are one type but in name.
type partitionID struct {
	topic     protocol.UUID
	partition int32
}

// subscribers counts who wants a topic: members by name, and regular expressions that match it.
type subscribers struct{ names, regexes int32 }

// resolvedRegex is what a regular expression matched.
type resolvedRegex struct {
	topics        []string // sorted
	version, when int64
}

// consumerGroup is a group of the consumer protocol. All of it is hard but the fields at the end.
type consumerGroup struct {
	id              string
	epoch           int32
	metadataHash    int64
	assignmentEpoch int32
	assignedAt      int64
	members         []*consumerMember // by id
	targets         map[string]assignor.Assignment
	resolved        map[string]resolvedRegex
	legacyMetadata  bool // there is a record of type 4

	// Functions of the above, kept by replay.
	static           map[string]string // member ids by instance id
	votes            map[string]int32  // members by the assignor that they ask for
	topics           map[string]subscribers
	regexes          map[string]int32 // members by regular expression
	classicMembers   int
	classicProtocols map[string]int32      // classic members by protocol
	owners           map[partitionID]int32 // how many members have the partition, or have it to revoke: 1 but for what a damaged log says

	// Soft.
	checked    int64               // version of the metadata that metadataHash was compared with
	joinTimers map[string]struct{} // members with a timerConsumerJoin
}

func newConsumerGroup(id string) *consumerGroup {
	return &consumerGroup{
		id: id, epoch: 1, assignmentEpoch: 1, checked: -1,
		targets: map[string]assignor.Assignment{}, topics: map[string]subscribers{}, owners: map[partitionID]int32{},
	}
}

func (c *consumerGroup) find(id string) (int, bool) {
	return slices.BinarySearchFunc(c.members, id, func(m *consumerMember, id string) int { return cmp.Compare(m.id, id) })
}

// member returns a member, nil when there is none of that id.
func (c *consumerGroup) member(id string) *consumerMember {
	if i, ok := c.find(id); ok {
		return c.members[i]
	}
	return nil
}

// staticMember returns the member of an instance id.
func (c *consumerGroup) staticMember(instanceID *string) *consumerMember {
	if instanceID == nil {
		return nil
	}
	id, ok := c.static[*instanceID]
	if !ok {
		return nil
	}
	return c.member(id)
}

func (c *consumerGroup) kind() string     { return "consumer" }
func (c *consumerGroup) typeName() string { return consumerType }
func (c *consumerGroup) empty() bool      { return len(c.members) == 0 }

func (c *consumerGroup) stateName() string {
	switch {
	case len(c.members) == 0:
		return "Empty"
	case c.epoch > c.assignmentEpoch:
		return "Assigning"
	}
	for _, m := range c.members {
		if !m.reconciled(c.assignmentEpoch) {
			return "Reconciling"
		}
	}
	return "Stable"
}

// checkCommit lets a member commit that is at its epoch. One that is behind may commit what it has had all the while (KIP-1251).
func (c *consumerGroup) checkCommit(memberID string, instanceID *string, epoch int32, transactional bool, version int16) (partitionCheck, protocol.Code) {
	if epoch < 0 && len(c.members) == 0 {
		return nil, protocol.None // an administrator's commit
	}
	if transactional && epoch == -1 && memberID == "" && instanceID == nil {
		return nil, protocol.None // a producer of before KIP-447
	}
	m := c.member(memberID)
	switch {
	case m == nil:
		return nil, protocol.UnknownMemberID
	case !transactional && m.classic == nil && version < 9:
		return nil, protocol.UnsupportedVersion
	case epoch == m.epoch:
		return nil, protocol.None
	case epoch > m.epoch:
		return nil, m.stale()
	}
	return assignedSince{m, epoch}, protocol.None
}

// stale is what a member is told whose epoch is not the one expected.
func (m *consumerMember) stale() protocol.Code {
	if m.classic != nil {
		return protocol.IllegalGeneration
	}
	return protocol.StaleMemberEpoch
}

// assignedSince lets pass what the member has been assigned since epoch at the latest.
type assignedSince struct {
	m     *consumerMember
	epoch int32
}

func (a assignedSince) check(topic string, id protocol.UUID, partition int32) protocol.Code {
	for _, list := range [2][]topicPartitions{a.m.assigned, a.m.revoking} {
		if i, ok := findTopic(list, id); ok {
			if j, ok := slices.BinarySearch(list[i].partitions, partition); ok && a.epoch >= list[i].epochs[j] {
				return protocol.None
			} else if ok {
				return a.m.stale()
			}
		}
	}
	return a.m.stale()
}

func (c *consumerGroup) checkFetch(memberID *string, epoch int32) protocol.Code {
	if memberID == nil {
		if epoch < 0 {
			return protocol.None
		}
		return protocol.UnknownMemberID
	}
	switch m := c.member(*memberID); {
	case m == nil:
		return protocol.UnknownMemberID
	case m.epoch != epoch:
		return m.stale()
	}
	return protocol.None
}

func (c *consumerGroup) checkDelete() protocol.Code { return protocol.None }

func (c *consumerGroup) checkDeleteGroup() protocol.Code {
	if len(c.members) > 0 {
		return protocol.NonEmptyGroup
	}
	return protocol.None
}

func (c *consumerGroup) subscribed(topic string) bool {
	_, ok := c.topics[topic]
	return ok
}

// expiresFrom: each offset ages since it was committed.
func (c *consumerGroup) expiresFrom() (since int64, byCommit, ok bool) { return 0, true, true }

func (c *consumerGroup) tombstones(s *step) { c.end(s.consumer(c), "", "") }

// end ends the group, members and all. If an operation has put the member heir in the place of another, it is heir's records that end.
func (c *consumerGroup) end(s consumerStep, replaced, heir string) {
	now := func(id string) string {
		if heir != "" && id == replaced {
			return heir
		}
		return id
	}
	for _, m := range c.members {
		s.appendMember(typeConsumerCurrent, now(m.id), nil)
	}
	for _, m := range c.members { // an heir has a target even where its former self had none yet
		s.appendMember(typeConsumerTargetMember, now(m.id), nil)
	}
	for _, id := range sortedKeys(c.targets) {
		if c.member(id) == nil {
			s.appendMember(typeConsumerTargetMember, id, nil)
		}
	}
	s.appendConsumer(typeConsumerTarget, nil)
	for _, m := range c.members {
		s.appendMember(typeConsumerMember, now(m.id), nil)
		s.cancelMember(m.id)
	}
	for _, regex := range sortedKeys(c.resolved) {
		s.appendMember(typeConsumerRegex, regex, nil)
	}
	s.appendConsumer(typeConsumerPartition, nil)
	s.appendConsumer(typeConsumerMetadata, nil)
}

func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

package group

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator/group/assignor"
	"weir/protocol"
)

// change is a heartbeat or join of one member under way: the group as it is, the member as it was and as it becomes, and what has been
// decided so far. Records are appended as decisions fall; the group itself stays as it is until they are replayed.
type change struct {
	consumerStep
	client Client
	from   *classicGroup // the group is upgraded from it by this operation, else nil

	old      *consumerMember // what the member was: new ones said nothing yet, and one that replaces a static member was it
	next     *consumerMember // what it becomes
	known    bool            // old is in the group
	replaced *consumerMember // the static member whose place it takes, else nil

	epoch      int32 // of the group after this operation
	subscribed bool  // names or regular expression have changed
	regexTimer bool  // regular expressions are to be resolved
}

// done does what is left when nothing can be refused any more.
func (o *change) done() {
	if o.from != nil {
		o.upgraded()
	}
	if o.regexTimer {
		o.m.resolving[o.c.id] = o.client.MayDescribe
		o.arm(timer(timerConsumerRegex, o.c.id, ""), o.now)
	}
}

// openGroup finds the group, or makes one if the member joins.
func (o *change) openGroup(id string, create bool) *refusal {
	g := o.m.groups[id]
	switch {
	case g != nil && g.consumer != nil:
		o.c = g.consumer
		return nil
	case !create && g == nil:
		return refuse(protocol.GroupIDNotFound, "Consumer group %s not found.", id)
	case !create:
		return refuse(protocol.GroupIDNotFound, "Group %s is not a consumer group.", id)
	case g == nil || g.classic == nil || g.classic.empty():
		o.c = newConsumerGroup(id)
		if g != nil && g.metadata != nil {
			o.endClassic(id)
		}
		if g != nil && g.classic != nil {
			o.from = g.classic // nobody is in it, but there may be timers
		}
		return nil
	}
	return o.upgrade(g)
}

// checkFull: members that are there already, and static ones that come back, may always join.
func (o *change) checkFull(memberID string, instanceID *string) *refusal {
	if o.c.staticMember(instanceID) != nil {
		return nil
	}
	if most := int(o.m.cfg.ConsumerMaxSize); len(o.c.members) >= most && (memberID == "" || o.c.member(memberID) == nil) {
		return refuse(protocol.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", most)
	}
	return nil
}

// openMember finds the member or makes one. Members of the classic protocol have no epoch to check here.
func (o *change) openMember(id string, instanceID *string, epoch int32, owned []kmsg.ConsumerGroupHeartbeatRequestTopic, classic bool) *refusal {
	join := epoch == epochJoin
	if instanceID != nil {
		return o.openStatic(id, *instanceID, epoch, owned, join, classic)
	}
	o.old = o.c.member(id)
	if o.known = o.old != nil; !o.known {
		if !join {
			return refuse(protocol.UnknownMemberID, "Member %s is not a member of group %s.", id, o.c.id)
		}
		o.old = newConsumerMember(id)
	}
	return checkEpoch(o.old, epoch, owned, classic)
}

func (o *change) openStatic(id, instanceID string, epoch int32, owned []kmsg.ConsumerGroupHeartbeatRequestTopic, join, classic bool) *refusal {
	there := o.c.staticMember(&instanceID)
	switch {
	case join && there == nil:
		if o.old = o.c.member(id); o.old == nil {
			o.old = newConsumerMember(id)
			return nil
		}
		o.known = true
		return nil
	case join:
		if !classic && there.classic == nil && there.epoch != epochStaticLeave {
			return refuse(protocol.UnreleasedInstanceID,
				"Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.", id, instanceID, there.id)
		}
		o.replace(there, id)
		return nil
	case there == nil:
		return refuse(protocol.UnknownMemberID, "Instance id %s is unknown.", instanceID)
	case there.id != id:
		return fenced(there, id, instanceID)
	}
	o.old, o.known = there, true
	return checkEpoch(there, epoch, owned, classic)
}

func fenced(there *consumerMember, id, instanceID string) *refusal {
	return refuse(protocol.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", id, instanceID, there.id)
}

// replace lets the member id take the place of a static member: it has its subscription and its partitions, and starts at epoch 0.
func (o *change) replace(there *consumerMember, id string) {
	heir := *there
	heir.id, heir.epoch, heir.previousEpoch = id, 0, 0
	o.old, o.replaced, o.known = &heir, there, true
	o.remove(there.id)
	o.appendMember(typeConsumerMember, id, &heir.consumerMemberValue)
	o.appendMember(typeConsumerTargetMember, id, &consumerTargetMemberValue{fromAssignment(o.c.targets[there.id])})
	o.appendMember(typeConsumerCurrent, id, heir.current())
}

// current is the value of the member's record of type 8.
func (m *consumerMember) current() *consumerCurrentValue {
	return &consumerCurrentValue{m.epoch, m.previousEpoch, m.state, m.assigned, m.revoking}
}

// checkEpoch checks the member's epoch, which members of the classic protocol do not have. A member may be one epoch behind when it did not get the last answer, and then it can have no more than it is assigned.
func checkEpoch(m *consumerMember, epoch int32, owned []kmsg.ConsumerGroupHeartbeatRequestTopic, classic bool) *refusal {
	switch {
	case m.state > memberUnreleased && (owned == nil || len(owned) > 0):
		return refuse(protocol.FencedMemberEpoch, "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.")
	case classic:
		return nil
	case epoch == epochJoin || epoch == m.epoch:
		return nil
	case epoch > m.epoch:
		return refuse(protocol.FencedMemberEpoch, "The consumer group member has a greater member epoch (%d) than the one known by the "+
			"group coordinator (%d). The member must abandon all its partitions and rejoin.", epoch, m.epoch)
	case epoch == m.previousEpoch && owned != nil && contains(m.assigned, ownedOf(owned)):
		return nil
	}
	return refuse(protocol.FencedMemberEpoch, "The consumer group member has a smaller member epoch (%d) than the one known by the "+
		"group coordinator (%d). The member must abandon all its partitions and rejoin.", epoch, m.epoch)
}

// contains says whether all of part is in list.
func contains(list, part []topicPartitions) bool {
	for _, tp := range part {
		i, ok := findTopic(list, tp.topic)
		if !ok {
			return false
		}
		for _, p := range tp.partitions {
			if _, ok := slices.BinarySearch(list[i].partitions, p); !ok {
				return false
			}
		}
	}
	return true
}

// update makes next of old.
func (o *change) update(set func(v *consumerMemberValue)) {
	next := *o.old
	set(&next.consumerMemberValue)
	o.next = &next
	o.c.share(o.next)
}

func equalText(a, b *string) bool {
	return a == b || a != nil && b != nil && *a == *b
}

func (v *consumerMemberValue) equal(w *consumerMemberValue) bool {
	return equalText(v.instanceID, w.instanceID) && equalText(v.rackID, w.rackID) && v.clientID == w.clientID && v.clientHost == w.clientHost &&
		slices.Equal(v.topics, w.topics) && equalText(v.regex, w.regex) && v.rebalanceMs == w.rebalanceMs &&
		equalText(v.assignor, w.assignor) && v.classic.equal(w.classic)
}

func (v *consumerClassicValue) equal(w *consumerClassicValue) bool {
	if v == nil || w == nil {
		return v == w
	}
	return v.sessionMs == w.sessionMs && slices.EqualFunc(v.protocols, w.protocols, func(a, b classicProtocol) bool {
		return a.name == b.name && bytes.Equal(a.metadata, b.metadata)
	})
}

// subscribe records what the member says of itself, and a new group epoch when that, or the topics, ask for a new target.
func (o *change) subscribe() *refusal {
	names := false
	if !o.next.equal(&o.old.consumerMemberValue) {
		o.appendMember(typeConsumerMember, o.next.id, &o.next.consumerMemberValue)
		names = !slices.Equal(o.next.topics, o.old.topics)
	}
	regex, err := o.updateRegex()
	if err != nil {
		return err
	}
	o.subscribed = names || regex != regexSame
	bump := names || regex == regexResolved
	if o.next.classic != nil {
		bump = o.subscribed
	} else if o.preferred(o.c.votes) != o.preferred(o.newVotes()) {
		bump = true
	}
	o.epoch = o.c.epoch
	if !bump && o.c.checked == o.m.md.Version() {
		return nil
	}
	hash := o.m.metadataHash(o.newTopics())
	if bump || hash != o.c.metadataHash {
		o.epoch++
		o.appendConsumer(typeConsumerMetadata, &consumerMetadataValue{o.epoch, hash})
	}
	o.c.checked = o.m.md.Version()
	if o.c.legacyMetadata {
		o.appendConsumer(typeConsumerPartition, nil)
	}
	return nil
}

// newTopics is the group's topics after the change.
func (o *change) newTopics() map[string]subscribers {
	if slices.Equal(o.old.topics, o.next.topics) && o.known && equalText(o.old.regex, o.next.regex) {
		return o.c.topics
	}
	topics := maps.Clone(o.c.topics)
	if o.known {
		addNames(topics, o.old.topics, -1)
		if *o.old.regex != "" && *o.old.regex != *o.next.regex && o.c.regexes[*o.old.regex] == 1 {
			addRegexes(topics, o.c.resolved[*o.old.regex].topics, -1)
		}
	}
	addNames(topics, o.next.topics, 1)
	return topics
}

func addNames(topics map[string]subscribers, names []string, by int32) {
	for _, t := range names {
		n := topics[t]
		n.names += by
		setTopic(topics, t, n)
	}
}

func addRegexes(topics map[string]subscribers, names []string, by int32) {
	for _, t := range names {
		n := topics[t]
		n.regexes += by
		setTopic(topics, t, n)
	}
}

// newVotes is the members' votes for assignors after the change.
func (o *change) newVotes() map[string]int32 {
	var before *string
	if o.known {
		before = o.old.assignor
	}
	if equalText(before, o.next.assignor) {
		return o.c.votes
	}
	votes := maps.Clone(o.c.votes)
	if before != nil {
		add(&votes, *before, -1)
	}
	if o.next.assignor != nil {
		add(&votes, *o.next.assignor, 1)
	}
	return votes
}

// preferred is the assignor with the most votes; of those with equally many the one that is configured first.
func (s consumerStep) preferred(votes map[string]int32) string {
	best := ""
	for _, name := range s.m.cfg.ConsumerAssignors {
		if _, known := assignor.ByName[name]; known && (best == "" || votes[name] > votes[best]) {
			best = name
		}
	}
	return cmp.Or(best, "uniform")
}

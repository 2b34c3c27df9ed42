package group

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"

	"weir/coordinator/group/assignor"
)

// assign computes a new target if the group's epoch has risen and consumer.assignment.interval.ms has passed since the last one. It returns
// the target of the member, new or not.
func (o *change) assign() (epoch int32, target assignor.Assignment) {
	c := o.c
	interval := int64(o.m.cfg.Group(c.id).ConsumerAssignmentMs)
	if c.assignmentEpoch >= o.epoch || c.assignedAt != 0 && interval != 0 && o.now < c.assignedAt+interval {
		return c.assignmentEpoch, o.oldTarget()
	}
	spec, olds := o.spec()
	out := assignor.ByName[o.preferred(o.newVotes())](spec)
	for i, a := range out {
		id := spec.Members[i].ID
		if !olds[i] || !a.Equal(spec.Members[i].Target) {
			o.appendMember(typeConsumerTargetMember, id, &consumerTargetMemberValue{fromAssignment(a)})
		}
		if id == o.next.id {
			target = a
		}
	}
	o.appendConsumer(typeConsumerTarget, &consumerTargetValue{o.epoch, o.now})
	return o.epoch, target
}

func (o *change) oldTarget() assignor.Assignment {
	if o.replaced != nil {
		return o.c.targets[o.replaced.id]
	}
	return o.c.targets[o.next.id]
}

// spec is the group after the change as the assignors see it. olds says which members have a target already.
func (o *change) spec() (spec assignor.Spec, olds []bool) {
	spec.Partitions = o.m.partitions
	members := make([]assignor.Member, 0, len(o.c.members)+1)
	olds = make([]bool, 0, len(o.c.members)+1)
	ids := subscriptionIDs{o: o, ids: map[subscriptionKey][]assignor.TopicID{}}
	put := func(m *consumerMember, targetOf string) {
		target, ok := o.c.targets[targetOf]
		members = append(members, assignor.Member{ID: m.id, InstanceID: m.instanceID, Topics: ids.of(m), Target: target})
		olds = append(olds, ok)
	}
	targetOf := o.next.id
	if o.replaced != nil {
		targetOf = o.replaced.id
	}
	done := false
	for _, m := range o.c.members {
		if !done && m.id >= o.next.id {
			put(o.next, targetOf)
			done = true
		}
		if m.id != o.next.id && (o.replaced == nil || m.id != o.replaced.id) {
			put(m, m.id)
		}
	}
	if !done {
		put(o.next, targetOf)
	}
	spec.Members = members
	return spec, olds
}

// partitions is how many partitions a topic has.
func (m *Machine) partitions(id assignor.TopicID) int {
	name, ok := m.md.TopicName(id)
	if !ok {
		return 0
	}
	return int(m.md.Partitions(name))
}

// subscriptionIDs turns subscriptions to topic ids, one slice for members of one subscription.
type subscriptionIDs struct {
	o   *change
	ids map[subscriptionKey][]assignor.TopicID
}

// subscriptionKey names a subscription by the slice that members share.
type subscriptionKey struct {
	first *string
	n     int
	regex string
}

func (x *subscriptionIDs) of(m *consumerMember) []assignor.TopicID {
	k := subscriptionKey{n: len(m.topics), regex: *m.regex}
	if k.n > 0 {
		k.first = &m.topics[0]
	}
	ids, ok := x.ids[k]
	if !ok {
		ids = x.o.topicIDs(m.topics, x.o.c.resolved[*m.regex].topics)
		x.ids[k] = ids
	}
	return ids
}

// topicIDs are the ids of the topics that exist of two lists, ascending.
func (s consumerStep) topicIDs(names, more []string) []assignor.TopicID {
	ids := make([]assignor.TopicID, 0, len(names)+len(more))
	for _, list := range [2][]string{names, more} {
		for _, name := range list {
			if id, ok := s.m.md.TopicID(name); ok {
				ids = append(ids, assignor.TopicID(id))
			}
		}
	}
	slices.SortFunc(ids, func(a, b assignor.TopicID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

// metadataHash stands for the topics that a group reads: ids, names, partitions and the racks of their replicas. Zero is no topic.
func (m *Machine) metadataHash(topics map[string]subscribers) int64 {
	type topicHash struct {
		name string
		hash uint64
	}
	var list []topicHash
	for name := range topics {
		if h, ok := m.topicHash(name); ok {
			list = append(list, topicHash{name, h})
		}
	}
	if len(list) == 0 {
		return 0
	}
	slices.SortFunc(list, func(a, b topicHash) int { return cmp.Compare(a.name, b.name) })
	h := fnv.New64a()
	var b [8]byte
	for _, t := range list {
		binary.BigEndian.PutUint64(b[:], t.hash)
		h.Write(b[:])
	}
	return int64(h.Sum64())
}

// topicHash is the hash of one topic, remembered until the metadata changes.
func (m *Machine) topicHash(name string) (uint64, bool) {
	if m.hashes.version != m.md.Version() || m.hashes.topics == nil {
		m.hashes.version, m.hashes.topics = m.md.Version(), map[string]uint64{}
	}
	if h, ok := m.hashes.topics[name]; ok {
		return h, true
	}
	id, ok := m.md.TopicID(name)
	if !ok {
		return 0, false
	}
	b := append(id[:], name...)
	n := m.md.Partitions(name)
	b = append32(append(b, 0), n)
	for p := range n {
		b = append32(b, p)
		for _, rack := range m.md.Racks(name, p) {
			b = append(append(b, rack...), 0)
		}
	}
	h := fnv.New64a()
	h.Write(b)
	m.hashes.topics[name] = h.Sum64()
	return m.hashes.topics[name], true
}

// topicHashes are the hashes at one version of the metadata.
type topicHashes struct {
	version int64
	topics  map[string]uint64
}

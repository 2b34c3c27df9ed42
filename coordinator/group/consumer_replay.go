package group

import (
	"bytes"
	"fmt"
	"slices"

	"weir/coordinator/group/assignor"
	"weir/protocol"
)

// consumerStep is a step on a consumer group.
type consumerStep struct {
	*step
	c *consumerGroup
}

func (s *step) consumer(c *consumerGroup) consumerStep { return consumerStep{s, c} }

type valueEncoder interface{ append([]byte) []byte }

// appendConsumer appends a record of the group; v nil is a tombstone.
func (s consumerStep) appendConsumer(kind int16, v valueEncoder) {
	from := len(s.buf)
	s.buf = appendGroupKey(s.buf, kind, s.c.id)
	s.appendValue(from, v)
}

// appendMember appends a record of a member, or of a regular expression.
func (s consumerStep) appendMember(kind int16, member string, v valueEncoder) {
	from := len(s.buf)
	s.buf = appendMemberKey(s.buf, kind, s.c.id, member)
	s.appendValue(from, v)
}

func (s consumerStep) appendValue(from int, v valueEncoder) {
	if v == nil {
		s.tombstone(from)
		return
	}
	mid := len(s.buf)
	s.buf = v.append(s.buf)
	s.record(from, mid)
}

// replayConsumer takes over a record of types 3 to 8 or 16. A tombstone of what is not there is right: compaction may have left it alone.
func (m *Machine) replayConsumer(k *recordKey, value []byte) error {
	g := m.groups[string(k.group)]
	if value == nil {
		if g == nil || g.consumer == nil {
			return nil
		}
		return m.replayConsumerTombstone(g, k)
	}
	apply, err := decodeConsumer(k, value)
	if err != nil {
		return err
	}
	if g == nil {
		g = m.hardGroup(k.group)
	}
	if g.consumer == nil {
		g.consumer = newConsumerGroup(g.id)
	}
	apply(g.consumer)
	return nil
}

// decodeConsumer decodes a value. Nothing is changed before all of it is understood.
func decodeConsumer(k *recordKey, value []byte) (apply func(*consumerGroup), err error) {
	id := string(k.member)
	switch k.kind {
	case typeConsumerMetadata:
		var v consumerMetadataValue
		err = v.decode(value)
		apply = func(c *consumerGroup) { c.epoch, c.metadataHash = v.epoch, v.metadataHash }
	case typeConsumerPartition:
		apply = func(c *consumerGroup) { c.legacyMetadata = true }
	case typeConsumerMember:
		var v consumerMemberValue
		err = v.decode(value)
		apply = func(c *consumerGroup) { c.replayMember(id, &v) }
	case typeConsumerTarget:
		var v consumerTargetValue
		err = v.decode(value)
		apply = func(c *consumerGroup) { c.assignmentEpoch, c.assignedAt = v.epoch, v.timestamp }
	case typeConsumerTargetMember:
		var v consumerTargetMemberValue
		err = v.decode(value)
		apply = func(c *consumerGroup) { c.targets[id] = toAssignment(v.partitions) }
	case typeConsumerCurrent:
		var v consumerCurrentValue
		err = v.decode(value)
		apply = func(c *consumerGroup) { c.replayCurrent(id, &v) }
	case typeConsumerRegex:
		var v consumerRegexValue
		err = v.decode(value)
		slices.Sort(v.topics)
		apply = func(c *consumerGroup) {
			c.setResolved(id, &resolvedRegex{slices.Compact(v.topics), v.version, v.timestamp})
		}
	default:
		err = errUnknown
	}
	return apply, err
}

func (m *Machine) replayConsumerTombstone(g *group, k *recordKey) error {
	c, id := g.consumer, string(k.member)
	switch k.kind {
	case typeConsumerMetadata:
		// Kafka's order is members first: what has members is no group that ended.
		if len(c.members) > 0 || len(c.targets) > 0 {
			return fmt.Errorf("%w: consumer group %s ends with %d members and %d targets", protocol.ErrMalformed, g.id, len(c.members), len(c.targets))
		}
		g.consumer = nil
		m.tidy(g)
	case typeConsumerPartition:
		c.legacyMetadata = false
	case typeConsumerMember:
		if old := c.member(id); old != nil {
			c.setMember(old, nil)
		}
	case typeConsumerTarget:
		c.assignmentEpoch, c.assignedAt = -1, 0
	case typeConsumerTargetMember:
		delete(c.targets, id)
	case typeConsumerCurrent:
		if old := c.member(id); old != nil {
			next := *old
			next.epoch, next.previousEpoch, next.assigned, next.revoking = -1, -1, nil, nil
			c.setMember(old, &next)
		}
	case typeConsumerRegex:
		c.setResolved(id, nil)
	}
	return nil
}

func (c *consumerGroup) replayMember(id string, v *consumerMemberValue) {
	old := c.member(id)
	next := newConsumerMember(id)
	if old != nil {
		*next = *old
	}
	next.consumerMemberValue = *v
	if v.regex == nil {
		next.regex = &noRegex
	}
	next.topics = sortedSet(v.topics)
	if v.classic != nil { // slices of the record, which is not ours
		for i, p := range v.classic.protocols {
			v.classic.protocols[i].metadata = bytes.Clone(p.metadata)
		}
	}
	c.setMember(old, next)
}

func (c *consumerGroup) replayCurrent(id string, v *consumerCurrentValue) {
	old := c.member(id)
	next := newConsumerMember(id)
	if old != nil {
		*next = *old
	}
	next.epoch, next.previousEpoch, next.state = v.epoch, v.previousEpoch, v.state
	next.assigned = sortedOwned(v.assigned, v.epoch)
	next.revoking = sortedOwned(v.pendingRevocation, v.epoch)
	c.setMember(old, next)
}

// setMember puts next in the place of old, either of which may be nil, and keeps what depends on members.
func (c *consumerGroup) setMember(old, next *consumerMember) {
	if old != nil {
		c.count(old, -1)
		if old.instanceID != nil && c.static[*old.instanceID] == old.id {
			delete(c.static, *old.instanceID)
		}
	}
	switch {
	case next == nil:
		i, _ := c.find(old.id)
		c.members = slices.Delete(c.members, i, i+1)
		return
	case old != nil:
		i, _ := c.find(old.id)
		c.members[i] = next
	default:
		i, _ := c.find(next.id)
		c.members = slices.Insert(c.members, i, next)
	}
	c.share(next)
	c.count(next, 1)
	if next.instanceID != nil {
		if c.static == nil {
			c.static = map[string]string{}
		}
		c.static[*next.instanceID] = next.id
	}
}

// share lets members of one subscription have one slice of it: memory, and the assignors see at a glance that it is the same.
func (c *consumerGroup) share(m *consumerMember) {
	i, _ := c.find(m.id)
	for _, j := range [2]int{i - 1, i + 1} {
		if j >= 0 && j < len(c.members) && slices.Equal(c.members[j].topics, m.topics) {
			m.topics = c.members[j].topics
			return
		}
	}
}

func (c *consumerGroup) count(m *consumerMember, by int32) {
	for _, t := range m.topics {
		n := c.topics[t]
		n.names += by
		setTopic(c.topics, t, n)
	}
	if m.assignor != nil {
		add(&c.votes, *m.assignor, by)
	}
	if *m.regex != "" {
		add(&c.regexes, *m.regex, by)
	}
	if m.classic != nil {
		c.classicMembers += int(by)
		for _, p := range m.classic.protocols {
			add(&c.classicProtocols, p.name, by)
		}
	}
	for _, list := range [2][]topicPartitions{m.assigned, m.revoking} {
		for _, tp := range list {
			for _, p := range tp.partitions {
				id := partitionID{tp.topic, p}
				if n := c.owners[id] + by; n != 0 {
					c.owners[id] = n
				} else {
					delete(c.owners, id)
				}
			}
		}
	}
}

func add(m *map[string]int32, key string, by int32) {
	if *m == nil {
		*m = map[string]int32{}
	}
	if n := (*m)[key] + by; n != 0 {
		(*m)[key] = n
	} else {
		delete(*m, key)
	}
}

func setTopic(m map[string]subscribers, topic string, n subscribers) {
	if n == (subscribers{}) {
		delete(m, topic)
	} else {
		m[topic] = n
	}
}

// setResolved puts what a regular expression matches in the place of what it matched; nil: it is gone.
func (c *consumerGroup) setResolved(regex string, next *resolvedRegex) {
	for _, t := range c.resolved[regex].topics {
		n := c.topics[t]
		n.regexes--
		setTopic(c.topics, t, n)
	}
	delete(c.resolved, regex)
	if next == nil {
		return
	}
	if c.resolved == nil {
		c.resolved = map[string]resolvedRegex{}
	}
	c.resolved[regex] = *next
	for _, t := range next.topics {
		n := c.topics[t]
		n.regexes++
		c.topics[t] = n
	}
}

// sortedSet is a sorted copy without duplicates.
func sortedSet(list []string) []string {
	if slices.IsSorted(list) && len(slices.Compact(slices.Clone(list))) == len(list) {
		return slices.Clone(list)
	}
	out := slices.Clone(list)
	slices.Sort(out)
	return slices.Compact(out)
}

func compareTopic(a topicPartitions, id protocol.UUID) int { return bytes.Compare(a.topic[:], id[:]) }

func findTopic(list []topicPartitions, id protocol.UUID) (int, bool) {
	return slices.BinarySearchFunc(list, id, compareTopic)
}

// ownedPartition is a partition with the epoch since which it is assigned.
type ownedPartition struct {
	partitionID
	epoch int32
}

func compareOwned(a, b ownedPartition) int {
	if c := bytes.Compare(a.topic[:], b.topic[:]); c != 0 {
		return c
	}
	return int(a.partition) - int(b.partition)
}

// sortedOwned brings partitions of a record in order, with epochs: those of before KIP-1251 have none.
func sortedOwned(list []topicPartitions, epoch int32) []topicPartitions {
	var flat []ownedPartition
	for _, tp := range list {
		for i, p := range tp.partitions {
			o := ownedPartition{partitionID{tp.topic, p}, max(epoch, 0)}
			if tp.epochs != nil {
				o.epoch = tp.epochs[i]
			}
			flat = append(flat, o)
		}
	}
	if !slices.IsSortedFunc(flat, compareOwned) {
		slices.SortStableFunc(flat, compareOwned)
	}
	return gather(flat)
}

// gather groups sorted partitions by topic; of duplicates the last counts.
func gather(flat []ownedPartition) []topicPartitions {
	var out []topicPartitions
	for i, o := range flat {
		if i+1 < len(flat) && flat[i+1].partitionID == o.partitionID {
			continue
		}
		if n := len(out); n == 0 || out[n-1].topic != o.topic {
			out = append(out, topicPartitions{topic: o.topic, epochs: []int32{}})
		}
		t := &out[len(out)-1]
		t.partitions, t.epochs = append(t.partitions, o.partition), append(t.epochs, o.epoch)
	}
	return out
}

// toAssignment makes an assignor's form of the partitions of a record.
func toAssignment(list []topicPartitions) assignor.Assignment {
	var out assignor.Assignment
	for _, tp := range sortedOwned(list, 0) {
		out = append(out, assignor.TopicPartitions{Topic: tp.topic, Partitions: tp.partitions})
	}
	return out
}

// fromAssignment makes a record's form of a target.
func fromAssignment(a assignor.Assignment) []topicPartitions {
	out := make([]topicPartitions, len(a))
	for i, tp := range a {
		out[i] = topicPartitions{topic: tp.Topic, partitions: tp.Partitions}
	}
	return out
}

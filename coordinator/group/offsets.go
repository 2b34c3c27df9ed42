package group

import (
	"cmp"
	"slices"
	"strings"

	"weir/protocol"
)

// offsets is the committed offsets of one group: hard state. Ten thousand groups have theirs in memory at all times, so it is slices in
// order, not maps.
type offsets struct {
	topics []topicOffsets // by name
	open   map[openKey][]int64
}

// topicOffsets is what a group committed for one topic.
type topicOffsets struct {
	name  *topicName
	parts []committed // by partition
}

// topicName is the name of a topic, one for all groups that committed something for it.
type topicName struct {
	name string
	used int
}

// committed is one committed offset.
type committed struct {
	partition   int32
	leaderEpoch int32 // -1: not known
	offset      int64
	record      int64 // the offset of its record in the log: of two commits the later record counts
	committed   int64 // when
	expires     int64 // -1: by the broker's retention
	topicID     protocol.UUID
	metadata    string
}

// openKey is a partition with offsets of transactions that have not ended; its value are their producer ids, ascending.
type openKey struct {
	topic     string
	partition int32
}

// pendingKey is an offset within a producer's transaction.
type pendingKey struct {
	group string
	openKey
}

func (o *offsets) empty() bool { return len(o.topics) == 0 && len(o.open) == 0 }

func (o *offsets) find(topic []byte) (int, bool) {
	return slices.BinarySearchFunc(o.topics, topic, func(t topicOffsets, name []byte) int {
		switch {
		case t.name.name < string(name):
			return -1
		case t.name.name > string(name):
			return 1
		}
		return 0
	})
}

func (t *topicOffsets) find(partition int32) (int, bool) {
	return slices.BinarySearchFunc(t.parts, partition, func(c committed, p int32) int { return cmp.Compare(c.partition, p) })
}

// get returns what is committed for a partition, nil: nothing.
func (o *offsets) get(topic string, partition int32) *committed {
	i, ok := slices.BinarySearchFunc(o.topics, topic, func(t topicOffsets, name string) int { return strings.Compare(t.name.name, name) })
	if !ok {
		return nil
	}
	t := &o.topics[i]
	if j, ok := t.find(partition); ok {
		return &t.parts[j]
	}
	return nil
}

// slot returns the place of a partition's offset, and makes it.
func (m *Machine) slot(o *offsets, topic []byte, partition int32) (c *committed, isNew bool) {
	i, ok := o.find(topic)
	if !ok {
		o.topics = slices.Insert(o.topics, i, topicOffsets{name: m.useName(topic)})
	}
	t := &o.topics[i]
	j, ok := t.find(partition)
	if !ok {
		t.parts = slices.Insert(t.parts, j, committed{partition: partition, record: -1})
	}
	return &t.parts[j], !ok
}

// remove forgets what is committed for a partition.
func (m *Machine) remove(o *offsets, topic []byte, partition int32) {
	i, ok := o.find(topic)
	if !ok {
		return
	}
	t := &o.topics[i]
	j, ok := t.find(partition)
	if !ok {
		return
	}
	if t.parts = without(t.parts, j); len(t.parts) > 0 {
		return
	}
	if t.name.used--; t.name.used == 0 {
		delete(m.names, t.name.name)
	}
	if o.topics = without(o.topics, i); len(o.topics) == 0 {
		o.topics = nil
	}
}

// without takes one element out. Tombstones come in order, so that it is mostly the first: that costs nothing.
func without[T any](list []T, i int) []T {
	if i == 0 {
		clear(list[:1])
		return list[1:]
	}
	return slices.Delete(list, i, i+1)
}

func (m *Machine) useName(topic []byte) *topicName {
	n := m.names[string(topic)]
	if n == nil {
		n = &topicName{name: string(topic)}
		m.names[n.name] = n
	}
	n.used++
	return n
}

// addOpen and dropOpen keep the producers of a partition with an open transaction.
func (o *offsets) addOpen(k openKey, producer int64) {
	if o.open == nil {
		o.open = map[openKey][]int64{}
	}
	list := o.open[k]
	if i, ok := slices.BinarySearch(list, producer); !ok {
		o.open[k] = slices.Insert(list, i, producer)
	}
}

func (o *offsets) dropOpen(k openKey, producer int64) {
	list := o.open[k]
	i, ok := slices.BinarySearch(list, producer)
	switch {
	case !ok:
	case len(list) > 1:
		o.open[k] = slices.Delete(list, i, i+1)
	default:
		if delete(o.open, k); len(o.open) == 0 {
			o.open = nil
		}
	}
}

// openKeys returns the keys of open, in order.
func (o *offsets) openKeys() []openKey {
	if len(o.open) == 0 {
		return nil
	}
	keys := make([]openKey, 0, len(o.open))
	for k := range o.open {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b openKey) int {
		return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return keys
}

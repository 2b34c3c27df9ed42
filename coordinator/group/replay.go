package group

import (
	"bytes"
	"slices"
	"strings"

	"weir/coordinator"
)

// Replay takes over one record: the only place, with ReplayMarker, where hard state changes.
func (m *Machine) Replay(at coordinator.At, r coordinator.Record) error {
	k, err := decodeKey(r.Key)
	if err != nil {
		return err
	}
	switch k.kind {
	case typeLegacyOffsetCommit, typeOffsetCommit:
		return m.replayOffset(at, &k, r.Value)
	case typeGroupMetadata:
		return m.replayGroupMetadata(&k, r.Value)
	}
	return m.replayConsumer(&k, r.Value)
}

// hardGroup returns the group for a record that gives it hard state, and makes it.
func (m *Machine) hardGroup(id []byte) *group {
	g := m.groups[string(id)]
	if g == nil {
		g = &group{id: string(id)}
		m.groups[g.id] = g
	}
	return g
}

// tidy forgets a group of which nothing is left.
func (m *Machine) tidy(g *group) {
	if g.metadata == nil && g.consumer == nil && g.classic == nil && g.offsets.empty() {
		delete(m.groups, g.id)
	}
}

// replayGroupMetadata keeps the record as it is: it is hard state of a classic group, and the live one has been changed by the operation
// that wrote it. A tombstone ends both.
func (m *Machine) replayGroupMetadata(k *recordKey, value []byte) error {
	if value == nil {
		if g := m.groups[string(k.group)]; g != nil {
			g.metadata, g.classic = nil, nil
			m.tidy(g)
		}
		return nil
	}
	if _, err := decodeGroupValue(value); err != nil {
		return err
	}
	g := m.hardGroup(k.group)
	g.metadata, g.consumer = bytes.Clone(value), nil
	return nil
}

func (m *Machine) replayOffset(at coordinator.At, k *recordKey, value []byte) error {
	if value == nil {
		m.replayOffsetTombstone(k)
		return nil
	}
	v, err := decodeOffsetValue(value)
	if err != nil {
		return err
	}
	g := m.hardGroup(k.group)
	if at.ProducerID == -1 {
		c, _ := m.slot(&g.offsets, k.topic, k.partition)
		c.set(at.Offset, &v)
		return nil
	}
	c := committed{partition: k.partition}
	c.set(at.Offset, &v)
	p := pendingKey{g.id, openKey{string(k.topic), k.partition}}
	if m.pending[at.ProducerID] == nil {
		m.pending[at.ProducerID] = map[pendingKey]committed{}
	}
	m.pending[at.ProducerID][p] = c
	g.offsets.addOpen(p.openKey, at.ProducerID)
	return nil
}

func (c *committed) set(record int64, v *offsetValue) {
	c.leaderEpoch, c.offset, c.record = v.leaderEpoch, v.offset, record
	c.committed, c.expires, c.topicID = v.committed, v.expires, v.topicID
	if c.metadata != string(v.metadata) {
		c.metadata = string(v.metadata)
	}
}

// replayOffsetTombstone forgets an offset, and what transactions that have not ended would make of it.
func (m *Machine) replayOffsetTombstone(k *recordKey) {
	g := m.groups[string(k.group)]
	if g == nil {
		return
	}
	m.remove(&g.offsets, k.topic, k.partition)
	key := openKey{string(k.topic), k.partition}
	for _, producer := range slices.Clone(g.offsets.open[key]) {
		g.offsets.dropOpen(key, producer)
		m.dropPending(producer, pendingKey{g.id, key})
	}
	m.tidy(g)
}

func (m *Machine) dropPending(producer int64, p pendingKey) {
	if delete(m.pending[producer], p); len(m.pending[producer]) == 0 {
		delete(m.pending, producer)
	}
}

// ReplayMarker ends a producer's transaction: its offsets count where no later record than theirs has committed one.
func (m *Machine) ReplayMarker(at coordinator.At, commit bool) {
	pending := m.pending[at.ProducerID]
	delete(m.pending, at.ProducerID)
	for _, p := range sortedPending(pending) {
		g := m.groups[p.group]
		if g == nil { // cannot be: an open transaction keeps its group
			continue
		}
		g.offsets.dropOpen(p.openKey, at.ProducerID)
		if commit {
			if c, isNew := m.slot(&g.offsets, []byte(p.topic), p.partition); isNew || pending[p].record > c.record {
				*c = pending[p]
			}
		}
		m.tidy(g)
	}
}

// sortedPending returns the keys in order: the map's own would reach the order of what is kept in slices.
func sortedPending(pending map[pendingKey]committed) []pendingKey {
	keys := make([]pendingKey, 0, len(pending))
	for p := range pending {
		keys = append(keys, p)
	}
	slices.SortFunc(keys, func(a, b pendingKey) int {
		if c := strings.Compare(a.group, b.group); c != 0 {
			return c
		}
		if c := strings.Compare(a.topic, b.topic); c != 0 {
			return c
		}
		return int(a.partition) - int(b.partition)
	})
	return keys
}

package group

import "weir/coordinator"

// Replay takes over one record.
func (m *Machine) Replay(at coordinator.At, r coordinator.Record) error {
	k, err := decodeKey(r.Key)
	if err != nil {
		return err
	}
	switch k.kind {
	case typeGroupMetadata, typeOffsetCommit:
		return nil
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
	if g.metadata == nil && g.consumer == nil && g.classic == nil {
		delete(m.groups, g.id)
	}
}

// ReplayMarker ends a producer's transaction.
func (m *Machine) ReplayMarker(at coordinator.At, commit bool) {}

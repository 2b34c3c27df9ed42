package group

import "weir/coordinator"

// Replay takes over one record.
func (m *Machine) Replay(at coordinator.At, r coordinator.Record) error { return nil }

// ReplayMarker ends a producer's transaction.
func (m *Machine) ReplayMarker(at coordinator.At, commit bool) {}

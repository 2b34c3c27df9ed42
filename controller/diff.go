package controller

import (
	"maps"
	"slices"
)

// Diff returns what changed between two images of which the one is not made from the other by batches: after a snapshot. Where they
// share topics, those cost nothing.
func Diff(old, m *Image) *Delta {
	d := &Delta{
		Features:    !maps.Equal(old.features, m.features),
		ProducerIDs: old.nextProducerID != m.nextProducerID,
	}
	for t := range m.Topics() {
		if td, changed := diffTopic(old.TopicByID(t.ID), t); changed {
			d.Topics = append(d.Topics, td)
		}
	}
	for t := range old.Topics() {
		if m.TopicByID(t.ID) == nil {
			d.Deleted = append(d.Deleted, t)
		}
	}
	for _, b := range m.brokers {
		if o := old.Broker(b.ID); !o.equal(b) {
			d.Brokers = append(d.Brokers, b.ID)
		}
	}
	for _, b := range old.brokers {
		if m.Broker(b.ID) == nil {
			d.Brokers = append(d.Brokers, b.ID)
		}
	}
	for r, c := range m.Configs() {
		if !maps.Equal(c, old.Config(r.Type, r.Name)) {
			d.Configs = append(d.Configs, r)
		}
	}
	for r := range old.Configs() {
		if m.Config(r.Type, r.Name) == nil {
			d.Configs = append(d.Configs, r)
		}
	}
	return d
}

func diffTopic(old, t *Topic) (TopicDelta, bool) {
	d := TopicDelta{Topic: t, Old: old}
	if old == t {
		return d, false
	}
	for id, p := range t.Partitions {
		if o := old.Partition(int32(id)); o == nil || !o.equal(p) {
			d.Partitions = append(d.Partitions, int32(id))
		}
	}
	return d, old == nil || len(d.Partitions) > 0
}

// equal compares what two partitions hold; nil and empty slices are the same.
func (p *Partition) equal(q *Partition) bool {
	return p == q || p.Leader == q.Leader && p.LeaderEpoch == q.LeaderEpoch && p.PartitionEpoch == q.PartitionEpoch &&
		p.Recovering == q.Recovering && slices.Equal(p.Replicas, q.Replicas) && slices.Equal(p.ISR, q.ISR) &&
		slices.Equal(p.Adding, q.Adding) && slices.Equal(p.Removing, q.Removing) && slices.Equal(p.Directories, q.Directories) &&
		slices.Equal(p.ELR, q.ELR) && slices.Equal(p.LastELR, q.LastELR)
}

// equal compares what two brokers hold; b may be nil, nil and empty slices are the same.
func (b *Broker) equal(o *Broker) bool {
	return b == o || b != nil && b.ID == o.ID && b.Epoch == o.Epoch && b.Incarnation == o.Incarnation && b.Rack == o.Rack &&
		b.Fenced == o.Fenced && b.ShuttingDown == o.ShuttingDown && slices.Equal(b.Endpoints, o.Endpoints) &&
		slices.Equal(b.Features, o.Features) && slices.Equal(b.LogDirs, o.LogDirs)
}

package broker

import (
	"iter"
	"slices"

	"weir/controller"
	"weir/protocol"
)

// groupMetadata is group.Metadata on an image.
type groupMetadata struct{ img *controller.Image }

// Version implements group.Metadata.
func (m *groupMetadata) Version() int64 { return m.img.Offset }

// TopicID implements group.Metadata.
func (m *groupMetadata) TopicID(name string) (protocol.UUID, bool) {
	if t := m.img.Topic(name); t != nil {
		return t.ID, true
	}
	return protocol.UUID{}, false
}

// TopicName implements group.Metadata.
func (m *groupMetadata) TopicName(id protocol.UUID) (string, bool) {
	if t := m.img.TopicByID(id); t != nil {
		return t.Name, true
	}
	return "", false
}

// Partitions implements group.Metadata.
func (m *groupMetadata) Partitions(name string) int32 {
	if t := m.img.Topic(name); t != nil {
		return int32(len(t.Partitions))
	}
	return 0
}

// Racks implements group.Metadata.
func (m *groupMetadata) Racks(name string, partition int32) []string {
	p := m.img.Topic(name).Partition(partition)
	if p == nil {
		return nil
	}
	var racks []string
	for _, id := range p.Replicas {
		if b := m.img.Broker(id); b != nil && b.Rack != "" {
			racks = append(racks, b.Rack)
		}
	}
	slices.Sort(racks)
	return slices.Compact(racks)
}

// Topics implements group.Metadata.
func (m *groupMetadata) Topics() iter.Seq[string] {
	return func(yield func(string) bool) {
		for t := range m.img.Topics() {
			if !yield(t.Name) {
				return
			}
		}
	}
}

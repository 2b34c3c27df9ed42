package controller

import (
	"encoding/binary"
	"slices"

	"weir/protocol"
)

// The reserved directory ids (org.apache.kafka.common.DirectoryId, KIP-858).
var (
	// DirMigrating is the directory of a replica that was placed before directories had ids.
	DirMigrating = protocol.UUID{}
	// DirUnassigned is the directory of a replica that its broker has not placed yet.
	DirUnassigned = protocol.UUID{15: 1}
	// DirLost is the directory of a replica that is known to be offline.
	DirLost = protocol.UUID{15: 2}
)

// reservedDir says whether an id is one of the first hundred, which no directory may have.
func reservedDir(id protocol.UUID) bool {
	return binary.BigEndian.Uint64(id[:8]) == 0 && int64(binary.BigEndian.Uint64(id[8:])) < 100
}

// hasOnlineDir says whether a replica in that directory of the broker can be used.
func (b *Broker) hasOnlineDir(id protocol.UUID) bool {
	switch id {
	case DirMigrating, DirUnassigned:
		return true
	case DirLost:
		return false
	}
	_, ok := slices.BinarySearchFunc(b.LogDirs, id, compareUUID)
	return ok
}

// defaultDir returns where a new replica on a broker will be: known at once where the broker has one directory.
func (m *Image) defaultDir(broker int32) protocol.UUID {
	if b := m.Broker(broker); b != nil && len(b.LogDirs) == 1 {
		return b.LogDirs[0]
	}
	return DirUnassigned
}

// defaultDirs returns the directories of new replicas.
func (m *Image) defaultDirs(replicas []int32) []protocol.UUID {
	dirs := make([]protocol.UUID, len(replicas))
	for i, r := range replicas {
		dirs[i] = m.defaultDir(r)
	}
	return dirs
}

// newUUID makes a random id of version 4, as Kafka does: never a reserved one, and never one whose text begins with a dash, which
// command lines would take for an option.
func newUUID(rand Rand) protocol.UUID {
	for {
		var u protocol.UUID
		binary.BigEndian.PutUint64(u[:8], rand.Uint64())
		binary.BigEndian.PutUint64(u[8:], rand.Uint64())
		u[6] = u[6]&0x0f | 0x40
		u[8] = u[8]&0x3f | 0x80
		if u.String()[0] != '-' {
			return u
		}
	}
}

package controller

import (
	"fmt"
)

// frameVersion is the version of the frame around each record (org.apache.kafka.server.common.serialization).
const frameVersion = 1

// AppendRecord appends a record as Kafka frames it in its metadata log: unsigned varints for frame version, api key and version,
// then the message in its flexible form.
func AppendRecord(b []byte, rec Record) []byte {
	w := writer{b: b}
	key, version := rec.kind()
	w.uvarint(frameVersion)
	w.uvarint(uint64(key))
	w.uvarint(uint64(version))
	rec.encode(&w)
	return w.b
}

// DecodeRecord reads what AppendRecord wrote; b holds one record and nothing else. The error wraps protocol.ErrMalformed, or is
// an *UnknownRecordError where a newer binary wrote the record. Nothing of b is kept.
func DecodeRecord(b []byte) (Record, error) {
	r := reader{b: b}
	rec, version, err := recordHeader(&r)
	if err != nil {
		return nil, err
	}
	rec.decode(&r, version)
	if r.err == nil && len(r.b) > 0 {
		r.fail("bytes after the end")
	}
	if r.err != nil {
		return nil, r.err
	}
	return rec, nil
}

// recordHeader reads the frame and returns an empty record of its type.
func recordHeader(r *reader) (rec Record, version int16, err error) {
	frame, key, v := r.uvarint(), r.uvarint(), r.uvarint()
	if r.err != nil {
		return nil, 0, r.err
	}
	if frame == 0 {
		r.fail("frame version 0")
		return nil, 0, r.err
	}
	if frame == frameVersion && key <= 1<<15-1 {
		rec = newRecord(int16(key))
	}
	if rec == nil {
		return nil, 0, &UnknownRecordError{frame, key, v}
	}
	if _, max := rec.kind(); v > uint64(max) {
		return nil, 0, &UnknownRecordError{frame, key, v}
	}
	return rec, int16(v), nil
}

// UnknownRecordError says that the metadata holds a record that this binary does not know: a newer one wrote it.
type UnknownRecordError struct{ Frame, Key, Version uint64 }

// Error names the record.
func (e *UnknownRecordError) Error() string {
	return fmt.Sprintf("metadata record of frame version %d, type %d, version %d was written by a newer version of this program", e.Frame, e.Key, e.Version)
}

func (*RegisterBrokerRecord) kind() (int16, int16)           { return keyRegisterBroker, 3 }
func (*UnregisterBrokerRecord) kind() (int16, int16)         { return keyUnregisterBroker, 0 }
func (*TopicRecord) kind() (int16, int16)                    { return keyTopic, 0 }
func (*PartitionRecord) kind() (int16, int16)                { return keyPartition, 2 }
func (*ConfigRecord) kind() (int16, int16)                   { return keyConfig, 0 }
func (*PartitionChangeRecord) kind() (int16, int16)          { return keyPartitionChange, 2 }
func (*RemoveTopicRecord) kind() (int16, int16)              { return keyRemoveTopic, 0 }
func (*FeatureLevelRecord) kind() (int16, int16)             { return keyFeatureLevel, 0 }
func (*ProducerIDsRecord) kind() (int16, int16)              { return keyProducerIDs, 0 }
func (*BrokerRegistrationChangeRecord) kind() (int16, int16) { return keyBrokerRegistrationChange, 2 }
func (*NoOpRecord) kind() (int16, int16)                     { return keyNoOp, 0 }
func (*BootstrapRecord) kind() (int16, int16)                { return keyBootstrap, 0 }

func (m *RegisterBrokerRecord) encode(w *writer) {
	w.int32(m.BrokerID)
	w.bool(false) // IsMigratingZkBroker
	w.uuid(m.Incarnation)
	w.int64(m.BrokerEpoch)
	w.uvarint(uint64(len(m.Endpoints)) + 1)
	for _, e := range m.Endpoints {
		w.string(e.Name)
		w.string(e.Host)
		w.int16(int16(uint16(e.Port)))
		w.int16(e.SecurityProtocol)
		w.tagged(0)
	}
	w.uvarint(uint64(len(m.Features)) + 1)
	for _, f := range m.Features {
		w.string(f.Name)
		w.int16(f.Min)
		w.int16(f.Max)
		w.tagged(0)
	}
	if m.Rack == "" {
		w.uvarint(0)
	} else {
		w.string(m.Rack)
	}
	w.bool(m.Fenced)
	w.bool(m.ShuttingDown)
	w.tagged(count(len(m.LogDirs) > 0))
	if len(m.LogDirs) > 0 {
		w.tagUUIDs(0, m.LogDirs)
	}
}

func (m *RegisterBrokerRecord) decode(r *reader, version int16) {
	m.BrokerID = r.int32()
	if version >= 2 {
		r.bool()
	}
	m.Incarnation = r.uuid()
	m.BrokerEpoch = r.int64()
	// An endpoint takes at least 7 bytes, a feature 6.
	if n := r.length(7); n > 0 {
		m.Endpoints = make([]Endpoint, n)
		for i := range m.Endpoints {
			m.Endpoints[i] = Endpoint{Name: r.string(), Host: r.string(), Port: int32(uint16(r.int16())), SecurityProtocol: r.int16()}
			r.tags(nil)
		}
	}
	if n := r.length(6); n > 0 {
		m.Features = make([]FeatureRange, n)
		for i := range m.Features {
			m.Features[i] = FeatureRange{r.string(), r.int16(), r.int16()}
			r.tags(nil)
		}
	}
	if s := r.nullableString(); s != nil {
		m.Rack = *s
	}
	m.Fenced = r.bool()
	if version >= 1 {
		m.ShuttingDown = r.bool()
	}
	r.tags(func(r *reader, n uint64) bool {
		if n != 0 || version < 3 {
			return false
		}
		m.LogDirs = r.uuids()
		return true
	})
}

func (m *UnregisterBrokerRecord) encode(w *writer) {
	w.int32(m.BrokerID)
	w.int64(m.BrokerEpoch)
	w.tagged(0)
}

func (m *UnregisterBrokerRecord) decode(r *reader, _ int16) {
	m.BrokerID, m.BrokerEpoch = r.int32(), r.int64()
	r.tags(nil)
}

func (m *TopicRecord) encode(w *writer) {
	w.string(m.Name)
	w.uuid(m.TopicID)
	w.tagged(0)
}

func (m *TopicRecord) decode(r *reader, _ int16) {
	m.Name, m.TopicID = r.string(), r.uuid()
	r.tags(nil)
}

func (m *PartitionRecord) encode(w *writer) {
	w.int32(m.PartitionID)
	w.uuid(m.TopicID)
	w.int32s(notNull(m.Replicas))
	w.int32s(notNull(m.ISR))
	w.int32s(notNull(m.Removing))
	w.int32s(notNull(m.Adding))
	w.int32(m.Leader)
	w.int32(m.LeaderEpoch)
	w.int32(m.PartitionEpoch)
	w.uuids(notNull(m.Directories))
	w.tagged(count(m.LeaderRecoveryState != 0, m.ELR != nil, m.LastELR != nil))
	if m.LeaderRecoveryState != 0 {
		w.tagInt8(0, m.LeaderRecoveryState)
	}
	w.tagInt32s(1, m.ELR)
	w.tagInt32s(2, m.LastELR)
}

func (m *PartitionRecord) decode(r *reader, version int16) {
	m.PartitionID = r.int32()
	m.TopicID = r.uuid()
	m.Replicas, m.ISR = r.int32s(), r.int32s()
	m.Removing, m.Adding = r.int32s(), r.int32s()
	m.Leader, m.LeaderEpoch, m.PartitionEpoch = r.int32(), r.int32(), r.int32()
	if version >= 1 {
		m.Directories = r.uuids()
	}
	r.tags(func(r *reader, n uint64) bool {
		switch {
		case n == 0:
			m.LeaderRecoveryState = r.int8()
		case n == 1 && version >= 2:
			m.ELR = r.nullableInt32s()
		case n == 2 && version >= 2:
			m.LastELR = r.nullableInt32s()
		default:
			return false
		}
		return true
	})
}

func (m *ConfigRecord) encode(w *writer) {
	w.int8(m.ResourceType)
	w.string(m.ResourceName)
	w.string(m.Name)
	if m.Value == nil {
		w.uvarint(0)
	} else {
		w.string(*m.Value)
	}
	w.tagged(0)
}

func (m *ConfigRecord) decode(r *reader, _ int16) {
	m.ResourceType, m.ResourceName, m.Name = r.int8(), r.string(), r.string()
	m.Value = r.nullableString()
	r.tags(nil)
}

func (m *PartitionChangeRecord) encode(w *writer) {
	w.int32(m.PartitionID)
	w.uuid(m.TopicID)
	w.tagged(count(m.ISR != nil, m.Leader != NoLeaderChange, m.Replicas != nil, m.Removing != nil, m.Adding != nil,
		m.LeaderRecoveryState != -1, m.ELR != nil, m.LastELR != nil, m.Directories != nil))
	w.tagInt32s(0, m.ISR)
	if m.Leader != NoLeaderChange {
		w.tagInt32(1, m.Leader)
	}
	w.tagInt32s(2, m.Replicas)
	w.tagInt32s(3, m.Removing)
	w.tagInt32s(4, m.Adding)
	if m.LeaderRecoveryState != -1 {
		w.tagInt8(5, m.LeaderRecoveryState)
	}
	w.tagInt32s(6, m.ELR)
	w.tagInt32s(7, m.LastELR)
	w.tagUUIDs(8, m.Directories)
}

func (m *PartitionChangeRecord) decode(r *reader, version int16) {
	m.PartitionID, m.TopicID = r.int32(), r.uuid()
	m.Leader, m.LeaderRecoveryState = NoLeaderChange, -1
	r.tags(func(r *reader, n uint64) bool {
		switch {
		case n == 0:
			m.ISR = r.nullableInt32s()
		case n == 1:
			m.Leader = r.int32()
		case n == 2:
			m.Replicas = r.nullableInt32s()
		case n == 3:
			m.Removing = r.nullableInt32s()
		case n == 4:
			m.Adding = r.nullableInt32s()
		case n == 5:
			m.LeaderRecoveryState = r.int8()
		case n == 6 && version >= 2:
			m.ELR = r.nullableInt32s()
		case n == 7 && version >= 2:
			m.LastELR = r.nullableInt32s()
		case n == 8 && version >= 1:
			m.Directories = r.nullableUUIDs()
		default:
			return false
		}
		return true
	})
}

func (m *RemoveTopicRecord) encode(w *writer) {
	w.uuid(m.TopicID)
	w.tagged(0)
}

func (m *RemoveTopicRecord) decode(r *reader, _ int16) {
	m.TopicID = r.uuid()
	r.tags(nil)
}

func (m *FeatureLevelRecord) encode(w *writer) {
	w.string(m.Name)
	w.int16(m.Level)
	w.tagged(0)
}

func (m *FeatureLevelRecord) decode(r *reader, _ int16) {
	m.Name, m.Level = r.string(), r.int16()
	r.tags(nil)
}

func (m *ProducerIDsRecord) encode(w *writer) {
	w.int32(m.BrokerID)
	w.int64(m.BrokerEpoch)
	w.int64(m.NextProducerID)
	w.tagged(0)
}

func (m *ProducerIDsRecord) decode(r *reader, _ int16) {
	m.BrokerID, m.BrokerEpoch, m.NextProducerID = r.int32(), r.int64(), r.int64()
	r.tags(nil)
}

func (m *BrokerRegistrationChangeRecord) encode(w *writer) {
	w.int32(m.BrokerID)
	w.int64(m.BrokerEpoch)
	w.tagged(count(m.Fenced != 0, m.ShuttingDown != 0, len(m.LogDirs) > 0))
	if m.Fenced != 0 {
		w.tagInt8(0, m.Fenced)
	}
	if m.ShuttingDown != 0 {
		w.tagInt8(1, m.ShuttingDown)
	}
	if len(m.LogDirs) > 0 {
		w.tagUUIDs(2, m.LogDirs)
	}
}

func (m *BrokerRegistrationChangeRecord) decode(r *reader, version int16) {
	m.BrokerID, m.BrokerEpoch = r.int32(), r.int64()
	r.tags(func(r *reader, n uint64) bool {
		switch {
		case n == 0:
			m.Fenced = r.int8()
		case n == 1 && version >= 1:
			m.ShuttingDown = r.int8()
		case n == 2 && version >= 2:
			m.LogDirs = r.uuids()
		default:
			return false
		}
		return true
	})
}

func (*NoOpRecord) encode(w *writer)          { w.tagged(0) }
func (*NoOpRecord) decode(r *reader, _ int16) { r.tags(nil) }

func (m *BootstrapRecord) encode(w *writer) {
	w.string(m.ClusterID)
	w.tagged(0)
}

func (m *BootstrapRecord) decode(r *reader, _ int16) {
	m.ClusterID = r.string()
	r.tags(nil)
}

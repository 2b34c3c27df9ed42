package group

import (
	"fmt"

	"weir/protocol"
)

// The record types of Kafka 4.4: the int16 that a key begins with (CoordinatorRecordType). A value begins with its int16 version.
const (
	typeLegacyOffsetCommit   int16 = 0
	typeOffsetCommit         int16 = 1
	typeGroupMetadata        int16 = 2
	typeConsumerMetadata     int16 = 3
	typeConsumerPartition    int16 = 4 // written before 4.1; since then tombstones only
	typeConsumerMember       int16 = 5
	typeConsumerTarget       int16 = 6
	typeConsumerTargetMember int16 = 7
	typeConsumerCurrent      int16 = 8
	typeShareFirst           int16 = 9 // 9 to 15: share groups
	typeShareLast            int16 = 15
	typeConsumerRegex        int16 = 16
	typeStreamsFirst         int16 = 17 // 17 to 22: streams groups
	typeStreamsLast          int16 = 23
)

// recordKey is a decoded key of a type that is ours. Its slices are those of the record.
type recordKey struct {
	kind      int16
	group     []byte
	topic     []byte // of an offset
	partition int32  // of an offset
	member    []byte // of types 5, 7 and 8; the regular expression of type 16
}

func decodeKey(b []byte) (k recordKey, err error) {
	r := reader{b: b}
	k.kind = r.int16()
	if r.bad {
		return k, errShort
	}
	text := func() []byte {
		v, ok := r.raw(false)
		if !ok {
			r.take(-1)
		}
		return v
	}
	switch k.kind {
	case typeLegacyOffsetCommit, typeOffsetCommit:
		k.group, k.topic, k.partition = text(), text(), r.int32()
	case typeGroupMetadata, typeConsumerMetadata, typeConsumerPartition, typeConsumerTarget:
		k.group = text()
	case typeConsumerMember, typeConsumerTargetMember, typeConsumerCurrent, typeConsumerRegex:
		k.group, k.member = text(), text()
	default:
		if k.kind >= typeShareFirst && k.kind <= typeStreamsLast {
			return k, errUnknown
		}
		return k, fmt.Errorf("%w: record type %d", protocol.ErrMalformed, k.kind)
	}
	return k, r.end()
}

func appendGroupKey(b []byte, kind int16, group string) []byte {
	return appendString(append16(b, kind), group)
}

func appendMemberKey(b []byte, kind int16, group, member string) []byte {
	return appendString(appendGroupKey(b, kind, group), member)
}

func appendOffsetKey(b []byte, group, topic string, partition int32) []byte {
	return append32(appendString(appendGroupKey(b, typeOffsetCommit, group), topic), partition)
}

// offsetValue is OffsetCommitValue.
type offsetValue struct {
	offset      int64
	leaderEpoch int32 // -1: not known
	metadata    []byte
	committed   int64 // when, in milliseconds
	expires     int64 // -1: by the broker's retention
	topicID     protocol.UUID
}

// appendOffsetValue writes version 1 when the client set a retention, the only one that has it, else version 4.
func appendOffsetValue(b []byte, offset int64, leaderEpoch int32, metadata string, committed, expires int64, topicID protocol.UUID) []byte {
	if expires != -1 {
		b = append64(append16(b, 1), offset)
		b = appendString(b, metadata)
		return append64(append64(b, committed), expires)
	}
	b = append32(append64(append16(b, 4), offset), leaderEpoch)
	b = append64(appendCompact(b, metadata), committed)
	if topicID == (protocol.UUID{}) {
		return append(b, 0)
	}
	b = append(b, 1, 0, byte(len(topicID)))
	return append(b, topicID[:]...)
}

func decodeOffsetValue(b []byte) (v offsetValue, err error) {
	v.leaderEpoch, v.expires = -1, -1
	r := reader{b: b}
	version, err := r.version(4)
	if err != nil {
		return v, err
	}
	v.offset = r.int64()
	if version >= 3 {
		v.leaderEpoch = r.int32()
	}
	var ok bool
	if v.metadata, ok = r.raw(version >= 4); !ok {
		r.take(-1)
	}
	v.committed = r.int64()
	if version == 1 {
		v.expires = r.int64()
	}
	if version >= 4 {
		n := r.uvarint()
		for i := 0; i < n && !r.bad; i++ { // by hand: tags would allocate, and this is the record that there are most of
			tag := r.uvarint()
			if field := r.take(r.uvarint()); tag == 0 && !r.bad {
				if len(field) < len(v.topicID) {
					r.take(-1)
				}
				copy(v.topicID[:], field)
			}
		}
	}
	return v, r.end()
}

// groupValue is GroupMetadataValue.
type groupValue struct {
	protocolType string
	generation   int32
	protocol     *string
	leader       *string
	since        int64 // of the state, -1: not known
	members      []memberValue
}

type memberValue struct {
	id                       string
	instance                 *string
	clientID, clientHost     string
	rebalanceMs, sessionMs   int32 // rebalanceMs -1: not known
	subscription, assignment []byte
}

// appendGroupValue writes version 3, as Kafka does.
func appendGroupValue(b []byte, v *groupValue) []byte {
	b = appendString(append16(b, 3), v.protocolType)
	b = append32(b, v.generation)
	b = appendNullable(b, v.protocol)
	b = appendNullable(b, v.leader)
	b = append64(b, v.since)
	b = append32(b, int32(len(v.members)))
	for i := range v.members {
		m := &v.members[i]
		b = appendNullable(appendString(b, m.id), m.instance)
		b = appendString(appendString(b, m.clientID), m.clientHost)
		b = append32(append32(b, m.rebalanceMs), m.sessionMs)
		b = appendBytes(appendBytes(b, m.subscription), m.assignment)
	}
	return b
}

// decodeGroupValue reads any version. The byte slices of the members are those of b.
func decodeGroupValue(b []byte) (*groupValue, error) {
	r := reader{b: b}
	version, err := r.version(4)
	if err != nil {
		return nil, err
	}
	flexible := version >= 4
	v := &groupValue{since: -1}
	v.protocolType, v.generation = r.string(flexible), r.int32()
	v.protocol, v.leader = r.nullable(flexible), r.nullable(flexible)
	if version >= 2 {
		v.since = r.int64()
	}
	n := r.count(flexible, 12)
	v.members = make([]memberValue, 0, n)
	for i := 0; i < n && !r.bad; i++ {
		m := memberValue{rebalanceMs: -1}
		m.id = r.string(flexible)
		if version >= 3 {
			m.instance = r.nullable(flexible)
		}
		m.clientID, m.clientHost = r.string(flexible), r.string(flexible)
		if version >= 1 {
			m.rebalanceMs = r.int32()
		}
		m.sessionMs = r.int32()
		m.subscription, m.assignment = r.bytesOf(flexible), r.bytesOf(flexible)
		if flexible {
			r.tags(nil)
		}
		v.members = append(v.members, m)
	}
	if flexible {
		r.tags(nil)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	if len(v.members) > 0 && v.protocol == nil {
		return nil, fmt.Errorf("%w: a group with members and no protocol", protocol.ErrMalformed)
	}
	return v, nil
}

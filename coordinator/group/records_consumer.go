package group

import "weir/protocol"

// The values of consumer groups: version 0 of each, flexible. They are Kafka's schemas field for field; consumer.go gives them meaning.

// consumerMetadataValue is ConsumerGroupMetadataValue (type 3).
type consumerMetadataValue struct {
	epoch        int32
	metadataHash int64
}

func (v *consumerMetadataValue) append(b []byte) []byte {
	b = append32(append16(b, 0), v.epoch)
	if v.metadataHash == 0 {
		return append(b, 0)
	}
	return append64(append(b, 1, 0, 8), v.metadataHash)
}

func (v *consumerMetadataValue) decode(b []byte) error {
	r := reader{b: b}
	if _, err := r.version(0); err != nil {
		return err
	}
	v.epoch = r.int32()
	r.tags(func(tag int, f *reader) {
		if tag == 0 {
			v.metadataHash = f.int64()
		}
	})
	return r.end()
}

// consumerMemberValue is ConsumerGroupMemberMetadataValue (type 5).
type consumerMemberValue struct {
	instanceID, rackID   *string
	clientID, clientHost string
	topics               []string
	regex                *string
	rebalanceMs          int32
	assignor             *string
	classic              *consumerClassicValue // nil: the member speaks the consumer protocol
}

type consumerClassicValue struct {
	sessionMs int32
	protocols []classicProtocol
}

// classicProtocol is one of the protocols that a classic member supports, in its order of preference.
type classicProtocol struct {
	name     string
	metadata []byte
}

func (v *consumerMemberValue) append(b []byte) []byte {
	b = append16(b, 0)
	b = appendCompactNullable(appendCompactNullable(b, v.instanceID), v.rackID)
	b = appendCompact(appendCompact(b, v.clientID), v.clientHost)
	b = appendCompactNullable(appendCompactStrings(b, v.topics), v.regex)
	b = appendCompactNullable(append32(b, v.rebalanceMs), v.assignor)
	// The field is always written: Kafka takes a member without it for a classic one with an empty struct, which is its default.
	b = append(b, 1)
	return appendTag(b, 0, func(b []byte) []byte {
		if v.classic == nil {
			return append(b, 0)
		}
		b = append32(append(b, 1), v.classic.sessionMs) // a struct that may be null begins with 1 when it is there
		b = appendUvarint(b, len(v.classic.protocols)+1)
		for _, p := range v.classic.protocols {
			b = append(appendCompactBytes(appendCompact(b, p.name), p.metadata), 0)
		}
		return append(b, 0)
	})
}

// decode reads a value. The metadata of protocols are slices of b.
func (v *consumerMemberValue) decode(b []byte) error {
	r := reader{b: b}
	if _, err := r.version(0); err != nil {
		return err
	}
	v.instanceID, v.rackID = r.nullable(true), r.nullable(true)
	v.clientID, v.clientHost = r.string(true), r.string(true)
	v.topics, v.regex = r.strings(), r.nullable(true)
	v.rebalanceMs, v.assignor = r.int32(), r.nullable(true)
	r.tags(func(tag int, f *reader) {
		if tag != 0 || f.int8() == 0 {
			return
		}
		v.classic = &consumerClassicValue{sessionMs: f.int32()}
		n := f.count(true, 3)
		for i := 0; i < n && !f.bad; i++ {
			p := classicProtocol{name: f.string(true), metadata: f.bytesOf(true)}
			f.tags(nil)
			v.classic.protocols = append(v.classic.protocols, p)
		}
		f.tags(nil)
	})
	return r.end()
}

// consumerTargetValue is ConsumerGroupTargetAssignmentMetadataValue (type 6).
type consumerTargetValue struct {
	epoch     int32
	timestamp int64 // when the assignment was computed, 0: not known (KIP-1263)
}

func (v *consumerTargetValue) append(b []byte) []byte {
	b = append32(append16(b, 0), v.epoch)
	if v.timestamp == 0 {
		return append(b, 0)
	}
	return append64(append(b, 1, 0, 8), v.timestamp)
}

func (v *consumerTargetValue) decode(b []byte) error {
	r := reader{b: b}
	if _, err := r.version(0); err != nil {
		return err
	}
	v.epoch = r.int32()
	r.tags(func(tag int, f *reader) {
		if tag == 0 {
			v.timestamp = f.int64()
		}
	})
	return r.end()
}

// topicPartitions is partitions of one topic. epochs, if not nil, says for each since which member epoch it is assigned (KIP-1251).
type topicPartitions struct {
	topic      protocol.UUID
	partitions []int32
	epochs     []int32
}

func appendTopicPartitions(b []byte, list []topicPartitions) []byte {
	b = appendUvarint(b, len(list)+1)
	for i := range list {
		t := &list[i]
		b = appendCompactInts(append(b, t.topic[:]...), t.partitions)
		if t.epochs == nil {
			b = append(b, 0)
			continue
		}
		b = appendTag(append(b, 1), 0, func(b []byte) []byte { return appendCompactInts(b, t.epochs) })
	}
	return b
}

func (r *reader) topicPartitions() []topicPartitions {
	n := r.count(true, 18)
	list := make([]topicPartitions, 0, n)
	for i := 0; i < n && !r.bad; i++ {
		t := topicPartitions{topic: r.uuid(), partitions: r.ints()}
		r.tags(func(tag int, f *reader) {
			if tag == 0 && len(f.b) > 0 && f.b[0] != 0 {
				if t.epochs = f.ints(); len(t.epochs) != len(t.partitions) {
					f.take(-1)
				}
			}
		})
		list = append(list, t)
	}
	return list
}

// consumerTargetMemberValue is ConsumerGroupTargetAssignmentMemberValue (type 7). The epochs of its partitions are nil.
type consumerTargetMemberValue struct {
	partitions []topicPartitions
}

func (v *consumerTargetMemberValue) append(b []byte) []byte {
	return append(appendTopicPartitions(append16(b, 0), v.partitions), 0)
}

func (v *consumerTargetMemberValue) decode(b []byte) error {
	r := reader{b: b}
	if _, err := r.version(0); err != nil {
		return err
	}
	v.partitions = r.topicPartitions()
	r.tags(nil)
	return r.end()
}

// consumerCurrentValue is ConsumerGroupCurrentMemberAssignmentValue (type 8).
type consumerCurrentValue struct {
	epoch, previousEpoch int32
	state                int8
	assigned             []topicPartitions
	pendingRevocation    []topicPartitions
}

func (v *consumerCurrentValue) append(b []byte) []byte {
	b = append32(append32(append16(b, 0), v.epoch), v.previousEpoch)
	b = appendTopicPartitions(append8(b, v.state), v.assigned)
	return append(appendTopicPartitions(b, v.pendingRevocation), 0)
}

func (v *consumerCurrentValue) decode(b []byte) error {
	r := reader{b: b}
	if _, err := r.version(0); err != nil {
		return err
	}
	v.epoch, v.previousEpoch, v.state = r.int32(), r.int32(), r.int8()
	v.assigned, v.pendingRevocation = r.topicPartitions(), r.topicPartitions()
	r.tags(nil)
	return r.end()
}

// consumerRegexValue is ConsumerGroupRegularExpressionValue (type 16).
type consumerRegexValue struct {
	topics    []string
	version   int64 // of the metadata that it was resolved with
	timestamp int64
}

func (v *consumerRegexValue) append(b []byte) []byte {
	b = appendCompactStrings(append16(b, 0), v.topics)
	return append(append64(append64(b, v.version), v.timestamp), 0)
}

func (v *consumerRegexValue) decode(b []byte) error {
	r := reader{b: b}
	if _, err := r.version(0); err != nil {
		return err
	}
	v.topics, v.version, v.timestamp = r.strings(), r.int64(), r.int64()
	r.tags(nil)
	return r.end()
}

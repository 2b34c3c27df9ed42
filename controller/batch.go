package controller

import (
	"encoding/binary"
	"iter"
	"maps"
	"slices"
)

// batchVersion is the format of a batch: that byte, then the uvarint term it was decided in, the uvarint number of records, and
// for each a uvarint length and the record as AppendRecord writes it.
const batchVersion = 1

// AppendBatch appends records that were decided in a term as one atomic batch. Who keeps the bytes guards them with a CRC.
func AppendBatch(b []byte, term uint64, records []Record) []byte {
	b = append(b, batchVersion)
	b = binary.AppendUvarint(b, term)
	b = binary.AppendUvarint(b, uint64(len(records)))
	var scratch []byte
	for _, rec := range records {
		scratch = AppendRecord(scratch[:0], rec)
		b = binary.AppendUvarint(b, uint64(len(scratch)))
		b = append(b, scratch...)
	}
	return b
}

// DecodeBatch reads what AppendBatch wrote. Errors are those of DecodeRecord. Nothing of b is kept.
func DecodeBatch(b []byte) (term uint64, records []Record, err error) {
	err = walkBatch(b, func(t uint64, n int) {
		term, records = t, make([]Record, 0, n)
	}, func(b []byte) error {
		rec, err := DecodeRecord(b)
		records = append(records, rec)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	return term, records, nil
}

// CheckBatch looks at the types and versions of the records in a batch: the error says whether a newer binary wrote one of them. It
// calls about with the few that say whose metadata it is (BootstrapRecord, FeatureLevelRecord) and leaves the others undecoded.
func CheckBatch(b []byte, about func(Record)) error {
	return walkBatch(b, func(uint64, int) {}, func(b []byte) error {
		rec, _, err := recordHeader(&reader{b: b})
		if err != nil {
			return err
		}
		switch rec.(type) {
		case *BootstrapRecord, *FeatureLevelRecord:
			if rec, err = DecodeRecord(b); err == nil {
				about(rec)
			}
		}
		return err
	})
}

func walkBatch(b []byte, header func(term uint64, n int), record func(b []byte) error) error {
	r := reader{b: b}
	version := r.take(1)
	if r.err == nil && version[0] != batchVersion {
		return &UnknownRecordError{Frame: uint64(version[0])}
	}
	term, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail("bad term")
		return r.err
	}
	r.b = r.b[size:]
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail("more records than bytes")
	}
	if r.err != nil {
		return r.err
	}
	header(term, int(n))
	for ; n > 0; n-- {
		rec := r.take(r.length0())
		if r.err != nil {
			return r.err
		}
		if err := record(rec); err != nil {
			return err
		}
	}
	if len(r.b) > 0 {
		r.fail("bytes after the batch")
	}
	return r.err
}

// Records iterates over the records that make an image from nothing: a snapshot. Merging them in batches of any size, at the image's
// offset and epoch, gives an equal image.
func (m *Image) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		if m.ClusterID != "" && !yield(&BootstrapRecord{ClusterID: m.ClusterID}) {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(m.features)) {
			if !yield(&FeatureLevelRecord{Name: name, Level: m.features[name]}) {
				return
			}
		}
		for _, b := range m.brokers {
			if !yield(b.record()) {
				return
			}
		}
		for t := range m.Topics() {
			if !yield(&TopicRecord{Name: t.Name, TopicID: t.ID}) {
				return
			}
			for id, p := range t.Partitions {
				if !yield(p.record(t.ID, int32(id))) {
					return
				}
			}
		}
		if !m.yieldConfigs(yield) {
			return
		}
		if m.nextProducerID > 0 {
			yield(&ProducerIDsRecord{BrokerID: -1, BrokerEpoch: -1, NextProducerID: m.nextProducerID})
		}
	}
}

func (m *Image) yieldConfigs(yield func(Record) bool) bool {
	for r, c := range m.Configs() {
		for _, name := range slices.Sorted(maps.Keys(c)) {
			value := c[name]
			if !yield(&ConfigRecord{ResourceType: r.Type, ResourceName: r.Name, Name: name, Value: &value}) {
				return false
			}
		}
	}
	return true
}

func (b *Broker) record() *RegisterBrokerRecord {
	return &RegisterBrokerRecord{
		BrokerID: b.ID, Incarnation: b.Incarnation, BrokerEpoch: b.Epoch, Endpoints: b.Endpoints, Features: b.Features,
		Rack: b.Rack, Fenced: b.Fenced, ShuttingDown: b.ShuttingDown, LogDirs: b.LogDirs,
	}
}

func (p *Partition) record(topic [16]byte, id int32) *PartitionRecord {
	return &PartitionRecord{
		PartitionID: id, TopicID: topic, Replicas: p.Replicas, ISR: p.ISR, Removing: p.Removing, Adding: p.Adding,
		Leader: p.Leader, LeaderRecoveryState: p.recoveryState(), LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch,
		Directories: p.Directories, ELR: p.ELR, LastELR: p.LastELR,
	}
}

func (p *Partition) recoveryState() int8 {
	if p.Recovering {
		return 1
	}
	return 0
}

package controller

import "weir/protocol"

// Record is one change of the metadata: one of the types below, in Kafka's schemas (KIP-631 and successors). Records are values
// that nobody changes after they were made; slices in them are shared with images.
type Record interface {
	// kind returns Kafka's api key of the record and the version that this binary writes.
	kind() (key, version int16)
	encode(w *writer)
	decode(r *reader, version int16)
}

// RegisterBrokerRecord registers a broker, or registers it anew. Brokers start fenced.
type RegisterBrokerRecord struct {
	BrokerID     int32
	Incarnation  protocol.UUID
	BrokerEpoch  int64 // -1: the Raft index of the batch, filled in by Merge
	Endpoints    []Endpoint
	Features     []FeatureRange
	Rack         string // "" is none
	Fenced       bool
	ShuttingDown bool
	LogDirs      []protocol.UUID
}

// UnregisterBrokerRecord forgets a broker. Replica lists keep its id.
type UnregisterBrokerRecord struct {
	BrokerID    int32
	BrokerEpoch int64
}

// TopicRecord creates a topic; its partitions follow as PartitionRecords in the order of their ids.
type TopicRecord struct {
	Name    string
	TopicID protocol.UUID
}

// PartitionRecord creates a partition.
type PartitionRecord struct {
	PartitionID         int32
	TopicID             protocol.UUID
	Replicas, ISR       []int32
	Removing, Adding    []int32
	Leader              int32
	LeaderRecoveryState int8 // 0 RECOVERED, 1 RECOVERING
	LeaderEpoch         int32
	PartitionEpoch      int32
	Directories         []protocol.UUID
	ELR, LastELR        []int32
}

// ConfigRecord sets or, with a nil Value, removes one setting of a resource.
type ConfigRecord struct {
	ResourceType int8
	ResourceName string
	Name         string
	Value        *string
}

// NoLeaderChange in a PartitionChangeRecord leaves leader and leader epoch as they are.
const NoLeaderChange int32 = -2

// PartitionChangeRecord changes a partition. A nil slice, NoLeaderChange and a LeaderRecoveryState of -1 change nothing; a Leader,
// even the one that leads, raises the leader epoch; every change raises the partition epoch.
type PartitionChangeRecord struct {
	PartitionID         int32
	TopicID             protocol.UUID
	ISR                 []int32
	Leader              int32
	Replicas            []int32
	Removing, Adding    []int32
	LeaderRecoveryState int8
	ELR, LastELR        []int32
	Directories         []protocol.UUID
}

// RemoveTopicRecord deletes a topic with its partitions and settings.
type RemoveTopicRecord struct {
	TopicID protocol.UUID
}

// FeatureLevelRecord finalizes a feature at a level; level 0 takes it back.
type FeatureLevelRecord struct {
	Name  string
	Level int16
}

// ProducerIDsRecord gives a block of producer ids to a broker: those before NextProducerID that were not given before.
type ProducerIDsRecord struct {
	BrokerID       int32
	BrokerEpoch    int64
	NextProducerID int64
}

// BrokerRegistrationChangeRecord changes a registration. Fenced: 1 fences, -1 unfences, 0 leaves it. ShuttingDown: 1 sets it, 0
// leaves it. LogDirs: nil leaves them.
type BrokerRegistrationChangeRecord struct {
	BrokerID     int32
	BrokerEpoch  int64
	Fenced       int8
	ShuttingDown int8
	LogDirs      []protocol.UUID
}

// NoOpRecord changes nothing.
type NoOpRecord struct{}

// BootstrapRecord is the first record of a cluster and names it. It is Weir's own: Kafka keeps the cluster id outside the log.
type BootstrapRecord struct {
	ClusterID string
}

// The api keys: Kafka's (MetadataRecordType), and Weir's own from 10,000 on.
const (
	keyRegisterBroker           int16 = 0
	keyUnregisterBroker         int16 = 1
	keyTopic                    int16 = 2
	keyPartition                int16 = 3
	keyConfig                   int16 = 4
	keyPartitionChange          int16 = 5
	keyRemoveTopic              int16 = 9
	keyFeatureLevel             int16 = 12
	keyProducerIDs              int16 = 15
	keyBrokerRegistrationChange int16 = 17
	keyNoOp                     int16 = 20
	keyBootstrap                int16 = 10_000
)

// newRecord returns an empty record for an api key and the highest version that this binary reads; nil for an unknown key.
func newRecord(key int16) Record {
	switch key {
	case keyRegisterBroker:
		return &RegisterBrokerRecord{}
	case keyUnregisterBroker:
		return &UnregisterBrokerRecord{}
	case keyTopic:
		return &TopicRecord{}
	case keyPartition:
		return &PartitionRecord{}
	case keyConfig:
		return &ConfigRecord{}
	case keyPartitionChange:
		return &PartitionChangeRecord{}
	case keyRemoveTopic:
		return &RemoveTopicRecord{}
	case keyFeatureLevel:
		return &FeatureLevelRecord{}
	case keyProducerIDs:
		return &ProducerIDsRecord{}
	case keyBrokerRegistrationChange:
		return &BrokerRegistrationChangeRecord{}
	case keyNoOp:
		return &NoOpRecord{}
	case keyBootstrap:
		return &BootstrapRecord{}
	}
	return nil
}

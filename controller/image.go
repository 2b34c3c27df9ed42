package controller

import "weir/protocol"

// Image is the metadata of the cluster at one offset. It is immutable: every change makes a new one that shares what did not
// change. Maps and slices that come out of it must not be written to.
type Image struct {
	ClusterID string
	Offset    int64 // the Raft index of the last batch merged
	Epoch     int32 // its Raft term: Kafka's controller epoch
}

// Topic is one topic of an Image.
type Topic struct {
	Name       string
	ID         protocol.UUID
	Partitions []Partition // by partition id, without gaps
}

// Partition is one partition of a Topic. Slices are shared and read-only.
type Partition struct {
	Replicas, ISR    []int32
	Adding, Removing []int32
	Directories      []protocol.UUID // one a replica, in the order of Replicas
	ELR, LastELR     []int32
	Leader           int32 // -1: none
	LeaderEpoch      int32
	PartitionEpoch   int32
	Recovering       bool // LeaderRecoveryState RECOVERING: after an unclean election
}

// Broker is one registered broker of an Image.
type Broker struct {
	ID                   int32
	Epoch                int64
	Incarnation          protocol.UUID
	Endpoints            []Endpoint
	Rack                 string // "" is none
	Fenced, ShuttingDown bool
	LogDirs              []protocol.UUID
}

// Endpoint is one advertised listener of a Broker.
type Endpoint struct {
	Name             string // PLAINTEXT, BROKER, ...: the listener name
	Host             string
	Port             int32
	SecurityProtocol int16 // 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
}

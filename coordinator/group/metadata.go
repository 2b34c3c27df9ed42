package group

import (
	"iter"

	"weir/protocol"
)

// Metadata is what the machine asks of the cluster's metadata at one version. It never changes: MetadataChanged hands a new one.
type Metadata interface {
	// Version rises with every change.
	Version() int64
	// TopicID returns the id of a topic by its name.
	TopicID(name string) (protocol.UUID, bool)
	// TopicName returns the name of a topic by its id.
	TopicName(id protocol.UUID) (string, bool)
	// Partitions returns how many partitions a topic has, 0 when there is no such topic.
	Partitions(name string) int32
	// Racks returns the racks of the brokers that hold the partition, sorted, without brokers that have none.
	Racks(name string, partition int32) []string
	// Topics yields the names of all topics, sorted.
	Topics() iter.Seq[string]
}

// Client is who sent a request.
type Client struct {
	ID    string // client.id
	Host  string // Kafka's form of the address: "/127.0.0.1"
	NewID string // a fresh random uuid as text, for the id of a member that has none
	// MayDescribe says whether the client may know of a topic, nil that it may of all: what it may not, its group's regular expressions do
	// not match. It is called later, too, and must be pure as far as the machine can see.
	MayDescribe func(topic string) bool
}

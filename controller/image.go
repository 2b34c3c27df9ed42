package controller

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"weir/protocol"
)

// Image is the metadata of the cluster at one offset. It is immutable: every change makes a new one that shares what did not
// change. Maps and slices that come out of it must not be written to. Any number of goroutines may read it.
type Image struct {
	ClusterID string // Kafka's form of a uuid; "" before the first batch
	Offset    int64  // the Raft index of the last batch merged
	Epoch     int32  // its Raft term: Kafka's controller epoch

	topics         sortedMap[string, *Topic]
	topicIDs       sortedMap[protocol.UUID, *Topic]
	folded         sortedMap[string, string] // names with . or _, all as _, to the name: they collide in metric names
	configs        sortedMap[Resource, map[string]string]
	brokers        []*Broker // by id
	features       map[string]int16
	nextProducerID int64
	partitions     int
}

// NewImage returns the image before the first batch.
func NewImage() *Image {
	return &Image{
		topics:   sortedMap[string, *Topic]{compare: strings.Compare},
		topicIDs: sortedMap[protocol.UUID, *Topic]{compare: compareUUID},
		folded:   sortedMap[string, string]{compare: strings.Compare},
		configs:  sortedMap[Resource, map[string]string]{compare: compareResource},
	}
}

// Topic is one topic of an Image.
type Topic struct {
	Name       string
	ID         protocol.UUID
	Partitions []*Partition // by partition id, without gaps; no element is nil
}

// Partition is one partition of a Topic. It is never changed once an Image holds it: a change makes a new one, so comparing
// pointers tells whether a partition differs between two images. Slices are shared and read-only.
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
	Epoch                int64 // the Raft index of its registration
	Incarnation          protocol.UUID
	Endpoints            []Endpoint
	Features             []FeatureRange
	Rack                 string // "" is none
	Fenced, ShuttingDown bool
	LogDirs              []protocol.UUID // sorted; those online
}

// Endpoint is one advertised listener of a Broker.
type Endpoint struct {
	Name             string // PLAINTEXT, BROKER, ...: the listener name
	Host             string
	Port             int32
	SecurityProtocol int16 // 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL
}

// FeatureRange is the levels of one feature that a broker or this binary can serve, both included.
type FeatureRange struct {
	Name     string
	Min, Max int16
}

// The types of Resource that have settings (org.apache.kafka.common.config.ConfigResource.Type).
const (
	TopicConfig         int8 = 2
	BrokerConfig        int8 = 4 // name: the decimal broker id, "" for the default of all brokers
	BrokerLoggerConfig  int8 = 8
	ClientMetricsConfig int8 = 16
	GroupConfig         int8 = 32
)

// Resource is what settings belong to.
type Resource struct {
	Type int8
	Name string
}

// Topic returns the topic of that name, nil if there is none.
func (m *Image) Topic(name string) *Topic {
	t, _ := m.topics.get(name)
	return t
}

// TopicByID returns the topic with that id, nil if there is none.
func (m *Image) TopicByID(id protocol.UUID) *Topic {
	t, _ := m.topicIDs.get(id)
	return t
}

// Partition returns a partition of a topic, nil if one of the two is not there.
func (m *Image) Partition(topic protocol.UUID, id int32) *Partition {
	return m.TopicByID(topic).Partition(id)
}

// Partition returns the partition with that id, nil if there is none (or no topic).
func (t *Topic) Partition(id int32) *Partition {
	if t == nil || id < 0 || int(id) >= len(t.Partitions) {
		return nil
	}
	return t.Partitions[id]
}

// Topics iterates over the topics sorted by name.
func (m *Image) Topics() iter.Seq[*Topic] { return values(m.topics.all()) }

// TopicsFrom iterates over the topics with names at or after name, sorted by name: what paging needs.
func (m *Image) TopicsFrom(name string) iter.Seq[*Topic] { return values(m.topics.from(name)) }

// NumTopics returns how many topics there are.
func (m *Image) NumTopics() int { return m.topics.size }

// NumPartitions returns how many partitions all topics have together.
func (m *Image) NumPartitions() int { return m.partitions }

// Broker returns the registered broker with that id, fenced or not; nil if there is none.
func (m *Image) Broker(id int32) *Broker {
	i, ok := slices.BinarySearchFunc(m.brokers, id, func(b *Broker, id int32) int { return cmp.Compare(b.ID, id) })
	if !ok {
		return nil
	}
	return m.brokers[i]
}

// Brokers returns the registered brokers, fenced ones too, sorted by id.
func (m *Image) Brokers() []*Broker { return m.brokers }

// Active says whether a broker may be in an ISR and lead: registered, not fenced, not shutting down.
func (m *Image) Active(id int32) bool {
	b := m.Broker(id)
	return b != nil && !b.Fenced && !b.ShuttingDown
}

// Config returns the dynamic settings of a resource, nil if it has none.
func (m *Image) Config(resourceType int8, name string) map[string]string {
	c, _ := m.configs.get(Resource{resourceType, name})
	return c
}

// Configs iterates over all resources that have dynamic settings, sorted by type and name.
func (m *Image) Configs() iter.Seq2[Resource, map[string]string] { return m.configs.all() }

// Features returns the finalized feature levels and their epoch, which ApiVersions shows: as in Kafka it is the offset of the image, so
// it grows with every batch.
func (m *Image) Features() (levels map[string]int16, epoch int64) { return m.features, m.Offset }

// Feature returns the finalized level of a feature, 0 where it is not finalized.
func (m *Image) Feature(name string) int16 { return m.features[name] }

// NextProducerID returns the first producer id that no broker was given yet.
func (m *Image) NextProducerID() int64 { return m.nextProducerID }

// Endpoint returns the broker's listener of that name and whether it has one.
func (b *Broker) Endpoint(listener string) (Endpoint, bool) {
	for _, e := range b.Endpoints {
		if e.Name == listener {
			return e, true
		}
	}
	return Endpoint{}, false
}

func values[K, V any](s iter.Seq2[K, V]) iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, v := range s {
			if !yield(v) {
				return
			}
		}
	}
}

func compareUUID(a, b protocol.UUID) int { return slices.Compare(a[:], b[:]) }

func compareResource(a, b Resource) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
}

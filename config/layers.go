package config

// Layers are the places a value can come from, for one broker and, where Topic (or Group) is used, one topic. Maps hold what was set
// there and nothing else; nil is empty. They are read, never written; Layers may be copied.
//
// A topic's value is: Topic, else the first synonym in Broker, in Cluster, in Static, else the default.
type Layers struct {
	Static  *Static           // properties, environment, flags; nil: all defaults
	Cluster map[string]string // dynamic, for all brokers (broker resource "")
	Broker  map[string]string // dynamic, for this broker
	Topic   map[string]string // the topic's own
	Group   map[string]string // the group's own
}

// ValueSource is where a value came from: the numbers of DescribeConfigs.
type ValueSource int8

// The sources (org.apache.kafka.common.requests.DescribeConfigsResponse.ConfigSource).
const (
	FromUnknown        ValueSource = 0
	FromTopic          ValueSource = 1
	FromBroker         ValueSource = 2
	FromClusterDefault ValueSource = 3
	FromStatic         ValueSource = 4
	FromDefault        ValueSource = 5
	FromBrokerLogger   ValueSource = 6
	FromClientMetrics  ValueSource = 7
	FromGroup          ValueSource = 8
)

// Described is one setting as DescribeConfigs shows it.
type Described struct {
	Name      string
	Value     string
	Null      bool // the value is null: not set and without a default, or sensitive
	Source    ValueSource
	IsDefault bool // version 0: Source is FromDefault
	ReadOnly  bool
	Sensitive bool
	Type      Type
	Synonyms  []DescribedSynonym // empty unless asked for
	Doc       string             // "" unless asked for
}

// DescribedSynonym is one place that a value could come from, the strongest first.
type DescribedSynonym struct {
	Name   string
	Value  string
	Null   bool
	Source ValueSource
}

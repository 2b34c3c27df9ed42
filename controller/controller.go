package controller

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/protocol"
)

// MaxRecordsPerUserOp is the most records that one request of a user may cause, and the most partitions that it may ask for; beyond it
// the answer is POLICY_VIOLATION. As in Kafka a topic counts one more than its partitions, so that one created at once has at most
// 9,999.
const MaxRecordsPerUserOp = 10_000

// Rand gives the randomness of topic ids and replica placement: uniformly distributed bits. Real nodes seed it from the system.
type Rand interface{ Uint64() uint64 }

// Config is what a controller decides by and the metadata does not hold.
type Config struct {
	NodeID                   int32
	NumPartitions            int32 // num.partitions
	DefaultReplicationFactor int16 // default.replication.factor
	SessionTimeoutMs         int64 // broker.session.timeout.ms
	DeleteTopics             bool  // delete.topic.enable
	// Static are the settings that this node was started with: what topics have that do not set their own. nil: all defaults.
	Static *config.Static
}

// ConfigOf takes the settings of a controller from a node's own.
func ConfigOf(s *config.Static) Config {
	return Config{
		NodeID:                   s.NodeID(),
		NumPartitions:            int32(s.Int("num.partitions")),
		DefaultReplicationFactor: int16(s.Int("default.replication.factor")),
		SessionTimeoutMs:         s.Int64("broker.session.timeout.ms"),
		DeleteTopics:             s.Bool("delete.topic.enable"),
		Static:                   s,
	}
}

// Controller decides. It lives on the leader as long as that leads: its own state is soft (the sessions of brokers), everything
// else is in the Image that it is handed. One goroutine uses it.
type Controller struct {
	cfg      Config
	sessions map[int32]*session
	upkeep   upkeep
}

// New returns the controller of a node that has just become the leader. Every unfenced broker has a fresh session from the first
// call on.
func New(cfg Config) *Controller {
	return &Controller{cfg: cfg, sessions: map[int32]*session{}}
}

// Input is what a decision is made from.
type Input struct {
	NowMs int64 // Unix milliseconds
	Rand  Rand
	Image *Image // with every batch that was decided before, committed or not
	// Request is one that Handles names, of a version in Kafka's range. Nothing of it is kept: its strings may alias a buffer.
	Request kmsg.Request
}

// Handles says whether Handle answers requests with this api key.
func Handles(key int16) bool {
	switch key {
	case 19, 20, 33, 37, 43, 44, 45, 46, 56, 57, 62, 63, 64, 67, 73:
		return true
	}
	return false
}

// Handle decides a request: it returns the response that holds once the records are committed (see Complete), and those records; none
// where nothing changes. It never waits and never fails: a client's outcome is in the response. The records are one atomic batch. Who
// may ask for what is the caller's to check, and so is that a broker's settings are changed by that broker.
func (c *Controller) Handle(in Input) (resp kmsg.Response, records []Record) {
	c.track(in.Image, in.NowMs)
	switch q := in.Request.(type) {
	case *kmsg.CreateTopicsRequest:
		return c.createTopics(in, q)
	case *kmsg.DeleteTopicsRequest:
		return c.deleteTopics(in, q)
	case *kmsg.CreatePartitionsRequest:
		return c.createPartitions(in, q)
	case *kmsg.AlterConfigsRequest:
		return c.alterConfigs(in, q)
	case *kmsg.IncrementalAlterConfigsRequest:
		return c.incrementalAlterConfigs(in, q)
	case *kmsg.ElectLeadersRequest:
		return c.electLeaders(in, q)
	case *kmsg.AlterPartitionAssignmentsRequest:
		return c.alterReassignments(in, q)
	case *kmsg.ListPartitionReassignmentsRequest:
		return listReassignments(in.Image, q), nil
	case *kmsg.AlterPartitionRequest:
		return c.alterPartition(in, q)
	case *kmsg.UpdateFeaturesRequest:
		return c.updateFeatures(in, q)
	case *kmsg.BrokerRegistrationRequest:
		return c.register(in, q)
	case *kmsg.BrokerHeartbeatRequest:
		return c.heartbeat(in, q)
	case *kmsg.UnregisterBrokerRequest:
		return c.unregister(in, q)
	case *kmsg.AllocateProducerIDsRequest:
		return c.allocateProducerIDs(in, q)
	case *kmsg.AssignReplicasToDirsRequest:
		return c.assignDirs(in, q)
	}
	return nil, nil
}

// clone returns a copy of a string that does not alias a request.
func clone(s string) string { return string([]byte(s)) }

// none is the outcome of success, as responses carry it.
const none = int16(protocol.None)

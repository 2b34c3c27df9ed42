package controller

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// MaxRecordsPerUserOp is the most records that one request of a user may cause; beyond it the answer is POLICY_VIOLATION.
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
	// Static are the settings that this node was started with (Kafka's names): defaults of topic settings.
	Static map[string]string
}

// Controller decides. It lives on the leader as long as that leads: its own state is soft (the sessions of brokers), everything
// else is in the Image that it is handed. One goroutine uses it.
type Controller struct {
	cfg      Config
	sessions map[int32]*session
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
	// Request is one of those that Handles names, of a version in Kafka's range.
	Request kmsg.Request
}

// handled are the api keys that Handle answers.
var handled = map[int16]bool{
	19: true, 20: true, 33: true, 37: true, 44: true, 56: true, 62: true, 63: true, 64: true, 67: true, 73: true,
}

// Handles says whether Handle answers requests with this api key.
func Handles(key int16) bool { return handled[key] }

// Handle decides a request: it returns the response that holds once the records are committed, and those records; none where nothing
// changes. It never waits and never fails: a client's outcome is in the response. The records are one atomic batch.
func (c *Controller) Handle(in Input) (resp kmsg.Response, records []Record) {
	return nil, nil
}

// Tick fences a broker whose session has run out, if there is one: at most one a call, so that users' requests get in between.
func (c *Controller) Tick(in Input) []Record { return nil }

// NextDeadlineMs returns when Tick has something to do at the earliest.
func (c *Controller) NextDeadlineMs() int64 { return 1<<63 - 1 }

type session struct{}

var _ = protocol.None

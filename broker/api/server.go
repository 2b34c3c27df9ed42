package api

import (
	"context"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/fetch"
	"weir/config"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
)

// Server is what the handlers stand on. All fields are set before the first call and never change. Several goroutines call
// handlers at once.
type Server struct {
	NodeID     int32
	ClusterID  string
	Image      func() *controller.Image // the newest published image; never nil
	Controller Controller
	Replicas   Replicas
	Groups     Groups
	Txns       Txns
	Sessions   *fetch.Cache // of incremental fetches

	FetchMaxBytes int32 // fetch.max.bytes

	// TxnVerifier is asked before the first batch of a transaction is appended. nil: there are no transactions.
	TxnVerifier TxnVerifier
	// OffsetMarkers ends transactions in partitions of __consumer_offsets. nil: there is no group coordinator.
	OffsetMarkers OffsetMarkers

	Authorizer Authorizer
	Now        func() time.Time
	NewID      func() protocol.UUID // a random one
	Log        *slog.Logger

	Config   *config.Static // what the broker was started with; nil: all defaults
	LeaderID func() int32   // the node that is the active controller, -1: not known here. May be nil
	Loggers  Loggers        // whose levels clients read and set; nil: there are none

	versions  versionsCache
	producers producerIDs
	created   creations
}

// Controller decides about metadata, on whatever node it is.
type Controller interface {
	// Submit carries a request to the active controller and returns its answer when the records it caused are merged into this
	// node's image. An error is a protocol.Code (NOT_CONTROLLER, REQUEST_TIMED_OUT) that stands for the whole request.
	Submit(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
}

// Operation is what a principal wants to do: Kafka's AclOperation.
type Operation int8

// The operations (org.apache.kafka.common.acl.AclOperation).
const (
	Read            Operation = 3
	Write           Operation = 4
	Create          Operation = 5
	Delete          Operation = 6
	Alter           Operation = 7
	Describe        Operation = 8
	ClusterAction   Operation = 9
	DescribeConfigs Operation = 10
	AlterConfigs    Operation = 11
	IdempotentWrite Operation = 12
)

// Resource is the kind of thing that it is done to: Kafka's ResourceType.
type Resource int8

// The resource types (org.apache.kafka.common.resource.ResourceType). The cluster's name is "kafka-cluster".
const (
	TopicResource           Resource = 2
	GroupResource           Resource = 3
	ClusterResource         Resource = 4
	TransactionalIDResource Resource = 5
)

// ClusterName is the name of the one resource of type ClusterResource.
const ClusterName = "kafka-cluster"

// Authorizer says whether a session may do op to a resource. It must not block.
type Authorizer interface {
	Authorize(s *Session, op Operation, r Resource, name string) bool
}

// AllowAll is the Authorizer of a broker without ACLs.
type AllowAll struct{}

// Authorize returns true.
func (AllowAll) Authorize(*Session, Operation, Resource, string) bool { return true }

// Session is the client's end of a connection, as handlers see it. It is the same pointer for all requests of a connection.
type Session struct {
	ListenerName     string
	SecurityProtocol int16
	Principal        string // "User:ANONYMOUS"
	RemoteHost       string
	OnController     bool // the listener is one of controller.listener.names
	SoftwareName     string
	SoftwareVersion  string

	produces laterProduces
}

// Call is one request. Body and its slices alias the frame and are valid until the handler returns (and, where it returns a
// Pending, no longer): copy what must live.
type Call struct {
	Header   protocol.Header
	Session  *Session
	Body     kmsg.Request
	Received time.Time
	Room     Room // nil: there is enough
}

// Response is what a handler answers: one of
//
//	nil            nothing is sent (Produce with acks=0)
//	kmsg.Response  encoded by AppendTo
//	*Pending       not yet
//	Streamed       encodes itself (Produce, Fetch)
type Response any

// Streamed is a response that brings its own bytes. Stream and Release are called once, Release also when Stream was not.
type Streamed interface {
	// Stream writes the whole frame, length prefix included, in order. What it hands to w stays unchanged until Release.
	Stream(correlationID int32, w Sink) error
	Release()
	Held() int // bytes of memory until then, or so
}

// Sink takes the bytes of a Streamed response.
type Sink interface {
	Bytes(b []byte)
	Data(d *record.Data) error
}

// Pending is an answer that has to wait. Wait is called at most once, on the goroutine that writes the connection's responses, when
// all earlier responses are written; it returns when the answer is there or ctx is done (the connection is gone).
type Pending struct {
	Wait func(ctx context.Context) (Response, error)
	Held int // bytes that it holds, where that is more than the request decoded to
}

// Handler answers one request. An error closes the connection with one log line; a client's outcome goes into the response.
type Handler func(s *Server, c *Call) (Response, error)

// Row registers one key. Its name, versions and listeners are those of protocol.APIs.
type Row struct {
	Key    int16
	Handle Handler
}

// handle keeps handlers typed.
func handle[Q kmsg.Request](f func(s *Server, c *Call, q Q) (Response, error)) Handler {
	return func(s *Server, c *Call) (Response, error) {
		return f(s, c, c.Body.(Q))
	}
}

package raft

import (
	"context"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// Config is what a Node is started with.
type Config struct {
	Dir       string // everything of the metadata is in it; made if it is not there
	NodeID    int32
	ClusterID string            // the id of the cluster that an empty Dir founds; "": it must hold one already
	Stream    raft.StreamLayer  // how other nodes are reached; nil: a single voter without a port
	Settings  controller.Config // what the controller decides by
	Logger    *slog.Logger      // nil: slog.Default()
	Now       func() time.Time  // nil: the real clock
	Rand      controller.Rand   // nil: seeded by the system
}

// Node is this process's part of the metadata quorum: the log, the image, and on the leader the controller. All methods may be called
// by any goroutine.
type Node struct{}

// Start opens the metadata and returns when this node has an image: at once for a restart as sole voter, after founding the cluster
// on an empty directory.
func Start(c Config) (*Node, error) { return &Node{}, nil }

// Image returns the newest published image: every subscriber has seen it. It is never nil.
func (n *Node) Image() *controller.Image { return nil }

// Submit has the controller decide a request and returns its response when the records it caused are committed, merged and published
// here. An error is a protocol.Code that stands for the whole request: NOT_CONTROLLER (nothing happened; ask the leader), or
// REQUEST_TIMED_OUT (the outcome is unknown), or UNKNOWN_SERVER_ERROR (see the log).
func (n *Node) Submit(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return nil, protocol.NotController
}

// Propose writes records that no request asked for (feature levels at start) as one batch, as Submit does.
func (n *Node) Propose(ctx context.Context, records ...controller.Record) error {
	return protocol.NotController
}

// Subscriber sees every image in order, on one goroutine: old is what it saw last, d what changed. It must not call Submit.
type Subscriber func(old, new *controller.Image, d *controller.Delta)

// Subscribe has f called for every image to come, after those that subscribed earlier, and before Submit answers. Its first call comes
// before Subscribe returns, with an empty old image, the current one and a delta of everything.
func (n *Node) Subscribe(f Subscriber) {}

// Leader returns the node id and the term of the active controller; ok is false while there is none.
func (n *Node) Leader() (id, epoch int32, ok bool) { return 0, 0, false }

// Close stops the node: a leader of several hands over first. What was submitted and not answered gets an error.
func (n *Node) Close() error { return nil }

package raft

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
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
	ClusterID string                        // the id of the cluster that an empty Dir founds, and that any other Dir must hold; "": whatever it holds
	Streams   Streams                       // how other nodes are reached; nil: a single voter without a port
	NewID     string                        // the id of the cluster that voters found together, if it is this node that gives it one
	Found     Founding                      // what an empty Dir becomes
	Voters    []Server                      // of Together: all of them, this node too
	AddressOf func(id int32) (string, bool) // where a node is now, if that is known better than from the log; nil: it is not
	OnServing func()                        // called on a goroutine of its own when this node has become the active controller; nil: nobody is told
	Settings  controller.Config             // what the controller decides by
	Logger    *slog.Logger                  // nil: slog.Default()
	Now       func() time.Time              // nil: the real clock
	Rand      controller.Rand               // nil: seeded by the system; used by one goroutine
}

// Streams carries Raft's talk. Its Addr is what others dial to reach this node. DialNode fails where another node answers than the one that is
// meant; -1 means any.
type Streams interface {
	net.Listener
	DialNode(node int32, address string, timeout time.Duration) (net.Conn, error)
}

// Founding says what a directory without metadata becomes.
type Founding int

const (
	// Alone makes the node the only voter of a new cluster.
	Alone Founding = iota
	// Together makes a new cluster of Config.Voters. Each of them founds it with the very same list, so it is one.
	Together
	// Never waits for the leader of a cluster, which has been told of this node, to send it everything.
	Never
)

// Node is this process's part of the metadata quorum: the log, the image, and on the leader the controller. All methods may be called
// by any goroutine.
type Node struct {
	cfg       Config
	raft      *raft.Raft
	transport raft.Transport
	log       *logStore
	stable    *stableStore
	machine   *machine
	publisher *publisher
	sole      bool // this node was the only voter when it started
	bootstrap bool // this start founded the cluster

	notify  chan bool // leadership, from Raft
	submits chan *submission
	closing chan struct{}
	down    chan struct{} // closed when Raft has ended: what it has not answered by then it never will
	led     chan struct{} // closed when the controller goroutine has ended
	closed  sync.Once
	running sync.WaitGroup

	serving   atomic.Bool // this node is the active controller
	others    atomic.Bool // nodes follow that are not this one
	spreading atomic.Bool // a barrier is on its way
	voted     atomic.Bool // it had a vote
	hastening atomic.Bool // Hasten is at work

	fullNs atomic.Int64 // when it was last said that there is no space

	mu      sync.Mutex
	err     error // why it stopped by itself
	stopped chan struct{}
	ready   chan struct{} // closed when this node has served as leader once
	served  sync.Once
}

// Errors of Start, wrapped with what is found where.
var (
	// ErrNoCluster says that the directory holds no cluster and none was to be founded.
	ErrNoCluster = errors.New("no cluster")
	// ErrForeign says that the directory belongs to another cluster or node.
	ErrForeign = errors.New("foreign metadata")
	// ErrTooNew says that a newer version of this program wrote the metadata. Nothing was changed.
	ErrTooNew = errors.New("newer metadata")
)

// How long Raft waits. The first figure is reloaded to its millisecond less when the node is the only voter: see elect.
const (
	heartbeatTimeout = 250 * time.Millisecond
	electionTimeout  = 250 * time.Millisecond
	leaderLease      = 150 * time.Millisecond
	commitTimeout    = 20 * time.Millisecond
	startTimeout     = 30 * time.Second
	applyTimeout     = 30 * time.Second
)

// When a snapshot is taken: so much was applied since the last. A restart reads at most that.
const (
	snapshotBytes   = 4 << 20
	snapshotEntries = 8192
	trailingEntries = 1024
)

// Start opens the metadata. A sole voter founds the cluster on an empty directory, and is ready when Start returns: it leads, and its
// image is published. With other voters the node is started only, and gets its image when it has found them. Files that a crash left
// half written are repaired; damaged ones are an error, and nothing is written then.
func Start(c Config) (*Node, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		var seed [32]byte
		rand.Read(seed[:])
		c.Rand = mathrand.NewChaCha8(seed)
	}
	c.Settings.NodeID = c.NodeID
	n := &Node{
		cfg: c, publisher: newPublisher(), notify: make(chan bool, 16), submits: make(chan *submission),
		closing: make(chan struct{}), down: make(chan struct{}), led: make(chan struct{}), stopped: make(chan struct{}), ready: make(chan struct{}),
	}
	n.machine = newMachine(n.publisher.add, n.fail)
	if err := n.open(); err != nil {
		return nil, fmt.Errorf("metadata in %s: %w", c.Dir, err)
	}
	n.running.Add(2)
	go func() { defer n.running.Done(); n.publisher.run() }()
	go func() { defer n.running.Done(); defer close(n.led); n.lead() }()
	if !n.sole {
		return n, nil
	}
	if err := n.elect(); err != nil {
		n.Close()
		return nil, fmt.Errorf("metadata in %s: %w", c.Dir, err)
	}
	return n, nil
}

// serverID is this node's id in the quorum: the decimal node id.
func serverID(id int32) raft.ServerID { return raft.ServerID(strconv.Itoa(int(id))) }

// placeholder is the address of a voter without a port. An AddVoter with the same id replaces it when the node gets one.
func placeholder(id int32) raft.ServerAddress {
	return raft.ServerAddress("node-" + strconv.Itoa(int(id)))
}

// raftConfig is the library's configuration.
func (n *Node) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = serverID(n.cfg.NodeID)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = heartbeatTimeout, electionTimeout, leaderLease
	c.CommitTimeout = commitTimeout
	c.BatchApplyCh = true
	c.NotifyCh = n.notify
	c.Logger = newRaftLogger(n.cfg.Logger, n.sole)
	c.SnapshotThreshold, c.SnapshotInterval = snapshotEntries, 2*time.Minute
	c.TrailingLogs = trailingEntries
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	return c
}

// elect makes a sole voter the leader without the wait that gives others time, and returns when it serves.
//
// Raft waits one to two HeartbeatTimeouts before the first candidacy; a smaller timeout wakes it at once. A test holds that it does.
// Where it does not any more, the node is ready after that wait.
func (n *Node) elect() error {
	rc := n.raft.ReloadableConfig()
	rc.HeartbeatTimeout -= time.Millisecond
	if err := n.raft.ReloadConfig(rc); err != nil {
		return err
	}
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-n.ready:
		return nil
	case <-n.stopped:
		return n.Err()
	case <-timeout.C:
		return fmt.Errorf("not ready after %v", startTimeout)
	}
}

// Image returns the newest published image: every subscriber has seen it. It is never nil.
func (n *Node) Image() *controller.Image { return n.publisher.current.Load() }

// Subscribe has f called for every image to come, after those that subscribed earlier, and before Submit answers. Its first call comes
// before Subscribe returns, with an empty old image, the current one and a delta of everything.
func (n *Node) Subscribe(f Subscriber) { n.publisher.subscribe(f) }

// Submit has the controller decide a request and returns its response when the records it caused are committed, merged and published
// here. An error is a protocol.Code that stands for the whole request: NOT_CONTROLLER (nothing happened; ask the leader),
// REQUEST_TIMED_OUT (ctx ended or the leadership was lost: the outcome is unknown), or UNKNOWN_SERVER_ERROR (the log says why).
// Nothing of req is used after Submit returned without an error; what aliases a buffer must live until ctx is done otherwise.
func (n *Node) Submit(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	resp, _, err := n.Decide(ctx, req)
	return resp, err
}

// Decide is Submit that also returns the offset which an image must have to show what the response says.
func (n *Node) Decide(ctx context.Context, req kmsg.Request) (kmsg.Response, int64, error) {
	s := &submission{req: req, done: make(chan struct{})}
	if err := n.submit(ctx, s); err != nil {
		return nil, 0, err
	}
	return s.resp, s.offset, nil
}

// Gone tells the controller that the process of a registered broker is provably no more: with fence it is fenced at once, without it may be
// replaced by another process at once. It is nothing where the broker has another epoch by now.
func (n *Node) Gone(ctx context.Context, broker int32, epoch int64, fence bool) error {
	return n.submit(ctx, &submission{gone: &gone{broker, epoch, fence}, done: make(chan struct{})})
}

// Propose writes records that no request asked for as one batch, as Submit does.
func (n *Node) Propose(ctx context.Context, records ...controller.Record) error {
	return n.submit(ctx, &submission{records: records, done: make(chan struct{})})
}

func (n *Node) submit(ctx context.Context, s *submission) error {
	select {
	case n.submits <- s:
	case <-n.closing:
		return protocol.NotController
	case <-n.stopped:
		return protocol.UnknownServerError
	case <-ctx.Done():
		return protocol.RequestTimedOut
	}
	select {
	case <-s.done:
	case <-n.down:
		return protocol.RequestTimedOut
	case <-ctx.Done():
		return protocol.RequestTimedOut
	}
	if s.err != protocol.None {
		return s.err
	}
	return nil
}

// Leader returns the node id and the term of the active controller; ok is false while there is none.
func (n *Node) Leader() (id, epoch int32, ok bool) {
	_, server := n.raft.LeaderWithID()
	v, err := strconv.ParseInt(string(server), 10, 32)
	if err != nil {
		return 0, 0, false
	}
	return int32(v), int32(n.raft.CurrentTerm()), true
}

// Done is closed when the node has stopped by itself: its directory failed, or its log holds what it cannot merge. Err says why.
func (n *Node) Done() <-chan struct{} { return n.stopped }

// Err says why the node stopped by itself; nil while it has not.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// fail stops the node: what it has in memory may be more than what is on the disk.
func (n *Node) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil {
		n.err = err
		close(n.stopped)
	}
}

// fullEvery is how often it is said that there is no space.
const fullEvery = 10 * time.Second

// noSpace is told, by a goroutine of Raft's, of a write that found no space. Raft then gives up the leadership. A sole voter makes itself the
// leader again when there is space; until then it can save no term.
func (n *Node) noSpace(err error) {
	if n.log.running.Load() {
		if n.voters() == 1 && n.Voter() {
			n.stable.electing.Store(true)
		}
	}
	now := time.Now().UnixNano()
	if last := n.fullNs.Swap(now); now-last < int64(fullEvery) {
		n.fullNs.Store(last)
		return
	}
	n.cfg.Logger.Warn("metadata: no space, changes are refused until there is", "dir", n.cfg.Dir, "error", err.Error())
}

// Close stops the node: a leader of several hands over first. What was submitted and not answered gets an error. It may be called
// several times.
func (n *Node) Close() error {
	var err error
	n.closed.Do(func() {
		if n.raft.State() == raft.Leader && n.voters() > 1 {
			// Where nobody can take over, the others will notice.
			_ = n.raft.LeadershipTransfer().Error()
		}
		close(n.closing)
		// Raft forgets batches that wait in its queue when it is shut down, so those under way land first; where they cannot any more,
		// land is left behind.
		select {
		case <-n.led:
		case <-n.stopped:
		}
		err = n.raft.Shutdown().Error()
		close(n.down)
		n.publisher.close()
		n.running.Wait()
		if t, ok := n.transport.(raft.WithClose); ok {
			err = errors.Join(err, t.Close())
		}
		err = errors.Join(err, n.log.close())
	})
	return err
}

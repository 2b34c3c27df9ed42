package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker/api"
	"weir/broker/replica"
	"weir/config"
	"weir/controller/raft"
	"weir/membership/stream"
	"weir/protocol"
	"weir/wal/vfs"
)

// Config is what a broker is started with. The zero value is a broker as `weir broker` starts it without any setting.
type Config struct {
	Settings *config.Static // nil: all defaults
	Logger   *slog.Logger   // nil: slog.Default()

	// What the broker has of the world; nil is the real one.
	Now    func() time.Time
	Rand   func(b []byte) // fills b with random bytes: topic ids, cluster ids, session ids
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Listen func(network, address string) (net.Listener, error)
	// ListenPacket is for gossip, on the port of the listener that nodes reach each other by.
	ListenPacket func(network, address string) (net.PacketConn, error)
	FS           vfs.FS
}

// Broker is one running broker. Its methods may be called by any goroutine.
type Broker struct {
	cfg         Config
	loggers     *loggers
	log         *slog.Logger
	static      *config.Static
	clusterID   string
	nodeID      int32
	voterList   string        // see quorumName
	incarnation protocol.UUID // of this process
	listeners   []*listener
	endpoints   []config.Listener // advertised, with the ports that were taken
	dirs        []*dir
	node        *raft.Node
	replicas    *replica.Manager
	api         *api.Server
	groups      *groups
	txns        *txns
	server      *server
	membering   *lifecycle
	placed      *placements
	isr         *isrChanges

	hub     *stream.Hub
	rafts   *stream.Listener
	gossips *stream.Listener
	known   atomic.Pointer[membershipID] // nil: it is in no cluster yet
	joining chan struct{}                // closed when known is set
	started atomic.Bool                  // node is set
	control *forwarder
	entry   *entry
	calls   *calls
	quorum  *quorum
	members *gossip
	peers   *peers
	abrupt  atomic.Bool // it stops without a controlled shutdown
	tasks   tasks
	ctx     context.Context // until stop
	cancel  context.CancelFunc

	close  sync.Once
	closed chan struct{}
	err    error
	failed chan error // a fault that ends the broker: the metadata directory is gone
}

// Start starts a broker and returns when it serves. The error is one line that names what is wrong and where. ctx bounds the start
// only; Close ends the broker.
func Start(ctx context.Context, cfg Config) (_ *Broker, err error) {
	cfg.fill()
	all := newLoggers(cfg.Logger.Handler())
	b := &Broker{cfg: cfg, loggers: all, log: all.logger(brokerLogger), static: cfg.Settings, nodeID: cfg.Settings.NodeID(), closed: make(chan struct{}), failed: make(chan error, 1),
		placed: newPlacements()}
	b.entry, b.calls, b.quorum = &entry{b}, &calls{b}, &quorum{Broker: b, ready: map[int32]time.Time{}}
	b.membering = &lifecycle{Broker: b}
	b.members = &gossip{Broker: b}
	b.peers = &peers{Broker: b, wake: make(chan struct{}, 1), watching: map[int32]bool{}, gone: map[int32]protocol.UUID{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			b.stop()
		}
	}()
	b.isr = newISRChanges(b.nodeID, b.log, time.Duration(b.static.Int64("controller.socket.timeout.ms"))*time.Millisecond)
	b.incarnation = cfg.random()
	if err := b.listen(); err != nil {
		return nil, err
	}
	if err := b.lookDirs(); err != nil {
		return nil, err
	}
	b.voterList = b.quorumName()
	b.accept()
	limit := time.Duration(b.static.Int64("initial.broker.registration.timeout.ms")) * time.Millisecond
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no cluster after %v (initial.broker.registration.timeout.ms)", limit))
	defer cancel()
	found, err := b.entry.found(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.openDirs(); err != nil {
		return nil, err
	}
	if err := b.startMetadata(ctx, found); err != nil {
		return nil, err
	}
	if b.hasRole("broker") {
		b.node.Subscribe(b.replicas.Apply)
		if err := b.membering.register(ctx); err != nil {
			return nil, err
		}
	}
	// Not earlier: what this broker led before it stopped it leads anew since it registered, and each election is a load.
	b.api = b.newAPI()
	b.groups, b.txns = b.newGroups(), b.newTxns()
	b.api.Groups, b.api.Txns = b.groups, b.txns
	b.api.OffsetMarkers, b.api.TxnVerifier = b.groups, b.txns
	if b.hasRole("broker") {
		b.node.Subscribe(b.groups.apply)
		b.node.Subscribe(b.txns.apply)
	}
	b.serve()
	go b.watch()
	return b, nil
}

// Addr returns the address of the first listener for clients, host:port, as it is listened on.
func (b *Broker) Addr() string {
	for _, l := range b.listeners {
		if !l.controller {
			return l.Addr().String()
		}
	}
	return ""
}

// NodeID returns node.id.
func (b *Broker) NodeID() int32 { return b.nodeID }

// ClusterID returns the id of the cluster that the broker belongs to.
func (b *Broker) ClusterID() string { return b.clusterID }

// Ready says in words what was started: "broker 1 on PLAINTEXT://localhost:9092, cluster <id>, data ./data".
func (b *Broker) Ready() string {
	var on []string
	kind := "broker"
	if !b.hasRole(kind) {
		kind = "controller"
	}
	for _, e := range b.endpoints {
		if e.Controller == (kind == "broker") {
			continue
		}
		u := e.Name + "://" + net.JoinHostPort(e.AdvertisedHost, fmt.Sprint(e.AdvertisedPort))
		if len(on) == 0 || on[len(on)-1] != u {
			on = append(on, u)
		}
	}
	return fmt.Sprintf("%s %d on %s, cluster %s, data %s", kind, b.nodeID, strings.Join(on, ","), b.clusterID, strings.Join(b.static.LogDirs(), ","))
}

// Close stops the broker: clients are disconnected, logs are synced. It returns when all is written, and may be called more than
// once.
func (b *Broker) Close() error {
	b.close.Do(func() {
		b.err = b.stop()
		close(b.closed)
	})
	<-b.closed
	return b.err
}

// Wait returns when the broker has been closed, or has ended because its metadata directory failed: then with one line that says so.
func (b *Broker) Wait() error {
	select {
	case <-b.closed:
		return b.err
	case err := <-b.failed:
		b.failed <- err
		b.Close() // what else fails then follows from it, and watch logs it
		return err
	}
}

// watch ends what only Close would end otherwise.
func (b *Broker) watch() {
	select {
	case <-b.closed:
		return
	case <-b.node.Done(): // the metadata could not be written
		if err := b.node.Err(); err != nil {
			b.fail(fmt.Errorf("the metadata failed: %w", err))
		}
	case err := <-b.failed:
		b.failed <- err
	}
	select {
	case <-b.closed:
	case err := <-b.failed:
		b.failed <- err
		b.log.Error("the broker stops", "error", err.Error())
		if err := b.Close(); err != nil {
			b.log.Warn("while stopping", "error", err.Error())
		}
	}
}

// stop takes down what there is, in the order in which things depend on each other.
func (b *Broker) stop() error {
	var errs []error
	b.membering.stop()
	for _, l := range b.listeners {
		l.Close()
	}
	b.cancel()
	b.tasks.wait()
	if b.txns != nil {
		b.txns.disconnect()
	}
	if b.server != nil {
		b.server.close()
	}
	b.isr.close()
	if b.control != nil {
		b.control.close()
	}
	if b.node != nil {
		errs = append(errs, b.node.Close())
	}
	b.members.close()
	if b.hub != nil {
		b.rafts.Close()
		b.gossips.Close()
		b.hub.Close()
	}
	if b.txns != nil {
		b.txns.close()
	}
	if b.groups != nil {
		b.groups.close()
	}
	if b.replicas != nil {
		errs = append(errs, b.replicas.Close())
	}
	for _, d := range b.dirs {
		if d.lock != nil {
			errs = append(errs, d.lock.Close())
		}
	}
	return errors.Join(errs...)
}

// tasks are goroutines that run until the broker stops, beside those of clients.
type tasks struct {
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// Go runs f, unless the broker stops.
func (t *tasks) Go(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.running.Go(f)
	}
}

// wait lets no more begin and returns when all have ended.
func (t *tasks) wait() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.running.Wait()
}

// random returns a random UUID whose text does not begin with a dash, as Kafka's Uuid.randomUuid does for the sake of command lines.
func (c *Config) random() protocol.UUID {
	for {
		var u protocol.UUID
		c.Rand(u[:])
		u[6] = u[6]&0x0f | 0x40 // version 4
		u[8] = u[8]&0x3f | 0x80 // variant 2
		if !strings.HasPrefix(u.String(), "-") {
			return u
		}
	}
}

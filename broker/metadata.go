package broker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/controller/raft"
	"weir/protocol"
)

// startMetadata starts this node's part of the quorum, waits until it has the cluster's metadata, and sees to the finalized features.
func (b *Broker) startMetadata(ctx context.Context, found founding) error {
	d := b.dirAt(b.static.MetadataLogDir())
	c := raft.Config{Dir: filepath.Join(d.path, metadataName), NodeID: b.nodeID, ClusterID: b.clusterID, Settings: b.controllerConfig(),
		Streams: b.rafts, Found: found.how, Voters: found.voters, NewID: b.cfg.random().String(),
		AddressOf: b.members.address, OnServing: b.peers.fenceGone,
		Logger: b.loggers.logger(controllerLogger), Now: b.cfg.Now, Rand: randomness{b.cfg.Rand}}
	node, err := raft.Start(c)
	if err != nil {
		return fmt.Errorf("metadata in %s: %w", d.path, err)
	}
	b.node = node
	b.started.Store(true)
	if found.how != raft.Alone || len(node.Servers()) > 1 {
		b.meetOthers()
	}
	if err := node.WaitImage(ctx, 0); err != nil {
		return fmt.Errorf("metadata in %s: no leader of the cluster was found: %w", d.path, waited(ctx, err))
	}
	img := node.Image()
	if b.clusterID != "" && img.ClusterID != b.clusterID {
		return fmt.Errorf("metadata in %s belongs to cluster %s, this broker to %s", d.path, img.ClusterID, b.clusterID)
	}
	b.clusterID = img.ClusterID
	b.settle()
	if err := b.claimAll(); err != nil {
		return err
	}
	if f, level, bad := img.TooNew(); bad {
		return fmt.Errorf("metadata in %s is of a newer version: feature %s is at level %d, this binary serves %d to %d", d.path, f.Name, level, f.Min, f.Max)
	}
	if missing := controller.MissingFeatures(img); len(missing) > 0 && len(node.Servers()) == 1 {
		var names []string
		for _, r := range missing {
			if f, ok := r.(*controller.FeatureLevelRecord); ok {
				names = append(names, fmt.Sprintf("%s=%d", f.Name, f.Level))
			}
		}
		if err := node.Propose(ctx, missing...); err != nil {
			return fmt.Errorf("metadata: raising features: %w", err)
		}
		b.log.Info("finalized features raised to what this binary serves", "features", strings.Join(names, " "))
	}
	return nil
}

// waited is the reason why a wait ended.
func waited(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (b *Broker) controllerConfig() controller.Config {
	return controller.Config{
		NodeID:                   b.nodeID,
		NumPartitions:            int32(b.static.Int("num.partitions")),
		DefaultReplicationFactor: int16(b.static.Int("default.replication.factor")),
		SessionTimeoutMs:         b.static.Int64("broker.session.timeout.ms"),
		DeleteTopics:             b.static.Bool("delete.topic.enable"),
		Static:                   b.static,
	}
}

// Times of a controlled shutdown: how often the controller is asked, and how long it is waited for while nobody answers, and in all.
const (
	leavePause  = 10 * time.Millisecond
	leaveSilent = time.Second
	leaveLimit  = time.Minute
)

// handOver moves what this broker leads to others before it stops (controlled.shutdown.enable). Where there are no others, nothing is to be
// moved.
func (b *lifecycle) handOver(epoch int64) {
	others := false
	for _, r := range b.node.Image().Brokers() {
		others = others || r.ID != b.nodeID && !r.Fenced
	}
	if !others || !b.static.Bool("controlled.shutdown.enable") {
		return
	}
	limit, cancel := context.WithTimeout(context.Background(), leaveLimit)
	defer cancel()
	for {
		ctx, cancel := context.WithTimeout(limit, leaveSilent)
		r, err := b.heartbeat(ctx, epoch, true)
		cancel()
		switch {
		case err != nil:
			b.log.Warn("stopping without a controlled shutdown", "error", err.Error())
			return
		case r.ShouldShutdown:
			return
		}
		if sleep(limit, leavePause) != nil {
			b.log.Warn("the controlled shutdown did not end in time", "limit", leaveLimit.String())
			return
		}
	}
}

// lifecycle keeps this broker registered: Kafka's BrokerLifecycleManager. It is a part of the broker.
type lifecycle struct {
	*Broker
	end  context.CancelFunc // nil: it was not registered
	done chan struct{}
}

func (b *lifecycle) stop() {
	if b.end != nil {
		b.end()
		<-b.done
	}
}

// registerPause is how long a broker waits that was not registered yet.
const registerPause = 50 * time.Millisecond

// register makes the broker known to the controller and waits until it is unfenced: from then on it serves what the metadata says. While
// another process of this id counts as alive it waits: that one may be about to be found dead.
func (b *lifecycle) register(ctx context.Context) error {
	var epoch int64
	for {
		var err error
		if epoch, err = b.sendRegistration(ctx); err == nil {
			break
		}
		if !errors.Is(err, protocol.DuplicateBrokerRegistration) && !errors.Is(err, protocol.RequestTimedOut) {
			return err
		}
		if serr := sleep(ctx, registerPause); serr != nil {
			return fmt.Errorf("%w: %w", err, waited(ctx, serr))
		}
	}
	for {
		r, err := b.heartbeat(ctx, epoch, false)
		if err != nil {
			return fmt.Errorf("broker heartbeat: %w", err)
		}
		if !r.IsFenced {
			break
		}
		if err := sleep(ctx, unfencePause); err != nil {
			return fmt.Errorf("broker %d was not unfenced: %w", b.nodeID, waited(ctx, err))
		}
	}
	lctx, cancel := context.WithCancel(context.Background())
	b.end, b.done = cancel, make(chan struct{})
	b.node.Subscribe(b.hurry)
	go b.keepAlive(lctx, epoch)
	return nil
}

// unfencePause is between the heartbeats of a broker that waits for the metadata up to its own registration.
const unfencePause = 5 * time.Millisecond

// sleep returns after d, or with ctx and its error.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hurry lets the next heartbeat be now where a broker shuts down: it waits until all others have seen that it leads nothing any more.
func (b *lifecycle) hurry(_, img *controller.Image, delta *controller.Delta) {
	for _, id := range delta.Brokers {
		if r := img.Broker(id); id != b.nodeID && r != nil && r.ShuttingDown && !r.Fenced {
			b.placed.kick()
		}
	}
}

func (b *lifecycle) sendRegistration(ctx context.Context) (int64, error) {
	q := kmsg.NewPtrBrokerRegistrationRequest()
	q.Version = 4
	q.BrokerID, q.ClusterID, q.IncarnationID = b.nodeID, b.clusterID, b.incarnation
	seen := map[string]bool{}
	for _, e := range b.endpoints {
		if e.Controller || seen[e.Name] {
			continue
		}
		seen[e.Name] = true
		l := kmsg.NewBrokerRegistrationRequestListener()
		l.Name, l.Host, l.Port, l.SecurityProtocol = e.Name, e.AdvertisedHost, uint16(e.AdvertisedPort), e.SecurityProtocol()
		q.Listeners = append(q.Listeners, l)
	}
	for _, f := range controller.SupportedFeatures {
		kf := kmsg.NewBrokerRegistrationRequestFeature()
		kf.Name, kf.MinSupportedVersion, kf.MaxSupportedVersion = f.Name, f.Min, f.Max
		q.Features = append(q.Features, kf)
	}
	if rack := b.static.String("broker.rack"); rack != "" {
		q.Rack = &rack
	}
	q.LogDirs, _ = b.logDirIDs()
	resp, err := b.control.Submit(ctx, q)
	if err != nil {
		return 0, fmt.Errorf("broker registration: %w", err)
	}
	r := resp.(*kmsg.BrokerRegistrationResponse)
	if r.ErrorCode != 0 {
		return 0, fmt.Errorf("broker %d was not registered: %w", b.nodeID, protocol.Code(r.ErrorCode))
	}
	b.isr.registered(b.control, r.BrokerEpoch)
	b.replicas.Registered(r.BrokerEpoch)
	return r.BrokerEpoch, nil
}

func (b *lifecycle) heartbeat(ctx context.Context, epoch int64, leaving bool) (*kmsg.BrokerHeartbeatResponse, error) {
	q := kmsg.NewPtrBrokerHeartbeatRequest()
	q.Version = 1
	q.BrokerID, q.BrokerEpoch, q.CurrentMetadataOffset = b.nodeID, epoch, b.node.Image().Offset
	q.WantShutdown = leaving
	_, q.OfflineLogDirs = b.logDirIDs()
	resp, err := b.control.Submit(ctx, q)
	if err != nil {
		return nil, err
	}
	r := resp.(*kmsg.BrokerHeartbeatResponse)
	if r.ErrorCode != 0 {
		return nil, protocol.Code(r.ErrorCode)
	}
	return r, nil
}

// logDirIDs are the directory ids of the log directories that serve, and of those that are offline. A full one still counts: it comes back
// by itself, while the controller would never elect its only replicas again.
func (b *Broker) logDirIDs() (online, offline [][16]byte) {
	for _, info := range b.replicas.Dirs(false) {
		switch d := b.dirAt(info.Path); {
		case d == nil:
		case info.Code == protocol.None || info.Full:
			online = append(online, d.id)
		default:
			offline = append(offline, d.id)
		}
	}
	return online, offline
}

// lastWord is how long a broker that stops waits for the controller to hear where its partitions are.
const lastWord = time.Second

// keepAlive sends heartbeats, and registers again when the controller no longer knows this incarnation.
func (b *lifecycle) keepAlive(ctx context.Context, epoch int64) {
	defer close(b.done)
	t := time.NewTicker(time.Duration(b.static.Int64("broker.heartbeat.interval.ms")) * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			// At the next start a directory may be missing, and what was in it is known only from here.
			last, cancel := context.WithTimeout(context.Background(), lastWord)
			defer cancel()
			b.assignDirs(last, epoch)
			if !b.abrupt.Load() {
				b.handOver(epoch)
			}
			return
		case <-t.C:
		case <-b.placed.wake:
		}
		b.assignDirs(ctx, epoch)
		_, err := b.heartbeat(ctx, epoch, false)
		if errors.Is(err, protocol.StaleBrokerEpoch) || errors.Is(err, protocol.BrokerIDNotRegistered) {
			if e, rerr := b.sendRegistration(ctx); rerr == nil {
				epoch, err = e, nil
			} else {
				err = rerr
			}
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("heartbeat to the controller", "error", err.Error())
		}
	}
}

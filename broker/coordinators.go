package broker

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker/api"
	"weir/config"
	"weir/controller"
	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
	"weir/protocol/record"
)

// offsetsTopic is where the group coordinator keeps its state.
const offsetsTopic = "__consumer_offsets"

// maxLoadBytes bounds what each load has in memory, whatever offsets.load.buffer.size says.
const maxLoadBytes = 64 << 20

// groups runs the group coordinator: it tells the runtime what this broker leads, and the machines of settings and metadata.
type groups struct {
	*coordinator.Runtime[*group.Machine]
	*elections
	code     func(error) protocol.Code // what an error of an operation is on the wire
	config   atomic.Pointer[group.Config]
	metadata atomic.Pointer[groupMetadata]

	telling telling
	mu      sync.Mutex
	deleted []group.DeletedTopic // that the machines have not heard of
}

func (b *Broker) newGroups() *groups {
	codec := record.Codec(b.static.Int("offsets.topic.compression.codec"))
	if !codec.Valid() {
		codec = record.Uncompressed
	}
	g := &groups{elections: &elections{
		topic: offsetsTopic, nodeID: b.nodeID, static: b.static,
		log: &coordLog{replicas: b.replicas, codec: codec, loadBytes: int32(min(b.static.Int("offsets.load.buffer.size"), maxLoadBytes))},
	}, code: b.api.CoordinatorCode}
	img := controller.NewImage()
	g.metadata.Store(&groupMetadata{img})
	g.config.Store(g.settings(img))
	g.Runtime = coordinator.New(coordinator.Config[*group.Machine]{
		New: func(int32, int32) *group.Machine { return group.New(g.config.Load(), g.metadata.Load()) },
		Log: g.log, Changed: g.changed, Logger: b.log, Now: b.cfg.Now,
		Timeout: time.Duration(b.static.Int64("offsets.commit.timeout.ms")) * time.Millisecond,
		Linger:  time.Duration(b.static.Int64("group.coordinator.append.linger.ms")) * time.Millisecond,
	})
	g.runtime, g.telling.round = g.Runtime, g.tellAll
	return g
}

// Do implements api.Groups. While the machines are being told of new metadata, the one in question hears of it first: a client that was
// answered that its topic is there would otherwise see its group take an epoch for a topic that comes.
func (g *groups) Do(partition int32, op coordinator.Operation[*group.Machine], done coordinator.Done) {
	if g.telling.running.Load() {
		g.Runtime.Do(partition, g.changed, func(any, error) {})
	}
	g.Runtime.Do(partition, op, done)
}

// close ends the coordinator. Nothing publishes images any more.
func (g *groups) close() {
	g.Close()
	g.telling.ended.Wait()
}

// apply takes a new image: it is a Subscriber.
func (g *groups) apply(old, img *controller.Image, d *controller.Delta) {
	g.metadata.Store(&groupMetadata{img})
	settings := slices.ContainsFunc(d.Configs, func(r controller.Resource) bool {
		return r.Type == controller.GroupConfig || r.Type == controller.BrokerConfig
	})
	if settings {
		g.config.Store(g.settings(img))
	}
	g.applyTopic(img, d)
	if settings || concernsGroups(d) {
		g.mu.Lock()
		for _, t := range d.Deleted {
			g.deleted = append(g.deleted, group.DeletedTopic{Name: t.Name, ID: t.ID})
		}
		g.mu.Unlock()
		g.telling.tell()
	}
}

// concernsGroups says whether a delta changes anything that a group may go by: which topics there are, their partitions and where those are.
func concernsGroups(d *controller.Delta) bool {
	if len(d.Deleted) > 0 || len(d.Brokers) > 0 {
		return true
	}
	for i := range d.Topics {
		t := &d.Topics[i]
		if t.Old == nil || len(t.Old.Partitions) != len(t.Topic.Partitions) {
			return true
		}
		for _, n := range t.Partitions {
			if !slices.Equal(t.Old.Partition(n).Replicas, t.Topic.Partition(n).Replicas) {
				return true
			}
		}
	}
	return false
}

// tellAll is a round of telling.
func (g *groups) tellAll() {
	g.mu.Lock()
	deleted := g.deleted
	g.deleted = nil
	g.mu.Unlock()
	if len(deleted) > 0 {
		g.Each(func(m *group.Machine, now int64, _ coordinator.Token) coordinator.Effects {
			return m.DeleteTopicOffsets(now, deleted)
		})
	}
	cfg := g.config.Load()
	g.Each(func(m *group.Machine, now int64, _ coordinator.Token) coordinator.Effects {
		return m.SetConfig(now, cfg)
	})
	g.Each(g.changed)
}

// changed tells one machine of the newest metadata.
func (g *groups) changed(m *group.Machine, now int64, _ coordinator.Token) coordinator.Effects {
	return m.MetadataChanged(now, g.metadata.Load())
}

// settings compiles what the machines go by.
func (g *groups) settings(img *controller.Image) *group.Config {
	l := g.layers(img)
	number := func(name string) int32 { return int32(l.Int64(name)) }
	common := group.GroupConfig{
		ConsumerSessionMs: number("group.consumer.session.timeout.ms"), ConsumerHeartbeatMs: number("group.consumer.heartbeat.interval.ms"),
		ConsumerAssignmentMs: number("group.consumer.assignment.interval.ms"),
	}
	return &group.Config{
		MinSessionMs: number("group.min.session.timeout.ms"), MaxSessionMs: number("group.max.session.timeout.ms"),
		InitialRebalanceDelayMs: number("group.initial.rebalance.delay.ms"), MaxSize: number("group.max.size"),
		OffsetMetadataMaxBytes:  number("offset.metadata.max.bytes"),
		OffsetsRetentionMs:      l.Int64("offsets.retention.minutes") * time.Minute.Milliseconds(),
		OffsetsRetentionCheckMs: l.Int64("offsets.retention.check.interval.ms"),
		ConsumerMaxSize:         number("group.consumer.max.size"), ConsumerAssignors: l.List("group.consumer.assignors"),
		ConsumerMigrationPolicy: strings.ToLower(l.String("group.consumer.migration.policy")),
		ConsumerRegexRefreshMs:  number("group.consumer.regex.refresh.interval.ms"),
		Group: func(id string) group.GroupConfig {
			own := img.Config(controller.GroupConfig, id)
			if len(own) == 0 {
				return common
			}
			return ownSettings(&l, own, common)
		},
	}
}

// Complete implements api.OffsetMarkers: the marker goes through the machine, so that it comes between records as the machine has them.
func (g *groups) Complete(partition int32, m api.TxnMarker, done func(protocol.Code)) {
	op := func(_ *group.Machine, _ int64, t coordinator.Token) coordinator.Effects {
		code := g.log.replicas.CheckMarker(g.log.id(partition), m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch, m.Version)
		fx := coordinator.Effects{Replies: []coordinator.Reply{{To: t, Response: code}}}
		if code == protocol.None {
			fx.Producer = &coordinator.Producer{ID: m.ProducerID, Epoch: m.ProducerEpoch}
			fx.Marker = &coordinator.Marker{Commit: m.Commit, CoordinatorEpoch: m.CoordinatorEpoch, Version: m.Version}
		}
		return fx
	}
	g.Do(partition, op, func(response any, err error) {
		code, ok := response.(protocol.Code)
		if err != nil || !ok {
			code = g.code(err)
		}
		done(code)
	})
}

// ownSettings are a group's own settings over the common ones, within the broker's bounds.
func ownSettings(l *config.Layers, own map[string]string, c group.GroupConfig) group.GroupConfig {
	for _, x := range []struct {
		name string
		to   *int32
	}{
		{"session.timeout.ms", &c.ConsumerSessionMs}, {"heartbeat.interval.ms", &c.ConsumerHeartbeatMs}, {"assignment.interval.ms", &c.ConsumerAssignmentMs},
	} {
		if n, err := strconv.ParseInt(strings.TrimSpace(own["consumer."+x.name]), 10, 32); err == nil {
			*x.to = int32(max(l.Int64("group.consumer.min."+x.name), min(n, l.Int64("group.consumer.max."+x.name))))
		}
	}
	return c
}

package broker

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/config"
	"weir/controller"
	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol/record"
)

// offsetsTopic is where the group coordinator keeps its state.
const offsetsTopic = "__consumer_offsets"

// maxLoadBytes bounds what each load has in memory, whatever offsets.load.buffer.size says.
const maxLoadBytes = 64 << 20

// groups runs the group coordinator: it tells the runtime what this broker leads, and the machines of settings and metadata.
type groups struct {
	*coordinator.Runtime[*group.Machine]
	nodeID   int32
	static   *config.Static
	log      *coordLog
	config   atomic.Pointer[group.Config]
	metadata atomic.Pointer[groupMetadata]

	mu       sync.Mutex           // of deleted, and of those who set changing
	deleted  []group.DeletedTopic // that the machines have not heard of
	changing atomic.Bool          // a goroutine tells them
	tellings sync.WaitGroup
}

func (b *Broker) newGroups() *groups {
	codec := record.Codec(b.static.Int("offsets.topic.compression.codec"))
	if !codec.Valid() {
		codec = record.Uncompressed
	}
	g := &groups{
		nodeID: b.nodeID, static: b.static,
		log: &coordLog{replicas: b.replicas, codec: codec, loadBytes: int32(min(b.static.Int("offsets.load.buffer.size"), maxLoadBytes))},
	}
	img := controller.NewImage()
	g.metadata.Store(&groupMetadata{img})
	g.config.Store(g.settings(img))
	g.Runtime = coordinator.New(coordinator.Config[*group.Machine]{
		New: func(int32, int32) *group.Machine { return group.New(g.config.Load(), g.metadata.Load()) },
		Log: g.log, Changed: g.changed, Logger: b.log, Now: b.cfg.Now,
		Timeout: time.Duration(b.static.Int64("offsets.commit.timeout.ms")) * time.Millisecond,
		Linger:  time.Duration(b.static.Int64("group.coordinator.append.linger.ms")) * time.Millisecond,
	})
	return g
}

// Do implements api.Groups. While the machines are being told of new metadata, the one in question hears of it first: a client that was
// answered that its topic is there would otherwise see its group take an epoch for a topic that comes.
func (g *groups) Do(partition int32, op coordinator.Operation[*group.Machine], done coordinator.Done) {
	if g.changing.Load() {
		g.Runtime.Do(partition, g.changed, func(any, error) {})
	}
	g.Runtime.Do(partition, op, done)
}

// close ends the coordinator. Nothing publishes images any more.
func (g *groups) close() {
	g.Close()
	g.tellings.Wait()
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
		g.tell(d)
	}
}

// applyTopic tells the runtime who leads the partitions of the topic.
func (g *groups) applyTopic(img *controller.Image, d *controller.Delta) {
	for _, t := range d.Deleted {
		if t.Name == offsetsTopic {
			g.log.topic.Store(nil)
			g.Forget()
		}
	}
	t := img.Topic(offsetsTopic)
	if t == nil {
		return
	}
	if known := g.log.topic.Load(); known == nil || known.id != t.ID || slices.ContainsFunc(d.Configs, func(r controller.Resource) bool {
		return r.Type == controller.TopicConfig && r.Name == offsetsTopic || r.Type == controller.BrokerConfig
	}) {
		l := g.layers(img)
		l.Topic = img.Config(controller.TopicConfig, offsetsTopic)
		g.log.topic.Store(&coordTopic{id: t.ID, maxBytes: int(l.TopicConfig().MaxMessageBytes)})
	}
	for i := range d.Topics {
		if d.Topics[i].Topic.Name != offsetsTopic {
			continue
		}
		for _, n := range d.Topics[i].Partitions {
			if p := t.Partition(n); p.Leader == g.nodeID {
				g.Elected(n, p.LeaderEpoch)
			} else {
				g.Resigned(n, p.LeaderEpoch)
			}
		}
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

// tell has the machines told of the newest settings and metadata, on a goroutine of its own: whoever publishes images must not wait for
// groups, and of many changes in a row the last is enough.
func (g *groups) tell(d *controller.Delta) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range d.Deleted {
		g.deleted = append(g.deleted, group.DeletedTopic{Name: t.Name, ID: t.ID})
	}
	if g.changing.Load() {
		return
	}
	g.changing.Store(true)
	g.tellings.Add(1)
	go g.telling()
}

func (g *groups) telling() {
	defer g.tellings.Done()
	for told := (*groupMetadata)(nil); ; {
		md := g.metadata.Load()
		g.mu.Lock()
		deleted := g.deleted
		if md == told && len(deleted) == 0 {
			g.changing.Store(false)
			g.mu.Unlock()
			return
		}
		g.deleted = nil
		g.mu.Unlock()
		told = md
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
}

// changed tells one machine of the newest metadata.
func (g *groups) changed(m *group.Machine, now int64, _ coordinator.Token) coordinator.Effects {
	return m.MetadataChanged(now, g.metadata.Load())
}

func (g *groups) layers(img *controller.Image) config.Layers {
	return config.Layers{
		Static:  g.static,
		Cluster: img.Config(controller.BrokerConfig, ""),
		Broker:  img.Config(controller.BrokerConfig, strconv.Itoa(int(g.nodeID))),
	}
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

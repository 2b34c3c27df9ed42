package replica

import (
	"strconv"
	"strings"
	"sync"

	"weir/broker/partition"
	"weir/config"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
	"weir/wal"
)

// topic is what the partitions of one topic share. It is never changed.
type topic struct {
	name     string
	internal bool
	cfg      *config.Topic
	target   record.Target
	policy   wal.Policy
	// The partitions that are throttled where this broker leads, and where it follows.
	leading, following throttled
}

// topicCache keeps the compiled topics that are in use.
type topicCache struct {
	mu sync.RWMutex
	m  map[protocol.UUID]*topic
}

// topic returns the compiled configuration of t.
func (m *Manager) topic(t *controller.Topic) *topic {
	c := &m.topics
	c.mu.RLock()
	x := c.m[t.ID]
	c.mu.RUnlock()
	if x != nil {
		return x
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if x = c.m[t.ID]; x == nil {
		// The image is read under the lock: Apply publishes it before it empties the cache, so nothing old comes in after that.
		x = m.compile(m.image.Load(), t.Name)
		c.m[t.ID] = x
	}
	return x
}

// layers are the places that this broker's settings come from.
func (m *Manager) layers(img *controller.Image) config.Layers {
	return config.Layers{
		Static:  m.cfg.Static,
		Cluster: img.Config(controller.BrokerConfig, ""),
		Broker:  img.Config(controller.BrokerConfig, strconv.Itoa(int(m.cfg.NodeID))),
	}
}

// readSettings takes what all partitions share from an image.
func (m *Manager) readSettings(img *controller.Image) {
	l := m.layers(img)
	m.throttles.leader.setRate(l.String("leader.replication.throttled.rate"))
	m.throttles.follower.setRate(l.String("follower.replication.throttled.rate"))
	m.settings.Store(&partition.Settings{
		ReplicaLagMs:     l.Int64("replica.lag.time.max.ms"),
		ProducerExpireMs: l.Int64("producer.id.expiration.ms"),
	})
}

func (m *Manager) compile(img *controller.Image, name string) *topic {
	l := m.layers(img)
	l.Topic = img.Config(controller.TopicConfig, name)
	x := &topic{name: name, internal: internal(name), cfg: l.TopicConfig()}
	x.leading = throttledOn(l.Topic["leader.replication.throttled.replicas"], m.cfg.NodeID)
	x.following = throttledOn(l.Topic["follower.replication.throttled.replicas"], m.cfg.NodeID)
	x.policy = wal.Policy{SegmentBytes: x.cfg.SegmentBytes, SegmentMs: x.cfg.SegmentMs, JitterMs: x.cfg.SegmentJitterMs}
	if x.cfg.CleanupCompact { // the last file is never compacted (Kafka's LogConfig.maxSegmentMs)
		x.policy.SegmentMs = min(x.policy.SegmentMs, x.cfg.MaxCompactionLagMs)
	}
	target, err := record.ParseTarget(x.cfg.CompressionType, x.cfg.CompressionGzipLevel, x.cfg.CompressionLz4Level, x.cfg.CompressionZstdLevel)
	if err != nil {
		m.log.Error("compression.type is ignored", "topic", name, "err", err)
	}
	x.target = target
	return x
}

// internal says whether only the broker itself, and __admin_client, may write to the topic.
func internal(name string) bool {
	return name == "__consumer_offsets" || name == "__transaction_state" || name == "__share_group_state"
}

// maxTopicInName is how much of a topic's name a log's name holds: with the rest it fits into the 255 bytes of a file name.
const maxTopicInName = 200

// logName is the name of a partition's log in a log directory: <topic>-<partition>.<topic id>. With the id a topic that is created again
// can never see the data of the old one.
func logName(topic string, id partition.ID) string {
	if len(topic) > maxTopicInName {
		topic = topic[:maxTopicInName]
	}
	return topic + "-" + strconv.Itoa(int(id.Partition)) + "." + id.Topic.String()
}

// IsLog says whether a name is that of a partition's log in a log directory.
func IsLog(name string) bool {
	_, ok := parseLogName(name)
	return ok
}

// parseLogName reads what logName made.
func parseLogName(name string) (id partition.ID, ok bool) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		return id, false
	}
	dash := strings.LastIndexByte(name[:dot], '-')
	if dash <= 0 {
		return id, false
	}
	n, err := strconv.ParseInt(name[dash+1:dot], 10, 32)
	if err != nil || n < 0 {
		return id, false
	}
	if id.Topic, err = protocol.ParseUUID(name[dot+1:]); err != nil {
		return id, false
	}
	id.Partition = int32(n)
	return id, strings.HasSuffix(name, "-"+strconv.Itoa(int(n))+name[dot:])
}

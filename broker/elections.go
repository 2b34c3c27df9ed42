package broker

import (
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"weir/config"
	"weir/controller"
)

// elections tells a coordinator's runtime who leads the partitions of its topic.
type elections struct {
	topic   string
	nodeID  int32
	static  *config.Static
	log     *coordLog
	runtime interface {
		Elected(partition, epoch int32)
		Resigned(partition, epoch int32)
		Forget()
	}
}

// telling tells a coordinator's machines of new settings and metadata, on a goroutine of its own: whoever publishes images must not wait for
// coordinators, and of many changes in a row the last is enough.
type telling struct {
	round   func() // tells all machines of what is newest
	mu      sync.Mutex
	due     bool        // there is something that no round has told of
	running atomic.Bool // set with mu
	ended   sync.WaitGroup
}

// tell has the machines told.
func (t *telling) tell() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due = true
	if !t.running.Swap(true) {
		t.ended.Go(t.run)
	}
}

func (t *telling) run() {
	for t.next() {
		t.round()
	}
}

// next says whether another round is due.
func (t *telling) next() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	due := t.due
	t.due = false
	t.running.Store(due)
	return due
}

// applyTopic takes what a new image says of the topic. It says whether the topic's own settings may have changed.
func (e *elections) applyTopic(img *controller.Image, d *controller.Delta) (settings bool) {
	for _, t := range d.Deleted {
		if t.Name == e.topic {
			e.log.topic.Store(nil)
			e.runtime.Forget()
		}
	}
	t := img.Topic(e.topic)
	if t == nil {
		return false
	}
	if known := e.log.topic.Load(); known == nil || known.id != t.ID || slices.ContainsFunc(d.Configs, func(r controller.Resource) bool {
		return r.Type == controller.TopicConfig && r.Name == e.topic || r.Type == controller.BrokerConfig
	}) {
		l := e.layers(img)
		l.Topic = img.Config(controller.TopicConfig, e.topic)
		e.log.topic.Store(&coordTopic{id: t.ID, maxBytes: int(l.TopicConfig().MaxMessageBytes)})
		settings = true
	}
	for i := range d.Topics {
		if d.Topics[i].Topic.Name != e.topic {
			continue
		}
		for _, n := range d.Topics[i].Partitions {
			if p := t.Partition(n); p.Leader == e.nodeID {
				e.runtime.Elected(n, p.LeaderEpoch)
			} else {
				e.runtime.Resigned(n, p.LeaderEpoch)
			}
		}
	}
	return settings
}

// layers are the places that this broker's settings come from.
func (e *elections) layers(img *controller.Image) config.Layers {
	return config.Layers{
		Static:  e.static,
		Cluster: img.Config(controller.BrokerConfig, ""),
		Broker:  img.Config(controller.BrokerConfig, strconv.Itoa(int(e.nodeID))),
	}
}

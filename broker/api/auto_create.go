package api

import (
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// autoCreateWait is how long an answer waits for a topic that is being created. Beyond it the client hears that the topic is unknown
// and asks again, as it always does with Kafka, while the creation goes on.
const autoCreateWait = time.Second

// creations are the topics that this broker is creating on behalf of clients, so that a thousand clients that ask for one new topic
// cause one request to the controller. The zero value is empty.
type creations struct {
	mu       sync.Mutex
	inFlight map[string]chan struct{} // closed when the outcome is known
}

// create makes topics exist, with the broker's defaults or, for Kafka's own topics, with what they need. It returns when each is there
// or has failed, or after autoCreateWait. The image then says which: a failure of any kind leaves the topic unknown, as in Kafka.
func (k *creations) create(s *Server, names []string) {
	var mine []string
	var wait []chan struct{}
	k.mu.Lock()
	for _, name := range names {
		done, ok := k.inFlight[name]
		if !ok {
			if s.Image().Topic(name) != nil {
				continue // somebody else's creation has just ended
			}
			if k.inFlight == nil {
				k.inFlight = make(map[string]chan struct{})
			}
			done = make(chan struct{})
			k.inFlight[name] = done
			mine = append(mine, name)
		}
		wait = append(wait, done)
	}
	k.mu.Unlock()
	if len(mine) > 0 {
		later(s.Log, func() Response {
			defer k.done(mine)
			s.submitCreations(mine)
			return nil
		})
	}
	timeout := time.NewTimer(autoCreateWait)
	defer timeout.Stop()
	for _, done := range wait {
		select {
		case <-done:
		case <-timeout.C:
			return
		}
	}
}

func (k *creations) done(names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range names {
		close(k.inFlight[name])
		delete(k.inFlight, name)
	}
}

// submitCreations sends one CreateTopics for all names. The client does not learn why a creation failed: the log says it.
func (s *Server) submitCreations(names []string) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	req.TimeoutMillis = int32(s.forwardTimeout() / time.Millisecond)
	for _, name := range names {
		req.Topics = append(req.Topics, s.defaultTopic(name))
	}
	resp, err := submit[*kmsg.CreateTopicsResponse](s, s.forwardTimeout(), req)
	if err != nil {
		s.Log.Warn("topics could not be created automatically", "topics", strings.Join(names, ","), "error", s.codeOf(err).String())
		return
	}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		code := protocol.Code(t.ErrorCode)
		if code == protocol.None || code == protocol.TopicAlreadyExists {
			continue
		}
		message := ""
		if t.ErrorMessage != nil {
			message = *t.ErrorMessage
		}
		s.Log.Warn("topic could not be created automatically", "topic", t.Topic, "error", code.String(), "message", message)
	}
}

// internalTopics are the topics that Kafka keeps its own state in, and what each is created with.
var internalTopics = map[string]struct {
	partitions, replicas string            // the broker's settings that say how many
	fixed                map[string]string // its settings
	from                 map[string]string // its settings that are a broker's setting
}{
	"__consumer_offsets": {
		partitions: "offsets.topic.num.partitions", replicas: "offsets.topic.replication.factor",
		fixed: map[string]string{"cleanup.policy": "compact", "compression.type": "producer"},
		from:  map[string]string{"segment.bytes": "offsets.topic.segment.bytes"},
	},
	"__transaction_state": {
		partitions: "transaction.state.log.num.partitions", replicas: "transaction.state.log.replication.factor",
		fixed: map[string]string{"cleanup.policy": "compact", "compression.type": "uncompressed", "unclean.leader.election.enable": "false"},
		from:  map[string]string{"min.insync.replicas": "transaction.state.log.min.isr", "segment.bytes": "transaction.state.log.segment.bytes"},
	},
	"__share_group_state": {
		partitions: "share.coordinator.state.topic.num.partitions", replicas: "share.coordinator.state.topic.replication.factor",
		fixed: map[string]string{"cleanup.policy": "delete", "compression.type": "producer", "retention.ms": "-1"},
		from:  map[string]string{"min.insync.replicas": "share.coordinator.state.topic.min.isr", "segment.bytes": "share.coordinator.state.topic.segment.bytes"},
	},
}

// isInternal says whether Kafka keeps its own state in a topic of that name.
func isInternal(topic string) bool {
	_, ok := internalTopics[topic]
	return ok
}

// defaultTopic is what a topic is created with when nobody says more than its name.
func (s *Server) defaultTopic(name string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, -1, -1
	spec, ok := internalTopics[name]
	if !ok {
		return t
	}
	t.NumPartitions, t.ReplicationFactor = int32(s.Config.Int(spec.partitions)), int16(s.Config.Int(spec.replicas))
	alone := s.clusterOfOne() && !s.Config.IsSet(spec.replicas)
	if alone {
		t.ReplicationFactor = 1
	}
	set := func(name, value string) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, &value
		t.Configs = append(t.Configs, c)
	}
	for name, value := range spec.fixed {
		set(name, value)
	}
	for name, setting := range spec.from {
		if value := s.Config.String(setting); alone && name == "min.insync.replicas" && !s.Config.IsSet(setting) {
			set(name, "1")
		} else {
			set(name, value)
		}
	}
	return t
}

// clusterOfOne says whether this broker is the whole cluster and its settings name no other node: its own topics then have one replica, or
// nobody could ever join a group without more settings.
func (s *Server) clusterOfOne() bool {
	return len(s.Image().Brokers()) <= 1 && len(s.Config.List("controller.quorum.voters")) <= 1 && len(s.Config.List("controller.quorum.bootstrap.servers")) <= 1
}

// autoCreate says whether topics come into being when clients ask for them.
func (s *Server) autoCreate() bool { return s.Config.Bool("auto.create.topics.enable") }

package group

import (
	"slices"

	"weir/coordinator"
)

// Machine is the coordinator of the groups in one partition of __consumer_offsets. Each operation is named as its API key and is about
// one group; requests are the machine's own, responses the caller's. The slices of Effects are valid until the next operation.
type Machine struct {
	cfg    *Config
	md     Metadata
	groups map[string]*group
	// names are the topics that offsets are committed for, each once.
	names map[string]*topicName
	// pending are the offsets of transactions that have not ended, by producer id: hard state.
	pending map[int64]map[pendingKey]committed

	// deleted and expireFrom are sweeps over all groups that are under way: soft.
	deleted    []deletedTopics
	expireFrom string

	hashes    topicHashes // soft
	newTopics int64       // soft: version of the metadata that last brought new topics
	// resolving are the groups for which a timerConsumerRegex is set, and what the client that had it set may describe. Soft, and not in
	// the group: that comes with the log only, after the operation that makes it.
	resolving map[string]func(topic string) bool

	step step
}

var _ coordinator.Machine = (*Machine)(nil)

// New returns a machine that knows no group.
func New(cfg *Config, md Metadata) *Machine {
	return &Machine{
		cfg: cfg, md: md, groups: map[string]*group{}, names: map[string]*topicName{}, pending: map[int64]map[pendingKey]committed{},
		resolving: map[string]func(string) bool{}, newTopics: md.Version(),
	}
}

// SetConfig takes over changed settings. Timers that are set stay as they are.
func (m *Machine) SetConfig(now int64, cfg *Config) coordinator.Effects {
	m.cfg = cfg
	return m.begin(now).e
}

// MetadataChanged takes over changed metadata.
func (m *Machine) MetadataChanged(now int64, md Metadata) coordinator.Effects {
	s := m.begin(now)
	old := m.md
	m.md = md
	s.consumerMetadataChanged(old)
	return s.e
}

// ids returns the ids of all groups, sorted.
func (m *Machine) ids() []string {
	ids := make([]string, 0, len(m.groups))
	for id := range m.groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Elected makes the soft state from the hard one and sets the timers.
func (m *Machine) Elected(now int64) coordinator.Effects {
	s := m.begin(now)
	for _, id := range m.ids() {
		switch g := m.groups[id]; {
		case g.consumer != nil:
			s.loadConsumer(g)
		default:
			s.loadClassic(g)
		}
	}
	s.arm(timer(timerExpire, "", ""), now+m.cfg.OffsetsRetentionCheckMs)
	return s.e
}

// Resigned answers the joins and syncs that wait.
func (m *Machine) Resigned(now int64) []coordinator.Reply {
	s := m.begin(now)
	for _, id := range m.ids() {
		if g := m.groups[id]; g.classic != nil {
			s.unloadClassic(g)
		}
	}
	return s.e.Replies
}

// Expired is called when a timer fires.
func (m *Machine) Expired(now int64, k coordinator.TimerKey) coordinator.Effects {
	s := m.begin(now)
	g := m.groups[k.Name]
	switch {
	case k.Kind == timerExpire:
		s.expire()
	case k.Kind == timerDeleted:
		s.sweepDeleted()
	case k.Kind == timerConsumerRegex:
		s.regexExpired(g, k.Name)
	case g == nil:
	case k.Kind >= timerConsumerSession:
		if g.consumer != nil {
			s.consumerExpired(g, k)
		}
	case g.classic != nil:
		s.classicExpired(g, k)
	}
	return s.e
}

// Answered is not used: the coordinator asks no other broker.
func (m *Machine) Answered(now int64, _, _ any, _ error) coordinator.Effects { return m.begin(now).e }

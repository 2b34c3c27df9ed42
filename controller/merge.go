package controller

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weir/protocol"
)

// errMerge is wrapped by every error of Merge.
var errMerge = errors.New("metadata record does not fit the image")

// Merge returns the image after a batch of records, and what they changed. offset is the Raft index of the batch, epoch its term. An
// error says that the records do not fit the image, which only a bug or a damaged log can cause; m is as it was then.
func Merge(m *Image, records []Record, offset int64, epoch int32) (*Image, *Delta, error) {
	g := merger{old: m, img: *m}
	g.img.Offset, g.img.Epoch = offset, epoch
	for _, rec := range records {
		if err := g.merge(rec); err != nil {
			return m, nil, fmt.Errorf("%w: %T at offset %d: %w", errMerge, rec, offset, err)
		}
	}
	img, d := g.done()
	return img, d, nil
}

// FullDelta returns the delta from nothing to an image.
func FullDelta(m *Image) *Delta {
	d := &Delta{Features: len(m.features) > 0, ProducerIDs: m.nextProducerID > 0}
	for t := range m.Topics() {
		d.Topics = append(d.Topics, TopicDelta{Topic: t, Partitions: sequence(len(t.Partitions))})
	}
	for _, b := range m.brokers {
		d.Brokers = append(d.Brokers, b.ID)
	}
	for r := range m.Configs() {
		d.Configs = append(d.Configs, r)
	}
	return d
}

func sequence(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = int32(i)
	}
	return s
}

// merger gathers a batch. What it copied once it changes in place until done.
type merger struct {
	old *Image
	img Image

	topics   *mapEdit[string, *Topic]
	topicIDs *mapEdit[protocol.UUID, *Topic]
	folded   *mapEdit[string, string]
	configs  *mapEdit[Resource, map[string]string]

	edits     map[protocol.UUID]*topicEdit
	order     []*topicEdit
	deleted   []*Topic
	resources map[Resource]bool // changed; true: its map is ours
	resOrder  []Resource
	brokers   []int32
	ownList   bool // img.brokers is ours
	ownLevels bool // img.features is ours
	features  bool
	ids       bool
}

// topicEdit is a topic that the batch created or changed.
type topicEdit struct {
	topic   *Topic // ours
	old     *Topic
	changed []int32
	last    int32 // the last of changed, to leave out repetitions cheaply
	gone    bool
}

func (g *merger) merge(rec Record) error {
	switch rec := rec.(type) {
	case *BootstrapRecord:
		if g.img.ClusterID != "" && g.img.ClusterID != rec.ClusterID {
			return fmt.Errorf("cluster id %s, have %s", rec.ClusterID, g.img.ClusterID)
		}
		g.img.ClusterID = rec.ClusterID
		return nil
	case *RegisterBrokerRecord:
		return g.registerBroker(rec)
	case *UnregisterBrokerRecord:
		return g.unregisterBroker(rec)
	case *BrokerRegistrationChangeRecord:
		return g.changeBroker(rec)
	case *TopicRecord:
		return g.createTopic(rec)
	case *PartitionRecord:
		return g.createPartition(rec)
	case *PartitionChangeRecord:
		return g.changePartition(rec)
	case *RemoveTopicRecord:
		return g.removeTopic(rec)
	case *ConfigRecord:
		g.config(rec)
		return nil
	case *FeatureLevelRecord:
		g.feature(rec)
		return nil
	case *ProducerIDsRecord:
		if rec.NextProducerID < g.img.nextProducerID {
			return fmt.Errorf("next producer id %d, have %d", rec.NextProducerID, g.img.nextProducerID)
		}
		g.img.nextProducerID, g.ids = rec.NextProducerID, true
		return nil
	case *NoOpRecord:
		return nil
	}
	return errors.New("no such record")
}

// done assembles the image and the delta.
func (g *merger) done() (*Image, *Delta) {
	img := g.img
	d := &Delta{Deleted: g.deleted, Brokers: g.brokers, Configs: g.resOrder, Features: g.features, ProducerIDs: g.ids}
	for _, e := range g.order {
		if e.gone {
			continue
		}
		slices.Sort(e.changed)
		d.Topics = append(d.Topics, TopicDelta{Topic: e.topic, Old: e.old, Partitions: slices.Compact(e.changed)})
	}
	if g.topics != nil {
		img.topics, img.topicIDs, img.folded = g.topics.done(), g.topicIDs.done(), g.folded.done()
	}
	if g.configs != nil {
		img.configs = g.configs.done()
	}
	return &img, d
}

func (g *merger) editTopics() {
	if g.topics == nil {
		g.topics, g.topicIDs, g.folded = g.img.topics.edit(), g.img.topicIDs.edit(), g.img.folded.edit()
		g.edits = map[protocol.UUID]*topicEdit{}
	}
}

// editTopic returns the edit of a topic, which it starts at the first change.
func (g *merger) editTopic(id protocol.UUID) (*topicEdit, error) {
	g.editTopics()
	if e := g.edits[id]; e != nil && !e.gone {
		return e, nil
	}
	old, ok := g.topicIDs.get(id)
	if !ok {
		return nil, fmt.Errorf("no topic %s", id)
	}
	e := &topicEdit{old: old, last: -1}
	// Room for the partitions to come, so that CreatePartitions does not copy twice.
	e.topic = &Topic{Name: old.Name, ID: id, Partitions: slices.Clone(old.Partitions)}
	g.putTopic(e)
	return e, nil
}

func (g *merger) putTopic(e *topicEdit) {
	g.topics.set(e.topic.Name, e.topic)
	g.topicIDs.set(e.topic.ID, e.topic)
	g.edits[e.topic.ID] = e
	g.order = append(g.order, e)
}

func (g *merger) createTopic(rec *TopicRecord) error {
	g.editTopics()
	if _, ok := g.topics.get(rec.Name); ok {
		return fmt.Errorf("topic %q exists", rec.Name)
	}
	if _, ok := g.topicIDs.get(rec.TopicID); ok || rec.TopicID == (protocol.UUID{}) {
		return fmt.Errorf("topic id %s exists", rec.TopicID)
	}
	g.putTopic(&topicEdit{topic: &Topic{Name: rec.Name, ID: rec.TopicID}, last: -1})
	if collides(rec.Name) {
		g.folded.set(foldName(rec.Name), rec.Name)
	}
	return nil
}

func (g *merger) removeTopic(rec *RemoveTopicRecord) error {
	g.editTopics()
	t, ok := g.topicIDs.get(rec.TopicID)
	if !ok {
		return fmt.Errorf("no topic %s", rec.TopicID)
	}
	g.topics.delete(t.Name)
	g.topicIDs.delete(rec.TopicID)
	if collides(t.Name) {
		g.folded.delete(foldName(t.Name))
	}
	g.img.partitions -= len(t.Partitions)
	if e := g.edits[rec.TopicID]; e != nil {
		e.gone = true
	}
	if old := g.old.TopicByID(rec.TopicID); old != nil {
		g.deleted = append(g.deleted, old)
	}
	if r := (Resource{TopicConfig, t.Name}); g.config0(r) != nil {
		g.touchResource(r)
		g.configs.delete(r)
		g.resources[r] = false
	}
	return nil
}

func (e *topicEdit) touch(id int32) {
	if id != e.last {
		e.changed = append(e.changed, id)
		e.last = id
	}
}

func (g *merger) createPartition(rec *PartitionRecord) error {
	e, err := g.editTopic(rec.TopicID)
	if err != nil {
		return err
	}
	if int(rec.PartitionID) != len(e.topic.Partitions) {
		return fmt.Errorf("partition %d of topic %q, which has %d", rec.PartitionID, e.topic.Name, len(e.topic.Partitions))
	}
	if len(rec.Directories) != len(rec.Replicas) {
		return fmt.Errorf("%d directories for %d replicas", len(rec.Directories), len(rec.Replicas))
	}
	e.topic.Partitions = append(e.topic.Partitions, &Partition{
		Replicas: rec.Replicas, ISR: rec.ISR, Adding: rec.Adding, Removing: rec.Removing, Directories: rec.Directories,
		ELR: rec.ELR, LastELR: rec.LastELR, Leader: rec.Leader, LeaderEpoch: rec.LeaderEpoch, PartitionEpoch: rec.PartitionEpoch,
		Recovering: rec.LeaderRecoveryState == 1,
	})
	e.touch(rec.PartitionID)
	g.img.partitions++
	return nil
}

func (g *merger) changePartition(rec *PartitionChangeRecord) error {
	e, err := g.editTopic(rec.TopicID)
	if err != nil {
		return err
	}
	old := e.topic.Partition(rec.PartitionID)
	if old == nil {
		return fmt.Errorf("no partition %d of topic %q", rec.PartitionID, e.topic.Name)
	}
	p := old.changed(rec)
	if len(p.Directories) != len(p.Replicas) {
		return fmt.Errorf("%d directories for %d replicas", len(p.Directories), len(p.Replicas))
	}
	e.topic.Partitions[rec.PartitionID] = p
	e.touch(rec.PartitionID)
	return nil
}

// changed returns the partition after a change.
func (p *Partition) changed(rec *PartitionChangeRecord) *Partition {
	n := *p
	for _, f := range []struct {
		to   *[]int32
		from []int32
	}{{&n.Replicas, rec.Replicas}, {&n.ISR, rec.ISR}, {&n.Removing, rec.Removing}, {&n.Adding, rec.Adding}, {&n.ELR, rec.ELR}, {&n.LastELR, rec.LastELR}} {
		if f.from != nil {
			*f.to = f.from
		}
	}
	if rec.Directories != nil {
		n.Directories = rec.Directories
	}
	if rec.Leader != NoLeaderChange {
		n.Leader = rec.Leader
		n.LeaderEpoch++
	}
	if rec.LeaderRecoveryState >= 0 {
		n.Recovering = rec.LeaderRecoveryState == 1
	}
	n.PartitionEpoch++
	return &n
}

func (g *merger) editConfigs() {
	if g.configs == nil {
		g.configs, g.resources = g.img.configs.edit(), map[Resource]bool{}
	}
}

// config0 returns the settings of a resource as this batch left them.
func (g *merger) config0(r Resource) map[string]string {
	g.editConfigs()
	c, _ := g.configs.get(r)
	return c
}

func (g *merger) touchResource(r Resource) {
	if _, ok := g.resources[r]; !ok {
		g.resources[r] = false
		g.resOrder = append(g.resOrder, r)
	}
}

func (g *merger) config(rec *ConfigRecord) {
	r := Resource{rec.ResourceType, rec.ResourceName}
	c := g.config0(r)
	g.touchResource(r)
	if !g.resources[r] {
		c = maps.Clone(c)
		if c == nil {
			c = map[string]string{}
		}
		g.resources[r] = true
		g.configs.set(r, c)
	}
	if rec.Value != nil {
		c[rec.Name] = *rec.Value
		return
	}
	delete(c, rec.Name)
	if len(c) == 0 {
		g.configs.delete(r)
		g.resources[r] = false
	}
}

func (g *merger) feature(rec *FeatureLevelRecord) {
	if !g.ownLevels {
		g.img.features, g.ownLevels = maps.Clone(g.img.features), true
		if g.img.features == nil {
			g.img.features = map[string]int16{}
		}
	}
	if rec.Level == 0 {
		delete(g.img.features, rec.Name)
	} else {
		g.img.features[rec.Name] = rec.Level
	}
	g.features = true
}

// setBroker puts a broker into the list, or takes it out where b is nil.
func (g *merger) setBroker(id int32, b *Broker) {
	if !g.ownList {
		g.img.brokers, g.ownList = slices.Clone(g.img.brokers), true
	}
	i, ok := slices.BinarySearchFunc(g.img.brokers, id, func(b *Broker, id int32) int { return cmp.Compare(b.ID, id) })
	switch {
	case b == nil:
		g.img.brokers = slices.Delete(g.img.brokers, i, i+1)
	case ok:
		g.img.brokers[i] = b
	default:
		g.img.brokers = slices.Insert(g.img.brokers, i, b)
	}
	if !slices.Contains(g.brokers, id) {
		g.brokers = append(g.brokers, id)
	}
}

func (g *merger) registerBroker(rec *RegisterBrokerRecord) error {
	epoch := rec.BrokerEpoch
	if epoch < 0 {
		epoch = g.img.Offset
	}
	if old := g.img.Broker(rec.BrokerID); old != nil && old.Epoch > epoch {
		return fmt.Errorf("epoch %d of broker %d, have %d", epoch, rec.BrokerID, old.Epoch)
	}
	g.setBroker(rec.BrokerID, &Broker{
		ID: rec.BrokerID, Epoch: epoch, Incarnation: rec.Incarnation, Endpoints: rec.Endpoints, Features: rec.Features,
		Rack: rec.Rack, Fenced: rec.Fenced, ShuttingDown: rec.ShuttingDown, LogDirs: sortedUUIDs(rec.LogDirs),
	})
	return nil
}

func sortedUUIDs(ids []protocol.UUID) []protocol.UUID {
	if slices.IsSortedFunc(ids, compareUUID) {
		return ids
	}
	ids = slices.Clone(ids)
	slices.SortFunc(ids, compareUUID)
	return ids
}

func (g *merger) unregisterBroker(rec *UnregisterBrokerRecord) error {
	b := g.img.Broker(rec.BrokerID)
	if b == nil || b.Epoch != rec.BrokerEpoch {
		return fmt.Errorf("no broker %d of epoch %d", rec.BrokerID, rec.BrokerEpoch)
	}
	g.setBroker(rec.BrokerID, nil)
	return nil
}

func (g *merger) changeBroker(rec *BrokerRegistrationChangeRecord) error {
	old := g.img.Broker(rec.BrokerID)
	if old == nil || old.Epoch != rec.BrokerEpoch {
		return fmt.Errorf("no broker %d of epoch %d", rec.BrokerID, rec.BrokerEpoch)
	}
	b := *old
	switch rec.Fenced {
	case 1:
		b.Fenced = true
	case -1:
		b.Fenced = false
	}
	if rec.ShuttingDown == 1 {
		b.ShuttingDown = true
	}
	if len(rec.LogDirs) > 0 {
		b.LogDirs = sortedUUIDs(rec.LogDirs)
	}
	g.setBroker(b.ID, &b)
	return nil
}

// collides says whether a topic name can collide with another in metric names, where . and _ are the same.
func collides(name string) bool { return strings.ContainsAny(name, "._") }

func foldName(name string) string { return strings.ReplaceAll(name, ".", "_") }

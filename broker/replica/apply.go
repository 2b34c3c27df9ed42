package replica

import (
	"slices"
	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
)

// Apply takes a new image. Calls come one at a time, in order. delta is what differs from old; it is not looked at in the first call,
// whose image must be of all that was committed before the start: logs of topics that it does not have are deleted.
func (m *Manager) Apply(old, img *controller.Image, delta *controller.Delta) {
	m.image.Store(img)
	if !m.started {
		m.started = true
		m.readSettings(img)
		m.sweep(img)
		m.topics.mu.Lock()
		clear(m.topics.m)
		m.topics.mu.Unlock()
		m.each(func(r *replica) { r.apply(img.TopicByID(r.id.Topic)) })
		m.fetchers.applyAll(img)
		m.startTimers()
		return
	}
	m.sweep(img)
	for _, t := range delta.Deleted {
		m.dropTopic(t)
	}
	if configsChanged(delta) {
		m.reconfigure(img, delta)
	}
	for i := range delta.Topics {
		t := &delta.Topics[i]
		for _, n := range t.Partitions {
			place(m, t.Topic, n)
			m.applyPartition(t, n)
			m.fetchers.apply(t.Topic, n)
		}
	}
	if len(delta.Brokers) > 0 {
		m.fetchers.kick(delta.Brokers)
	}
}

// sweep looks at what lies in the log directories, once, when there is metadata to go by.
func (m *Manager) sweep(img *controller.Image) {
	if m.swept || img.ClusterID == "" {
		return
	}
	m.swept = true
	var idle []partition.ID
	for _, d := range m.dirs {
		idle = m.removeStrays(d, img, idle)
	}
	placeAll(m, img)
	m.visit(idle)
}

// removeStrays deletes the logs of topics that are not there any more, and of partitions that were given to other brokers. It adds the
// others to idle.
func (m *Manager) removeStrays(d *dir, img *controller.Image, idle []partition.ID) []partition.ID {
	if d.store == nil {
		return idle
	}
	names, err := d.store.Names()
	if err != nil {
		m.log.Error("logs could not be listed", "dir", d.Path, "err", err)
		return idle
	}
	for _, name := range names {
		id, ok := parseLogName(name)
		if !ok {
			continue // not ours: leave it alone
		}
		p := img.Partition(id.Topic, id.Partition)
		if p != nil && slices.Contains(p.Replicas, m.cfg.NodeID) {
			d.note(name)
			idle = append(idle, id)
			continue
		}
		if err := d.store.Remove(name); err != nil {
			m.log.Error("a log without a partition could not be removed", "log", name, "err", err)
		} else {
			m.log.Info("removed a log without a partition", "log", name, "dir", d.Path)
		}
	}
	return idle
}

func configsChanged(delta *controller.Delta) bool {
	for _, c := range delta.Configs {
		if c.Type == controller.TopicConfig || c.Type == controller.BrokerConfig {
			return true
		}
	}
	return false
}

// reconfigure compiles changed configurations anew and hands them to the partitions that are in use.
func (m *Manager) reconfigure(img *controller.Image, delta *controller.Delta) {
	all := false
	changed := map[protocol.UUID]bool{}
	for _, c := range delta.Configs {
		switch c.Type {
		case controller.BrokerConfig:
			all = true
		case controller.TopicConfig:
			if t := img.Topic(c.Name); t != nil {
				changed[t.ID] = true
			}
		}
	}
	c := &m.topics
	c.mu.Lock()
	if all {
		clear(c.m)
	}
	for id := range changed {
		delete(c.m, id)
	}
	c.mu.Unlock()
	if all {
		m.readSettings(img)
		m.fetchers.applyAll(img)
		m.each(func(r *replica) { r.reconfigure(img.TopicByID(r.id.Topic)) })
		return
	}
	for id := range changed {
		t := img.TopicByID(id)
		for n := range t.Partitions {
			if r := m.get(partition.ID{Topic: id, Partition: int32(n)}); r != nil {
				r.reconfigure(t)
			}
		}
	}
}

// reconfigure takes the topic's configuration anew.
func (r *replica) reconfigure(t *controller.Topic) {
	m := r.m
	if t == nil {
		return
	}
	e := takeEffects()
	r.mu.Lock()
	if r.p != nil {
		r.topic = m.topic(t)
		r.p.Configure(m.nowMs(), r.topic.cfg, m.settings.Load(), e)
		r.retainAtMs = 0
		r.armFlush()
		r.unlock(e)
	} else {
		r.mu.Unlock()
	}
	putEffects(e)
}

// applyPartition takes a changed partition. One that is not in use learns it when it is.
func (m *Manager) applyPartition(t *controller.TopicDelta, n int32) {
	id := partition.ID{Topic: t.Topic.ID, Partition: n}
	if r := m.get(id); r != nil {
		r.apply(t.Topic)
		return
	}
	was, is := t.Old.Partition(n), t.Topic.Partition(n)
	if was != nil && slices.Contains(was.Replicas, m.cfg.NodeID) && !slices.Contains(is.Replicas, m.cfg.NodeID) {
		m.removeLog(logName(t.Topic.Name, id))
	}
}

// apply tells a partition that is in use what the metadata says; t is nil where its topic is gone.
func (r *replica) apply(t *controller.Topic) {
	m := r.m
	meta := t.Partition(r.id.Partition)
	if meta == nil || !slices.Contains(meta.Replicas, m.cfg.NodeID) {
		code := protocol.NotLeaderOrFollower
		if meta == nil {
			code = protocol.UnknownTopicOrPartition
		}
		r.drop(code)
		return
	}
	e := takeEffects()
	r.mu.Lock()
	if r.p != nil {
		r.become(meta.Leader, meta.LeaderEpoch, meta.PartitionEpoch, meta.Replicas, meta.ISR, e)
		r.unlock(e)
	} else {
		r.mu.Unlock()
	}
	putEffects(e)
}

// drop ends a partition on this broker and removes its log.
func (r *replica) drop(code protocol.Code) {
	m := r.m
	e := takeEffects()
	r.mu.Lock()
	if r.p != nil {
		r.p.Stop(code, e)
		r.p = nil
	}
	m.forget(r)
	r.mu.Unlock()
	finish(e)
	putEffects(e)
	m.removeLog(r.name)
}

func (m *Manager) dropTopic(t *controller.Topic) {
	m.topics.mu.Lock()
	delete(m.topics.m, t.ID)
	m.topics.mu.Unlock()
	m.logNames(t, func(id partition.ID, name string) {
		m.fetchers.unfollow(id)
		if r := m.get(id); r != nil {
			r.drop(protocol.UnknownTopicOrPartition)
		} else {
			m.removeLog(name)
		}
	})
}

// removeLog removes a log from whatever directory it is in.
func (m *Manager) removeLog(name string) {
	for _, d := range m.dirs {
		d.forget(name)
		if d.store == nil {
			continue
		}
		if err := d.store.Remove(name); err != nil && !d.offline.Load() {
			m.log.Error("a log could not be removed", "log", name, "dir", d.Path, "err", err)
		}
	}
}

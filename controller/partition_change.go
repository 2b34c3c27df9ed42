package controller

import (
	"slices"

	"weir/protocol"
)

// election says how hard a leader is looked for.
type election int

const (
	electOnline    election = iota // a replica in sync
	electPreferred                 // the first replica, if it is in sync
	electUnclean                   // any replica that lives, rather than none: loses records
)

const noLeader int32 = -1

// partitionChange is the one function that decides a partition's state: it is given what is wanted and builds the record that gets
// there, with an election where one is due. Kafka's PartitionChangeBuilder.
type partitionChange struct {
	image      *Image
	topic      protocol.UUID
	id         int32
	old        *Partition
	acceptable func(broker int32) bool // may lead: lives, and the replica's directory does too
	election   election
	minISR     int
	elr        bool    // eligible leader replicas (KIP-966) are on
	unclean    []int32 // brokers that came back without what they had

	isr, replicas, removing, adding []int32
	targetELR                       []int32
	recovering                      bool
	dirs                            map[int32]protocol.UUID // replicas that move to another directory
}

// changeOf starts a change of a partition that wants nothing yet.
func changeOf(m *Image, topic *Topic, id int32) *partitionChange {
	p := topic.Partitions[id]
	c := &partitionChange{
		image: m, topic: topic.ID, id: id, old: p,
		isr: p.ISR, replicas: p.Replicas, removing: p.Removing, adding: p.Adding, targetELR: p.ELR, recovering: p.Recovering,
		elr: m.Feature(elrFeature) > 0,
	}
	c.acceptable = c.acceptor(m.Active)
	return c
}

// acceptor is the rule for leaders: active, and with the replica's directory online.
func (c *partitionChange) acceptor(active func(int32) bool) func(int32) bool {
	return func(r int32) bool {
		if !active(r) {
			return false
		}
		b := c.image.Broker(r)
		return b != nil && b.hasOnlineDir(c.old.directory(r))
	}
}

// directory returns where a broker's replica is.
func (p *Partition) directory(broker int32) protocol.UUID {
	if i := slices.Index(p.Replicas, broker); i >= 0 && i < len(p.Directories) {
		return p.Directories[i]
	}
	return DirMigrating
}

// build returns the record, nil if nothing changes.
func (c *partitionChange) build() *PartitionChangeRecord {
	rec := &PartitionChangeRecord{PartitionID: c.id, TopicID: c.topic, Leader: NoLeaderChange, LeaderRecoveryState: -1}
	c.completeReassignment()
	c.populateELR()
	c.elect(rec)
	if rec.Leader == NoLeaderChange && !containsAll(c.replicas, c.old.Replicas) {
		rec.Leader = c.old.Leader // raises the leader epoch, which fences the replicas that were taken out
	}
	c.recordELR(rec)
	// Without ELR the last member stays in the ISR, with no leader: nobody else has the records.
	if rec.ISR == nil && (len(c.isr) > 0 || c.elr) && !slices.Equal(c.isr, c.old.ISR) {
		rec.ISR = notNull(c.isr)
	}
	c.lastKnownLeader(rec)
	c.assignment(rec)
	if c.recovering != c.old.Recovering {
		rec.LeaderRecoveryState = 0
		if c.recovering {
			rec.LeaderRecoveryState = 1
		}
	}
	if rec.noOp() {
		return nil
	}
	return rec
}

func (m *PartitionChangeRecord) noOp() bool {
	return m.ISR == nil && m.Leader == NoLeaderChange && m.Replicas == nil && m.Removing == nil && m.Adding == nil &&
		m.LeaderRecoveryState == -1 && m.ELR == nil && m.LastELR == nil && m.Directories == nil
}

// completeReassignment ends a reassignment once every replica that stays is in sync.
func (c *partitionChange) completeReassignment() {
	if len(c.removing) == 0 && len(c.adding) == 0 {
		return
	}
	isr, replicas := without(c.isr, c.removing...), without(c.replicas, c.removing...)
	if len(isr) == 0 || !containsAll(isr, replicas) {
		return
	}
	c.isr, c.replicas = isr, replicas
	c.removing, c.adding = []int32{}, []int32{}
}

func (c *partitionChange) populateELR() {
	if !c.elr {
		return
	}
	if len(c.isr) >= c.minISR {
		c.targetELR = []int32{}
		return
	}
	elr := without(without(c.targetELR, c.isr...), c.unclean...)
	for _, r := range without(without(c.old.ISR, c.isr...), c.unclean...) {
		if !slices.Contains(elr, r) {
			elr = append(elr, r)
		}
	}
	c.targetELR = elr
}

// valid says whether a replica can become leader without loss.
func (c *partitionChange) valid(r int32) bool {
	in := slices.Contains(c.isr, r) || len(c.isr) == 0 && slices.Contains(c.targetELR, r)
	return in && c.acceptable(r)
}

// leader decides who leads, and whether that loses records.
func (c *partitionChange) leader() (leader int32, unclean bool) {
	if c.election == electPreferred && len(c.replicas) > 0 && c.valid(c.replicas[0]) {
		return c.replicas[0], false
	}
	if c.valid(c.old.Leader) {
		return c.old.Leader, false
	}
	for _, r := range c.replicas {
		if c.valid(r) {
			return r, false
		}
	}
	// KIP-966's balanced recovery. Kafka 3.9 takes the last leader even when it is dead, which leaves nobody to serve.
	if c.elr && len(c.isr) == 0 && len(c.targetELR) == 0 && len(c.old.LastELR) == 1 && c.acceptable(c.old.LastELR[0]) {
		return c.old.LastELR[0], true
	}
	if c.election == electUnclean {
		for _, r := range c.replicas {
			if c.acceptable(r) {
				return r, true
			}
		}
	}
	return noLeader, false
}

func (c *partitionChange) elect(rec *PartitionChangeRecord) {
	leader, unclean := c.leader()
	if leader == c.old.Leader {
		return
	}
	rec.Leader = leader
	switch {
	case leader != noLeader && slices.Contains(c.targetELR, leader):
		c.isr, c.targetELR = []int32{leader}, without(c.targetELR, leader)
	case unclean:
		rec.ISR = []int32{leader}
		if !c.old.Recovering {
			rec.LeaderRecoveryState = 1
			c.recovering = true
		}
	}
}

func (c *partitionChange) recordELR(rec *PartitionChangeRecord) {
	if rec.ISR != nil || !c.elr { // an unclean election starts from nothing
		c.targetELR = []int32{}
	}
	if !slices.Equal(c.targetELR, c.old.ELR) {
		rec.ELR = notNull(c.targetELR)
	}
}

// lastKnownLeader keeps who led last while nobody can: LastELR then has that one member.
func (c *partitionChange) lastKnownLeader(rec *PartitionChangeRecord) {
	if !c.elr {
		return
	}
	last := c.old.LastELR
	switch {
	case rec.ISR != nil && len(rec.ISR) == 0 && (len(last) != 1 || last[0] != c.old.Leader):
		if c.old.Leader != noLeader {
			rec.LastELR = []int32{c.old.Leader}
		}
	case len(last) > 0 && (rec.Leader >= 0 || c.old.Leader != noLeader && rec.Leader != noLeader):
		rec.LastELR = []int32{}
	}
}

func (c *partitionChange) assignment(rec *PartitionChangeRecord) {
	if len(c.replicas) > 0 {
		dirs := c.old.Directories
		if len(c.dirs) > 0 || !slices.Equal(c.replicas, c.old.Replicas) {
			dirs = make([]protocol.UUID, len(c.replicas))
			for i, r := range c.replicas {
				dirs[i] = c.newDirectory(r)
			}
		}
		if !slices.Equal(dirs, c.old.Directories) {
			rec.Directories = dirs
		}
		if !slices.Equal(c.replicas, c.old.Replicas) {
			rec.Replicas = c.replicas
		}
	}
	if !slices.Equal(c.removing, c.old.Removing) {
		rec.Removing = notNull(c.removing)
	}
	if !slices.Equal(c.adding, c.old.Adding) {
		rec.Adding = notNull(c.adding)
	}
}

func (c *partitionChange) newDirectory(r int32) protocol.UUID {
	if d, ok := c.dirs[r]; ok {
		return d
	}
	if slices.Contains(c.old.Replicas, r) {
		return c.old.directory(r)
	}
	return c.image.defaultDir(r)
}

// containsAll says whether every element of b is in a.
func containsAll(a, b []int32) bool {
	for _, v := range b {
		if !slices.Contains(a, v) {
			return false
		}
	}
	return true
}

// without returns a copy of a without some elements, in order; a itself where none is in it.
func without(a []int32, drop ...int32) []int32 {
	for i, v := range a {
		if !slices.Contains(drop, v) {
			continue
		}
		kept := slices.Clone(a[:i])
		for _, v := range a[i:] {
			if !slices.Contains(drop, v) {
				kept = append(kept, v)
			}
		}
		return notNull(kept)
	}
	return a
}

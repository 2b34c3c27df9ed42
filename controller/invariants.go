package controller

import (
	"errors"
	"fmt"
	"slices"
)

// CheckInvariants says what no batch may break, as far as it can be seen from the image before a batch and after it; old may be nil.
// Tests call it after every batch.
func CheckInvariants(old, m *Image) error {
	var errs []error
	names := 0
	for t := range m.Topics() {
		names++
		if m.TopicByID(t.ID) != t || m.Topic(t.Name) != t {
			errs = append(errs, fmt.Errorf("topic %s: name and id lead to different topics", t.Name))
		}
		for id, p := range t.Partitions {
			if err := checkPartition(m, p); err != nil {
				errs = append(errs, fmt.Errorf("%s-%d %+v: %w", t.Name, id, *p, err))
			}
		}
	}
	if names != m.topicIDs.size {
		errs = append(errs, fmt.Errorf("%d names for %d topic ids", names, m.topicIDs.size))
	}
	if old != nil {
		errs = append(errs, checkStep(old, m))
	}
	return errors.Join(errs...)
}

func checkPartition(m *Image, p *Partition) error {
	switch {
	case len(p.Directories) != len(p.Replicas):
		return errors.New("not one directory a replica")
	case repeats(p.Replicas) || repeats(p.ISR):
		return errors.New("a replica twice")
	case !containsAll(p.Replicas, p.ISR):
		return errors.New("the ISR is not among the replicas")
	case p.Leader != noLeader && !slices.Contains(p.ISR, p.Leader):
		return errors.New("the leader is not in the ISR")
	case p.Leader != noLeader && !m.Active(p.Leader):
		return errors.New("the leader is not active")
	case !containsAll(p.Replicas, p.Adding) || !containsAll(p.Replicas, p.Removing):
		return errors.New("replicas are added or removed that are none")
	case slices.ContainsFunc(p.Adding, func(r int32) bool { return slices.Contains(p.Removing, r) }):
		return errors.New("a replica is added and removed")
	case slices.ContainsFunc(p.ELR, func(r int32) bool { return slices.Contains(p.ISR, r) }):
		return errors.New("ELR and ISR overlap")
	case p.Recovering && len(p.ISR) > 1:
		return errors.New("recovering with more than the leader in the ISR")
	}
	for _, r := range p.ISR {
		if !m.Active(r) && (len(p.ISR) > 1 || p.Leader != noLeader) {
			return fmt.Errorf("broker %d is in the ISR and not active", r)
		}
	}
	return nil
}

// checkStep holds what only grows.
func checkStep(old, m *Image) error {
	var errs []error
	if m.Offset < old.Offset || m.Epoch < old.Epoch {
		errs = append(errs, errors.New("the image went back"))
	}
	if m.nextProducerID < old.nextProducerID {
		errs = append(errs, errors.New("producer ids went back"))
	}
	for t := range m.Topics() {
		o := old.TopicByID(t.ID)
		if o == nil || o == t {
			continue
		}
		if o.Name != t.Name || len(t.Partitions) < len(o.Partitions) {
			errs = append(errs, fmt.Errorf("topic %s was %s with %d partitions", t.Name, o.Name, len(o.Partitions)))
			continue
		}
		for id, was := range o.Partitions {
			if err := checkPartitionStep(was, t.Partitions[id]); err != nil {
				errs = append(errs, fmt.Errorf("%s-%d: %+v to %+v: %w", t.Name, id, *was, *t.Partitions[id], err))
			}
		}
	}
	for _, b := range m.brokers {
		if o := old.Broker(b.ID); o != nil && (b.Epoch < o.Epoch || b.Epoch == o.Epoch && b.Incarnation != o.Incarnation) {
			errs = append(errs, fmt.Errorf("broker %d: epoch %d to %d", b.ID, o.Epoch, b.Epoch))
		}
	}
	return errors.Join(errs...)
}

func checkPartitionStep(was, p *Partition) error {
	switch {
	case was == p:
		return nil
	case p.LeaderEpoch < was.LeaderEpoch || p.PartitionEpoch < was.PartitionEpoch:
		return errors.New("an epoch went back")
	case p.PartitionEpoch == was.PartitionEpoch:
		return errors.New("a change without a new partition epoch")
	case p.Leader != was.Leader && p.LeaderEpoch == was.LeaderEpoch:
		return errors.New("two leaders in one epoch")
	}
	return nil
}

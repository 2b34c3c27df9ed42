package group

import (
	"slices"

	"weir/coordinator/group/assignor"
	"weir/protocol"
)

// reconcile moves the member towards its target as far as it can go now. said is that the request says what the member has: owned.
func (o *change) reconcile(epoch int32, target assignor.Assignment, owned []topicPartitions, said bool) {
	if !o.subscribed && o.next.reconciled(epoch) {
		return
	}
	r := reconciliation{o: o, m: o.next, epoch: epoch, target: target, owned: owned, said: said}
	next := r.run()
	if next == o.next {
		return
	}
	if next.epoch == o.next.epoch && next.previousEpoch == o.next.previousEpoch && next.state == o.next.state &&
		equalOwned(next.assigned, o.next.assigned) && equalOwned(next.revoking, o.next.revoking) {
		return
	}
	o.next = next
	o.appendMember(typeConsumerCurrent, next.id, next.current())
	if next.classic != nil {
		return
	}
	k := timer(timerConsumerRebalance, o.c.id, next.id)
	if next.state == memberUnrevoked {
		o.arm(k, o.now+int64(next.rebalanceMs))
	} else {
		o.cancel(k)
	}
}

// reconciliation is one step of one member (Kafka's CurrentAssignmentBuilder).
type reconciliation struct {
	o      *change
	m      *consumerMember
	epoch  int32
	target assignor.Assignment
	owned  []topicPartitions
	said   bool

	subscribed []assignor.TopicID
}

func (r *reconciliation) run() *consumerMember {
	switch r.m.state {
	case memberStable:
		if r.m.epoch != r.epoch {
			return r.advance()
		}
		return r.unsubscribe()
	case memberUnrevoked:
		if !r.has(r.m.revoking) {
			return r.advance()
		}
		if r.o.subscribed {
			return r.unsubscribe()
		}
		return r.m
	}
	// UNRELEASED; a state of a later version of Kafka is started over from what is assigned.
	return r.advance()
}

// has says whether the member may still read any of list.
func (r *reconciliation) has(list []topicPartitions) bool {
	if !r.said {
		return true
	}
	for _, tp := range r.owned {
		if i, ok := findTopic(list, tp.topic); ok {
			for _, p := range tp.partitions {
				if _, ok := slices.BinarySearch(list[i].partitions, p); ok {
					return true
				}
			}
		}
	}
	return false
}

func (r *reconciliation) subscribes(id protocol.UUID) bool {
	if r.subscribed == nil {
		r.subscribed = r.o.topicIDs(r.m.topics, r.o.c.resolved[*r.m.regex].topics)
	}
	_, ok := slices.BinarySearchFunc(r.subscribed, id, func(a assignor.TopicID, id protocol.UUID) int { return slices.Compare(a[:], id[:]) })
	return ok
}

// move makes the member's next self.
func (r *reconciliation) move(state int8, epoch int32, assigned, revoking []topicPartitions) *consumerMember {
	next := *r.m
	next.state, next.previousEpoch, next.epoch, next.assigned, next.revoking = state, r.m.epoch, epoch, assigned, revoking
	return &next
}

// unsubscribe takes away the topics that the member no longer subscribes to, without waiting for a new target.
func (r *reconciliation) unsubscribe() *consumerMember {
	var keep []topicPartitions
	var revoke []ownedPartition
	for _, tp := range r.m.assigned {
		if r.subscribes(tp.topic) {
			keep = append(keep, tp)
			continue
		}
		revoke = appendOwned(revoke, tp)
	}
	if len(revoke) == 0 {
		return r.m
	}
	for _, tp := range r.m.revoking {
		revoke = appendOwned(revoke, tp)
	}
	slices.SortStableFunc(revoke, compareOwned)
	if gone := gather(revoke); r.has(gone) {
		return r.move(memberUnrevoked, r.m.epoch, keep, gone)
	}
	return r.move(r.m.state, r.m.epoch, keep, r.m.revoking)
}

func appendOwned(flat []ownedPartition, tp topicPartitions) []ownedPartition {
	for i, p := range tp.partitions {
		flat = append(flat, ownedPartition{partitionID{tp.topic, p}, tp.epochs[i]})
	}
	return flat
}

// advance moves towards the target: what is not in it is to be revoked first, at the old epoch; then what others have given up is added.
func (r *reconciliation) advance() *consumerMember {
	var keep, revoke, add []ownedPartition
	unreleased := false
	for _, tp := range r.m.assigned {
		var want []int32
		if r.subscribes(tp.topic) {
			want = r.target.Of(assignor.TopicID(tp.topic))
		}
		for i, p := range tp.partitions {
			o := ownedPartition{partitionID{tp.topic, p}, tp.epochs[i]}
			if _, ok := slices.BinarySearch(want, p); ok {
				keep = append(keep, o)
			} else {
				revoke = append(revoke, o)
			}
		}
	}
	for _, tp := range r.target {
		if !r.subscribes(tp.Topic) {
			continue
		}
		for _, p := range tp.Partitions {
			o := ownedPartition{partitionID{tp.Topic, p}, r.epoch}
			switch {
			case isIn(r.m.assigned, o.partitionID):
			case r.o.c.owners[o.partitionID] > 0 && !isIn(r.m.revoking, o.partitionID):
				unreleased = true
			default:
				add = append(add, o)
			}
		}
	}
	if len(revoke) > 0 {
		if list := gather(revoke); r.has(list) {
			return r.move(memberUnrevoked, r.m.epoch, gather(keep), list)
		}
	}
	keep = append(keep, add...)
	slices.SortFunc(keep, compareOwned)
	state := memberStable
	if unreleased {
		state = memberUnreleased
	}
	return r.move(state, r.epoch, gather(keep), nil)
}

func isIn(list []topicPartitions, id partitionID) bool {
	i, ok := findTopic(list, id.topic)
	if !ok {
		return false
	}
	_, ok = slices.BinarySearch(list[i].partitions, id.partition)
	return ok
}

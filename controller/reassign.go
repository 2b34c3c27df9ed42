package controller

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/protocol"
)

func decimal(n int32) string { return strconv.Itoa(int(n)) }

// alterReassignments decides AlterPartitionReassignments (KIP-455). A reassignment has up to three steps: the new replicas are added, they get in
// sync, and those that are to go are taken out, which the leader's AlterPartition does when the time has come.
func (c *Controller) alterReassignments(in Input, q *kmsg.AlterPartitionAssignmentsRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	r.AllowReplicationFactorChange = q.AllowReplicationFactorChange
	base := c.topicDefaults(in.Image)
	sameFactor := q.Version >= 1 && !q.AllowReplicationFactorChange
	var records []Record
	seen := map[*Partition]bool{}
	for i := range q.Topics {
		a := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		a.Topic = clone(q.Topics[i].Topic)
		t := in.Image.Topic(a.Topic)
		for j := range q.Topics[i].Partitions {
			want := &q.Topics[i].Partitions[j]
			p := t.Partition(want.Partition)
			var rec *PartitionChangeRecord
			var o outcome
			switch {
			case t == nil:
				o = outcome{protocol.UnknownTopicOrPartition, "Unable to find a topic named " + a.Topic + "."}
			case p == nil:
				o = outcome{protocol.UnknownTopicOrPartition, "Unable to find partition " + a.Topic + ":" + decimal(want.Partition) + "."}
			case seen[p]:
				o = outcome{protocol.InvalidRequest, "Partition " + a.Topic + ":" + decimal(want.Partition) + " is named twice."}
			case want.Replicas == nil:
				rec, o = cancelReassignment(in.Image, base, t, want.Partition)
			default:
				rec, o = changeReassignment(in.Image, base, t, want.Partition, want.Replicas, sameFactor)
			}
			if seen[p] = p != nil; rec != nil {
				records = append(records, rec)
			}
			ap := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			ap.Partition, ap.ErrorCode, ap.ErrorMessage = want.Partition, int16(o.code), o.text()
			a.Partitions = append(a.Partitions, ap)
		}
		r.Topics = append(r.Topics, a)
	}
	if len(records) > MaxRecordsPerUserOp {
		r.ErrorCode, r.ErrorMessage, r.Topics = int16(tooManyRecords.code), tooManyRecords.text(), nil
		return r, nil
	}
	return r, records
}

func (p *Partition) reassigning() bool { return len(p.Adding) > 0 || len(p.Removing) > 0 }

// changeReassignment gives a partition the replicas that are wanted. Those that it has and that are not wanted stay, last, until the others are in
// sync.
func changeReassignment(m *Image, base *config.Topic, t *Topic, id int32, want []int32, sameFactor bool) (*PartitionChangeRecord, outcome) {
	p := t.Partitions[id]
	if o := m.checkAssignment(want, 0); o.failed() {
		return nil, o
	}
	if have := len(without(p.Replicas, p.Removing...)); sameFactor && have != len(want) {
		return nil, outcome{protocol.InvalidReplicationFactor, "The replication factor is changed from " + strconv.Itoa(have) + " to " + strconv.Itoa(len(want))}
	}
	// What an earlier reassignment was adding, and is still wanted, is still being added. Kafka keeps the whole lists of the earlier one where
	// the later has none, and then removes replicas that are wanted.
	removing, adding := slices.Clone(without(p.Replicas, want...)), slices.Clone(without(want, without(p.Replicas, p.Adding...)...))
	slices.Sort(removing)
	slices.Sort(adding)
	change := changeOf(m, t, id)
	change.minISR = minISROf(m, t, base)
	change.replicas = append(slices.Clone(want), removing...)
	change.removing, change.adding = removing, adding
	return change.build(), outcome{}
}

// cancelReassignment takes the replicas out that were being added.
func cancelReassignment(m *Image, base *config.Topic, t *Topic, id int32) (*PartitionChangeRecord, outcome) {
	p := t.Partitions[id]
	if !p.reassigning() {
		return nil, outcome{protocol.NoReassignmentInProgress, protocol.NoReassignmentInProgress.Message()}
	}
	change := changeOf(m, t, id)
	change.election, change.minISR = electionOf(m, t, base), minISROf(m, t, base)
	change.replicas = slices.Clone(without(p.Replicas, p.Adding...))
	change.isr = slices.Clone(without(p.ISR, p.Adding...))
	if len(change.replicas) == 0 {
		return nil, outcome{protocol.InvalidReplicaAssignment, "Invalid replica assignment: addingReplicas contains all replicas."}
	}
	if len(change.isr) == 0 {
		if change.election != electUnclean {
			return nil, outcome{protocol.InvalidReplicaAssignment, "Unable to revert partition assignment for " + t.Name + ":" + decimal(id) +
				" because it would require an unclean leader election."}
		}
		change.isr = []int32{change.replicas[0]}
	}
	change.removing, change.adding = []int32{}, []int32{}
	return change.build(), outcome{}
}

// listReassignments decides ListPartitionReassignments (KIP-455).
func listReassignments(m *Image, q *kmsg.ListPartitionReassignmentsRequest) kmsg.Response {
	r := q.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	add := func(t *Topic, ids []int32) {
		a := kmsg.NewListPartitionReassignmentsResponseTopic()
		a.Topic = t.Name
		for _, id := range ids {
			p := t.Partition(id)
			if p == nil || !p.reassigning() {
				continue
			}
			ap := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			ap.Partition, ap.Replicas, ap.AddingReplicas, ap.RemovingReplicas = id, p.Replicas, notNull(p.Adding), notNull(p.Removing)
			a.Partitions = append(a.Partitions, ap)
		}
		if len(a.Partitions) > 0 {
			r.Topics = append(r.Topics, a)
		}
	}
	if q.Topics == nil {
		for t := range m.Topics() {
			if slices.ContainsFunc(t.Partitions, (*Partition).reassigning) {
				add(t, sequence(len(t.Partitions)))
			}
		}
	}
	for i := range q.Topics {
		if t := m.Topic(q.Topics[i].Topic); t != nil {
			add(t, q.Topics[i].Partitions)
		}
	}
	return r
}

package controller

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// createPartitions decides CreatePartitions: each topic on its own, all that succeed in one batch.
func (c *Controller) createPartitions(in Input, q *kmsg.CreatePartitionsRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.CreatePartitionsResponse)
	count := map[string]int{}
	for i := range q.Topics {
		count[q.Topics[i].Topic]++
	}
	whole := outcome{}
	if additional(in.Image, q, count) > MaxRecordsPerUserOp {
		whole = tooManyMore
	}
	var records []Record
	var outcomes []outcome
	for i := range q.Topics {
		t := &q.Topics[i]
		var o outcome
		if count[t.Topic] > 1 {
			o = outcome{protocol.InvalidRequest, "Duplicate topic name."}
		} else if !whole.failed() {
			var more []*PartitionRecord
			more, o = c.addPartitions(in, t)
			for _, p := range more {
				records = append(records, p)
			}
		}
		outcomes = append(outcomes, o)
	}
	answered := map[string]bool{}
	for i := range q.Topics {
		t := &q.Topics[i]
		if answered[t.Topic] {
			continue
		}
		answered[t.Topic] = true
		o := outcomes[i]
		if whole.failed() && count[t.Topic] == 1 {
			o = whole
		}
		a := kmsg.NewCreatePartitionsResponseTopic()
		a.Topic, a.ErrorCode, a.ErrorMessage = clone(t.Topic), int16(o.code), o.text()
		r.Topics = append(r.Topics, a)
	}
	if q.ValidateOnly || whole.failed() {
		return r, nil
	}
	return r, records
}

// additional counts the partitions that a request asks for, before anything else is looked at.
func additional(m *Image, q *kmsg.CreatePartitionsRequest, count map[string]int) int64 {
	total := int64(0)
	for i := range q.Topics {
		t := m.Topic(q.Topics[i].Topic)
		if t == nil || count[q.Topics[i].Topic] > 1 {
			continue
		}
		if n := int64(q.Topics[i].Count) - int64(len(t.Partitions)); n > 0 {
			total += n
		}
	}
	return total
}

func (c *Controller) addPartitions(in Input, q *kmsg.CreatePartitionsRequestTopic) ([]*PartitionRecord, outcome) {
	t := in.Image.Topic(q.Topic)
	if t == nil {
		return nil, outcome{code: protocol.UnknownTopicOrPartition}
	}
	have := len(t.Partitions)
	more := int(q.Count) - have
	switch n := strconv.Itoa(have); {
	case more == 0:
		return nil, outcome{protocol.InvalidPartitions, "Topic already has " + n + " partition(s)."}
	case more < 0:
		return nil, outcome{protocol.InvalidPartitions, "The topic " + clone(q.Topic) + " currently has " + n + " partition(s); " +
			strconv.Itoa(int(q.Count)) + " would not be an increase."}
	case have == 0:
		return nil, outcome{protocol.UnknownServerError, "Invalid state: topic " + t.Name + " appears to have no partitions."}
	}
	factor := len(t.Partitions[0].Replicas)
	if q.Assignment == nil {
		return placeNew(in, newPlacer(in.Image, in.Rand), t.ID, have, more, factor)
	}
	if len(q.Assignment) != more {
		return nil, outcome{protocol.InvalidReplicaAssignment, "Attempted to add " + strconv.Itoa(more) + " additional partition(s), but only " +
			strconv.Itoa(len(q.Assignment)) + " assignment(s) were specified."}
	}
	var records []*PartitionRecord
	for i, a := range q.Assignment {
		if o := in.Image.checkAssignment(a.Replicas, factor); o.failed() {
			return nil, o
		}
		isr := in.Image.activeOf(a.Replicas)
		if len(isr) == 0 {
			return nil, assignmentDown(strconv.Itoa(have + i))
		}
		records = append(records, in.Image.newPartition(t.ID, int32(have+i), slices.Clone(a.Replicas), slices.Clone(isr)))
	}
	return records, outcome{}
}

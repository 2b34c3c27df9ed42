package controller

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// deleteTopics decides DeleteTopics, by name or (from version 6) by id.
func (c *Controller) deleteTopics(in Input, q *kmsg.DeleteTopicsRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.DeleteTopicsResponse)
	d := topicDeletion{in: in, names: map[string]int{}, ids: map[protocol.UUID]int{}, wanted: map[protocol.UUID]int{}}
	n := len(q.TopicNames) + len(q.Topics) // growing costs as much again
	d.ask, r.Topics = make([]deletionOf, 0, n), make([]kmsg.DeleteTopicsResponseTopic, 0, n)
	for _, name := range q.TopicNames {
		d.ask = append(d.ask, deletionOf{name: &name})
	}
	for i := range q.Topics {
		d.ask = append(d.ask, deletionOf{q.Topics[i].Topic, q.Topics[i].TopicID})
	}
	d.count()
	answered := make(map[deletionKey]struct{}, n)
	for _, a := range d.ask {
		key := a.key()
		if _, ok := answered[key]; ok {
			continue
		}
		answered[key] = struct{}{}
		t := kmsg.NewDeleteTopicsResponseTopic()
		topic, o := d.decide(a)
		if !c.cfg.DeleteTopics {
			topic, o = nil, outcome{protocol.TopicDeletionDisabled, "Topic deletion is disabled."}
			if q.Version < 3 {
				o.code = protocol.InvalidRequest
			}
		}
		if a.name != nil {
			name := clone(*a.name)
			t.Topic = &name
		}
		t.TopicID, t.ErrorCode, t.ErrorMessage = a.id, int16(o.code), o.text()
		if topic != nil {
			name := topic.Name
			t.Topic, t.TopicID = &name, topic.ID
			d.records = append(d.records, &RemoveTopicRecord{topic.ID})
		}
		r.Topics = append(r.Topics, t)
	}
	if len(d.records) > MaxRecordsPerUserOp {
		for i := range r.Topics {
			r.Topics[i].ErrorCode, r.Topics[i].ErrorMessage = int16(tooManyRecords.code), tooManyRecords.text()
		}
		return r, nil
	}
	return r, d.records
}

// deletionOf is one topic that a request names.
type deletionOf struct {
	name *string
	id   protocol.UUID
}

type deletionKey struct {
	named bool
	name  string
	id    protocol.UUID
}

func (a deletionOf) key() deletionKey {
	k := deletionKey{id: a.id}
	if a.name != nil {
		k.named, k.name = true, *a.name
	}
	return k
}

// topicDeletion is one DeleteTopics request under way.
type topicDeletion struct {
	in      Input
	ask     []deletionOf
	names   map[string]int
	ids     map[protocol.UUID]int
	wanted  map[protocol.UUID]int // how often a topic that is there is named, by name and by id
	records []Record
}

func (d *topicDeletion) count() {
	for _, a := range d.ask {
		switch {
		case a.name != nil && a.id == (protocol.UUID{}):
			d.names[*a.name]++
			if t := d.in.Image.Topic(*a.name); t != nil && d.names[*a.name] == 1 {
				d.wanted[t.ID]++
			}
		case a.name == nil:
			d.ids[a.id]++
			if d.in.Image.TopicByID(a.id) != nil && d.ids[a.id] == 1 {
				d.wanted[a.id]++
			}
		}
	}
}

// decide returns the topic to delete, or why not.
func (d *topicDeletion) decide(a deletionOf) (*Topic, outcome) {
	bad := func(why string) (*Topic, outcome) { return nil, outcome{protocol.InvalidRequest, why} }
	byID := a.id != (protocol.UUID{})
	switch {
	case a.name == nil && !byID:
		return bad("Neither topic name nor id were specified.")
	case a.name != nil && byID:
		return bad("You may not specify both topic name and topic id.")
	case byID && d.ids[a.id] > 1:
		return bad("Duplicate topic id.")
	case !byID && d.names[*a.name] > 1:
		return bad("Duplicate topic name.")
	case byID:
		t := d.in.Image.TopicByID(a.id)
		if t == nil {
			return nil, outcome{protocol.UnknownTopicID, "This server does not host this topic ID."}
		}
		if d.wanted[t.ID] > 1 {
			return bad("The provided topic name maps to an ID that was already supplied.")
		}
		return t, outcome{}
	}
	t := d.in.Image.Topic(*a.name)
	if t == nil {
		return nil, outcome{protocol.UnknownTopicOrPartition, "This server does not host this topic-partition."}
	}
	if d.wanted[t.ID] > 1 {
		return bad("The provided topic name maps to an ID that was already supplied.")
	}
	return t, outcome{}
}

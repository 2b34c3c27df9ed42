package api

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// deletion is one request: an answer for each topic in it, and the request to the controller for those that may be deleted.
type deletion struct {
	s         *Server
	who       *Session
	img       *controller.Image
	inCluster bool
	answers   []*kmsg.DeleteTopicsResponseTopic
	names     map[string]*kmsg.DeleteTopicsResponseTopic
	ids       map[[16]byte]*kmsg.DeleteTopicsResponseTopic
	req       kmsg.DeleteTopicsRequest
}

// results are the answers in the order of the request.
func (d *deletion) results() []kmsg.DeleteTopicsResponseTopic {
	out := make([]kmsg.DeleteTopicsResponseTopic, len(d.answers))
	for i, a := range d.answers {
		out[i] = *a
	}
	return out
}

func (d *deletion) answer(name *string, id [16]byte) *kmsg.DeleteTopicsResponseTopic {
	a := kmsg.NewDeleteTopicsResponseTopic()
	a.Topic, a.TopicID = name, id
	d.answers = append(d.answers, &a)
	return &a
}

func refuse(a *kmsg.DeleteTopicsResponseTopic, code protocol.Code, message string) {
	a.ErrorCode, a.ErrorMessage = int16(code), &message
}

// add decides about one topic of the request without the controller, as far as that goes.
func (d *deletion) add(t *kmsg.DeleteTopicsRequestTopic) {
	named := t.TopicID != [16]byte{}
	switch {
	case t.Topic == nil && !named:
		refuse(d.answer(nil, t.TopicID), protocol.InvalidRequest, "Neither topic name nor id were specified.")
	case t.Topic != nil && named:
		refuse(d.answer(t.Topic, t.TopicID), protocol.InvalidRequest, "You may not specify both topic name and topic id.")
	case t.Topic != nil:
		if a := d.names[*t.Topic]; a != nil {
			d.drop(func(r *kmsg.DeleteTopicsRequestTopic) bool { return r.Topic != nil && *r.Topic == *t.Topic })
			a.TopicID = [16]byte{}
			refuse(a, protocol.InvalidRequest, "Duplicate topic name.")
			return
		}
		d.byName(t)
	default:
		if a := d.ids[t.TopicID]; a != nil && a.Topic == nil {
			d.drop(func(r *kmsg.DeleteTopicsRequestTopic) bool { return r.TopicID == t.TopicID })
			refuse(a, protocol.InvalidRequest, "Duplicate topic id.")
			return
		}
		d.byID(t)
	}
}

func (d *deletion) byName(t *kmsg.DeleteTopicsRequestTopic) {
	a := d.answer(t.Topic, [16]byte{})
	if d.names == nil {
		d.names = make(map[string]*kmsg.DeleteTopicsResponseTopic, cap(d.answers))
	}
	d.names[*t.Topic] = a
	if !d.inCluster && !(d.s.mayTopic(d.who, Describe, *t.Topic) && d.s.mayTopic(d.who, Delete, *t.Topic)) {
		refuse(a, protocol.TopicAuthorizationFailed, protocol.TopicAuthorizationFailed.Message())
		return
	}
	d.req.Topics = append(d.req.Topics, *t)
}

func (d *deletion) byID(t *kmsg.DeleteTopicsRequestTopic) {
	a := d.answer(nil, t.TopicID)
	if d.ids == nil {
		d.ids = make(map[[16]byte]*kmsg.DeleteTopicsResponseTopic)
	}
	d.ids[t.TopicID] = a
	topic := d.img.TopicByID(t.TopicID)
	switch {
	case topic == nil && !d.inCluster:
		refuse(a, protocol.UnknownTopicID, protocol.UnknownTopicID.Message())
	case topic != nil && !d.inCluster && !d.s.mayTopic(d.who, Delete, topic.Name):
		if d.s.mayTopic(d.who, Describe, topic.Name) {
			a.Topic = &topic.Name
		}
		refuse(a, protocol.TopicAuthorizationFailed, protocol.TopicAuthorizationFailed.Message())
	default: // the controller may know what this broker has not heard of yet
		d.req.Topics = append(d.req.Topics, *t)
	}
}

// drop takes topics out of the request to the controller.
func (d *deletion) drop(which func(*kmsg.DeleteTopicsRequestTopic) bool) {
	kept := d.req.Topics[:0]
	for i := range d.req.Topics {
		if !which(&d.req.Topics[i]) {
			kept = append(kept, d.req.Topics[i])
		}
	}
	d.req.Topics = kept
}

// dropNamedTwice refuses topics that are there by name and by id: there is one answer for the two.
func (d *deletion) dropNamedTwice() {
	for name, a := range d.names {
		topic := d.img.Topic(name)
		if topic == nil || a.ErrorCode != 0 {
			continue
		}
		other := d.ids[topic.ID]
		if other == nil {
			continue
		}
		if other.ErrorCode == 0 {
			d.answers = slices.DeleteFunc(d.answers, func(x *kmsg.DeleteTopicsResponseTopic) bool { return x == other })
		}
		a.TopicID = topic.ID
		refuse(a, protocol.InvalidRequest, "The provided topic name maps to an ID that was already supplied.")
		d.drop(func(r *kmsg.DeleteTopicsRequestTopic) bool {
			return r.TopicID == topic.ID || r.Topic != nil && *r.Topic == name
		})
	}
}

// submit asks the controller and takes over its answers. Those by name come without an id where it failed.
func (d *deletion) submit(timeout time.Duration) protocol.Code {
	got, err := submit[*kmsg.DeleteTopicsResponse](d.s, timeout, &d.req)
	if err != nil {
		return d.s.codeOf(err)
	}
	names, ids := make(map[string]*kmsg.DeleteTopicsResponseTopic, len(d.names)), make(map[[16]byte]*kmsg.DeleteTopicsResponseTopic, len(d.ids))
	for i := range got.Topics {
		r := &got.Topics[i]
		if r.Topic != nil {
			names[*r.Topic] = r
		}
		if r.TopicID != [16]byte{} {
			ids[r.TopicID] = r
		}
	}
	for i := range d.req.Topics {
		t := &d.req.Topics[i]
		a, r := d.ids[t.TopicID], ids[t.TopicID]
		if t.Topic != nil {
			a, r = d.names[*t.Topic], names[*t.Topic]
		}
		if r == nil {
			refuse(a, protocol.UnknownServerError, "")
			continue
		}
		*a = *r
	}
	return protocol.None
}

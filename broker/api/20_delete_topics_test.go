package api

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// deletes makes the world's controller delete what is in the image.
func (w *world) deletes() {
	w.answer = func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
		q := req.(*kmsg.DeleteTopicsRequest)
		resp := q.ResponseKind().(*kmsg.DeleteTopicsResponse)
		img := w.s.Image()
		for i := range q.Topics {
			r := kmsg.NewDeleteTopicsResponseTopic()
			r.Topic, r.TopicID = q.Topics[i].Topic, q.Topics[i].TopicID
			if r.Topic != nil && img.Topic(*r.Topic) != nil {
				r.TopicID = img.Topic(*r.Topic).ID
			} else if r.Topic != nil {
				r.ErrorCode = int16(protocol.UnknownTopicOrPartition)
			} else if t := img.TopicByID(r.TopicID); t != nil {
				r.Topic = &t.Name
			} else {
				r.ErrorCode = int16(protocol.UnknownTopicID)
			}
			resp.Topics = append([]kmsg.DeleteTopicsResponseTopic{r}, resp.Topics...) // another order than the request's
		}
		return resp, nil
	}
}

func deleteOf(topics ...any) *kmsg.DeleteTopicsRequest {
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.TimeoutMillis = 5000
	for _, x := range topics {
		t := kmsg.NewDeleteTopicsRequestTopic()
		switch x := x.(type) {
		case string:
			t.Topic = &x
			q.TopicNames = append(q.TopicNames, x)
		case protocol.UUID:
			t.TopicID = x
		}
		q.Topics = append(q.Topics, t)
	}
	return q
}

func TestDeleteTopics(t *testing.T) {
	versions(t, 20, func(t *testing.T, v int16) {
		w := newWorld(t)
		w.deletes()
		w.auth.deny(Delete, ClusterResource, ClusterName)
		w.auth.deny(Delete, TopicResource, "kept")
		for _, name := range []string{"a", "b", "kept", "dup"} {
			w.topic(name, []int32{1})
		}
		r := call[*kmsg.DeleteTopicsResponse](w, v, deleteOf("b", "gone", "dup", "kept", "a", "dup"))
		want := []struct {
			name string
			code protocol.Code
		}{{"b", 0}, {"gone", protocol.UnknownTopicOrPartition}, {"dup", protocol.InvalidRequest}, {"kept", protocol.TopicAuthorizationFailed}, {"a", 0}}
		if len(r.Topics) != len(want) {
			t.Fatalf("%+v", r.Topics)
		}
		for i, x := range want {
			if code(t, r.Topics[i].ErrorCode, x.code, x.name); value(r.Topics[i].Topic) != x.name {
				t.Errorf("%d is %s", i, value(r.Topics[i].Topic))
			}
			if (r.Topics[i].TopicID != [16]byte{}) != (v >= 6 && x.code == 0) {
				t.Errorf("%s: id %v", x.name, r.Topics[i].TopicID)
			}
		}
		if v >= 5 && value(r.Topics[2].ErrorMessage) != "Duplicate topic name." {
			t.Error(value(r.Topics[2].ErrorMessage))
		}
		if sent := w.requests()[0].(*kmsg.DeleteTopicsRequest); len(sent.Topics) != 3 || sent.Version != 6 {
			t.Errorf("sent %+v", sent)
		}
		w.s.Config = settings(t, "delete.topic.enable=false")
		disabled := protocol.TopicDeletionDisabled
		if v < 3 {
			disabled = protocol.InvalidRequest
		}
		r = call[*kmsg.DeleteTopicsResponse](w, v, deleteOf("b", "gone"))
		for i := range r.Topics {
			code(t, r.Topics[i].ErrorCode, disabled, "disabled")
		}
		if len(r.Topics) != 2 || len(w.requests()) != 1 {
			t.Errorf("disabled: %+v", r)
		}
	})
}

func TestDeleteTopicsByID(t *testing.T) {
	w := newWorld(t)
	w.deletes()
	a, kept, secret := w.topic("a", []int32{1}), w.topic("kept", []int32{1}), w.topic("secret", []int32{1})
	w.auth.deny(Delete, ClusterResource, ClusterName)
	w.auth.deny(Delete, TopicResource, "kept")
	w.auth.deny(Delete, TopicResource, "secret")
	w.auth.deny(Describe, TopicResource, "secret")
	both := deleteOf(a, kept, secret, protocol.UUID{9}, nil, protocol.UUID{8}, protocol.UUID{8})
	named := kmsg.NewDeleteTopicsRequestTopic()
	name := "a"
	named.Topic, named.TopicID = &name, a
	both.Topics = append(both.Topics, named)
	r := call[*kmsg.DeleteTopicsResponse](w, 6, both)
	want := []struct {
		name string
		id   protocol.UUID
		code protocol.Code
	}{
		{"a", a, 0},
		{"kept", kept, protocol.TopicAuthorizationFailed},
		{"<null>", secret, protocol.TopicAuthorizationFailed},
		{"<null>", protocol.UUID{9}, protocol.UnknownTopicID},
		{"<null>", protocol.UUID{}, protocol.InvalidRequest},
		{"<null>", protocol.UUID{8}, protocol.InvalidRequest},
		{"a", a, protocol.InvalidRequest},
	}
	if len(r.Topics) != len(want) {
		t.Fatalf("%+v", r.Topics)
	}
	for i, x := range want {
		if code(t, r.Topics[i].ErrorCode, x.code, x.name); value(r.Topics[i].Topic) != x.name || r.Topics[i].TopicID != x.id {
			t.Errorf("%d: %+v", i, r.Topics[i])
		}
	}
	// The same topic by name and by id, and an id that only the controller knows.
	w.auth.denied = nil
	r = call[*kmsg.DeleteTopicsResponse](w, 6, deleteOf(a, "a", protocol.UUID{9}))
	if len(r.Topics) != 2 {
		t.Fatalf("%+v", r.Topics)
	}
	code(t, r.Topics[0].ErrorCode, protocol.InvalidRequest, "named twice")
	if value(r.Topics[0].Topic) != "a" || r.Topics[0].TopicID != a {
		t.Errorf("%+v", r.Topics[0])
	}
	code(t, r.Topics[1].ErrorCode, protocol.UnknownTopicID, "asked for at the controller")
	if sent := w.requests()[1].(*kmsg.DeleteTopicsRequest); len(sent.Topics) != 1 || sent.Topics[0].TopicID != [16]byte{9} {
		t.Errorf("sent %+v", sent)
	}
	w.answer = nil
	r = call[*kmsg.DeleteTopicsResponse](w, 6, deleteOf(a, nil))
	code(t, r.Topics[0].ErrorCode, protocol.NotController, "no controller")
	code(t, r.Topics[1].ErrorCode, protocol.NotController, "no controller")
}

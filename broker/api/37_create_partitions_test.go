package api

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

func TestCreatePartitions(t *testing.T) {
	versions(t, 37, func(t *testing.T, v int16) {
		w := newWorld(t)
		w.answer = func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
			q := req.(*kmsg.CreatePartitionsRequest)
			resp := q.ResponseKind().(*kmsg.CreatePartitionsResponse)
			for i := range q.Topics {
				r := kmsg.NewCreatePartitionsResponseTopic()
				if r.Topic = q.Topics[i].Topic; r.Topic == "few" {
					r.ErrorCode, r.ErrorMessage = int16(protocol.InvalidPartitions), text("fewer")
				}
				resp.Topics = append(resp.Topics, r)
			}
			return resp, nil
		}
		w.auth.deny(Alter, TopicResource, "denied")
		q := kmsg.NewPtrCreatePartitionsRequest()
		q.TimeoutMillis, q.ValidateOnly = 5000, true
		for _, name := range []string{"a", "dup", "denied", "few", "dup"} {
			x := kmsg.NewCreatePartitionsRequestTopic()
			x.Topic, x.Count = name, 3
			x.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{{Replicas: []int32{1, 2}}}
			q.Topics = append(q.Topics, x)
		}
		r := call[*kmsg.CreatePartitionsResponse](w, v, q)
		want := []struct {
			name    string
			code    protocol.Code
			message string
		}{
			{"dup", protocol.InvalidRequest, "Duplicate topic name."}, {"denied", protocol.TopicAuthorizationFailed, "<null>"},
			{"a", 0, "<null>"}, {"few", protocol.InvalidPartitions, "fewer"},
		}
		if len(r.Topics) != len(want) {
			t.Fatalf("%+v", r.Topics)
		}
		for i, x := range want {
			if code(t, r.Topics[i].ErrorCode, x.code, x.name); r.Topics[i].Topic != x.name || value(r.Topics[i].ErrorMessage) != x.message {
				t.Errorf("%d: %+v", i, r.Topics[i])
			}
		}
		sent := w.requests()[0].(*kmsg.CreatePartitionsRequest)
		if len(sent.Topics) != 2 || !sent.ValidateOnly || len(sent.Topics[0].Assignment[0].Replicas) != 2 || sent.Topics[0].Count != 3 {
			t.Errorf("sent %+v", sent)
		}
		w.answer = nil
		r = call[*kmsg.CreatePartitionsResponse](w, v, q)
		for i := range r.Topics {
			code(t, r.Topics[i].ErrorCode, protocol.NotController, "no controller")
		}
		q.TimeoutMillis = 0
		r = call[*kmsg.CreatePartitionsResponse](w, v, q)
		code(t, r.Topics[0].ErrorCode, protocol.RequestTimedOut, "no time")
	})
}

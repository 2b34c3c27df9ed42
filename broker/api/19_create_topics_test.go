package api

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

func createOf(timeoutMs int32, names ...string) *kmsg.CreateTopicsRequest {
	q := kmsg.NewPtrCreateTopicsRequest()
	q.TimeoutMillis = timeoutMs
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
		q.Topics = append(q.Topics, t)
	}
	return q
}

func TestCreateTopics(t *testing.T) {
	versions(t, 19, func(t *testing.T, v int16) {
		w := newWorld(t)
		w.creates(map[string]protocol.Code{"exists": protocol.TopicAlreadyExists})
		w.auth.deny(Create, ClusterResource, ClusterName)
		w.auth.deny(Create, TopicResource, "denied")
		w.auth.deny(DescribeConfigs, TopicResource, "hidden")
		r := call[*kmsg.CreateTopicsResponse](w, v, createOf(5000, "z", "dup", "a", "denied", "dup", "hidden", "exists", "__cluster_metadata", "dup"))
		want := []struct {
			name    string
			code    protocol.Code
			message string
		}{
			{"z", 0, "<null>"}, {"a", 0, "<null>"}, {"hidden", 0, "<null>"}, {"exists", protocol.TopicAlreadyExists, "<null>"},
			{"dup", protocol.InvalidRequest, "Duplicate topic name."},
			{"denied", protocol.TopicAuthorizationFailed, "Authorization failed."},
			{"__cluster_metadata", protocol.InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited."},
		}
		if len(r.Topics) != len(want) {
			t.Fatalf("%+v", r.Topics)
		}
		for i, x := range want {
			got := r.Topics[i]
			code(t, got.ErrorCode, x.code, x.name)
			if got.Topic != x.name || value(got.ErrorMessage) != x.message {
				t.Errorf("%d: %s, %s", i, got.Topic, value(got.ErrorMessage))
			}
			if (got.TopicID != [16]byte{}) != (v >= 7 && x.code == 0) {
				t.Errorf("%s: id %v", x.name, got.TopicID)
			}
			shown := v >= 5 && (x.name == "z" || x.name == "a")
			if (len(got.Configs) > 0) != shown || (got.NumPartitions == 1) != shown || (got.ReplicationFactor == 1) != shown {
				t.Errorf("%s: %+v", x.name, got)
			}
			if v >= 5 && got.Configs == nil {
				t.Errorf("%s: null settings", x.name)
			}
			hidden := protocol.None
			if v >= 5 && x.name == "hidden" {
				hidden = protocol.TopicAuthorizationFailed
			}
			code(t, got.ConfigErrorCode, hidden, x.name+"'s settings")
		}
		if sent := w.requests()[0].(*kmsg.CreateTopicsRequest); len(sent.Topics) != 4 || sent.Topics[0].Topic != "z" || sent.Version != v {
			t.Errorf("sent %+v", sent)
		}
	})
}

// TestCreateTopicsFails: what stands for the whole request is each topic's code.
func TestCreateTopicsFails(t *testing.T) {
	w := newWorld(t)
	r := call[*kmsg.CreateTopicsResponse](w, 7, createOf(5000, "a", "dup", "dup"))
	for i := range r.Topics {
		if code(t, r.Topics[i].ErrorCode, protocol.NotController, "topic"); r.Topics[i].ErrorMessage != nil {
			t.Error(*r.Topics[i].ErrorMessage)
		}
	}
	if len(r.Topics) != 3 {
		t.Errorf("%+v", r.Topics)
	}
	if r = call[*kmsg.CreateTopicsResponse](w, 7, createOf(5000)); len(r.Topics) != 0 || len(w.requests()) != 1 {
		t.Errorf("nothing to create: %+v, %d requests", r, len(w.requests()))
	}
}

// TestCreateTopicsTimeout: the time-out runs from when the request came; where it is over the controller is not asked.
func TestCreateTopicsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var left time.Duration
		w.answer = func(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
			deadline, _ := ctx.Deadline()
			left = time.Until(deadline)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		for _, timeoutMs := range []int32{-1, 0, 700} {
			start := time.Now()
			r := call[*kmsg.CreateTopicsResponse](w, 7, createOf(timeoutMs, "a"))
			code(t, r.Topics[0].ErrorCode, protocol.RequestTimedOut, "topic")
			if took := time.Since(start); took != time.Duration(max(timeoutMs, 0))*time.Millisecond {
				t.Errorf("%d ms: answered after %v", timeoutMs, took)
			}
		}
		if left != 700*time.Millisecond || len(w.requests()) != 1 {
			t.Errorf("%v left, %d requests", left, len(w.requests()))
		}
		if left := w.s.timeoutOf(&Call{Received: time.Now().Add(-600 * time.Millisecond)}, 700); left != 100*time.Millisecond {
			t.Errorf("%v left of 700 ms after 600 ms in a queue", left)
		}
	})
}

package api

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

func commitOf(version int16, w *world, topics map[string][]int32) *kmsg.OffsetCommitRequest {
	q := kmsg.NewPtrOffsetCommitRequest()
	q.Group = "g"
	for _, name := range []string{"t", "unknown", "secret"} {
		if topics[name] == nil {
			continue
		}
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = name
		if topic := w.s.Image().Topic(name); topic != nil {
			t.TopicID = topic.ID
		} else {
			t.TopicID = protocol.UUID{9, 9}
		}
		for _, p := range topics[name] {
			rp := kmsg.NewOffsetCommitRequestTopicPartition()
			rp.Partition, rp.Offset = p, 5
			t.Partitions = append(t.Partitions, rp)
		}
		q.Topics = append(q.Topics, t)
	}
	return q
}

func committed(r *kmsg.OffsetCommitResponse, w *world) (out []string) {
	for _, t := range r.Topics {
		name := t.Topic
		if r.Version >= 10 {
			if name = "?"; w.s.Image().TopicByID(t.TopicID) != nil {
				name = w.s.Image().TopicByID(t.TopicID).Name
			}
		}
		for _, p := range t.Partitions {
			out = append(out, fmt.Sprintf("%s/%d %v", name, p.Partition, protocol.Code(p.ErrorCode)))
		}
	}
	return out
}

func TestOffsetCommit(t *testing.T) {
	versions(t, 8, func(t *testing.T, v int16) {
		w, g := groupWorld(t)
		secret := w.topic("secret", []int32{1})
		_ = secret
		id := w.s.Image().Topic("t").ID
		w.auth.deny(Read, TopicResource, "secret")
		g.answer = func(int) (any, error) {
			r := kmsg.NewPtrOffsetCommitResponse()
			r.Version = v
			rt := kmsg.NewOffsetCommitResponseTopic()
			rt.Topic, rt.TopicID = "t", id
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = 1, int16(protocol.StaleMemberEpoch)
			rt.Partitions = append(rt.Partitions, rp)
			r.Topics = append(r.Topics, rt)
			return r, nil
		}
		unknown, name := "UNKNOWN_TOPIC_OR_PARTITION", "unknown"
		if v >= 10 {
			unknown, name = "UNKNOWN_TOPIC_ID", "?"
		}
		got := committed(call[*kmsg.OffsetCommitResponse](w, v, commitOf(v, w, map[string][]int32{"t": {1, 2}, "unknown": {0}, "secret": {0}})), w)
		want := []string{"t/2 UNKNOWN_TOPIC_OR_PARTITION", "t/1 STALE_MEMBER_EPOCH", name + "/0 " + unknown, "secret/0 TOPIC_AUTHORIZATION_FAILED"}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		got = committed(call[*kmsg.OffsetCommitResponse](w, v, commitOf(v, w, map[string][]int32{"unknown": {0}})), w)
		if len(g.asked) != 1 || !slices.Equal(got, []string{name + "/0 " + unknown}) {
			t.Errorf("%q, asked %v", got, g.asked)
		}
		g.answer = func(int) (any, error) { return nil, coordinator.ErrTimeout }
		got = committed(call[*kmsg.OffsetCommitResponse](w, v, commitOf(v, w, map[string][]int32{"t": {0, 1}})), w)
		if !slices.Equal(got, []string{"t/0 COORDINATOR_NOT_AVAILABLE", "t/1 COORDINATOR_NOT_AVAILABLE"}) {
			t.Errorf("%q", got)
		}
		w.auth.deny(Read, GroupResource, "g")
		got = committed(call[*kmsg.OffsetCommitResponse](w, v, commitOf(v, w, map[string][]int32{"t": {0}})), w)
		if !slices.Equal(got, []string{"t/0 GROUP_AUTHORIZATION_FAILED"}) {
			t.Errorf("%q", got)
		}
	})
}

// fetchOf asks for all topics where topics is nil.
func fetchOf(v int16, w *world, topics []string, groups ...string) *kmsg.OffsetFetchRequest {
	q := kmsg.NewPtrOffsetFetchRequest()
	if v < 8 {
		q.Group = groups[0]
		for _, name := range topics {
			q.Topics = append(q.Topics, kmsg.OffsetFetchRequestTopic{Topic: name, Partitions: []int32{0}})
		}
		return q
	}
	for _, id := range groups {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = id
		for _, name := range topics {
			t := kmsg.NewOffsetFetchRequestGroupTopic()
			t.Topic, t.TopicID, t.Partitions = name, protocol.UUID{9, 9}, []int32{0}
			if topic := w.s.Image().Topic(name); topic != nil {
				t.TopicID = topic.ID
			}
			g.Topics = append(g.Topics, t)
		}
		q.Groups = append(q.Groups, g)
	}
	return q
}

func fetched(r *kmsg.OffsetFetchResponse, w *world) (out []string) {
	if r.Version < 8 {
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				out = append(out, fmt.Sprintf("%s/%d %d %v", t.Topic, p.Partition, p.Offset, protocol.Code(p.ErrorCode)))
			}
		}
		if r.ErrorCode != 0 {
			out = append(out, protocol.Code(r.ErrorCode).String())
		}
		return out
	}
	for _, g := range r.Groups {
		for _, t := range g.Topics {
			name := t.Topic
			if r.Version >= 10 {
				if name = "?"; w.s.Image().TopicByID(t.TopicID) != nil {
					name = w.s.Image().TopicByID(t.TopicID).Name
				}
			}
			for _, p := range t.Partitions {
				out = append(out, fmt.Sprintf("%s/%d %d %v", name, p.Partition, p.Offset, protocol.Code(p.ErrorCode)))
			}
		}
		if g.ErrorCode != 0 {
			out = append(out, protocol.Code(g.ErrorCode).String())
		}
	}
	return out
}

func TestOffsetFetch(t *testing.T) {
	versions(t, 9, func(t *testing.T, v int16) {
		w, g := groupWorld(t)
		w.topic("secret", []int32{1})
		w.auth.deny(Describe, TopicResource, "secret")
		w.auth.deny(Describe, GroupResource, "denied")
		g.answer = func(int) (any, error) { // the topics' ids are not always known
			r := kmsg.NewOffsetFetchResponseGroup()
			r.Group = "g"
			for _, name := range []string{"t", "secret", "gone"} {
				rt := kmsg.NewOffsetFetchResponseGroupTopic()
				rt.Topic = name
				rt.Partitions = []kmsg.OffsetFetchResponseGroupTopicPartition{{Partition: 0, Offset: 7, LeaderEpoch: -1, Metadata: new(string)}}
				r.Topics = append(r.Topics, rt)
			}
			return &r, nil
		}
		if v >= 2 {
			want := []string{"t/0 7 NONE", "gone/0 7 NONE"}
			if v >= 10 {
				want = want[:1] // there is no id for what is gone
			}
			if got := fetched(call[*kmsg.OffsetFetchResponse](w, v, fetchOf(v, w, nil, "g")), w); !slices.Equal(got, want) {
				t.Errorf("all: %q, want %q", got, want)
			}
		}
		g.answer = func(int) (any, error) {
			r := kmsg.NewOffsetFetchResponseGroup()
			rt := kmsg.NewOffsetFetchResponseGroupTopic()
			rt.Topic, rt.TopicID = "t", w.s.Image().Topic("t").ID
			rt.Partitions = []kmsg.OffsetFetchResponseGroupTopicPartition{{Partition: 0, Offset: 7, LeaderEpoch: -1, Metadata: new(string)}}
			r.Topics = append(r.Topics, rt)
			return &r, nil
		}
		want := []string{"t/0 7 NONE", "secret/0 -1 TOPIC_AUTHORIZATION_FAILED"}
		if got := fetched(call[*kmsg.OffsetFetchResponse](w, v, fetchOf(v, w, []string{"secret", "t"}, "g")), w); !slices.Equal(got, want) {
			t.Errorf("by name: %q, want %q", got, want)
		}
		if v >= 10 {
			if got := fetched(call[*kmsg.OffsetFetchResponse](w, v, fetchOf(v, w, []string{"nobody's"}, "g")), w); !slices.Equal(got, []string{"t/0 7 NONE", "?/0 -1 UNKNOWN_TOPIC_ID"}) {
				t.Errorf("an unknown id: %q", got)
			}
		}
		g.answer = func(int) (any, error) { return nil, coordinator.ErrLoading }
		refused := func(code string) []string {
			if v < 2 {
				return []string{"t/0 -1 " + code}
			}
			return []string{code}
		}
		if got := fetched(call[*kmsg.OffsetFetchResponse](w, v, fetchOf(v, w, []string{"t"}, "g")), w); !slices.Equal(got, refused("COORDINATOR_LOAD_IN_PROGRESS")) {
			t.Errorf("loading: %q", got)
		}
		if got := fetched(call[*kmsg.OffsetFetchResponse](w, v, fetchOf(v, w, []string{"t"}, "denied")), w); !slices.Equal(got, refused("GROUP_AUTHORIZATION_FAILED")) {
			t.Errorf("denied: %q", got)
		}
		if v >= 8 {
			if got := fetched(call[*kmsg.OffsetFetchResponse](w, v, fetchOf(v, w, []string{"t"}, "g", "denied")), w); !slices.Equal(got, []string{"COORDINATOR_LOAD_IN_PROGRESS", "GROUP_AUTHORIZATION_FAILED"}) {
				t.Errorf("two groups: %q", got)
			}
		}
	})
}

func TestOffsetDelete(t *testing.T) {
	w, g := groupWorld(t)
	w.topic("secret", []int32{1})
	w.auth.deny(Read, TopicResource, "secret")
	g.answer = func(int) (any, error) {
		r := kmsg.NewPtrOffsetDeleteResponse()
		r.Topics = []kmsg.OffsetDeleteResponseTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteResponseTopicPartition{{Partition: 0}}}}
		return r, nil
	}
	ask := func() (out []string) {
		q := kmsg.NewPtrOffsetDeleteRequest()
		q.Group = "g"
		for _, name := range []string{"secret", "unknown", "t"} {
			q.Topics = append(q.Topics, kmsg.OffsetDeleteRequestTopic{Topic: name, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 7}}})
		}
		r := call[*kmsg.OffsetDeleteResponse](w, 0, q)
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				out = append(out, fmt.Sprintf("%s/%d %v", t.Topic, p.Partition, protocol.Code(p.ErrorCode)))
			}
		}
		if r.ErrorCode != 0 {
			out = append(out, protocol.Code(r.ErrorCode).String())
		}
		return out
	}
	want := []string{"secret/0 TOPIC_AUTHORIZATION_FAILED", "secret/7 TOPIC_AUTHORIZATION_FAILED", "unknown/0 UNKNOWN_TOPIC_OR_PARTITION",
		"unknown/7 UNKNOWN_TOPIC_OR_PARTITION", "t/7 UNKNOWN_TOPIC_OR_PARTITION", "t/0 NONE"}
	if got := ask(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	g.answer = func(int) (any, error) { return nil, coordinator.ErrNotCoordinator }
	if got := ask(); !slices.Equal(got, []string{"NOT_COORDINATOR"}) {
		t.Errorf("%q", got)
	}
	w.auth.deny(Delete, GroupResource, "g")
	if got := ask(); !slices.Equal(got, []string{"GROUP_AUTHORIZATION_FAILED"}) {
		t.Errorf("%q", got)
	}
}

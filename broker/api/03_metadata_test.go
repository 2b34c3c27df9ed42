package api

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

func metadataOf(names ...string) *kmsg.MetadataRequest {
	q := kmsg.NewPtrMetadataRequest()
	q.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		q.Topics = append(q.Topics, t)
	}
	return q
}

func topicNames(r *kmsg.MetadataResponse) (names []string) {
	for _, t := range r.Topics {
		names = append(names, value(t.Topic))
	}
	return names
}

func TestMetadataVersions(t *testing.T) {
	versions(t, 3, func(t *testing.T, v int16) {
		w := newWorld(t)
		id := w.topic("b", []int32{1, 2}, []int32{2})
		w.topic("a", []int32{1})
		q := metadataOf("b", "gone", "b", "bad name", "a")
		q.IncludeClusterAuthorizedOperations, q.IncludeTopicAuthorizedOperations = true, true
		if v < 4 {
			w.s.Config = settings(t, "auto.create.topics.enable=false")
		}
		r := call[*kmsg.MetadataResponse](w, v, q)
		if got := topicNames(r); !slices.Equal(got, []string{"b", "a", "gone", "bad name"}) {
			t.Fatalf("topics %v", got)
		}
		code(t, r.Topics[0].ErrorCode, protocol.None, "b")
		code(t, r.Topics[2].ErrorCode, protocol.UnknownTopicOrPartition, "gone")
		code(t, r.Topics[3].ErrorCode, protocol.InvalidTopicException, "bad name")
		if (r.Topics[0].TopicID == id) != (v >= 10) {
			t.Errorf("topic id %v", r.Topics[0].TopicID)
		}
		if len(r.Brokers) != 2 || r.Brokers[0].Host != "h1" || r.Brokers[1].Port != 9092 {
			t.Errorf("brokers %+v", r.Brokers)
		}
		if v >= 1 && (r.ControllerID != 1 || value(r.Brokers[1].Rack) != "r2" || r.Brokers[0].Rack != nil) {
			t.Errorf("controller %d, racks %v", r.ControllerID, r.Brokers)
		}
		if v >= 2 && value(r.ClusterID) != testCluster {
			t.Errorf("cluster %v", value(r.ClusterID))
		}
		topicOps, clusterOps := int32(unknownOperations), int32(unknownOperations)
		if v >= 8 {
			topicOps = 3576
		}
		if v >= 8 && v <= 10 {
			clusterOps = 8096
		}
		if r.AuthorizedOperations != clusterOps || r.Topics[0].AuthorizedOperations != topicOps || r.Topics[2].AuthorizedOperations != topicOps {
			t.Errorf("operations %d, %d", r.AuthorizedOperations, r.Topics[0].AuthorizedOperations)
		}
		p := r.Topics[0].Partitions
		if len(p) != 2 || p[0].Leader != 1 || p[1].Leader != 2 || !slices.Equal(p[0].Replicas, []int32{1, 2}) || !slices.Equal(p[0].ISR, []int32{1, 2}) {
			t.Errorf("partitions %+v", p)
		}
		if v >= 7 && p[0].LeaderEpoch != 0 || v < 7 && p[0].LeaderEpoch != -1 {
			t.Errorf("leader epoch %d", p[0].LeaderEpoch)
		}
		if len(w.requests()) != 0 {
			t.Errorf("the controller was asked: %v", w.requests())
		}
	})
}

// TestMetadataAll: version 0 has no null, so empty means all; later versions tell the two apart.
func TestMetadataAll(t *testing.T) {
	versions(t, 3, func(t *testing.T, v int16) {
		w := newWorld(t)
		for _, name := range []string{"c", "a", "__consumer_offsets", "b"} {
			w.topic(name, []int32{1})
		}
		w.auth.deny(Describe, TopicResource, "b")
		all := []string{"__consumer_offsets", "a", "c"}
		r := call[*kmsg.MetadataResponse](w, v, metadataOf())
		if v == 0 && !slices.Equal(topicNames(r), all) || v > 0 && len(r.Topics) != 0 {
			t.Errorf("empty: %v", topicNames(r))
		}
		q := metadataOf()
		if q.Topics = nil; v > 0 {
			r = call[*kmsg.MetadataResponse](w, v, q)
		}
		if !slices.Equal(topicNames(r), all) {
			t.Errorf("null: %v", topicNames(r))
		}
		if r.Topics[0].IsInternal != (v >= 1) || r.Topics[1].IsInternal {
			t.Errorf("internal %v", r.Topics[0].IsInternal)
		}
	})
}

func TestMetadataByID(t *testing.T) {
	w := newWorld(t)
	id := w.topic("a", []int32{1})
	secret := w.topic("secret", []int32{1})
	w.auth.deny(Describe, TopicResource, "secret")
	unknown := protocol.UUID{1}
	q := metadataOf("a")
	for _, id := range []protocol.UUID{id, unknown, secret, id} {
		t := kmsg.NewMetadataRequestTopic()
		t.TopicID = id
		q.Topics = append(q.Topics, t)
	}
	for _, v := range []int16{10, 11} {
		r := call[*kmsg.MetadataResponse](w, v, q)
		if len(r.Topics) != 5 || len(r.Brokers) != 0 || r.ControllerID != -1 {
			t.Fatalf("v%d: %+v", v, r)
		}
		for i := range r.Topics {
			code(t, r.Topics[i].ErrorCode, protocol.InvalidRequest, "ids before version 12")
		}
	}
	for _, v := range []int16{12, 13} {
		r := call[*kmsg.MetadataResponse](w, v, q)
		if len(r.Topics) != 3 {
			t.Fatalf("v%d: %+v", v, r.Topics)
		}
		code(t, r.Topics[0].ErrorCode, protocol.UnknownTopicID, "unknown id")
		code(t, r.Topics[1].ErrorCode, protocol.None, "a")
		code(t, r.Topics[2].ErrorCode, protocol.TopicAuthorizationFailed, "secret")
		if r.Topics[0].TopicID != unknown || value(r.Topics[1].Topic) != "a" || r.Topics[2].Topic != nil || r.Topics[2].TopicID != secret {
			t.Errorf("v%d: %+v", v, r.Topics)
		}
		neither := metadataOf("a")
		neither.Topics = append(neither.Topics, kmsg.NewMetadataRequestTopic())
		r = call[*kmsg.MetadataResponse](w, v, neither)
		code(t, r.Topics[0].ErrorCode, protocol.UnknownServerError, "beside one with neither name nor id")
		if v == 13 {
			code(t, r.ErrorCode, protocol.UnknownServerError, "the whole")
		}
	}
}

// TestMetadataListener: only addresses of the listener that the client came by are told, and a leader without one is an error.
func TestMetadataListener(t *testing.T) {
	w := newWorld(t)
	w.topic("a", []int32{1, 2, 3}, []int32{2}, []int32{3, 9})
	w.who.ListenerName = "EXTERNAL"
	for v := int16(0); v <= 13; v++ {
		r := call[*kmsg.MetadataResponse](w, v, metadataOf("a"))
		if len(r.Brokers) != 1 || r.Brokers[0].Host != "x1" {
			t.Fatalf("v%d: brokers %+v", v, r.Brokers)
		}
		p := r.Topics[0].Partitions
		first := protocol.None
		noListener := protocol.ListenerNotFound
		if v == 0 {
			first = protocol.ReplicaNotAvailable
		}
		if v < 6 {
			noListener = protocol.LeaderNotAvailable
		}
		code(t, p[0].ErrorCode, first, "partition 0")
		code(t, p[1].ErrorCode, noListener, "partition 1")
		if p[0].Leader != 1 || p[1].Leader != -1 || p[2].Leader != 3 {
			t.Errorf("v%d: leaders %d %d %d", v, p[0].Leader, p[1].Leader, p[2].Leader)
		}
		replicas, offline := []int32{1, 2, 3}, []int32{2, 3}
		if v == 0 {
			replicas = []int32{1}
		}
		if v < 5 {
			offline = nil
		}
		if !slices.Equal(p[0].Replicas, replicas) || !slices.Equal(p[0].ISR, replicas) || !slices.Equal(p[0].OfflineReplicas, offline) {
			t.Errorf("v%d: %+v", v, p[0])
		}
	}
	w.merge(&controller.PartitionChangeRecord{TopicID: w.s.Image().Topic("a").ID, PartitionID: 0, Leader: -1, LeaderRecoveryState: -1})
	p := call[*kmsg.MetadataResponse](w, 12, metadataOf("a")).Topics[0].Partitions[0]
	code(t, p.ErrorCode, protocol.LeaderNotAvailable, "no leader")
	if p.LeaderEpoch != 1 {
		t.Errorf("the leader epoch of a partition without leader is %d", p.LeaderEpoch)
	}
}

// TestMetadataOfflineDirectory: a replica whose log directory is offline is an offline replica.
func TestMetadataOfflineDirectory(t *testing.T) {
	w := newWorld(t)
	w.topic("a", []int32{1, 2})
	id := w.s.Image().Topic("a").ID
	w.merge(&controller.BrokerRegistrationChangeRecord{BrokerID: 2, BrokerEpoch: w.s.Image().Broker(2).Epoch, LogDirs: []protocol.UUID{{0: 99}}})
	offline := func() []int32 {
		return call[*kmsg.MetadataResponse](w, 12, metadataOf("a")).Topics[0].Partitions[0].OfflineReplicas
	}
	if got := offline(); !slices.Equal(got, []int32{2}) {
		t.Errorf("offline replicas %v", got)
	}
	w.merge(&controller.PartitionChangeRecord{TopicID: id, Leader: controller.NoLeaderChange, LeaderRecoveryState: -1, Directories: []protocol.UUID{controller.DirLost, controller.DirUnassigned}})
	if got := offline(); !slices.Equal(got, []int32{1}) {
		t.Errorf("offline replicas %v", got)
	}
}

func TestMetadataController(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		listener     string
		leader, want int32
	}{
		{"PLAINTEXT", 2, 2}, {"PLAINTEXT", 3, 1}, {"PLAINTEXT", -1, 1}, {"PLAINTEXT", 77, 1}, {"EXTERNAL", 2, 1}, {"NONE", 1, -1},
	} {
		w.who.ListenerName = c.listener
		w.s.LeaderID = func() int32 { return c.leader }
		if got := call[*kmsg.MetadataResponse](w, 12, metadataOf()).ControllerID; got != c.want {
			t.Errorf("%+v: controller %d", c, got)
		}
	}
}

// creates makes the world's controller create topics with one partition, and fail for the names in codes.
func (w *world) creates(codes map[string]protocol.Code) {
	w.answer = func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
		q := req.(*kmsg.CreateTopicsRequest)
		resp := q.ResponseKind().(*kmsg.CreateTopicsResponse)
		for i := range q.Topics {
			r := kmsg.NewCreateTopicsResponseTopic()
			r.Topic, r.ErrorCode = q.Topics[i].Topic, int16(codes[q.Topics[i].Topic])
			if r.ErrorCode == 0 {
				r.TopicID = w.topic(r.Topic, []int32{1})
				r.NumPartitions, r.ReplicationFactor = 1, 1
				r.Configs = []kmsg.CreateTopicsResponseTopicConfig{{Name: "retention.ms"}}
			}
			resp.Topics = append(resp.Topics, r)
		}
		return resp, nil
	}
}

func TestMetadataCreates(t *testing.T) {
	versions(t, 3, func(t *testing.T, v int16) {
		w := newWorld(t)
		w.creates(map[string]protocol.Code{"refused": protocol.PolicyViolation})
		w.topic("old", []int32{1})
		w.auth.deny(Create, ClusterResource, ClusterName)
		w.auth.deny(Create, TopicResource, "denied")
		q := metadataOf("new", "old", "bad name", "refused", "denied")
		q.AllowAutoTopicCreation = true
		r := call[*kmsg.MetadataResponse](w, v, q)
		got := map[string]protocol.Code{}
		for _, topic := range r.Topics {
			got[value(topic.Topic)] = protocol.Code(topic.ErrorCode)
		}
		want := map[string]protocol.Code{"new": 0, "old": 0, "bad name": protocol.InvalidTopicException,
			"refused": protocol.UnknownTopicOrPartition, "denied": protocol.TopicAuthorizationFailed}
		for name, c := range want {
			if got[name] != c {
				t.Errorf("%s: %v, want %v", name, got[name], c)
			}
		}
		if last := value(r.Topics[len(r.Topics)-1].Topic); last != "denied" {
			t.Errorf("%s comes last", last)
		}
		if len(r.Topics[0].Partitions) != 1 {
			t.Errorf("the new topic is not shown: %+v", r.Topics)
		}
		if len(w.requests()) != 1 || len(w.requests()[0].(*kmsg.CreateTopicsRequest).Topics) != 2 {
			t.Errorf("the controller was asked %v", w.requests())
		}
		made := w.requests()[0].(*kmsg.CreateTopicsRequest).Topics[0]
		if made.NumPartitions != -1 || made.ReplicationFactor != -1 {
			t.Errorf("asked for %+v", made)
		}

		q = metadataOf("another")
		q.AllowAutoTopicCreation = false
		r = call[*kmsg.MetadataResponse](w, v, q)
		if created := v < 4; (r.Topics[0].ErrorCode == 0) != created {
			t.Errorf("declined: %v", protocol.Code(r.Topics[0].ErrorCode))
		}
		w.s.Config = settings(t, "auto.create.topics.enable=false")
		q = metadataOf("third")
		q.AllowAutoTopicCreation = true
		r = call[*kmsg.MetadataResponse](w, v, q)
		code(t, r.Topics[0].ErrorCode, protocol.UnknownTopicOrPartition, "switched off")
	})
}

// TestMetadataCreatesOnce: however many clients ask for a new topic at once, the controller is asked once for it.
func TestMetadataCreatesOnce(t *testing.T) {
	w := newWorld(t)
	w.creates(nil)
	create, gate := w.answer, make(chan struct{})
	w.answer = func(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
		<-gate
		return create(ctx, req)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			q := metadataOf("new", "other")
			q.AllowAutoTopicCreation = true
			r := call[*kmsg.MetadataResponse](w, 12, q)
			for i := range r.Topics {
				code(t, r.Topics[i].ErrorCode, protocol.None, "topic")
			}
		})
	}
	close(gate)
	all.Wait()
	asked := 0
	for _, req := range w.requests() {
		asked += len(req.(*kmsg.CreateTopicsRequest).Topics)
	}
	if asked != 2 {
		t.Errorf("the controller was asked for %d topics", asked)
	}
	w.s.created.mu.Lock()
	defer w.s.created.mu.Unlock()
	if len(w.s.created.inFlight) != 0 {
		t.Errorf("in flight: %v", w.s.created.inFlight)
	}
}

// TestMetadataSlowController: an answer does not wait for long, the creation goes on, and the client that asks again sees it.
func TestMetadataSlowController(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.creates(nil)
		create := w.answer
		w.answer = func(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
			time.Sleep(3 * time.Second)
			return create(ctx, req)
		}
		q := metadataOf("new")
		q.AllowAutoTopicCreation = true
		start := time.Now()
		r := call[*kmsg.MetadataResponse](w, 12, q)
		code(t, r.Topics[0].ErrorCode, protocol.UnknownTopicOrPartition, "too slow")
		if took := time.Since(start); took != autoCreateWait {
			t.Errorf("answered after %v", took)
		}
		for tries := 1; ; tries++ {
			if r = call[*kmsg.MetadataResponse](w, 12, q); r.Topics[0].ErrorCode == 0 {
				break
			}
			if tries > 3 {
				t.Fatal("never created")
			}
		}
		if len(w.requests()) != 1 {
			t.Errorf("the controller was asked %d times", len(w.requests()))
		}
	})
}

func TestMetadataCreatesInternalTopics(t *testing.T) {
	w := newWorld(t)
	w.creates(nil)
	w.s.Config = settings(t, "offsets.topic.num.partitions=7", "offsets.topic.segment.bytes=1048576", "transaction.state.log.replication.factor=2")
	q := metadataOf("__consumer_offsets", "__transaction_state", "__share_group_state")
	q.AllowAutoTopicCreation = true
	r := call[*kmsg.MetadataResponse](w, 12, q)
	for i := range r.Topics {
		if code(t, r.Topics[i].ErrorCode, protocol.None, value(r.Topics[i].Topic)); !r.Topics[i].IsInternal {
			t.Errorf("%s is not internal", value(r.Topics[i].Topic))
		}
	}
	topics := w.requests()[0].(*kmsg.CreateTopicsRequest).Topics
	setting := func(i int, name string) string {
		for _, c := range topics[i].Configs {
			if c.Name == name {
				return value(c.Value)
			}
		}
		return "<unset>"
	}
	if topics[0].NumPartitions != 7 || setting(0, "cleanup.policy") != "compact" || setting(0, "segment.bytes") != "1048576" || setting(0, "compression.type") != "producer" {
		t.Errorf("__consumer_offsets: %+v", topics[0])
	}
	if topics[1].NumPartitions != 50 || topics[1].ReplicationFactor != 2 || setting(1, "cleanup.policy") != "compact" || setting(1, "min.insync.replicas") != "2" || setting(1, "unclean.leader.election.enable") != "false" {
		t.Errorf("__transaction_state: %+v", topics[1])
	}
	if topics[2].NumPartitions != 50 || setting(2, "cleanup.policy") != "delete" || setting(2, "retention.ms") != "-1" {
		t.Errorf("__share_group_state: %+v", topics[2])
	}
}

func BenchmarkMetadata(b *testing.B) {
	w := newWorld(b)
	replicas := make([][]int32, 10)
	for i := range replicas {
		replicas[i] = []int32{1, 2}
	}
	for i := range 1000 {
		w.topic(fmt.Sprintf("topic-%d", i), replicas...)
	}
	for name, q := range map[string]*kmsg.MetadataRequest{"one": metadataOf("topic-7"), "all": kmsg.NewPtrMetadataRequest()} {
		b.Run(name, func(b *testing.B) {
			q.Version = 12
			c := &Call{Header: protocol.Header{Key: 3, Version: 12}, Session: w.who}
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				r, _ := metadata(w.s, c, q)
				dst = r.(kmsg.Response).AppendTo(dst[:0])
			}
		})
	}
}

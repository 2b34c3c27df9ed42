package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/fetch"
	"weir/broker/partition"
	"weir/protocol"
)

// Fetch (1), v4-18. Answered by the partition leader; from version 11 also by a follower.
//
// Versions: 4 isolation level · 5 log start offset · 7 fetch sessions (KIP-227) · 9 leader epochs (KIP-320) · 11 rack (KIP-392) ·
// 12 flexible, diverging epochs (KIP-595) · 13 topic ids (KIP-516) · 15 replica state (KIP-903) · 16 leader hints (KIP-951) ·
// 17 directory id · 18 high watermark of the follower (KIP-1166).
// Needs: READ on Topic; CLUSTER_ACTION on Cluster for a follower.
// Differs from Kafka: whole batches only: where max.bytes ends within a batch, Kafka sends its beginning, which no client can use.

// fetchMaxBytes is fetch.max.bytes of a broker: no answer holds more, but for its first batch.
func (s *Server) fetchLimit(q *kmsg.FetchRequest) int32 {
	if q.MaxBytes < s.FetchMaxBytes {
		return q.MaxBytes
	}
	return s.FetchMaxBytes
}

func fetchRecords(s *Server, c *Call, q *kmsg.FetchRequest) (Response, error) {
	o := newFetchOp(s, c, q)
	if q.IsolationLevel != 0 && q.IsolationLevel != 1 {
		return o.unreadable(c, q), nil
	}
	if code := s.Sessions.Begin(&o.fetch, o.sessionRequest(c, q), s.Now().UnixMilli()); code != protocol.None {
		o.reset()
		o.code = code
		return o, nil
	}
	o.plan(c, q)
	o.errorsLast()
	o.read(false)
	if q.MaxWaitMillis <= 0 || len(o.fetch.Parts) == 0 || o.urgent || o.size >= o.minBytes {
		o.finish()
		return o, nil
	}
	o.watch()
	deadline := c.Received.Add(time.Duration(q.MaxWaitMillis) * time.Millisecond)
	return &Pending{Held: o.Held(), Wait: func(ctx context.Context) (Response, error) {
		o.wait(ctx, deadline)
		return o, nil
	}}, nil
}

// unreadable answers a request that Kafka fails to read: before version 13 each of its partitions, too, has the code.
func (o *fetchOp) unreadable(c *Call, q *kmsg.FetchRequest) Response {
	o.reset()
	o.code = protocol.UnknownServerError
	o.fetch = fetch.Fetch{Parts: o.fetch.Parts[:0]}
	if c.Header.Version >= 13 {
		return o
	}
	o.fetch.Parts = append(o.fetch.Parts, o.sessionRequest(c, q).Want...)
	o.parts = grow(o.parts, len(o.fetch.Parts))
	for i := range o.parts {
		o.parts[i].reset()
		o.parts[i].code = o.code
	}
	o.finish()
	return o
}

// sessionRequest copies what a request says of partitions into the op's own memory.
func (o *fetchOp) sessionRequest(c *Call, q *kmsg.FetchRequest) *fetch.Request {
	r := &o.request
	r.SessionID, r.Epoch = q.SessionID, q.SessionEpoch
	if c.Header.Version < 7 {
		r.SessionID, r.Epoch = 0, -1
	}
	r.ByID, r.Follower = c.Header.Version >= 13, o.follower
	r.Want, r.Forget = r.Want[:0], r.Forget[:0]
	for i := range q.Topics {
		t := &q.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			w := fetch.Partition{Index: p.Partition, Offset: p.FetchOffset, LogStart: p.LogStartOffset, MaxBytes: p.PartitionMaxBytes,
				LeaderEpoch: max(p.CurrentLeaderEpoch, -1), LastEpoch: p.LastFetchedEpoch}
			if r.ByID {
				w.ID = t.TopicID
			} else {
				w.Name = t.Topic
			}
			r.Want = append(r.Want, w)
		}
	}
	for i := range q.ForgottenTopics {
		t := &q.ForgottenTopics[i]
		for _, p := range t.Partitions {
			w := fetch.Partition{Index: p}
			if r.ByID {
				w.ID = t.TopicID
			} else {
				w.Name = t.Topic
			}
			r.Forget = append(r.Forget, w)
		}
	}
	return r
}

// plan resolves and authorizes each partition and prepares its read.
func (o *fetchOp) plan(c *Call, q *kmsg.FetchRequest) {
	img := o.s.Image()
	clusterAction := o.follower && o.s.Authorizer.Authorize(c.Session, ClusterAction, ClusterResource, ClusterName)
	n := len(o.fetch.Parts)
	o.parts = grow(o.parts, n)
	isolation := partition.Isolation(q.IsolationLevel)
	if o.follower {
		isolation = partition.ReadToEnd
	}
	near := near(o.s, o, q.Rack)
	for i := range o.fetch.Parts {
		w, p := &o.fetch.Parts[i], &o.parts[i]
		p.reset()
		topic := img.Topic(w.Name)
		if o.request.ByID {
			topic = img.TopicByID(w.ID)
		}
		if topic != nil {
			p.name, p.id = topic.Name, partition.ID{Topic: topic.ID, Partition: w.Index}
		} else {
			p.name, p.id = w.Name, partition.ID{Topic: w.ID, Partition: w.Index}
		}
		switch {
		case topic == nil && o.request.ByID:
			p.code = protocol.UnknownTopicID
		case o.follower && !clusterAction, !o.follower && !o.s.Authorizer.Authorize(c.Session, Read, TopicResource, p.name):
			p.code = protocol.TopicAuthorizationFailed
		case topic == nil, w.Index < 0, topic != nil && int(w.Index) >= len(topic.Partitions):
			p.code = protocol.UnknownTopicOrPartition
		}
		p.req = partition.ReadRequest{Offset: w.Offset, Isolation: isolation, Near: near, OnlyLeader: o.follower || c.Header.Version < 11,
			LeaderEpoch: w.LeaderEpoch, LastFetchedEpoch: w.LastEpoch, ReplicaID: o.replicaID, ReplicaEpoch: o.replicaEpoch, ReplicaLogStart: w.LogStart}
	}
}

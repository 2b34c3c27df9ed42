package api

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
)

// WriteTxnMarkers (27), v1-2. Answered by the partition leader.
//
// Versions: 1 flexible · 2 transaction version (KIP-1228).
// Needs: ALTER or CLUSTER_ACTION on Cluster.
// Differs from Kafka: where one marker of a request has the producer id or epoch -1 none is written, in Kafka those before it are. A
// partition in a log directory that is offline is KAFKA_STORAGE_ERROR, which the coordinator tries again as well,
// instead of UNKNOWN_TOPIC_OR_PARTITION.

// OffsetMarkers ends transactions in the group coordinator: it appends the markers of __consumer_offsets itself, in the order of its own
// records.
type OffsetMarkers interface {
	// Complete ends a transaction in a partition of __consumer_offsets. It does not block. done is called once, from any goroutine, maybe before
	// it returns, when the marker is committed, or with why it is not.
	Complete(partition int32, m TxnMarker, done func(protocol.Code))
}

// TxnMarker is what ends a transaction.
type TxnMarker struct {
	ProducerID       int64
	ProducerEpoch    int16
	Commit           bool
	CoordinatorEpoch int32
	Version          int8 // transaction version
}

// markerWait is a marker whose outcome comes later, and its place in the response.
type markerWait struct {
	producer, topic, part int
	done                  <-chan struct{}
	code                  func() protocol.Code
}

// settled takes the outcome if it is there.
func (w *markerWait) settled(p *kmsg.WriteTxnMarkersResponseMarkerTopicPartition) bool {
	select {
	case <-w.done:
		p.ErrorCode = int16(w.code())
		return true
	default:
		return false
	}
}

func writeTxnMarkers(s *Server, c *Call, q *kmsg.WriteTxnMarkersRequest) (Response, error) {
	code := protocol.None
	if !s.mayCluster(c.Session, Alter) && !s.mayCluster(c.Session, ClusterAction) {
		code = protocol.ClusterAuthorizationFailed
	}
	resp, waits := writeMarkers(s, q, code)
	if len(waits) == 0 {
		return resp, nil
	}
	deadline := s.Now().Add(s.forwardTimeout())
	return &Pending{Wait: func(ctx context.Context) (Response, error) {
		awaitMarkers(ctx, s, resp, waits, deadline)
		return resp, nil
	}}, nil
}

// WriteMarkers is the request of this broker's own transaction coordinator. What it writes has its place in the logs when it returns; done is
// called once, maybe before that.
func (s *Server) WriteMarkers(q *kmsg.WriteTxnMarkersRequest, done func(*kmsg.WriteTxnMarkersResponse)) {
	resp, waits := writeMarkers(s, q, protocol.None)
	if len(waits) == 0 {
		done(resp)
		return
	}
	deadline := s.Now().Add(s.forwardTimeout())
	later(s.Log, func() Response {
		awaitMarkers(context.Background(), s, resp, waits, deadline)
		done(resp)
		return nil
	})
}

// writeMarkers appends all markers of a request, or answers each with a code.
func writeMarkers(s *Server, q *kmsg.WriteTxnMarkersRequest, all protocol.Code) (resp *kmsg.WriteTxnMarkersResponse, waits []markerWait) {
	resp = q.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	img := s.Image()
	if all == protocol.None && slices.ContainsFunc(q.Markers, func(m kmsg.WriteTxnMarkersRequestMarker) bool { return m.ProducerID == -1 || m.ProducerEpoch == -1 }) {
		all = protocol.UnknownServerError // it is a bare exception there
	}
	places := markerPlaces{resp: resp, producers: map[int64]int{}, topics: map[markerTopic]int{}}
	for i := range q.Markers {
		m := &q.Markers[i]
		marker := TxnMarker{m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch, m.TransactionVersion}
		for j := range m.Topics {
			at, t := places.of(m.ProducerID, m.Topics[j].Topic)
			rt := &resp.Markers[at].Topics[t]
			topic := img.Topic(m.Topics[j].Topic)
			for _, n := range m.Topics[j].Partitions {
				w := markerWait{producer: at, topic: t, part: len(rt.Partitions)}
				code := all
				if code == protocol.None {
					code = s.writeMarker(topic, n, marker, &w)
				}
				rt.Partitions = append(rt.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: n, ErrorCode: int16(code)})
				if w.done != nil && !w.settled(&rt.Partitions[w.part]) {
					waits = append(waits, w)
				}
			}
		}
	}
	return resp, waits
}

// writeMarker appends a marker to one partition. Where its outcome comes later w says when.
func (s *Server) writeMarker(topic *controller.Topic, n int32, m TxnMarker, w *markerWait) protocol.Code {
	p := topic.Partition(n)
	switch {
	case p == nil || !slices.Contains(p.Replicas, s.NodeID):
		return protocol.UnknownTopicOrPartition
	case topic.Name == offsetsTopic:
		return w.completeOffsets(s, n, m)
	}
	control := record.ControlAbort
	if m.Commit {
		control = record.ControlCommit
	}
	q := partition.AppendRequest{Version: 12, Acks: -1, Coordinator: true, TxnVersion: m.Version,
		Records: record.Marker(control, m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch, s.Now().UnixMilli())}
	var r partition.AppendResult
	s.Replicas.Append(partition.ID{Topic: topic.ID, Partition: n}, &q, &r)
	if r.Ack != nil {
		w.done, w.code = r.Ack.Done(), r.Ack.Code
	}
	return r.Code
}

// completeOffsets has the group coordinator write the marker.
func (w *markerWait) completeOffsets(s *Server, n int32, m TxnMarker) protocol.Code {
	if s.OffsetMarkers == nil {
		return protocol.NotLeaderOrFollower
	}
	done, code := make(chan struct{}), protocol.None
	w.done, w.code = done, func() protocol.Code { return code }
	s.OffsetMarkers.Complete(n, m, func(c protocol.Code) {
		switch c {
		case protocol.CoordinatorNotAvailable, protocol.CoordinatorLoadInProgress, protocol.NotCoordinator:
			c = protocol.NotLeaderOrFollower // the transaction coordinator knows no others that it should try again
		}
		code = c
		close(done)
	})
	return protocol.None
}

func awaitMarkers(ctx context.Context, s *Server, resp *kmsg.WriteTxnMarkersResponse, waits []markerWait, deadline time.Time) {
	ctx, cancel := context.WithTimeout(ctx, deadline.Sub(s.Now()))
	defer cancel()
	for _, w := range waits {
		code := protocol.RequestTimedOut
		select {
		case <-w.done:
			code = w.code()
		default:
			select {
			case <-w.done:
				code = w.code()
			case <-ctx.Done():
			}
		}
		resp.Markers[w.producer].Topics[w.topic].Partitions[w.part].ErrorCode = int16(code)
	}
}

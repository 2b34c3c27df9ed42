package txn

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// markers is the Key of a Send: a request to one broker, and whose markers are in it.
type markers struct {
	req   *kmsg.WriteTxnMarkersRequest
	node  int32
	txns  []marked // in the order of req.Markers
	parts int
	bytes int
}

// marked is a transaction in a request, and the round of its markers.
type marked struct {
	t     *txn
	round uint64
}

const (
	// markRetryMs is the pause before markers are sent again that a broker has not written, or that have no leader to go to.
	markRetryMs = 100
	// maxMarks is how many partitions a request is about at most, unless it is about one transaction.
	maxMarks = 1000
)

// startMarks begins the round of markers of a transaction whose outcome has been decided.
func (t *txn) startMarks(m *Machine, parts []partition) {
	m.rounds++
	t.round, t.fenced, t.unmarked = m.rounds, false, len(parts)
	t.marks = t.marks[:0]
	for _, p := range parts {
		t.marks = append(t.marks, mark{partition: p})
	}
}

// prepare writes that the outcome of t's transaction is decided and has the markers sent. Both leave when the record is committed.
func (s *step) prepare(t *txn, c *change) {
	s.change(t, c)
	t.startMarks(s.m, c.parts)
	s.mark(t, &c.value)
}

// mark puts the markers of t that are neither written nor under way into requests, and completes the transaction when there are none.
// v is the value of t, which may not be replayed yet.
func (s *step) mark(t *txn, v *value) {
	for i := range t.marks {
		k := &t.marks[i]
		if k.done || k.refused || k.by != nil {
			continue
		}
		node, ok := s.m.md.Leader(k.topic, k.n)
		switch {
		case !ok: // deleted, and its transactions with it
			t.marked(k)
		case node < 0:
			s.markLater(t, s.now+markRetryMs)
		default:
			s.add(node, t, v, k)
		}
	}
	s.complete(t, v)
}

func (t *txn) marked(k *mark) {
	k.done, k.by = true, nil
	t.unmarked--
}

// complete writes that a transaction is over if all its markers are written.
func (s *step) complete(t *txn, v *value) {
	if t.unmarked == 0 && !t.fenced {
		c := v.complete(s.now)
		s.write(t.id, &c)
	}
}

// add puts one marker into a request to a broker.
func (s *step) add(node int32, t *txn, v *value, k *mark) {
	q := s.request(node, t)
	ms := q.req.Markers
	if n := len(q.txns); n == 0 || q.txns[n-1].t != t {
		q.txns = append(q.txns, marked{t, t.round})
		q.bytes += len(t.id) + 100
		ms = append(ms, kmsg.WriteTxnMarkersRequestMarker{ProducerID: v.producerID, ProducerEpoch: v.epoch, Committed: v.state == prepareCommit,
			CoordinatorEpoch: s.m.epoch, TransactionVersion: int8(v.client)})
	}
	marker := &ms[len(ms)-1]
	if n := len(marker.Topics); n == 0 || marker.Topics[n-1].Topic != k.topic {
		marker.Topics = append(marker.Topics, kmsg.WriteTxnMarkersRequestMarkerTopic{Topic: k.topic})
	}
	topic := &marker.Topics[len(marker.Topics)-1]
	topic.Partitions = append(topic.Partitions, k.n)
	q.req.Markers = ms
	q.parts++
	k.by = q
}

// request returns the request to a broker that has room for a marker of t. Its answer completes the transactions in it, in one operation:
// that is why there are only so many.
func (s *step) request(node int32, t *txn) *markers {
	for i, q := range s.nodes {
		if q.node != node {
			continue
		}
		if q.txns[len(q.txns)-1].t == t || q.parts < maxMarks && q.bytes < fullStep {
			return q
		}
		s.sendMarkers(q)
		s.nodes[i] = newMarkers(node)
		return s.nodes[i]
	}
	q := newMarkers(node)
	s.nodes = append(s.nodes, q)
	return q
}

func newMarkers(node int32) *markers {
	q := &markers{node: node, req: kmsg.NewPtrWriteTxnMarkersRequest()}
	q.req.Version = q.req.MaxVersion()
	return q
}

func (s *step) sendMarkers(q *markers) {
	s.e.Sends = append(s.e.Sends, coordinator.Send{Key: q, Node: q.node, Request: q.req})
}

// send ends an operation that may have put markers into requests.
func (s *step) send() {
	for _, q := range s.nodes {
		s.sendMarkers(q)
	}
}

// markLater has the markers of t that are not under way sent again.
func (s *step) markLater(t *txn, at int64) {
	if !t.queued {
		t.queued = true
		s.m.again = append(s.m.again, t)
	}
	if !s.m.armed {
		s.m.armed = true
		s.arm(timerMarkers, at)
	}
}

// markAgain sends markers that had to wait.
func (s *step) markAgain() {
	m := s.m
	waiting := m.again
	m.again, m.armed = nil, false
	parts := 0
	for i, t := range waiting {
		if parts >= maxMarks || s.full() {
			m.again = append(m.again, waiting[i:]...)
			m.armed = true
			s.arm(timerMarkers, s.now)
			return
		}
		t.queued = false
		if m.txns[t.id] == t && t.state.preparing() {
			parts += len(t.marks)
			s.mark(t, &t.value)
		}
	}
}

// marked takes the answer to a request. A marker of which it says nothing is sent again.
func (s *step) marked(q *markers, answer any, err error) {
	if resp, ok := answer.(*kmsg.WriteTxnMarkersResponse); ok && err == nil {
		for i := range resp.Markers {
			s.answeredMarker(q, i, &resp.Markers[i])
		}
	}
	for i := range q.txns {
		if t := q.current(i); t != nil {
			s.settle(q, t)
		}
	}
}

// current is the i-th transaction of a request, nil if its round is over.
func (q *markers) current(i int) *txn {
	if t := q.txns[i].t; t.round == q.txns[i].round && t.state.preparing() {
		return t
	}
	return nil
}

// find returns the i-th transaction if it is the producer's, else the one that is; nil if its round is over.
func (q *markers) find(i int, producerID int64) *txn {
	is := func(m *kmsg.WriteTxnMarkersRequestMarker) bool { return m.ProducerID == producerID }
	if i >= len(q.txns) || !is(&q.req.Markers[i]) {
		i = slices.IndexFunc(q.req.Markers, func(m kmsg.WriteTxnMarkersRequestMarker) bool { return is(&m) })
	}
	if i < 0 {
		return nil
	}
	return q.current(i)
}

func (s *step) answeredMarker(q *markers, i int, a *kmsg.WriteTxnMarkersResponseMarker) {
	t := q.find(i, a.ProducerID)
	if t == nil {
		return
	}
	for _, topic := range a.Topics {
		for _, p := range topic.Partitions {
			at, ok := slices.BinarySearchFunc(t.marks, partition{topic.Topic, p.Partition}, func(k mark, p partition) int { return k.partition.compare(p) })
			if !ok || t.marks[at].by != q {
				continue
			}
			switch k := &t.marks[at]; protocol.Code(p.ErrorCode) {
			case protocol.None, protocol.UnsupportedForMessageFormat, protocol.UnsupportedVersion:
				t.marked(k)
			case protocol.InvalidProducerEpoch, protocol.TransactionCoordinatorFenced:
				// Another coordinator has gone on with the id: what is to be done is its affair.
				t.fenced, k.refused, k.by = true, true, nil
			}
		}
	}
}

// settle completes a transaction of an answered request, or has sent again what is not written. Kafka does so after
// UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND, REQUEST_TIMED_OUT and
// KAFKA_STORAGE_ERROR; an error that it does not expect ends its sender, which is no use to anybody.
func (s *step) settle(q *markers, t *txn) {
	again := false
	for i := range t.marks {
		if k := &t.marks[i]; k.by == q {
			k.by, again = nil, true
		}
	}
	if again {
		s.markLater(t, s.now+markRetryMs)
	}
	s.complete(t, &t.value)
}

package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/broker/partition/memlog"
	"weir/config"
	"weir/protocol"
	"weir/protocol/record"
)

// txnReplicas are partitions in memory, all of which this broker leads.
type txnReplicas struct {
	Replicas
	mu    sync.Mutex
	parts map[partition.ID]*partition.Partition
	cfg   config.Topic
	waits bool // appends with acks=-1 wait for hw
	acks  []*testAck
}

type testAck struct {
	done chan struct{}
	code protocol.Code
}

func (a *testAck) Done() <-chan struct{} { return a.done }
func (a *testAck) Code() protocol.Code   { return a.code }

func (r *txnReplicas) of(id partition.ID) *partition.Partition {
	p := r.parts[id]
	if p == nil {
		p = partition.New(id, 1, &memlog.Log{}, &r.cfg, &partition.Settings{}, nil)
		if err := p.Load(-1); err != nil {
			panic(err)
		}
		var e partition.Effects
		p.BecomeLeader(1, &partition.Metadata{Leader: 1, Replicas: []int32{1}, ISR: []int32{1}}, &e)
		r.parts[id] = p
	}
	return p
}

func (r *txnReplicas) Append(id partition.ID, q *partition.AppendRequest, res *partition.AppendResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*res = partition.AppendResult{BaseOffset: -1, AppendTimeMs: -1, LogStart: -1}
	_, set, verr := record.Validate(q.Records, record.Options{ProduceVersion: q.Version, Internal: q.Coordinator, MaxMessageBytes: 1 << 20, AfterMaxMs: 1 << 60, BeforeMaxMs: 1 << 60})
	if verr != nil {
		res.Code = verr.Code
		return
	}
	var e partition.Effects
	var out partition.Appended
	r.of(id).AppendAsLeader(1, &partition.Append{Records: q.Records, Set: set, Acks: q.Acks, Guard: q.Guard, Coordinator: q.Coordinator,
		TxnVersion: q.TxnVersion}, &out, &e)
	if res.Code = out.Code; out.Code == protocol.None {
		res.BaseOffset, res.LogStart = out.Base, out.LogStart
	}
	if r.waits && q.Acks == -1 && out.Code == protocol.None {
		a := &testAck{done: make(chan struct{})}
		r.acks = append(r.acks, a)
		res.Ack = a
	}
}

func (r *txnReplicas) StartVerification(id partition.ID, producerID int64, epoch int16, seq int32, bumps bool) (partition.Guard, protocol.Code) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of(id).StartVerification(1, producerID, epoch, seq, bumps)
}

func (r *txnReplicas) Producers(id partition.ID) ([]partition.ProducerState, protocol.Code) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id.Partition == 2 {
		return nil, protocol.NotLeaderOrFollower
	}
	return r.of(id).DescribeProducers(), protocol.None
}

// txnBed is a broker's handlers over those, with the transaction coordinator that the test plays.
type txnBed struct {
	*world
	r     *txnReplicas
	topic protocol.UUID

	mu    sync.Mutex
	asked []TxnPartitions
	// answer is the coordinator's code for a partition; nil: none comes until the test calls one of waiting.
	answer  func(p TxnPartition) protocol.Code
	waiting []func([]protocol.Code)
}

func newTxnBed(t testing.TB) *txnBed {
	b := &txnBed{world: newWorld(t), r: &txnReplicas{parts: map[partition.ID]*partition.Partition{}}}
	b.r.cfg = config.Topic{FlushMessages: 1 << 60, MinInsyncReplicas: 1}
	b.s.Replicas, b.s.TxnVerifier, b.s.Config = b.r, b, settings(t)
	b.topic = b.world.topic("t", []int32{1}, []int32{1}, []int32{1})
	return b
}

// VerifyPartitions implements TxnVerifier.
func (b *txnBed) VerifyPartitions(q *TxnPartitions, answered func([]protocol.Code)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, *q)
	if b.answer == nil {
		b.waiting = append(b.waiting, answered)
		return
	}
	codes := make([]protocol.Code, len(q.Partitions))
	for i, p := range q.Partitions {
		codes[i] = b.answer(p)
	}
	answered(codes)
}

func yes(TxnPartition) protocol.Code { return protocol.None }

// ask returns what the coordinator was asked since the last call.
func (b *txnBed) ask() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := fmt.Sprint(b.asked)
	b.asked = nil
	return out
}

func txnBatch(pid int64, epoch int16, seq int32) []byte {
	b := record.Builder{Transactional: true, HasProducer: true, ProducerID: pid, ProducerEpoch: epoch, BaseSequence: seq}
	b.Add(1, nil, []byte("x"))
	return b.Bytes()
}

// producing makes a request with a batch for each of the topic's partitions in turn.
func (b *txnBed) producing(version, acks int16, batches ...[]byte) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	id := "tx"
	q.Version, q.Acks, q.TransactionID, q.TimeoutMillis = version, acks, &id, 1000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = "t", b.topic
	for i, recs := range batches {
		t.Partitions = append(t.Partitions, kmsg.ProduceRequestTopicPartition{Partition: int32(i), Records: recs})
	}
	q.Topics = append(q.Topics, t)
	return q
}

// start hands a request to the handler and spoils its frame.
func (b *txnBed) start(q *kmsg.ProduceRequest) (Response, error) {
	h := protocol.Header{Key: 0, Version: q.Version, ClientID: []byte("client")}
	body := protocol.NewRequest(h)
	frame := q.AppendTo(nil)
	if err := protocol.Decode(body, frame, nil); err != nil {
		b.t.Fatal(err)
	}
	resp, err := produce(b.s, &Call{Header: h, Session: b.who, Body: body, Received: b.s.Now()}, body.(*kmsg.ProduceRequest))
	for i := range frame {
		frame[i] = 0xee
	}
	return resp, err
}

// bytesSink is a Sink in memory.
type bytesSink struct{ b []byte }

func (s *bytesSink) Bytes(b []byte)            { s.b = append(s.b, b...) }
func (s *bytesSink) Data(d *record.Data) error { return nil }

// finish waits for a response and returns code, first offset and text of each partition.
func (b *txnBed) finish(version int16, resp Response, err error) (out []string) {
	b.t.Helper()
	if p, ok := resp.(*Pending); ok {
		resp, err = p.Wait(b.t.Context())
	}
	if err != nil || resp == nil {
		return []string{fmt.Sprint(resp, " ", err)}
	}
	s := &bytesSink{}
	o := resp.(Streamed)
	if err := o.Stream(0, s); err != nil {
		b.t.Fatal(err)
	}
	o.Release()
	if n := binary.BigEndian.Uint32(s.b); int(n) != len(s.b)-4 {
		b.t.Fatalf("a frame of %d bytes says %d", len(s.b), n)
	}
	r := kmsg.NewPtrProduceResponse()
	r.Version = version
	at := 8
	if version >= 9 {
		at++
	}
	if err := r.ReadFrom(s.b[at:]); err != nil {
		b.t.Fatal(err)
	}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			line := fmt.Sprint(protocol.Code(p.ErrorCode), " ", p.BaseOffset)
			if p.ErrorMessage != nil {
				line += " " + *p.ErrorMessage
			}
			out = append(out, line)
		}
	}
	return out
}

func (b *txnBed) want(q *kmsg.ProduceRequest, want ...string) {
	b.t.Helper()
	resp, err := b.start(q)
	if got := b.finish(q.Version, resp, err); !slices.Equal(got, want) {
		b.t.Errorf("v%d: %q, want %q", q.Version, got, want)
	}
}

func (b *txnBed) wantAsked(want string) {
	b.t.Helper()
	if got := b.ask(); got != want {
		b.t.Errorf("asked %s, want %s", got, want)
	}
}

func TestProduceTransactional(t *testing.T) {
	versions(t, 0, func(t *testing.T, v int16) {
		if v < 3 {
			return // they have no transactions
		}
		b := newTxnBed(t)
		b.answer = yes
		b.want(b.producing(v, -1, txnBatch(7, 0, 0), txnBatch(7, 0, 0)), "NONE 0", "NONE 0")
		b.wantAsked(fmt.Sprintf("[{tx 7 0 %v [{t 0} {t 1}]}]", v >= 12))
		b.want(b.producing(v, -1, txnBatch(7, 0, 1), txnBatch(7, 0, 1), txnBatch(7, 0, 0)), "NONE 1", "NONE 1", "NONE 0")
		b.wantAsked(fmt.Sprintf("[{tx 7 0 %v [{t 2}]}]", v >= 12))
		b.want(b.producing(v, -1, txnBatch(7, 0, 2)), "NONE 2")
		b.wantAsked("[]")
		if b.who.produces.busy() {
			t.Error("the connection is busy")
		}
		b.s.TxnVerifier = nil
		b.want(b.producing(v, -1, txnBatch(8, 0, 0)), "INVALID_TXN_STATE -1")
	})
}

// What the coordinator says reaches the producer as something that its version knows how to handle.
func TestProduceUnverified(t *testing.T) {
	retry := "Unable to verify the partition has been added to the transaction. Underlying error: "
	notAdded := "INVALID_TXN_STATE -1 Partition was not added to the transaction"
	for _, c := range []struct {
		code            protocol.Code
		v10, v11, v12on string
	}{
		{protocol.ProducerFenced, "INVALID_PRODUCER_EPOCH -1", "INVALID_PRODUCER_EPOCH -1", "INVALID_PRODUCER_EPOCH -1"},
		{protocol.InvalidProducerEpoch, "INVALID_PRODUCER_EPOCH -1", "INVALID_PRODUCER_EPOCH -1", "INVALID_PRODUCER_EPOCH -1"},
		{protocol.InvalidProducerIDMapping, "INVALID_PRODUCER_ID_MAPPING -1", "INVALID_PRODUCER_ID_MAPPING -1", "INVALID_PRODUCER_ID_MAPPING -1"},
		{protocol.InvalidTxnState, notAdded, notAdded, notAdded},
		{protocol.ClusterAuthorizationFailed, notAdded, notAdded, notAdded},
		{protocol.TransactionAbortable, notAdded, "TRANSACTION_ABORTABLE -1", "TRANSACTION_ABORTABLE -1"},
		{protocol.ConcurrentTransactions, "NOT_ENOUGH_REPLICAS -1 " + retry + "CONCURRENT_TRANSACTIONS",
			"NOT_ENOUGH_REPLICAS -1 " + retry + "CONCURRENT_TRANSACTIONS", "CONCURRENT_TRANSACTIONS -1"},
		{protocol.NotCoordinator, "NOT_ENOUGH_REPLICAS -1 " + retry + "NOT_COORDINATOR", "NOT_ENOUGH_REPLICAS -1 " + retry + "NOT_COORDINATOR",
			"NOT_ENOUGH_REPLICAS -1 " + retry + "NOT_COORDINATOR"},
		{protocol.CoordinatorLoadInProgress, "NOT_ENOUGH_REPLICAS -1 " + retry + "COORDINATOR_LOAD_IN_PROGRESS",
			"NOT_ENOUGH_REPLICAS -1 " + retry + "COORDINATOR_LOAD_IN_PROGRESS", "NOT_ENOUGH_REPLICAS -1 " + retry + "COORDINATOR_LOAD_IN_PROGRESS"},
	} {
		b := newTxnBed(t)
		b.answer = func(p TxnPartition) protocol.Code {
			if p.Partition == 1 {
				return c.code
			}
			return protocol.None
		}
		for v, want := range map[int16]string{10: c.v10, 11: c.v11, 12: c.v12on, 13: c.v12on} {
			b.want(b.producing(v, -1, txnBatch(int64(v), 0, 0), txnBatch(int64(v), 0, 0)), fmt.Sprintf("NONE %d", b.end()), want)
		}
	}
}

// end is the end of partition 0.
func (b *txnBed) end() int64 {
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	return b.r.of(partition.ID{Topic: b.topic}).ListBound(partition.ReadToEnd, -1, true).Limit
}

// Requests that come while one is being verified are appended behind it, in their order, and need no verification of their own.
func TestProduceKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTxnBed(t)
		var pending []Response
		for seq := range int32(4) {
			r, err := b.start(b.producing(12, -1, txnBatch(7, 0, seq)))
			if _, ok := r.(*Pending); !ok || err != nil {
				t.Fatalf("%T, %v", r, err)
			}
			pending = append(pending, r)
		}
		plain := record.Builder{}
		plain.Add(1, nil, nil)
		r, err := b.start(b.producing(12, 1, plain.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		pending = append(pending, r)
		synctest.Wait()
		b.wantAsked("[{tx 7 0 true [{t 0}]}]")
		if b.end() != 0 || len(b.waiting) != 1 {
			t.Fatalf("end %d, %d wait", b.end(), len(b.waiting))
		}
		b.waiting[0]([]protocol.Code{protocol.None})
		for i, p := range pending {
			if got := b.finish(12, p, nil); !slices.Equal(got, []string{fmt.Sprintf("NONE %d", i)}) {
				t.Errorf("request %d: %q", i, got)
			}
		}
		synctest.Wait()
		if b.wantAsked("[]"); b.who.produces.busy() {
			t.Error("the connection is busy")
		}
		b.want(b.producing(12, -1, txnBatch(7, 0, 4)), "NONE 5")
	})
}

// A coordinator that does not answer costs the request no more than request.timeout.ms, and one that answers late does no harm.
func TestProduceWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTxnBed(t)
		r, err := b.start(b.producing(12, -1, txnBatch(7, 0, 0)))
		if err != nil {
			t.Fatal(err)
		}
		p := r.(*Pending)
		if p.Held < 70 {
			t.Errorf("it holds %d bytes", p.Held)
		}
		want := "NOT_ENOUGH_REPLICAS -1 Unable to verify the partition has been added to the transaction. Underlying error: NETWORK_EXCEPTION"
		if got := b.finish(12, p, nil); !slices.Equal(got, []string{want}) {
			t.Errorf("%q", got)
		}
		b.waiting[0]([]protocol.Code{protocol.None})
		b.waiting[0](nil)
		if b.end() != 0 {
			t.Error("it was appended")
		}
		// A client that goes does not keep the next connection of it from anything.
		r, _ = b.start(b.producing(12, -1, txnBatch(7, 0, 0)))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.(*Pending).Wait(ctx); err == nil {
			t.Error("no error")
		}
		synctest.Wait()
		b.waiting[1]([]protocol.Code{protocol.None})
		synctest.Wait()
		if b.end() != 1 {
			t.Error("it was not appended")
		}
	})
}

func TestProduceTransactionalBadInput(t *testing.T) {
	b := newTxnBed(t)
	b.answer = yes
	b.want(b.producing(11, -1, txnBatch(7, 0, 0), txnBatch(8, 0, 0)), "INVALID_PRODUCER_ID_MAPPING -1", "INVALID_PRODUCER_ID_MAPPING -1")
	b.want(b.producing(11, -1, txnBatch(7, 0, 0), txnBatch(7, 1, 0)), "INVALID_PRODUCER_ID_MAPPING -1", "INVALID_PRODUCER_ID_MAPPING -1")
	b.wantAsked("[]")
	b.want(b.producing(11, -1, txnBatch(7, 3, 0)), "NONE 0")
	b.ask()
	b.want(b.producing(11, -1, txnBatch(7, 2, 0)), "INVALID_PRODUCER_EPOCH -1") // the coordinator need not be asked for that
	b.want(b.producing(11, 0, txnBatch(7, 2, 1)), "<nil> "+errUnacked.Error())
	b.wantAsked("[]")
	b.want(b.producing(11, 0, txnBatch(9, 0, 0)), "<nil> <nil>")
	b.want(b.producing(11, 0, nil, txnBatch(9, 5, 0)), "<nil> "+errUnacked.Error()) // partition 0 has no batch
	q := b.producing(11, -1, txnBatch(10, 0, 0))
	q.TransactionID = nil
	b.want(q, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED -1")
	b.auth.deny(Write, TransactionalIDResource, "tx")
	b.ask()
	b.want(b.producing(11, -1, txnBatch(10, 0, 0)), "TRANSACTIONAL_ID_AUTHORIZATION_FAILED -1")
	b.wantAsked("[]")
}

// completer is the group coordinator's part in markers.
type completer struct {
	got  []string
	code protocol.Code
}

func (c *completer) Complete(n int32, m TxnMarker, done func(protocol.Code)) {
	c.got = append(c.got, fmt.Sprint(n, m))
	done(c.code)
}

func markers(ms ...kmsg.WriteTxnMarkersRequestMarker) *kmsg.WriteTxnMarkersRequest {
	q := kmsg.NewPtrWriteTxnMarkersRequest()
	q.Markers = ms
	return q
}

func marker(pid int64, epoch int16, commit bool, ce int32, version int8, topic string, parts ...int32) kmsg.WriteTxnMarkersRequestMarker {
	return kmsg.WriteTxnMarkersRequestMarker{ProducerID: pid, ProducerEpoch: epoch, Committed: commit, CoordinatorEpoch: ce,
		TransactionVersion: version, Topics: []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: parts}}}
}

func markerAnswers(r *kmsg.WriteTxnMarkersResponse) (out []string) {
	for _, m := range r.Markers {
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				out = append(out, fmt.Sprintf("%d %s-%d %s", m.ProducerID, t.Topic, p.Partition, protocol.Code(p.ErrorCode)))
			}
		}
	}
	return out
}

func TestWriteTxnMarkers(t *testing.T) {
	versions(t, 27, func(t *testing.T, v int16) {
		b := newTxnBed(t)
		b.answer = yes
		b.world.topic("elsewhere", []int32{2})
		b.world.topic("__consumer_offsets", []int32{1}, []int32{1})
		want := func(q *kmsg.WriteTxnMarkersRequest, want ...string) {
			t.Helper()
			if got := markerAnswers(call[*kmsg.WriteTxnMarkersResponse](b.world, v, q)); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		b.want(b.producing(12, -1, txnBatch(7, 1, 0), txnBatch(7, 1, 0)), "NONE 0", "NONE 0")
		want(markers(marker(7, 0, true, 5, 0, "t", 0)), "7 t-0 INVALID_PRODUCER_EPOCH")
		code := "NONE"
		if v >= 2 {
			code = "INVALID_PRODUCER_EPOCH" // a transaction of version 2 needs a higher epoch
		}
		want(markers(marker(7, 1, true, 5, 2, "t", 0)), "7 t-0 "+code)
		want(markers(marker(7, 2, true, 5, 2, "t", 0, 1), marker(8, 0, false, 5, 2, "elsewhere", 0), marker(7, 2, false, 5, 2, "none", 3)),
			"7 t-0 NONE", "7 t-1 NONE", "7 none-3 UNKNOWN_TOPIC_OR_PARTITION", "8 elsewhere-0 UNKNOWN_TOPIC_OR_PARTITION")
		want(markers(marker(7, 3, true, 4, 2, "t", 0)), "7 t-0 TRANSACTION_COORDINATOR_FENCED")
		want(markers())
		want(markers(marker(-1, 3, true, 5, 2, "t", 0), marker(7, 3, true, 5, 2, "t", 0)), "-1 t-0 UNKNOWN_SERVER_ERROR", "7 t-0 UNKNOWN_SERVER_ERROR")
		want(markers(marker(7, -1, true, 5, 2, "t", 0)), "7 t-0 UNKNOWN_SERVER_ERROR")

		// offsets of groups
		want(markers(marker(7, 1, true, 5, 0, "__consumer_offsets", 1)), "7 __consumer_offsets-1 NOT_LEADER_OR_FOLLOWER")
		c := &completer{}
		b.s.OffsetMarkers = c
		want(markers(marker(7, 1, true, 5, 2, "__consumer_offsets", 1), marker(7, 1, false, 6, 2, "t", 2)),
			"7 __consumer_offsets-1 NONE", "7 t-2 NONE")
		version := 0
		if v >= 2 {
			version = 2
		}
		if got := fmt.Sprintf("[1 {7 1 true 5 %d}]", version); fmt.Sprint(c.got) != got {
			t.Errorf("%v, want %s", c.got, got)
		}
		for from, to := range map[protocol.Code]protocol.Code{
			protocol.NotCoordinator: protocol.NotLeaderOrFollower, protocol.CoordinatorLoadInProgress: protocol.NotLeaderOrFollower,
			protocol.CoordinatorNotAvailable: protocol.NotLeaderOrFollower, protocol.InvalidProducerEpoch: protocol.InvalidProducerEpoch,
		} {
			c.code = from
			want(markers(marker(7, 1, true, 5, 2, "__consumer_offsets", 0)), "7 __consumer_offsets-0 "+to.String())
		}
		b.auth.deny(Alter, ClusterResource, ClusterName)
		want(markers(marker(7, 9, true, 5, 2, "t", 0)), "7 t-0 NONE")
		b.auth.deny(ClusterAction, ClusterResource, ClusterName)
		want(markers(marker(7, 9, true, 5, 2, "t", 0)), "7 t-0 CLUSTER_AUTHORIZATION_FAILED")
	})
}

// A marker is acknowledged when it is replicated, and not beyond request.timeout.ms.
func TestWriteTxnMarkersWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTxnBed(t)
		b.r.waits = true
		q := markers(marker(7, 0, true, 5, 0, "t", 0, 1, 2))
		q.Version = 1
		r, err := writeTxnMarkers(b.s, &Call{Session: b.who, Body: q}, q)
		if err != nil || len(b.r.acks) != 3 {
			t.Fatal(err, b.r.acks)
		}
		close(b.r.acks[0].done)
		b.r.acks[1].code = protocol.NotEnoughReplicasAfterAppend
		close(b.r.acks[1].done)
		out, err := r.(*Pending).Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"7 t-0 NONE", "7 t-1 NOT_ENOUGH_REPLICAS_AFTER_APPEND", "7 t-2 REQUEST_TIMED_OUT"}
		if got := markerAnswers(out.(*kmsg.WriteTxnMarkersResponse)); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

func TestDescribeProducers(t *testing.T) {
	b := newTxnBed(t)
	b.answer = yes
	b.want(b.producing(12, -1, txnBatch(7, 1, 0), txnBatch(7, 1, 0)), "NONE 0", "NONE 0")
	b.want(b.producing(12, -1, txnBatch(5, 0, 3)), "OUT_OF_ORDER_SEQUENCE_NUMBER -1")
	b.want(b.producing(11, -1, txnBatch(5, 0, 3)), "OUT_OF_ORDER_SEQUENCE_NUMBER -1")
	b.want(b.producing(12, -1, txnBatch(5, 1, 0)), "NONE 1")
	call[*kmsg.WriteTxnMarkersResponse](b.world, 2, markers(marker(5, 2, true, 9, 2, "t", 0)))
	b.auth.deny(Read, TopicResource, "secret")
	b.world.topic("secret", []int32{1})
	q := kmsg.NewPtrDescribeProducersRequest()
	for _, name := range []string{"t", "secret", "none", "a b"} {
		q.Topics = append(q.Topics, kmsg.DescribeProducersRequestTopic{Topic: name, Partitions: []int32{0}})
	}
	q.Topics[0].Partitions = []int32{0, 1, 2, 3}
	resp := call[*kmsg.DescribeProducersResponse](b.world, 0, q)
	var got []string
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			got = append(got, fmt.Sprint(rt.Topic, " ", p.Partition, " ", protocol.Code(p.ErrorCode), " ", value(p.ErrorMessage), " "))
			for _, x := range p.ActiveProducers {
				got[len(got)-1] += fmt.Sprint(x.ProducerID, x.ProducerEpoch, x.LastSequence, x.LastTimestamp > 0, x.CoordinatorEpoch, x.CurrentTxnStartOffset, ";")
			}
		}
	}
	want := []string{
		"t 0 NONE <null> 5 2 -1 true 9 -1;7 1 0 true -1 0;",
		"t 1 NONE <null> 7 1 0 true -1 0;",
		"t 2 NOT_LEADER_OR_FOLLOWER <null> ",
		"t 3 UNKNOWN_TOPIC_OR_PARTITION <null> ",
		"secret 0 TOPIC_AUTHORIZATION_FAILED " + protocol.TopicAuthorizationFailed.Message() + " ",
		"none 0 UNKNOWN_TOPIC_OR_PARTITION " + protocol.UnknownTopicOrPartition.Message() + " ",
		"a b 0 INVALID_TOPIC_EXCEPTION Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-' ",
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("\n%q, want\n%q", got, want)
		}
	}
}

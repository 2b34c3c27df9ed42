package broker

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
)

// txnBed is a broker with one client, on a directory that another broker can take over as if the first had been killed.
type txnBed struct {
	t           *testing.T
	b           *Broker
	dir         string
	settings    []string
	nc          net.Conn
	correlation int32
}

func startForTxns(t *testing.T, dir string, settings ...string) *txnBed {
	t.Helper()
	source, err := config.FromSets(append([]string{"log.dirs=" + dir, "listeners=PLAINTEXT://127.0.0.1:0", "transaction.state.log.num.partitions=3",
		"offsets.topic.num.partitions=3"}, settings...))
	if err != nil {
		t.Fatal(err)
	}
	static, _, err := config.Resolve(source)
	if err != nil {
		t.Fatal(err)
	}
	x := &txnBed{t: t, dir: dir, settings: settings}
	if x.b, err = Start(t.Context(), Config{Settings: static}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.b.Close() })
	for p := range int32(3) { // who asks earlier is told that it loads
		if err := errors.Join(x.b.groups.Wait(t.Context(), p), x.b.txns.Wait(t.Context(), p)); err != nil {
			t.Fatal(err)
		}
	}
	if x.nc, err = net.Dial("tcp", x.b.Addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.nc.Close() })
	return x
}

// killed is a broker on what the files of this one hold now.
func (x *txnBed) killed() *txnBed {
	x.t.Helper()
	dir := x.t.TempDir()
	for tries := 0; ; tries++ {
		err := os.CopyFS(dir, os.DirFS(x.dir))
		if err == nil {
			break
		}
		// A temporary file that had its name a moment ago.
		if !errors.Is(err, fs.ErrNotExist) || tries > 10 {
			x.t.Fatal(err)
		}
		dir = x.t.TempDir()
	}
	x.b.Close() // what it writes now is nowhere
	return startForTxns(x.t, dir, x.settings...)
}

func txnAsk[R kmsg.Response](x *txnBed, version int16, q kmsg.Request) R {
	x.t.Helper()
	q.SetVersion(version)
	x.correlation++
	if _, err := x.nc.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("t")).AppendRequest(nil, q, x.correlation)); err != nil {
		x.t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(x.nc, size[:]); err != nil {
		x.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(x.nc, body); err != nil {
		x.t.Fatal(err)
	}
	r := q.ResponseKind()
	if body = body[4:]; r.IsFlexible() {
		body = body[1:]
	}
	if err := r.ReadFrom(body); err != nil {
		x.t.Fatal(err)
	}
	return r.(R)
}

// ok fails the test unless a code is none.
func (x *txnBed) ok(what string, code int16) {
	x.t.Helper()
	if code != 0 {
		x.t.Fatalf("%s: %v", what, protocol.Code(code))
	}
}

type txnProducer struct {
	id    int64
	epoch int16
}

func (x *txnBed) init(id string) txnProducer {
	x.t.Helper()
	f := kmsg.NewPtrFindCoordinatorRequest()
	f.CoordinatorType, f.CoordinatorKeys = 1, []string{id}
	x.ok("coordinator", txnAsk[*kmsg.FindCoordinatorResponse](x, 4, f).Coordinators[0].ErrorCode)
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionalID, q.TransactionTimeoutMillis = &id, 60_000
	r := txnAsk[*kmsg.InitProducerIDResponse](x, 5, q)
	for r.ErrorCode == int16(protocol.ConcurrentTransactions) {
		r = txnAsk[*kmsg.InitProducerIDResponse](x, 5, q)
	}
	x.ok("init", r.ErrorCode)
	return txnProducer{r.ProducerID, r.ProducerEpoch}
}

// add puts a partition into the transaction, as clients of version 1 do.
func (x *txnBed) add(id string, p txnProducer, topic string) {
	x.t.Helper()
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch = id, p.id, p.epoch
	q.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: []int32{0}}}
	for {
		code := txnAsk[*kmsg.AddPartitionsToTxnResponse](x, 3, q).Topics[0].Partitions[0].ErrorCode
		if code != int16(protocol.ConcurrentTransactions) {
			x.ok("add", code)
			return
		}
	}
}

// produce writes one record in a transaction. With version 12 the broker adds the partition to it.
func (x *txnBed) produce(version int16, id string, p txnProducer, topic, value string, sequence int32) protocol.Code {
	x.t.Helper()
	q := kmsg.NewPtrProduceRequest()
	q.TransactionID, q.Acks, q.TimeoutMillis = &id, -1, 10_000
	b := record.Builder{HasProducer: true, Transactional: true, ProducerID: p.id, ProducerEpoch: p.epoch, BaseSequence: sequence}
	b.Add(1, nil, []byte(value))
	q.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: b.AppendTo(nil)}}}}
	return protocol.Code(txnAsk[*kmsg.ProduceResponse](x, version, q).Topics[0].Partitions[0].ErrorCode)
}

func (x *txnBed) end(version int16, id string, p txnProducer, commit bool) txnProducer {
	x.t.Helper()
	q := kmsg.NewPtrEndTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Commit = id, p.id, p.epoch, commit
	r := txnAsk[*kmsg.EndTxnResponse](x, version, q)
	x.ok("end", r.ErrorCode)
	if version >= 5 {
		return txnProducer{r.ProducerID, r.ProducerEpoch}
	}
	return p
}

func (x *txnBed) commitOffset(version int16, id, group string, p txnProducer, offset int64) protocol.Code {
	x.t.Helper()
	q := kmsg.NewPtrTxnOffsetCommitRequest()
	q.TransactionalID, q.Group, q.ProducerID, q.ProducerEpoch, q.Generation = id, group, p.id, p.epoch, -1
	part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	part.Offset = offset
	q.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{part}}}
	return protocol.Code(txnAsk[*kmsg.TxnOffsetCommitResponse](x, version, q).Topics[0].Partitions[0].ErrorCode)
}

// offset is what a group has committed; stable waits for transactions to end.
func (x *txnBed) offset(group string, stable bool) int64 {
	x.t.Helper()
	f := kmsg.NewPtrFindCoordinatorRequest()
	f.CoordinatorKeys = []string{group}
	x.ok("coordinator", txnAsk[*kmsg.FindCoordinatorResponse](x, 4, f).Coordinators[0].ErrorCode)
	q := kmsg.NewPtrOffsetFetchRequest()
	q.RequireStable = stable
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}
	q.Groups = append(q.Groups, g)
	for {
		r := txnAsk[*kmsg.OffsetFetchResponse](x, 9, q).Groups[0]
		x.ok("offsets", r.ErrorCode)
		p := r.Topics[0].Partitions[0]
		if p.ErrorCode == int16(protocol.UnstableOffsetCommit) && stable {
			continue
		}
		x.ok("offset", p.ErrorCode)
		return p.Offset
	}
}

// stable is the last stable offset, and the end.
func (x *txnBed) stable(topic string) (lso, end int64) {
	x.t.Helper()
	ask := func(isolation int8) int64 {
		q := kmsg.NewPtrListOffsetsRequest()
		q.ReplicaID, q.IsolationLevel = -1, isolation
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = -1
		q.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		r := txnAsk[*kmsg.ListOffsetsResponse](x, 7, q).Topics[0].Partitions[0]
		x.ok("list", r.ErrorCode)
		return r.Offset
	}
	return ask(1), ask(0)
}

// settled waits until no transaction is open in a topic.
func (x *txnBed) settled(topic string) (end int64) {
	x.t.Helper()
	for {
		if lso, end := x.stable(topic); lso == end {
			return end
		}
	}
}

// committed is the values of committed records.
func (x *txnBed) committed(topic string) (values []string) {
	x.t.Helper()
	q := kmsg.NewPtrFetchRequest()
	q.ReplicaID, q.MaxBytes, q.IsolationLevel, q.SessionEpoch = -1, 1<<20, 1, -1
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes, p.CurrentLeaderEpoch = 1<<20, -1
	q.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	r := txnAsk[*kmsg.FetchResponse](x, 12, q).Topics[0].Partitions[0]
	x.ok("fetch", r.ErrorCode)
	aborted := map[int64][]int64{}
	for _, a := range r.AbortedTransactions {
		aborted[a.ProducerID] = append(aborted[a.ProducerID], a.FirstOffset)
	}
	skip := map[int64]bool{}
	for run := r.RecordBatches; len(run) > 0; {
		b, rest, err := record.Next(run)
		if err != nil {
			x.t.Fatal(err)
		}
		run = rest
		if first := aborted[b.ProducerID()]; len(first) > 0 && first[0] <= b.BaseOffset() {
			skip[b.ProducerID()], aborted[b.ProducerID()] = true, first[1:]
		}
		if b.Control() {
			delete(skip, b.ProducerID())
			continue
		}
		if skip[b.ProducerID()] {
			continue
		}
		if err := record.Records(b, func(r *record.Record) bool {
			values = append(values, string(r.Value))
			return true
		}); err != nil {
			x.t.Fatal(err)
		}
	}
	return values
}

// Transactions of both versions, over restarts in between and in the middle.
func TestTransactions(t *testing.T) {
	x := startForTxns(t, t.TempDir())
	x.b.submitTopic(t, "t", 1)
	x.offset("g", false)
	p := x.init("one")
	x.add("one", p, "t")
	if code := x.produce(11, "one", p, "t", "a", 0); code != protocol.None {
		t.Fatal(code)
	}
	x.end(4, "one", p, true)
	x.add("one", p, "t")
	if code := x.produce(11, "one", p, "t", "not b", 1); code != protocol.None {
		t.Fatal(code)
	}
	x.end(4, "one", p, false)
	if code := x.produce(11, "one", p, "t", "outside", 2); code != protocol.TransactionAbortable {
		t.Errorf("outside of a transaction: %v", code)
	}

	two := x.init("two")
	for i, commit := range []bool{true, false, true} {
		if code := x.produce(12, "two", two, "t", []string{"c", "not d", "e"}[i], 0); code != protocol.None {
			t.Fatal(i, code)
		}
		if code := x.commitOffset(5, "two", "g", two, int64(10*i+1)); code != protocol.None {
			t.Fatal(i, code)
		}
		next := x.end(5, "two", two, commit)
		if next.id != two.id || next.epoch != two.epoch+1 {
			t.Errorf("after %v: %v", two, next)
		}
		if code := x.produce(12, "two", two, "t", "late", 1); code != protocol.InvalidProducerEpoch {
			t.Errorf("a late record: %v", code)
		}
		two = next
	}
	x.settled("t")
	want := []string{"a", "c", "e"}
	if got := x.committed("t"); !slices.Equal(got, want) {
		t.Errorf("committed: %q", got)
	}
	if got := x.offset("g", true); got != 21 {
		t.Errorf("the group is at %d", got)
	}
	if code := x.produce(12, "two", two, "t", "f", 0); code != protocol.None {
		t.Fatal(code)
	}
	if code := x.commitOffset(5, "two", "g", two, 31); code != protocol.None {
		t.Fatal(code)
	}

	x = x.killed()
	if got := x.offset("g", false); got != 21 {
		t.Errorf("the group is at %d in the middle of a transaction", got)
	}
	if lso, end := x.stable("t"); lso == end {
		t.Error("the open transaction is gone")
	}
	two = x.end(5, "two", two, true)
	x.settled("t")
	if got := x.offset("g", true); got != 31 {
		t.Errorf("the group is at %d", got)
	}
	want = append(want, "f")
	if got := x.committed("t"); !slices.Equal(got, want) {
		t.Errorf("committed: %q", got)
	}

	// A producer that takes over aborts what its predecessor has left open.
	x.produce(12, "two", two, "t", "not g", 0)
	if next := x.init("two"); next.epoch <= two.epoch {
		t.Errorf("%v after %v", next, two)
	}
	x.settled("t")
	if got := x.committed("t"); !slices.Equal(got, want) {
		t.Errorf("committed: %q", got)
	}
}

// A broker that is killed after an outcome was written, and before any marker, goes on with the markers at its next start.
func TestMarkersAreFinished(t *testing.T) {
	for _, commit := range []bool{true, false} {
		x := startForTxns(t, t.TempDir())
		x.b.submitTopic(t, "t", 1)
		x.offset("g", false)
		two := x.init("two")
		x.b.txns.write = func(q *kmsg.WriteTxnMarkersRequest, done func(*kmsg.WriteTxnMarkersResponse)) {}
		if code := x.produce(12, "two", two, "t", "a", 0); code != protocol.None {
			t.Fatal(code)
		}
		if code := x.commitOffset(5, "two", "g", two, 7); code != protocol.None {
			t.Fatal(code)
		}
		next := x.end(5, "two", two, commit)
		if lso, end := x.stable("t"); lso != 0 || end != 1 {
			t.Fatalf("before the markers: %d, %d", lso, end)
		}
		x = x.killed()
		if end := x.settled("t"); end != 2 {
			t.Errorf("%d records", end)
		}
		want, offset := []string(nil), int64(-1)
		if commit {
			want, offset = []string{"a"}, 7
		}
		if got := x.committed("t"); !slices.Equal(got, want) {
			t.Errorf("committed: %q", got)
		}
		if got := x.offset("g", true); got != offset {
			t.Errorf("the group is at %d", got)
		}
		if code := x.produce(12, "two", next, "t", "b", 0); code != protocol.None {
			t.Error(code)
		}
	}
}

// A level of transaction.version that somebody has chosen outlives a restart, and is what the coordinator goes by.
func TestTransactionVersionIsKept(t *testing.T) {
	x := startForTxns(t, t.TempDir())
	update := func(level int16, kind int8) protocol.Code {
		q := kmsg.NewPtrUpdateFeaturesRequest()
		q.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: controller.TransactionVersion, MaxVersionLevel: level, UpgradeType: kind}}
		q.TimeoutMillis = 10_000
		return protocol.Code(txnAsk[*kmsg.UpdateFeaturesResponse](x, 2, q).ErrorCode)
	}
	level := func() int16 { return x.b.node.Image().Feature(controller.TransactionVersion) }
	if got := level(); got != 2 {
		t.Errorf("a new cluster is at %d", got)
	}
	if code := update(1, 1); code != protocol.InvalidUpdateVersion {
		t.Errorf("a downgrade that is none: %v", code)
	}
	if code := update(1, 2); code != protocol.None {
		t.Fatal(code)
	}
	if got := x.b.txns.config.Load().Version; got != 1 {
		t.Errorf("the coordinator is at %d", got)
	}
	x = x.killed()
	if got := level(); got != 1 {
		t.Errorf("after a restart: %d", got)
	}
	if code := update(0, 3); code != protocol.None {
		t.Fatal(code)
	}
	x = x.killed()
	if got := level(); got != 0 {
		t.Errorf("after another restart: %d", got)
	}
}

// A transaction that takes longer than its time-out is aborted by the coordinator, and its producer is fenced; an id that nobody uses is
// forgotten.
func TestTransactionsTimeOut(t *testing.T) {
	x := startForTxns(t, t.TempDir(), "transaction.abort.timed.out.transaction.cleanup.interval.ms=10", "transactional.id.expiration.ms=300",
		"transaction.remove.expired.transaction.cleanup.interval.ms=10")
	x.b.submitTopic(t, "t", 1)
	id := "slow"
	x.init(id)
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionalID, q.TransactionTimeoutMillis = &id, 1
	r := txnAsk[*kmsg.InitProducerIDResponse](x, 5, q)
	x.ok("init", r.ErrorCode)
	p := txnProducer{r.ProducerID, r.ProducerEpoch}
	if code := x.produce(12, id, p, "t", "a", 0); code != protocol.None {
		t.Fatal(code)
	}
	x.settled("t")
	if got := x.committed("t"); len(got) > 0 {
		t.Errorf("committed: %q", got)
	}
	if code := x.produce(12, id, p, "t", "late", 1); code != protocol.InvalidProducerEpoch {
		t.Errorf("a late record: %v", code)
	}
	d := kmsg.NewPtrDescribeTransactionsRequest()
	d.TransactionalIDs = []string{id}
	for code := protocol.None; code != protocol.TransactionalIDNotFound; {
		code = protocol.Code(txnAsk[*kmsg.DescribeTransactionsResponse](x, 0, d).TransactionStates[0].ErrorCode)
	}
}

// Without verification a client of version 1 writes where it pleases; one of version 2 is added to its transaction all the same.
func TestVerificationIsDynamic(t *testing.T) {
	x := startForTxns(t, t.TempDir())
	x.b.submitTopic(t, "t", 1)
	p := x.init("one")
	if code := x.produce(11, "one", p, "t", "a", 0); code != protocol.TransactionAbortable {
		t.Errorf("verified: %v", code)
	}
	x.b.submitSetting(t, controller.BrokerConfig, "", "transaction.partition.verification.enable", "false")
	if code := x.produce(11, "one", p, "t", "a", 0); code != protocol.None {
		t.Errorf("not verified: %v", code)
	}
	two := x.init("two")
	if code := x.produce(12, "two", two, "t", "b", 0); code != protocol.None {
		t.Errorf("version 2: %v", code)
	}
	x.end(5, "two", two, true)
	if lso, end := x.stable("t"); lso != 0 || end < 2 {
		t.Errorf("the stable offset is %d of %d: nobody ends the first", lso, end)
	}
}

// A topic that a client was told of is one that its transaction's markers go to, also before the machines have been told of it.
func TestMarkersOfNewTopic(t *testing.T) {
	x := startForTxns(t, t.TempDir())
	p := x.init("x")
	m := &x.b.txns.telling
	for m.running.Swap(true) { // what there is to tell is told first, and nobody tells any more
		m.ended.Wait()
	}
	x.b.submitTopic(t, "t", 1)
	if code := x.produce(12, "x", p, "t", "a", 0); code != protocol.None {
		t.Fatal(code)
	}
	x.end(5, "x", p, true)
	d := kmsg.NewPtrDescribeTransactionsRequest()
	d.TransactionalIDs = []string{"x"}
	for state := ""; state != "CompleteCommit"; {
		state = txnAsk[*kmsg.DescribeTransactionsResponse](x, 0, d).TransactionStates[0].State
	}
	if lso, end := x.stable("t"); lso != 2 || end != 2 {
		t.Errorf("the stable offset is %d of %d", lso, end)
	}
}

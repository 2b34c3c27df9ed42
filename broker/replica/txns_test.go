package replica

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"weir/broker/partition"
	"weir/protocol"
	"weir/protocol/record"
)

func txnBatch(pid int64, epoch int16, seq int32, n int) []byte {
	b := record.Builder{Transactional: true, HasProducer: true, ProducerID: pid, ProducerEpoch: epoch, BaseSequence: seq, LeaderEpoch: -1}
	for range n {
		b.Add(1_700_000_000_000, []byte("k"), make([]byte, 100))
	}
	return b.Bytes()
}

// transact appends a batch of a transaction, verified where it needs to be.
func (b *bed) transact(id partition.ID, pid int64, epoch int16, seq int32, n int) protocol.Code {
	b.t.Helper()
	g, code := b.m.StartVerification(id, pid, epoch, seq, true)
	if code != protocol.None {
		return code
	}
	var res partition.AppendResult
	b.m.Append(id, &partition.AppendRequest{Version: 12, Acks: 1, Guard: g, Records: txnBatch(pid, epoch, seq, n)}, &res)
	return res.Code
}

// end appends a marker, after it was asked whether that may be.
func (b *bed) end(id partition.ID, pid int64, epoch int16, commit bool) protocol.Code {
	b.t.Helper()
	control := record.ControlAbort
	if commit {
		control = record.ControlCommit
	}
	check := b.m.CheckMarker(id, pid, epoch, 3, 2)
	var res partition.AppendResult
	b.m.Append(id, &partition.AppendRequest{Version: 12, Acks: -1, Coordinator: true, TxnVersion: 2,
		Records: record.Marker(control, pid, epoch, 3, b.nowMs())}, &res)
	if check != res.Code {
		b.t.Errorf("CheckMarker said %s, Append %s", check, res.Code)
	}
	return res.Code
}

// committed reads as a consumer of what is committed, and returns where what it got ends.
func (b *bed) committed(id partition.ID, offset int64, maxBytes int32, res *partition.ReadResult) (end int64) {
	b.t.Helper()
	b.m.Read(id, &partition.ReadRequest{Offset: offset, MaxBytes: maxBytes, AtLeastOne: true, Isolation: partition.ReadCommitted, LeaderEpoch: -1,
		LastFetchedEpoch: -1, ReplicaID: -1, ReplicaEpoch: -1}, res)
	defer res.Records.Release()
	recs, err := bytesOf(&res.Records)
	if err != nil || res.Code != protocol.None || res.Aborted == nil {
		b.t.Fatalf("%v, %+v", err, res)
	}
	for end = offset; len(recs) > 0; {
		batch, rest, err := record.Next(recs)
		if err != nil {
			b.t.Fatal(err)
		}
		end, recs = batch.NextOffset(), rest
	}
	return end
}

// Transactions through the lock, the log and starts of the broker: what a consumer reads is the same before and after.
func TestTransactions(t *testing.T) {
	dir := t.TempDir()
	b := newWALBed(t, dir)
	id := partition.ID{Topic: b.topic("t", one, 0)}
	b.set("t", "segment.bytes", "1048576")
	want := func(step string, got, want protocol.Code) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: %s, want %s", step, got, want)
		}
	}
	want("without a guard", b.append(id, 1, txnBatch(1, 0, 0, 1)).Code, protocol.InvalidTxnState)
	for i := range int64(2000) {
		pid, epoch := 1+i%3, int16(i/3)
		want("transact", b.transact(id, pid, epoch, 0, 3), protocol.None)
		want("again", b.transact(id, pid, epoch, 3, 2), protocol.None)
		b.ok(id, 1)
		want("end", b.end(id, pid, epoch+1, i%2 == 0), protocol.None)
		want("an old marker", b.end(id, pid, epoch, false), protocol.InvalidProducerEpoch)
	}
	want("transact", b.transact(id, 9, 0, 0, 1), protocol.None)
	b.ok(id, 1)
	var res partition.ReadResult
	check := func() {
		t.Helper()
		for _, offset := range []int64{0, 5, 6, 7, 100, 6999, 7000, 13990, 13999, 14000} {
			end := b.committed(id, offset, 3000, &res)
			if res.LastStable != 14000 || end > 14000 || end == offset && offset < 14000 {
				t.Fatalf("read %d..%d, last stable %d", offset, end, res.LastStable)
			}
			listed := map[int64]bool{}
			for _, a := range res.Aborted {
				listed[a.FirstOffset] = true
			}
			for i := range int64(2000) { // transaction i has the offsets from 7i to 7i+6
				must := i%2 == 1 && 7*i+6 >= offset && 7*i < end
				if may := i%2 == 1 && 7*i+6 >= offset && 7*i < end+1000; must && !listed[7*i] || !may && listed[7*i] {
					t.Fatalf("read %d..%d: the list has transaction %d: %v", offset, end, i, listed[7*i])
				}
			}
		}
		if got := b.m.ListOffset(id, latest, partition.ReadCommitted, -1, true); got.Offset != 14000 {
			t.Errorf("latest committed: %+v", got)
		}
		all, code := b.m.Producers(id)
		if len(all) != 4 || code != protocol.None || all[3] != (partition.ProducerState{ID: 9, LastSequence: 0, LastTimestampMs: 1_700_000_000_000, CoordinatorEpoch: -1, TxnFirst: 14000}) ||
			all[0].CoordinatorEpoch != 3 || all[0].Epoch != 667 || all[0].TxnFirst != -1 {
			t.Errorf("%+v %s", all, code)
		}
	}
	check()
	b.close()
	for _, lost := range []string{"nothing", "*.snapshot", "*.aborted"} {
		files, _ := filepath.Glob(filepath.Join(dir, "*", "*", lost))
		if len(files) == 0 && lost != "nothing" {
			t.Fatalf("no %s", lost)
		}
		for _, name := range files {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		b.open()
		check()
		b.close()
	}
	b.open()
	want("the marker", b.end(id, 9, 1, false), protocol.None)
	if end := b.committed(id, 14000, 3000, &res); end != 14003 || len(res.Aborted) != 1 || res.Aborted[0].FirstOffset != 14000 {
		t.Errorf("read up to %d: %+v", end, res)
	}
	if n := testing.AllocsPerRun(50, func() {
		b.m.Read(id, &partition.ReadRequest{Offset: 14000, MaxBytes: 3000, AtLeastOne: true, Isolation: partition.ReadCommitted, LeaderEpoch: -1,
			LastFetchedEpoch: -1, ReplicaID: -1, ReplicaEpoch: -1}, &res)
		res.Records.Release()
	}); n > 8 {
		t.Errorf("a read of what is committed allocates %v times", n)
	}
	b.close()
}

func TestTransactionsElsewhere(t *testing.T) {
	b := newBed(t, 1)
	id := partition.ID{Topic: b.topic("t", []int32{2, 1}, 0)}
	if _, code := b.m.StartVerification(id, 1, 0, 0, false); code != protocol.NotLeaderOrFollower {
		t.Errorf("a follower verifies: %s", code)
	}
	if code := b.m.CheckVerified(id, 1, 0, partition.Guard{}); code != protocol.NotLeaderOrFollower {
		t.Error(code)
	}
	if code := b.m.CheckMarker(id, 1, 0, 0, 2); code != protocol.NotLeaderOrFollower {
		t.Error(code)
	}
	if all, code := b.m.Producers(id); code != protocol.None || len(all) != 0 {
		t.Errorf("%v %s", all, code)
	}
	id.Partition = 7
	if _, code := b.m.Producers(id); code != protocol.UnknownTopicOrPartition {
		t.Error(code)
	}
	b.close()
}

// txnModel is what a partition holds, by who wrote it.
type txnModel struct {
	bed     *bed
	id      partition.ID
	rnd     *rand.Rand
	batches []*txnModelBatch // in order
	open    map[int64]*txnModelTxn
	epochs  map[int64]int16
}

type txnModelBatch struct {
	base, next int64
	txn        *txnModelTxn // nil: of none
}

type txnModelTxn struct {
	seq          int32
	first        int64
	ended, abort bool
}

// step does something random; the codes must be as expected.
func (x *txnModel) step() {
	pid := x.rnd.Int64N(8)
	end := x.bed.m.ListOffset(x.id, latest, partition.ReadToEnd, -1, true).Offset
	n := 1 + x.rnd.IntN(20)
	switch k := x.rnd.IntN(10); {
	case k < 2:
		x.bed.ok(x.id, n)
		x.batches = append(x.batches, &txnModelBatch{end, end + int64(n), nil})
	case k < 7:
		t := x.open[pid]
		if t == nil {
			t = &txnModelTxn{first: end}
			x.open[pid] = t
		}
		wantCode(x.bed.t, "transact", x.bed.transact(x.id, pid, x.epochs[pid], t.seq, n), protocol.None)
		t.seq += int32(n)
		x.batches = append(x.batches, &txnModelBatch{end, end + int64(n), t})
	default:
		x.epochs[pid]++
		abort := x.rnd.IntN(2) == 0
		wantCode(x.bed.t, "end", x.bed.end(x.id, pid, x.epochs[pid], !abort), protocol.None)
		if t := x.open[pid]; t != nil {
			t.ended, t.abort = true, abort
			delete(x.open, pid)
		}
	}
}

// check reads from somewhere as a consumer does, and wants all that is committed and nothing else.
func (x *txnModel) check() {
	t := x.bed.t
	lso := x.bed.m.ListOffset(x.id, latest, partition.ReadUncommitted, -1, true).Offset
	for _, o := range x.open {
		lso = min(lso, o.first)
	}
	if got := x.bed.m.ListOffset(x.id, latest, partition.ReadCommitted, -1, true).Offset; got != lso {
		t.Fatalf("last stable offset %d, want %d", got, lso)
	}
	from := x.rnd.Int64N(lso + 1)
	var res partition.ReadResult
	got := map[int64]bool{}
	for at := from; at < lso; {
		x.bed.m.Read(x.id, &partition.ReadRequest{Offset: at, MaxBytes: 1 << (8 + x.rnd.IntN(10)), AtLeastOne: true, Isolation: partition.ReadCommitted,
			LeaderEpoch: -1, LastFetchedEpoch: -1, ReplicaID: -1, ReplicaEpoch: -1}, &res)
		recs, err := bytesOf(&res.Records)
		if err != nil || len(recs) == 0 || res.LastStable != lso {
			t.Fatalf("read at %d: %+v, %v", at, res, err)
		}
		slices.SortFunc(res.Aborted, func(a, b record.AbortedTxn) int { return int(a.FirstOffset - b.FirstOffset) })
		skip := map[int64]bool{}
		for len(recs) > 0 {
			b, rest, err := record.Next(recs)
			if err != nil {
				t.Fatal(err)
			}
			for len(res.Aborted) > 0 && res.Aborted[0].FirstOffset <= b.LastOffset() {
				skip[res.Aborted[0].ProducerID] = true
				res.Aborted = res.Aborted[1:]
			}
			if control, _, _ := record.ReadMarker(b); b.Control() {
				if control == record.ControlAbort {
					delete(skip, b.ProducerID())
				}
			} else if !b.Transactional() || !skip[b.ProducerID()] {
				got[b.BaseOffset()] = true
			}
			at, recs = b.NextOffset(), rest
		}
		res.Records.Release()
	}
	for _, b := range x.batches {
		want := b.next > from && b.next <= lso && (b.txn == nil || b.txn.ended && !b.txn.abort)
		if got[b.base] != want {
			t.Fatalf("from %d, last stable %d: the batch at %d is taken: %v", from, lso, b.base, got[b.base])
		}
	}
}

// restart stops the broker and starts it, maybe without some of what lies beside the log.
func (x *txnModel) restart(dir string) {
	x.bed.close()
	var lose []string
	switch x.rnd.IntN(4) {
	case 0:
		lose, _ = filepath.Glob(filepath.Join(dir, "*", "*", "*.snapshot"))
	case 1:
		lose, _ = filepath.Glob(filepath.Join(dir, "*", "*", "*.aborted"))
	}
	for _, name := range lose {
		if err := os.Remove(name); err != nil {
			x.bed.t.Fatal(err)
		}
	}
	x.bed.open()
}

// TestTransactionsRandom lets transactions of several producers run through starts of the broker and what they may find missing.
func TestTransactionsRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 4 {
		dir := t.TempDir()
		b := newWALBed(t, dir)
		id := partition.ID{Topic: b.topic("t", one, 0)}
		b.set("t", "segment.bytes", "65536")
		x := &txnModel{bed: b, id: id, rnd: rnd, open: map[int64]*txnModelTxn{}, epochs: map[int64]int16{}}
		for range 1500 {
			switch k := rnd.IntN(100); {
			case k < 90:
				x.step()
			case k < 98:
				x.check()
			default:
				x.restart(dir)
				x.check()
			}
		}
		b.close()
	}
}

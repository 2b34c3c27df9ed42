package replica

import (
	"os"
	"path/filepath"
	"testing"

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

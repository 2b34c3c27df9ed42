package replica

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker/partition"
	"weir/protocol"
	"weir/protocol/record"
)

// Compaction takes the records of aborted transactions, and keeps what was there for their keys before; what is beyond the first open
// transaction it leaves alone.
func TestCompactionKnowsTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWALBed(t, t.TempDir())
		id := partition.ID{Topic: b.topic("t", one, 0)}
		b.set("t", "cleanup.policy", "compact")
		b.set("t", "segment.bytes", "1048576")
		write := func(key string, pid int64, seq int32, size int) {
			r := record.Builder{LeaderEpoch: -1}
			q := partition.AppendRequest{Version: 12, Acks: 1}
			if pid >= 0 {
				r.Transactional, r.HasProducer, r.ProducerID, r.BaseSequence = true, true, pid, seq
				q.Guard, _ = b.m.StartVerification(id, pid, 0, seq, true)
			}
			r.Add(b.nowMs(), []byte(key), make([]byte, size))
			q.Records = r.Bytes()
			var res partition.AppendResult
			b.m.Append(id, &q, &res)
			wantCode(t, "append", res.Code, protocol.None)
		}
		fill := func() {
			for range 4 {
				write("filler", -1, 0, 500_000)
			}
		}
		write("a", -1, 0, 1)
		write("c", -1, 0, 1)
		fill()
		write("a", 1, 0, 2)
		write("b", 1, 1, 2)
		write("c", 2, 0, 2)
		wantCode(t, "abort", b.end(id, 1, 1, false), protocol.None)
		wantCode(t, "commit", b.end(id, 2, 1, true), protocol.None)
		fill()
		write("a", 3, 0, 3) // this one stays open
		fill()
		fill()
		time.Sleep(31 * time.Second) // the cleaner looks every 15 s, log.cleaner.backoff.ms: two rounds
		synctest.Wait()
		sizes := b.keySizes(id)
		for key, want := range map[string][]int{"a": {1, 3}, "b": nil, "c": {2}} {
			if got := sizes[key]; !slices.Equal(got, want) {
				t.Errorf("%s: values of %v bytes, want %v", key, got, want)
			}
		}
		if n := len(sizes["filler"]); n >= 16 || n < 8 {
			t.Errorf("%d fillers", n)
		}
		b.close()
	})
}

// keySizes is how large the values of each key are that the log has.
func (b *bed) keySizes(id partition.ID) map[string][]int {
	b.t.Helper()
	sizes := map[string][]int{}
	var res partition.ReadResult
	b.m.Read(id, &partition.ReadRequest{MaxBytes: 64 << 20, AtLeastOne: true, LeaderEpoch: -1, LastFetchedEpoch: -1, ReplicaID: -1, ReplicaEpoch: -1}, &res)
	defer res.Records.Release()
	run, err := bytesOf(&res.Records)
	if err != nil || res.Code != protocol.None {
		b.t.Fatal(err, res.Code)
	}
	for len(run) > 0 {
		var batch record.Batch
		if batch, run, err = record.Next(run); err != nil {
			b.t.Fatal(err)
		}
		if batch.Control() {
			continue
		}
		if err := record.Records(batch, func(r *record.Record) bool {
			sizes[string(r.Key)] = append(sizes[string(r.Key)], len(r.Value))
			return true
		}); err != nil {
			b.t.Fatal(err)
		}
	}
	return sizes
}

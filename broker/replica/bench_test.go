package replica

import (
	"testing"

	"weir/broker/partition"
	"weir/protocol"
	"weir/protocol/record"
)

// plain builds a batch of about size bytes of records of 1 KiB (or of 100 bytes in small batches).
func plain(size int) []byte {
	b := record.Builder{LeaderEpoch: -1}
	value := make([]byte, 1000)
	for b.Size() < size {
		b.Add(1_700_000_000_000, nil, value)
	}
	return b.Bytes()
}

func benchmarkAppend(b *testing.B, bed *bed, size int) {
	id := partition.ID{Topic: bed.topic("t", one, 0)}
	bed.set("t", "max.message.bytes", "10000000")
	bed.set("t", "retention.ms", "-1")
	fresh := plain(size)
	recs := make([]byte, len(fresh))
	q := partition.AppendRequest{Version: 11, Acks: -1}
	var res partition.AppendResult
	b.SetBytes(int64(len(recs)))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		copy(recs, fresh)
		q.Records = recs
		bed.m.Append(id, &q, &res)
		if res.Code != protocol.None {
			b.Fatalf("%+v", res)
		}
	}
	b.StopTimer()
	bed.close()
}

func benchmarkRead(b *testing.B, bed *bed, size int) {
	id := partition.ID{Topic: bed.topic("t", one, 0)}
	bed.set("t", "max.message.bytes", "10000000")
	bed.set("t", "retention.ms", "-1")
	var end int64
	for n := 0; n < 64<<20; n += size {
		res := bed.append(id, 1, plain(size))
		if res.Code != protocol.None {
			b.Fatalf("%+v", res)
		}
		end = res.BaseOffset
	}
	per := end / int64(max(1, 64<<20/size-1))
	q := partition.ReadRequest{MaxBytes: int32(size + 1000), AtLeastOne: true, LeaderEpoch: -1, LastFetchedEpoch: -1, ReplicaID: -1}
	var res partition.ReadResult
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		q.Offset = int64(i) * per % end
		bed.m.Read(id, &q, &res)
		if res.Code != protocol.None || res.Records.Size == 0 {
			b.Fatalf("%+v", res)
		}
		res.Records.Release()
	}
	b.StopTimer()
	bed.close()
}

func BenchmarkAppend(b *testing.B) {
	b.Run("wal/16KiB", func(b *testing.B) { benchmarkAppend(b, newWALBed(b, b.TempDir()), 16<<10) })
	b.Run("wal/1MiB", func(b *testing.B) { benchmarkAppend(b, newWALBed(b, b.TempDir()), 1<<20) })
	b.Run("mem/16KiB", func(b *testing.B) { benchmarkAppend(b, newBed(b, 1), 16<<10) })
}

func BenchmarkRead(b *testing.B) {
	b.Run("wal/16KiB", func(b *testing.B) { benchmarkRead(b, newWALBed(b, b.TempDir()), 16<<10) })
	b.Run("wal/1MiB", func(b *testing.B) { benchmarkRead(b, newWALBed(b, b.TempDir()), 1<<20) })
}

// BenchmarkLookup is what a request costs that finds nothing to do, over 10,000 partitions.
func BenchmarkLookup(b *testing.B) {
	bed := newBed(b, 1)
	topic := bed.topic("t", one, make([]int, 10_000)...)
	for n := range int32(10_000) {
		bed.m.Available(partition.ID{Topic: topic, Partition: n}, 0, 0)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		bed.m.Available(partition.ID{Topic: topic, Partition: int32(i) % 10_000}, 0, 0)
	}
}

// TestAllocations holds that Append and Read allocate a handful of times a call, however many records there are.
func TestAllocations(t *testing.T) {
	bed := newWALBed(t, t.TempDir())
	id := partition.ID{Topic: bed.topic("t", one, 0)}
	fresh := plain(900 << 10)
	recs := make([]byte, len(fresh))
	q := partition.AppendRequest{Version: 11, Acks: -1}
	var res partition.AppendResult
	if n := testing.AllocsPerRun(20, func() {
		copy(recs, fresh)
		q.Records = recs
		bed.m.Append(id, &q, &res)
	}); n > 8 {
		t.Errorf("Append allocates %v times", n)
	}
	wantCode(t, "append", res.Code, protocol.None)
	rq := partition.ReadRequest{MaxBytes: 1 << 20, AtLeastOne: true, LeaderEpoch: -1, LastFetchedEpoch: -1, ReplicaID: -1}
	var rr partition.ReadResult
	if n := testing.AllocsPerRun(20, func() {
		bed.m.Read(id, &rq, &rr)
		rr.Records.Release()
	}); n > 8 {
		t.Errorf("Read allocates %v times", n)
	}
	bed.close()
}

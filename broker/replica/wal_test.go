package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
)

// newWALBed is a bed on real directories below dir.
func newWALBed(t testing.TB, dir string, settings ...string) *bed {
	b := newBed(t, 1, settings...)
	b.close()
	b.stores, b.cfg.OpenStore = nil, nil
	b.cfg.Dirs[0].Path = filepath.Join(dir, "d0")
	b.open()
	return b
}

// sequenced builds one batch of an idempotent producer: n records from a sequence number on, each saying its own.
func sequenced(pid int64, seq int32, n int, size int) []byte {
	b := record.Builder{LeaderEpoch: -1, HasProducer: true, ProducerID: pid, BaseSequence: seq}
	value := make([]byte, max(12, size))
	for i := range n {
		binary.BigEndian.PutUint64(value, uint64(pid))
		binary.BigEndian.PutUint32(value[8:], uint32(seq)+uint32(i))
		b.Add(1000+int64(seq), nil, value)
	}
	return b.Bytes()
}

// all reads a partition from its start with reads of maxBytes, and returns what sequenced wrote: per producer how many records, which
// must be in order and without gaps.
func (b *bed) all(id partition.ID, maxBytes int32) map[int64]int {
	b.t.Helper()
	next := map[int64]int{}
	offset := b.m.ListOffset(id, earliest, 0, -1, true).Offset
	for {
		var res partition.ReadResult
		b.m.Read(id, &partition.ReadRequest{Offset: offset, MaxBytes: maxBytes, AtLeastOne: true, LeaderEpoch: -1, LastFetchedEpoch: -1,
			ReplicaID: -1}, &res)
		wantCode(b.t, "read", res.Code, protocol.None)
		recs, err := bytesOf(&res.Records)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(recs) == 0 {
			if offset != res.HighWatermark {
				b.t.Fatalf("nothing at %d, the high watermark is %d", offset, res.HighWatermark)
			}
			return next
		}
		for len(recs) > 0 {
			batch, rest, err := record.Next(recs)
			if err != nil || !batch.CheckCRC() || batch.BaseOffset() != offset {
				b.t.Fatalf("batch at %d of %d: %v", batch.BaseOffset(), offset, err)
			}
			if err := record.Records(batch, func(r *record.Record) bool {
				pid := int64(binary.BigEndian.Uint64(r.Value))
				if seq := int(binary.BigEndian.Uint32(r.Value[8:])); seq != next[pid] || r.Offset != offset {
					b.t.Fatalf("producer %d: record %d at offset %d, want %d at %d", pid, seq, r.Offset, next[pid], offset)
				}
				next[pid]++
				offset++
				return true
			}); err != nil {
				b.t.Fatal(err)
			}
			recs = rest
		}
		res.Records.Release()
	}
}

func TestOnDisk(t *testing.T) {
	dir := t.TempDir()
	b := newWALBed(t, dir)
	id := partition.ID{Topic: b.topic("t", one, 0)}
	for seq := int32(0); seq < 200; seq += 2 {
		res := b.append(id, 1, sequenced(1, seq, 2, 20_000))
		wantCode(t, "append", res.Code, protocol.None)
	}
	for _, maxBytes := range []int32{1, 50_000, 10 << 20} {
		if got := b.all(id, maxBytes); got[1] != 200 {
			t.Fatalf("reads of %d: %v", maxBytes, got)
		}
	}
	for _, c := range []struct{ ms, offset int64 }{{0, 0}, {1100, 100}, {1101, 102}, {1199, -1}, {maxTimestamp, 198}} {
		if r := b.m.ListOffset(id, c.ms, 0, -1, true); r.Offset != c.offset {
			t.Errorf("lookup of %d: %+v, want %d", c.ms, r, c.offset)
		}
	}
	d := b.m.DeleteRecords(id, 51)
	if d.Code != protocol.None || d.LowWatermark != 51 {
		t.Fatalf("delete %+v", d)
	}
	if r := b.m.ListOffset(id, 0, 0, -1, true); r.Offset != 51 {
		t.Errorf("lookup after delete: %+v", r)
	}
	dirs := b.m.Dirs(true)
	if len(dirs[0].Logs) != 1 || dirs[0].Logs[0].Size < 200*20_000 || dirs[0].UsableBytes <= 0 {
		t.Errorf("dirs %+v", dirs)
	}
	size := dirs[0].Logs[0].Size
	b.close()
	b.open()
	if dirs = b.m.Dirs(true); dirs[0].Logs[0].Size != size {
		t.Errorf("size of a log that was not used since the start: %d, want %d", dirs[0].Logs[0].Size, size)
	}
	if r := b.m.ListOffset(id, earliest, 0, -1, true); r.Offset != 51 {
		t.Errorf("log start after a restart: %+v", r)
	}
	if res := b.append(id, 1, sequenced(1, 198, 2, 20_000)); res.Code != protocol.None || res.BaseOffset != 198 || res.LogStart != 51 {
		t.Errorf("duplicate after a restart: %+v", res)
	}
	if e, code := b.m.EpochEnd(id, -1, 0); code != protocol.None || (e != partition.EpochEnd{Epoch: 0, End: 200}) {
		t.Errorf("epoch end %+v %s", e, code)
	}
	b.change(&controller.RemoveTopicRecord{TopicID: id.Topic})
	b.close()
	if names := logDirs(t, dir); len(names) != 0 {
		t.Errorf("left in the directory: %v", names)
	}
}

// logDirs lists the directories that are named like a log.
func logDirs(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(filepath.Join(dir, "d0"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if _, ok := parseLogName(e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	return names
}

// A copy of the directory, made while producers write, is what a killed process leaves: whatever was acknowledged before the copy began is in
// it, once, and retries of it are recognized.
func TestKilled(t *testing.T) {
	for round := range 4 {
		dir := t.TempDir()
		b := newWALBed(t, dir, "log.segment.bytes=1048576")
		id := partition.ID{Topic: b.topic("t", one, 0)}
		const producers = 3
		var acked [producers]atomic.Int32
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for pid := range producers {
			wg.Go(func() {
				for seq := int32(0); ; seq += 3 {
					if res := b.append(id, 1, sequenced(int64(pid), seq, 3, 3000)); res.Code != protocol.None {
						t.Errorf("append: %+v", res)
						return
					}
					acked[pid].Store(seq + 3)
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		for acked[0].Load() < int32(600*(round+1)) {
			if t.Failed() {
				return
			}
			b.m.Available(id, 0, partition.ReadUncommitted)
		}
		var before [producers]int32
		for pid := range producers {
			before[pid] = acked[pid].Load()
		}
		copyDir := t.TempDir()
		copyTree(t, dir, copyDir)
		close(stop)
		wg.Wait()
		b.close()
		b.cfg.Dirs[0].Path = filepath.Join(copyDir, "d0")
		b.open()
		got := b.all(id, 1<<20)
		for pid := range producers {
			n := int32(got[int64(pid)])
			if n < before[pid] {
				t.Fatalf("producer %d: %d records, %d were acknowledged", pid, n, before[pid])
			}
			if n == 0 {
				continue // nothing to repeat
			}
			wantCode(t, "retry", b.append(id, 1, sequenced(int64(pid), n-3, 3, 3000)).Code, protocol.None)
			wantCode(t, "next", b.append(id, 1, sequenced(int64(pid), n, 3, 3000)).Code, protocol.None)
		}
		if again := b.all(id, 1<<20); again[0] != got[0]+3 {
			t.Fatalf("a retry was appended: %v, before %v", again, got)
		}
		b.close()
	}
}

// copyTree copies what a reader sees, file by file; a file may grow or go meanwhile.
func copyTree(t *testing.T, from, to string) {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Producers, readers, watchers and changes of the metadata at once: nothing is lost, nothing is there twice, nobody waits for ever.
func TestConcurrent(t *testing.T) {
	b := newWALBed(t, t.TempDir(), "log.segment.bytes=1048576", "log.retention.ms=-1")
	const partitions, producers, each = 3, 4, 60
	topic := b.topic("t", one, make([]int, partitions)...)
	var wg, load sync.WaitGroup
	stop := make(chan struct{})
	for pid := range producers {
		load.Go(func() {
			var next [partitions]int32
			for range each * partitions {
				n := rand.IntN(partitions)
				id := partition.ID{Topic: topic, Partition: int32(n)}
				acks := int16(rand.IntN(3) - 1)
				res := b.append(id, acks, sequenced(int64(pid), next[n], 2, 500))
				if res.Code != protocol.None {
					t.Errorf("append: %+v", res)
					return
				}
				if res.Ack != nil {
					if <-res.Ack.Done(); res.Ack.Code() != protocol.None {
						t.Errorf("ack %s", res.Ack.Code())
						return
					}
				}
				next[n] += 2
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			w := newWaiter()
			for {
				select {
				case <-stop:
					return
				default:
				}
				id := partition.ID{Topic: topic, Partition: int32(rand.IntN(partitions))}
				end := b.m.ListOffset(id, latest, 0, -1, true).Offset
				if end < 0 { // with flush.messages=1 the high watermark of a new leader waits for the disk
					continue
				}
				b.m.Watch(id, end, partition.ReadUncommitted, w)
				var res partition.ReadResult
				b.m.Read(id, &partition.ReadRequest{Offset: rand.Int64N(end + 1), MaxBytes: 10_000, LeaderEpoch: -1,
					LastFetchedEpoch: -1, ReplicaID: -1}, &res)
				if res.Code != protocol.None {
					t.Errorf("read: %+v", res)
				}
				res.Records.Release()
				b.m.Available(id, 0, partition.ReadUncommitted)
				b.m.ListOffset(id, rand.Int64N(2000), 0, -1, true)
				b.m.Dirs(true)
				b.m.Unwatch(id, w)
				w.count()
			}
		})
	}
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			b.set("t", "flush.messages", fmt.Sprint(1+i%3))
			b.set("t", "compression.type", []string{"producer", "zstd", "uncompressed"}[i%3])
			b.change(&controller.PartitionChangeRecord{TopicID: topic, PartitionID: int32(i % partitions), Leader: 1, LeaderRecoveryState: -1})
			x := b.topic(fmt.Sprint("x", i), one, 0)
			b.append(partition.ID{Topic: x}, 1, batch(1, 1))
			b.change(&controller.RemoveTopicRecord{TopicID: x})
			b.m.retainAll()
			b.m.checkpoint()
			b.m.expireProducers()
		}
	})
	load.Wait()
	close(stop)
	wg.Wait()
	b.set("t", "flush.messages", "9223372036854775807") // what acks=0 left to be synced is readable at once
	total := 0
	for n := range int32(partitions) {
		for _, c := range b.all(partition.ID{Topic: topic, Partition: n}, 1<<20) {
			total += c
		}
	}
	if total != producers*each*partitions*2 {
		t.Errorf("%d records, want %d", total, producers*each*partitions*2)
	}
	b.close()
}

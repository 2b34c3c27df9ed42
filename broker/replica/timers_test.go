package replica

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker/partition"
	"weir/protocol"
)

func TestFlushMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1)
		id := partition.ID{Topic: b.topic("t", one, 0)}
		b.set("t", "flush.messages", "1")
		gate := make(chan error)
		b.stores[0].syncGate = gate
		w := newWaiter()
		b.m.Watch(id, 0, partition.ReadUncommitted, w)
		first := b.append(id, 1, batch(1, 1))
		second := b.append(id, -1, batch(1, 1))
		if none := b.append(id, 0, batch(1, 1)); none.Ack != nil {
			t.Fatal("acks=0 waits")
		}
		synctest.Wait()
		if first.Ack == nil || second.Ack == nil || done(first.Ack) || w.count() > 0 {
			t.Fatal("acknowledged or readable before the sync")
		}
		gate <- nil // one sync for all that came until now
		synctest.Wait()
		if !done(first.Ack) || !done(second.Ack) || first.Ack.Code() != protocol.None {
			t.Fatal("not acknowledged after the sync")
		}
		if w.count() == 0 || b.read(id, 0).HighWatermark != 3 {
			t.Fatal("not readable after the sync")
		}
		third := b.append(id, 1, batch(1, 1))
		gate <- errors.New("I/O error")
		synctest.Wait()
		if !done(third.Ack) {
			t.Fatal("a failed sync leaves the producer waiting")
		}
		wantCode(t, "failed sync", third.Ack.Code(), protocol.KafkaStorageError)
		close(gate)
		b.close()
	})
}

func TestFlushMs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1)
		id := partition.ID{Topic: b.topic("t", one, 0)}
		b.set("t", "flush.ms", "1000")
		b.ok(id, 1)
		time.Sleep(500 * time.Millisecond)
		b.ok(id, 1)
		l := b.m.get(id).log
		time.Sleep(499 * time.Millisecond)
		if l.Synced() != 0 {
			t.Fatal("synced too early")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if l.Synced() != 2 {
			t.Fatalf("synced up to %d", l.Synced())
		}
		b.ok(id, 1)
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		if l.Synced() != 3 {
			t.Fatalf("synced up to %d", l.Synced())
		}
		b.close()
	})
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1, "log.retention.check.interval.ms=60000")
		byTime := partition.ID{Topic: b.topic("time", one, 0)}
		bySize := partition.ID{Topic: b.topic("size", one, 0)}
		compact := partition.ID{Topic: b.topic("compact", one, 0)}
		b.set("time", "retention.ms", "100000")
		b.set("size", "retention.bytes", "150")
		b.set("compact", "cleanup.policy", "compact")
		b.set("compact", "retention.ms", "1")
		for range 3 {
			for _, id := range []partition.ID{byTime, bySize, compact} {
				b.ok(id, 1)
			}
			time.Sleep(50 * time.Second)
		}
		// 150 s are gone; a minute later two are older than retention.ms
		starts := func() [3]int64 {
			var s [3]int64
			for i, id := range []partition.ID{byTime, bySize, compact} {
				s[i] = b.m.ListOffset(id, -2, 0, -1, true).Offset
			}
			return s
		}
		time.Sleep(time.Minute)
		if got := starts(); got != [3]int64{2, 1, 0} {
			t.Fatalf("log starts %v", got)
		}
		wantCode(t, "read what is gone", b.read(byTime, 0).Code, protocol.OffsetOutOfRange)
		// All data is gone in the end, though nothing is appended any more.
		time.Sleep(3 * time.Minute)
		if got := starts(); got != [3]int64{3, 1, 0} {
			t.Fatalf("log starts %v", got)
		}
		// A change of the configuration is heard of at the next round.
		b.set("size", "retention.ms", "1")
		time.Sleep(2 * time.Minute)
		if got := starts(); got != [3]int64{3, 3, 0} {
			t.Fatalf("log starts %v", got)
		}
		b.close()
	})
}

// Retention goes on in a directory that is offline because it is full: it is what makes room.
func TestRetentionOfFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1, "log.retention.ms=1000")
		id := partition.ID{Topic: b.topic("t", one, 0)}
		b.ok(id, 1)
		b.stores[0].options.OnOffline("/d0", errors.New("no space"))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		for _, l := range b.stores[0].logs {
			if l.Start() != 1 {
				t.Fatal("nothing was removed")
			}
		}
		b.stores[0].options.OnOnline("/d0")
		if base := b.ok(id, 1); base != 1 {
			t.Fatalf("append at %d", base)
		}
		b.close()
	})
}

// Logs that nobody uses after a start are looked at all the same, slowly.
func TestRetentionOfUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1, "log.retention.ms=1000")
		id := b.topic("t", one, make([]int, 50)...)
		for n := range int32(50) {
			b.ok(partition.ID{Topic: id, Partition: n}, 1)
		}
		b.close()
		b.stores[0].opened.Store(0)
		time.Sleep(time.Minute)
		b.open()
		synctest.Wait()
		if b.stores[0].opened.Load() != 0 {
			t.Fatal("the start opens logs")
		}
		time.Sleep(visitFirst + 10*visitEvery)
		synctest.Wait()
		if n := b.stores[0].opened.Load(); n == 0 || n > 12 {
			t.Fatalf("%d logs opened", n)
		}
		time.Sleep(50 * visitEvery)
		synctest.Wait()
		for _, l := range b.stores[0].logs {
			if l.Start() != 1 {
				t.Fatal("old data is still there")
			}
		}
		b.close()
	})
}

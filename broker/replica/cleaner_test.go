package replica

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
	"weir/wal"
)

// dirtyLog makes a compacted topic with one record whose log is as dirty as d says.
func (b *bed) dirtyLog(name string, d wal.Dirty) (partition.ID, *memLog) {
	b.t.Helper()
	id := partition.ID{Topic: b.topic(name, one, 0)}
	b.set(name, "cleanup.policy", "compact")
	b.ok(id, 1)
	l := b.m.get(id).log.(*memLog)
	l.mu.Lock()
	l.dirty = d
	l.mu.Unlock()
	return id, l
}

// on sets what a round does beside being noted.
func (l *memLog) on(f func(wal.Cleaning) error) {
	l.mu.Lock()
	l.onClean = f
	l.mu.Unlock()
}

func (l *memLog) rounds() []wal.Cleaning {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.cleaned)
}

// Logs are compacted when they are dirty enough or the oldest record has waited long enough, the dirtiest first.
func TestCleanerChooses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1)
		var order []string
		note := func(name string) func(wal.Cleaning) error {
			return func(wal.Cleaning) error { order = append(order, name); return nil }
		}
		_, some := b.dirtyLog("some", wal.Dirty{Upto: 1, CleanBytes: 40, DirtyBytes: 60})
		_, all := b.dirtyLog("all", wal.Dirty{Upto: 1, DirtyBytes: 100})
		_, little := b.dirtyLog("little", wal.Dirty{Upto: 1, CleanBytes: 50, DirtyBytes: 50})
		_, old := b.dirtyLog("old", wal.Dirty{Upto: 1, CleanBytes: 90, DirtyBytes: 10})
		_, lazy := b.dirtyLog("lazy", wal.Dirty{Upto: 1, CleanBytes: 30, DirtyBytes: 70})
		_, plain := b.dirtyLog("plain", wal.Dirty{Upto: 1, DirtyBytes: 100})
		b.set("plain", "cleanup.policy", "delete")
		b.set("lazy", "min.cleanable.dirty.ratio", "0.8")
		b.set("lazy", "min.compaction.lag.ms", "77")
		b.set("lazy", "delete.retention.ms", "88")
		b.set("old", "max.compaction.lag.ms", "3600000")
		old.mu.Lock()
		old.oldestMs = b.nowMs()
		old.mu.Unlock()
		for name, l := range map[string]*memLog{"some": some, "all": all, "old": old, "lazy": lazy} {
			l.on(note(name))
		}
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if !slices.Equal(order, []string{"all", "some"}) || len(little.rounds())+len(plain.rounds()) > 0 {
			t.Fatal(order)
		}
		if o := all.rounds()[0]; o.Upto != 1 || o.DeleteRetentionMs != 86400000 || o.MinLagMs != 0 || len(o.Producers()) != 0 {
			t.Fatalf("%+v", o)
		}
		b.set("lazy", "min.cleanable.dirty.ratio", "0.6")
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if !slices.Equal(order, []string{"all", "some", "lazy"}) {
			t.Fatal(order)
		}
		if o := lazy.rounds()[0]; o.MinLagMs != 77 || o.DeleteRetentionMs != 88 {
			t.Fatalf("%+v", o)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if !slices.Equal(order, []string{"all", "some", "lazy", "old"}) {
			t.Fatal(order)
		}
		b.close()
	})
}

// A log that cannot be compacted is said to be so once and left alone; the others go on. A full disk is no such reason.
func TestUncleanable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1)
		dirty := wal.Dirty{Upto: 1, DirtyBytes: 100}
		_, bad := b.dirtyLog("bad", dirty)
		_, full := b.dirtyLog("full", dirty)
		_, good := b.dirtyLog("good", dirty)
		again := func(l *memLog, err error) func(wal.Cleaning) error {
			return func(wal.Cleaning) error {
				l.mu.Lock()
				l.dirty = dirty
				l.mu.Unlock()
				return err
			}
		}
		bad.on(again(bad, fmt.Errorf("x: %w", wal.ErrCorrupt)))
		n := 0
		full.on(func(o wal.Cleaning) error {
			if n++; n < 5 {
				return again(full, fmt.Errorf("x: %w", syscall.ENOSPC))(o)
			}
			return nil
		})
		time.Sleep(40 * time.Second)
		synctest.Wait()
		if len(full.rounds()) > 3 {
			t.Fatalf("%d rounds in 40 s", len(full.rounds()))
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if len(bad.rounds()) != 1 || len(full.rounds()) != 5 || len(good.rounds()) != 1 {
			t.Fatalf("%d, %d, %d rounds", len(bad.rounds()), len(full.rounds()), len(good.rounds()))
		}
		b.close()
	})
}

// Threads bound how many logs are compacted at once, and a broker that stops ends them.
func TestCleanerThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1, "log.cleaner.threads=2", "log.cleaner.io.max.bytes.per.second=1000")
		running, most := 0, 0
		var logs []*memLog
		for i := range 5 {
			_, l := b.dirtyLog(fmt.Sprint("t", i), wal.Dirty{Upto: 1, DirtyBytes: 100})
			l.on(func(o wal.Cleaning) error {
				l.s.mu.Lock()
				running++
				most = max(most, running)
				l.s.mu.Unlock()
				defer func() { l.s.mu.Lock(); running--; l.s.mu.Unlock() }()
				if err := o.Step(60_000); err != nil { // a minute
					return err
				}
				return nil
			})
			logs = append(logs, l)
		}
		done := func() (n int) {
			for _, l := range logs {
				n += len(l.rounds())
			}
			return n
		}
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if most != 2 || done() != 2 {
			t.Fatalf("%d at once, %d begun", most, done())
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if most > 2 || done() != 5 {
			t.Fatalf("%d at once, %d begun", most, done())
		}
		before := time.Now()
		b.close()
		if time.Since(before) > time.Second {
			t.Fatal("stopping waits for compaction")
		}
	})
}

// The cleaner's settings act at the next round, and the rate at once.
func TestCleanerIsDynamic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1, "log.cleaner.threads=1", "log.cleaner.io.max.bytes.per.second=1000")
		defer b.close()
		set := func(key, value string) {
			b.change(&controller.ConfigRecord{ResourceType: controller.BrokerConfig, Name: key, Value: &value})
		}
		started := func() (n int) {
			for _, l := range b.stores[0].logs {
				n += len(l.rounds())
			}
			return n
		}
		ended := 0
		for i := range 4 {
			_, l := b.dirtyLog(fmt.Sprint("t", i), wal.Dirty{Upto: 1, DirtyBytes: 100})
			l.on(func(o wal.Cleaning) error {
				defer func() { l.s.mu.Lock(); ended++; l.s.mu.Unlock() }()
				return errors.Join(o.Step(3600_000), o.Step(3600_000)) // an hour each at the first rate
			})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := started(); n != 1 {
			t.Fatalf("%d logs with one thread", n)
		}
		set("log.cleaner.threads", "3")
		set("log.cleaner.backoff.ms", "1000")
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if n := started(); n != 3 {
			t.Fatalf("%d logs with three threads", n)
		}
		set("log.cleaner.io.max.bytes.per.second", "1e12")
		set("log.cleaner.dedupe.buffer.size", "3000000")
		set("log.cleaner.io.buffer.size", "600000")
		set("log.cleaner.io.buffer.load.factor", "0.5")
		time.Sleep(4 * time.Hour) // what waits has its time already
		synctest.Wait()
		if ended != 4 {
			t.Fatalf("%d rounds ended", ended)
		}
		if s := b.m.cleaner.settings(); s.mapBytes != 1000000 || s.ioBytes != 100000 || s.load != 0.5 || s.backoff != time.Second {
			t.Fatalf("%+v", s)
		}
	})
}

// A partition that is deleted, or is not compacted any more, ends its round.
func TestCleanerStopsWithPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1)
		for name, end := range map[string]func(id partition.ID){
			"changed": func(partition.ID) { b.set("changed", "cleanup.policy", "delete") },
			"deleted": func(id partition.ID) { b.change(&controller.RemoveTopicRecord{TopicID: id.Topic}) },
		} {
			id, l := b.dirtyLog(name, wal.Dirty{Upto: 1, DirtyBytes: 100})
			var before, after error
			l.on(func(o wal.Cleaning) error {
				before = o.Step(1)
				end(id)
				after = o.Step(1)
				return after
			})
			time.Sleep(16 * time.Second)
			synctest.Wait()
			if before != nil || !errors.Is(after, errCleanerStops) {
				t.Fatalf("%s: %v, then %v", name, before, after)
			}
		}
		b.close()
	})
}

// The whole way on a disk: a compacted topic keeps the newest record of each key, and refuses records without one.
func TestCompactedTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1)
		b.close()
		path := t.TempDir()
		b.cfg.Dirs = []DirConfig{{Path: path, ID: dirID(0)}}
		b.cfg.OpenStore = nil
		b.open()
		id := partition.ID{Topic: b.topic("t", one, 0)}
		b.set("t", "cleanup.policy", "compact")
		b.set("t", "segment.bytes", "1048576")
		value := make([]byte, 300_000)
		for i := range 20 {
			r := record.Builder{LeaderEpoch: -1}
			r.Add(b.nowMs(), fmt.Append(nil, "key ", i%3), value)
			res := b.append(id, 1, r.Bytes())
			wantCode(t, "append", res.Code, protocol.None)
		}
		plain := record.Builder{LeaderEpoch: -1}
		plain.Add(b.nowMs(), nil, []byte("v"))
		res := b.append(id, 1, plain.Bytes())
		wantCode(t, "no key", res.Code, protocol.InvalidRecord)
		const what = "Compacted topic cannot accept message without key in topic partition t-0"
		if len(res.RecordErrors) != 1 || res.RecordErrors[0].Message != what {
			t.Fatalf("%+v", res.RecordErrors)
		}
		if want := "One or more records have been rejected due to 1 record errors in total, and only showing the first three errors at most: " +
			"[RecordError(batchIndex=0, message='" + what + "')]"; res.Message != want {
			t.Fatal(res.Message)
		}
		size := b.m.get(id).log.Size()
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if now := b.m.get(id).log.Size(); now > size/2 {
			t.Fatalf("%d bytes of %d", now, size)
		}
		b.close()
		b.open()
		if e := b.m.ListOffset(id, -1, 0, -1, true); e.Offset != 20 {
			t.Fatalf("%+v", e)
		}
		if s := b.m.ListOffset(id, -2, 0, -1, true); s.Offset != 0 {
			t.Fatalf("%+v", s)
		}
		b.close()
	})
}

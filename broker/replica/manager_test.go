package replica

import (
	"errors"
	"testing"
	"testing/synctest"

	"weir/broker/api"
	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
	"weir/wal"
)

var _ api.Replicas = (*Manager)(nil)

var one = []int32{1}

func TestAppendAndRead(t *testing.T) {
	b := newBed(t, 1)
	defer b.close()
	id := partition.ID{Topic: b.topic("t", one, 0)}
	for i := range 3 {
		if base := b.ok(id, 2); base != int64(2*i) {
			t.Fatalf("append %d at %d", i, base)
		}
	}
	res := b.read(id, 3)
	wantCode(t, "read", res.Code, protocol.None)
	if res.HighWatermark != 6 || res.LastStable != 6 || res.LogStart != 0 {
		t.Fatalf("read %+v", res)
	}
	recs, err := bytesOf(&res.Records)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := record.Next(recs)
	second, _, _ := record.Next(rest)
	if first.BaseOffset() != 2 || second.BaseOffset() != 4 || first.LeaderEpoch() != 0 || !first.CheckCRC() {
		t.Fatalf("read batches at %d and %d", first.BaseOffset(), second.BaseOffset())
	}
	res.Records.Release()
	if got := b.m.Available(id, 4, partition.ReadUncommitted); got != int64(len(second)) {
		t.Fatalf("available %d", got)
	}
	for offset, want := range map[int64]int64{6: 0, 7: -1, -1: -1} {
		if got := b.m.Available(id, offset, partition.ReadUncommitted); got != want {
			t.Errorf("available from %d: %d, want %d", offset, got, want)
		}
	}
	wantCode(t, "read beyond the end", func() protocol.Code { r := b.read(id, 7); return r.Code }(), protocol.OffsetOutOfRange)
}

func TestWhoIsAsked(t *testing.T) {
	b := newBed(t, 1)
	defer b.close()
	other := partition.ID{Topic: b.topic("other", []int32{2, 3}, 0)}
	follower := partition.ID{Topic: b.topic("follower", []int32{2, 1}, 0)}
	for _, c := range []struct {
		name   string
		id     partition.ID
		code   protocol.Code
		leader int32
	}{
		{"unknown topic", partition.ID{Topic: protocol.UUID{9}}, protocol.UnknownTopicOrPartition, -1},
		{"unknown partition", partition.ID{Topic: other.Topic, Partition: 1}, protocol.UnknownTopicOrPartition, -1},
		{"negative partition", partition.ID{Topic: other.Topic, Partition: -1}, protocol.UnknownTopicOrPartition, -1},
		{"not a replica", other, protocol.NotLeaderOrFollower, 2},
		{"a follower", follower, protocol.NotLeaderOrFollower, 2},
	} {
		res := b.append(c.id, 1, batch(1, 1))
		wantCode(t, c.name+": append", res.Code, c.code)
		if res.LeaderID != c.leader || res.BaseOffset != -1 || res.LogStart != -1 {
			t.Errorf("%s: append %+v", c.name, res)
		}
		var r partition.ReadResult
		b.m.Read(c.id, &partition.ReadRequest{OnlyLeader: true, LeaderEpoch: -1, LastFetchedEpoch: -1, ReplicaID: -1}, &r)
		wantCode(t, c.name+": read", r.Code, c.code)
		if r.LeaderID != c.leader || r.HighWatermark != -1 {
			t.Errorf("%s: read %+v", c.name, r)
		}
		wantCode(t, c.name+": list", b.m.ListOffset(c.id, -1, 0, -1, true).Code, c.code)
		wantCode(t, c.name+": delete", b.m.DeleteRecords(c.id, 0).Code, c.code)
		_, code := b.m.EpochEnd(c.id, -1, 0)
		wantCode(t, c.name+": epoch end", code, c.code)
	}
	w := newWaiter()
	b.m.Watch(other, 0, 0, w)
	if w.count() != 1 {
		t.Error("a watcher of what is not here is not woken")
	}
}

func TestRefusedRecords(t *testing.T) {
	b := newBed(t, 1)
	defer b.close()
	id := partition.ID{Topic: b.topic("t", one, 0)}
	internal := partition.ID{Topic: b.topic("__consumer_offsets", one, 0)}
	b.set("t", "max.message.bytes", "100")
	b.ok(id, 1)
	bad := batch(1, 1)
	bad[len(bad)-1]++
	future := record.Builder{LeaderEpoch: -1}
	future.Add(1<<60, nil, nil)
	for _, c := range []struct {
		name     string
		id       partition.ID
		recs     []byte
		code     protocol.Code
		logStart int64
	}{
		{"wrong CRC", id, bad, protocol.CorruptMessage, -1},
		{"nothing", id, nil, protocol.InvalidRecord, -1},
		{"too large", id, batch(10, 1), protocol.MessageTooLarge, -1},
		{"in the future", id, future.Bytes(), protocol.InvalidTimestamp, 0},
		{"internal", internal, batch(1, 1), protocol.InvalidTopicException, -1},
	} {
		res := b.append(c.id, 1, c.recs)
		wantCode(t, c.name, res.Code, c.code)
		if res.BaseOffset != -1 || res.LogStart != c.logStart {
			t.Errorf("%s: %+v", c.name, res)
		}
		if c.code == protocol.InvalidTimestamp && (len(res.RecordErrors) != 1 || res.Message == "") {
			t.Errorf("%s: %+v", c.name, res)
		}
	}
	var res partition.AppendResult
	b.m.Append(internal, &partition.AppendRequest{Version: 11, Acks: 1, Records: batch(1, 1), InternalOK: true}, &res)
	wantCode(t, "internal by the admin client", res.Code, protocol.None)
	wantCode(t, "delete from internal", b.m.DeleteRecords(internal, 0).Code, protocol.InvalidTopicException)
	b.set("t", "segment.bytes", "1048576")
	b.set("t", "max.message.bytes", "10000000")
	big := record.Builder{LeaderEpoch: -1}
	big.Add(b.nowMs(), nil, make([]byte, 2<<20))
	wantCode(t, "larger than a segment", b.append(id, 1, big.Bytes()).Code, protocol.RecordListTooLarge)
}

func TestLogAppendTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, 1)
		defer b.close()
		id := partition.ID{Topic: b.topic("t", one, 0)}
		if res := b.append(id, 1, batch(2, 5)); res.AppendTimeMs != -1 {
			t.Fatalf("CreateTime gave append time %d", res.AppendTimeMs)
		}
		b.set("t", "message.timestamp.type", "LogAppendTime")
		res := b.append(id, 1, batch(2, 5))
		if res.AppendTimeMs != b.nowMs() {
			t.Fatalf("append time %d, want %d", res.AppendTimeMs, b.nowMs())
		}
		if r := b.m.ListOffset(id, 6, 0, -1, true); r.Offset != 2 || r.TimestampMs != b.nowMs() {
			t.Fatalf("lookup %+v", r)
		}
	})
}

func TestListOffset(t *testing.T) {
	b := newBed(t, 1)
	defer b.close()
	id := partition.ID{Topic: b.topic("t", one, 0)}
	for _, x := range []int64{-1, -2, -4, 5} {
		want := int64(0)
		if x == 5 {
			want = -1
		}
		if r := b.m.ListOffset(id, x, 0, -1, true); r.Offset != want || r.Code != protocol.None {
			t.Errorf("empty log, %d: %+v", x, r)
		}
	}
	for i, ts := range [][]int64{{100, 300, 200}, {150, 160, 170}, {400, 250}} {
		p := record.Builder{LeaderEpoch: -1}
		for _, ms := range ts {
			p.Add(ms, nil, nil)
		}
		wantCode(t, "append", b.append(id, 1, p.Bytes()).Code, protocol.None)
		_ = i
	}
	for _, c := range []struct{ ask, offset, ms int64 }{
		{-1, 8, -1}, {-2, 0, -1}, {-3, 6, 400}, {-4, 0, -1}, {-5, -1, -1},
		{0, 0, 100}, {100, 0, 100}, {101, 1, 300}, {200, 1, 300}, {301, 6, 400}, {400, 6, 400}, {401, -1, -1},
	} {
		r := b.m.ListOffset(id, c.ask, 0, -1, true)
		epoch := int32(0)
		if c.offset < 0 {
			epoch = -1
		}
		if (r != partition.OffsetResult{Offset: c.offset, TimestampMs: c.ms, LeaderEpoch: epoch}) {
			t.Errorf("%d: %+v, want %d at %d", c.ask, r, c.offset, c.ms)
		}
	}
	// The log start is within the first batch: its records below it are not found, though they have the largest timestamp.
	if d := b.m.DeleteRecords(id, 2); d.Code != protocol.None || d.LowWatermark != 2 || d.Ack != nil {
		t.Fatalf("delete %+v", d)
	}
	for ask, offset := range map[int64]int64{0: 2, 201: 6, -2: 2} {
		if r := b.m.ListOffset(id, ask, 0, -1, true); r.Offset != offset {
			t.Errorf("after delete, %d: %+v, want %d", ask, r, offset)
		}
	}
	wantCode(t, "old epoch", b.m.ListOffset(id, -1, 0, 5, true).Code, protocol.UnknownLeaderEpoch)
}

func TestWatch(t *testing.T) {
	b := newBed(t, 1)
	defer b.close()
	id := partition.ID{Topic: b.topic("t", one, 0)}
	w := newWaiter()
	b.m.Watch(id, 0, partition.ReadUncommitted, w)
	if w.count() != 0 {
		t.Fatal("woken without data")
	}
	b.ok(id, 1)
	b.ok(id, 1)
	if w.count() != 2 {
		t.Fatal("a poll that needs more bytes is woken by the first append only")
	}
	b.m.Unwatch(id, w)
	b.ok(id, 1)
	if w.count() != 0 {
		t.Fatal("woken after Unwatch")
	}
	b.m.Watch(id, 0, partition.ReadUncommitted, w)
	if w.count() != 1 {
		t.Fatal("not woken at once though there is data")
	}
	b.change(&controller.RemoveTopicRecord{TopicID: id.Topic})
	if w.count() != 1 {
		t.Fatal("not woken by the end of the topic")
	}
	if b.m.Available(id, 0, 0) != -1 {
		t.Fatal("a deleted topic has data")
	}
}

func TestDeletedAndCreatedAgain(t *testing.T) {
	b := newBed(t, 1)
	old := partition.ID{Topic: b.topic("t", one, 0, 0)}
	idle := partition.ID{Topic: b.topic("idle", one, 0)}
	b.ok(old, 3)
	b.ok(idle, 1)
	b.close()
	b.open()
	b.change(&controller.RemoveTopicRecord{TopicID: old.Topic})
	b.change(&controller.RemoveTopicRecord{TopicID: idle.Topic})
	if got := b.stores[0].removed; len(got) != 2 {
		t.Fatalf("removed %v", got)
	}
	wantCode(t, "append to the old id", b.append(old, 1, batch(1, 1)).Code, protocol.UnknownTopicOrPartition)
	again := partition.ID{Topic: b.topic("t", one, 0)}
	if base := b.ok(again, 1); base != 0 {
		t.Fatalf("the new topic begins at %d", base)
	}
	// A log that the metadata does not know when the broker starts is removed; what is not a log of ours stays.
	b.close()
	b.stores[0].removed = nil
	l, _ := b.stores[0].Log(logName("gone", partition.ID{Topic: protocol.UUID{7}}))
	f, _ := b.stores[0].Log("foreign")
	for _, x := range []Log{l, f} {
		if err := x.Append(batch(1, 1), record.Set{Next: 1}); err != nil {
			t.Fatal(err)
		}
	}
	b.open()
	if got := b.stores[0].removed; len(got) != 1 || got[0] != l.(*memLog).name() {
		t.Fatalf("removed %v", got)
	}
	if r := b.read(again, 0); r.HighWatermark != 1 {
		t.Fatalf("read after the restart %+v", r)
	}
	b.close()
}

// name finds the name of a log again.
func (l *memLog) name() string { return logName("gone", partition.ID{Topic: protocol.UUID{7}}) }

func TestLogNames(t *testing.T) {
	long := make([]byte, 249)
	for i := range long {
		long[i] = 'a' + byte(i%26)
	}
	id := partition.ID{Topic: protocol.UUID{1, 2, 3, 255}, Partition: 2147483647}
	for _, topic := range []string{"t", "a.b-c_d", "x-1", "-", string(long)} {
		n := logName(topic, id)
		got, ok := parseLogName(n)
		if !ok || got != id || len(n) > 255 {
			t.Errorf("%s: %v %v", n, got, ok)
		}
	}
	for _, n := range []string{"", "meta.properties", "t-0", "t-0.AAAAAAAAAAAAAAAAAAAAAA.x", "t-01.AAAAAAAAAAAAAAAAAAAAAA"} {
		if _, ok := parseLogName(n); ok {
			t.Errorf("%q is taken for a log", n)
		}
	}
}

func TestIdlePartitionsCostNothing(t *testing.T) {
	b := newBed(t, 1)
	defer b.close()
	dirs := make([]int, 1000)
	id := b.topic("t", one, dirs...)
	b.ok(partition.ID{Topic: id, Partition: 5}, 1)
	if n := b.stores[0].opened.Load(); n != 1 {
		t.Fatalf("%d logs were opened for one partition", n)
	}
}

func TestDirectories(t *testing.T) {
	b := newBed(t, 2)
	placed := map[partition.ID]protocol.UUID{}
	b.close()
	b.cfg.OnPlaced = func(id partition.ID, dir protocol.UUID) { placed[id] = dir }
	b.open()
	id := b.topic("t", one, 0, 1, -1, -1)
	if len(placed) != 2 {
		t.Errorf("placed: %v", placed)
	}
	p := func(n int32) partition.ID { return partition.ID{Topic: id, Partition: n} }
	for n := range int32(4) {
		b.ok(p(n), 1)
	}
	if len(b.stores[0].logs) != 2 || len(b.stores[1].logs) != 2 {
		t.Fatalf("%d and %d logs", len(b.stores[0].logs), len(b.stores[1].logs))
	}
	w := newWaiter()
	b.m.Watch(p(1), 1, 0, w)
	b.stores[1].options.OnOffline("/d1", errors.New("I/O error"))
	if w.count() == 0 {
		t.Error("a long poll does not hear that its directory is gone")
	}
	wantCode(t, "append to the lost directory", b.append(p(1), 1, batch(1, 1)).Code, protocol.KafkaStorageError)
	r := b.read(p(1), 0)
	wantCode(t, "read from the lost directory", r.Code, protocol.KafkaStorageError)
	b.ok(p(0), 1)
	d := b.m.Dirs(true)
	if len(d) != 2 || d[0].Code != protocol.None || len(d[0].Logs) != 2 || d[0].Logs[0].Size == 0 || d[0].TotalBytes != 100 ||
		d[1].Code != protocol.KafkaStorageError || d[1].Logs != nil {
		t.Errorf("dirs %+v", d)
	}
	b.stores[1].options.OnOnline("/d1")
	if base := b.ok(p(1), 1); base != 1 {
		t.Errorf("append after it came back at %d", base)
	}
	// After a restart the unassigned ones are where their data is.
	b.close()
	b.open()
	for n := range int32(4) {
		if r := b.read(p(n), 0); r.Code != protocol.None || r.HighWatermark == 0 {
			t.Errorf("partition %d after the restart: %+v", n, r)
		}
	}
	b.close()
	// One of two that cannot be opened takes its partitions with it and no others.
	b.stores[1].openErr = errors.New("no such device")
	b.open()
	b.ok(p(0), 1)
	wantCode(t, "append to what could not be opened", b.append(p(1), 1, batch(1, 1)).Code, protocol.KafkaStorageError)
	// A log that the metadata places nowhere may be in what could not be opened: it is not begun anew.
	for n := int32(2); n < 4; n++ {
		code := b.append(p(n), 1, batch(1, 1)).Code
		if inLost := b.stores[1].logs[logName("t", p(n))] != nil; inLost != (code == protocol.KafkaStorageError) {
			t.Errorf("partition %d, in the lost directory: %v, answers %v", n, inLost, code)
		}
	}
	b.close()
	b.stores[0].openErr = wal.ErrLocked
	if _, err := Open(b.cfg); !errors.Is(err, wal.ErrLocked) {
		t.Errorf("a locked directory: %v", err)
	}
}

func TestFailedAppend(t *testing.T) {
	b := newBed(t, 1)
	defer b.close()
	id := partition.ID{Topic: b.topic("t", one, 0)}
	b.ok(id, 1)
	for _, l := range b.stores[0].logs {
		l.l.FailAppends = 1
	}
	res := b.append(id, 1, batch(1, 1))
	wantCode(t, "append", res.Code, protocol.KafkaStorageError)
	if base := b.ok(id, 1); base != 1 {
		t.Fatalf("the next append is at %d", base)
	}
}

func TestAcksAll(t *testing.T) {
	b := newBed(t, 1)
	defer b.close()
	id := partition.ID{Topic: b.topic("t", []int32{1, 2}, 0)}
	b.set("t", "min.insync.replicas", "2")
	res := b.append(id, -1, batch(2, 1))
	if res.Ack == nil || done(res.Ack) || res.BaseOffset != 0 {
		t.Fatalf("append %+v", res)
	}
	if r := b.m.ListOffset(id, 0, partition.ReadUncommitted, -1, true); r != noOffset(protocol.None) {
		t.Fatalf("lookup finds what is not committed: %+v", r)
	}
	if r := b.m.ListOffset(id, 0, partition.ReadToEnd, -1, true); r.Offset != 0 {
		t.Fatalf("lookup by a replica: %+v", r)
	}
	fetch := func(offset int64) {
		var r partition.ReadResult
		b.m.Read(id, &partition.ReadRequest{Offset: offset, MaxBytes: 1 << 20, Isolation: partition.ReadToEnd, OnlyLeader: true,
			LeaderEpoch: 0, LastFetchedEpoch: -1, ReplicaID: 2, ReplicaEpoch: b.img.Broker(2).Epoch}, &r)
		wantCode(t, "follower's fetch", r.Code, protocol.None)
		r.Records.Release()
	}
	fetch(0)
	if done(res.Ack) {
		t.Fatal("acknowledged before the follower has it")
	}
	fetch(2)
	if !done(res.Ack) || res.Ack.Code() != protocol.None {
		t.Fatal("not acknowledged")
	}
	// DeleteRecords waits for the follower's log start.
	d := b.m.DeleteRecords(id, 1)
	if d.Code != protocol.None || d.Ack == nil || done(d.Ack) || d.LowWatermark != 1 {
		t.Fatalf("delete %+v", d)
	}
	// The leader is another one now: whoever waits is told.
	res = b.append(id, -1, batch(1, 1))
	b.change(&controller.PartitionChangeRecord{TopicID: id.Topic, Leader: 2, ISR: []int32{2}, LeaderRecoveryState: -1})
	if !done(res.Ack) || !done(d.Ack) {
		t.Fatal("nobody is told of the new leader")
	}
	wantCode(t, "acks=all", res.Ack.Code(), protocol.NotLeaderOrFollower)
	if r := b.append(id, -1, batch(1, 1)); r.Code != protocol.NotLeaderOrFollower || r.LeaderID != 2 || r.LeaderEpoch != 1 {
		t.Fatalf("append %+v", r)
	}
	b.change(&controller.PartitionChangeRecord{TopicID: id.Topic, Leader: 1, ISR: []int32{1}, LeaderRecoveryState: -1})
	r := b.append(id, -1, batch(1, 1))
	wantCode(t, "below min.insync.replicas", r.Code, protocol.NotEnoughReplicas)
	fetch2 := func() {
		var r partition.ReadResult
		b.m.Read(id, &partition.ReadRequest{Offset: 3, MaxBytes: 1 << 20, Isolation: partition.ReadToEnd, OnlyLeader: true,
			LeaderEpoch: 2, LastFetchedEpoch: -1, ReplicaID: 2, ReplicaEpoch: b.img.Broker(2).Epoch}, &r)
		wantCode(t, "follower's fetch", r.Code, protocol.None)
	}
	fetch2()
	select {
	case p := <-b.isr:
		if p.ID != id || len(p.ISR) != 2 {
			t.Fatalf("proposal %+v", p)
		}
	default:
		t.Fatal("no expansion is proposed")
	}
}

func TestRestart(t *testing.T) {
	b := newBed(t, 1)
	id := partition.ID{Topic: b.topic("t", one, 0)}
	rep := partition.ID{Topic: b.topic("replicated", []int32{1, 2}, 0)}
	send := func(seq int32) partition.AppendResult {
		p := record.Builder{LeaderEpoch: -1, HasProducer: true, ProducerID: 7, BaseSequence: seq}
		p.Add(b.nowMs(), nil, nil)
		return b.append(id, 1, p.Bytes())
	}
	for seq := range int32(3) {
		wantCode(t, "append", send(seq).Code, protocol.None)
	}
	b.ok(rep, 5)
	var r partition.ReadResult
	b.m.Read(rep, &partition.ReadRequest{Offset: 4, MaxBytes: 1, Isolation: partition.ReadToEnd, OnlyLeader: true, LeaderEpoch: 0,
		LastFetchedEpoch: -1, ReplicaID: 2, ReplicaEpoch: b.img.Broker(2).Epoch}, &r)
	b.close()
	b.open()
	if res := send(1); res.Code != protocol.None || res.BaseOffset != 1 {
		t.Fatalf("duplicate after the restart %+v", res)
	}
	wantCode(t, "gap after the restart", send(7).Code, protocol.OutOfOrderSequenceNumber)
	if r := b.read(rep, 0); r.HighWatermark != 4 {
		t.Fatalf("the high watermark of two replicas is %d after the restart", r.HighWatermark)
	}
	b.close()
	if res := send(3); res.Code == protocol.None {
		t.Fatal("append after Close")
	}
}

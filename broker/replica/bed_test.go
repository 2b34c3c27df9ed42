package replica

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"weir/broker/partition"
	"weir/config"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
	"weir/wal"
)

// bed is a Manager on directories in memory, and the metadata that it is told.
type bed struct {
	t      testing.TB
	m      *Manager
	cfg    Config
	stores []*memStore
	img    *controller.Image
	offset int64
	isr    chan *partition.Proposal
}

func newBed(t testing.TB, dirs int, settings ...string) *bed {
	b := &bed{t: t, img: controller.NewImage(), isr: make(chan *partition.Proposal, 100)}
	src, err := config.FromSets(settings)
	if err != nil {
		t.Fatal(err)
	}
	static, _, err := config.Resolve(src)
	if err != nil {
		t.Fatal(err)
	}
	b.cfg = Config{NodeID: 1, Static: static}
	for i := range dirs {
		b.stores = append(b.stores, newMemStore())
		b.cfg.Dirs = append(b.cfg.Dirs, DirConfig{Path: "/d" + strconv.Itoa(i), ID: dirID(i)})
	}
	b.cfg.OpenStore = func(d DirConfig, o wal.Options) (Store, error) {
		for i := range b.stores {
			if d.ID == dirID(i) {
				b.stores[i].options = o
				return b.stores[i], b.stores[i].openErr
			}
		}
		return nil, fmt.Errorf("no %s", d.Path)
	}
	b.cfg.AlterISR = func(p *partition.Proposal, answered func(*partition.Answer)) { b.isr <- p }
	b.change(controller.BootstrapRecords("AAAAAAAAAAAAAAAAAAAAAQ")...)
	for id := int32(1); id <= 3; id++ {
		b.change(&controller.RegisterBrokerRecord{BrokerID: id, BrokerEpoch: -1, Incarnation: protocol.UUID{byte(id)}})
	}
	b.open()
	return b
}

func dirID(i int) protocol.UUID { return protocol.UUID{0xd, byte(i + 1), 1} }

// open starts the Manager with the metadata so far; what was used before must have been closed.
func (b *bed) open() {
	b.t.Helper()
	m, err := Open(b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.m = m
	m.Apply(controller.NewImage(), b.img, controller.FullDelta(b.img))
}

func (b *bed) close() {
	b.t.Helper()
	if err := b.m.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// change merges records into the metadata and publishes it.
func (b *bed) change(recs ...controller.Record) {
	b.t.Helper()
	b.offset++
	img, d, err := controller.Merge(b.img, recs, b.offset, 1)
	if err != nil {
		b.t.Fatal(err)
	}
	old := b.img
	b.img = img
	if b.m != nil {
		b.m.Apply(old, img, d)
	}
}

// topic makes a topic with as many partitions as there are directories given, each with the replicas, led by the first; -1 is an unassigned
// directory.
func (b *bed) topic(name string, replicas []int32, dirs ...int) protocol.UUID {
	b.t.Helper()
	id := protocol.UUID{1: byte(b.offset >> 8), 2: byte(b.offset), 15: 9}
	recs := []controller.Record{&controller.TopicRecord{Name: name, TopicID: id}}
	for n, d := range dirs {
		p := &controller.PartitionRecord{PartitionID: int32(n), TopicID: id, Replicas: replicas, ISR: replicas, Leader: replicas[0]}
		for range replicas {
			u := controller.DirUnassigned
			if d >= 0 {
				u = dirID(d)
			}
			p.Directories = append(p.Directories, u)
		}
		recs = append(recs, p)
	}
	b.change(recs...)
	return id
}

func (b *bed) set(topic, key, value string) {
	b.t.Helper()
	b.change(&controller.ConfigRecord{ResourceType: controller.TopicConfig, ResourceName: topic, Name: key, Value: &value})
}

// batch builds what a producer sends: n records of the timestamp.
func batch(n int, ms int64) []byte {
	b := record.Builder{LeaderEpoch: -1}
	for i := range n {
		b.Add(ms, []byte("k"), fmt.Append(nil, "value ", i))
	}
	return b.Bytes()
}

func (b *bed) append(id partition.ID, acks int16, recs []byte) partition.AppendResult {
	var res partition.AppendResult
	b.m.Append(id, &partition.AppendRequest{Version: 11, Acks: acks, Records: recs}, &res)
	return res
}

// ok appends n records and returns the first offset.
func (b *bed) ok(id partition.ID, n int) int64 {
	b.t.Helper()
	res := b.append(id, 1, batch(n, b.nowMs()))
	if res.Code != protocol.None || res.Ack != nil {
		b.t.Fatalf("append: %+v", res)
	}
	return res.BaseOffset
}

func (b *bed) nowMs() int64 { return b.m.nowMs() }

func (b *bed) read(id partition.ID, offset int64) partition.ReadResult {
	var res partition.ReadResult
	b.m.Read(id, &partition.ReadRequest{Offset: offset, MaxBytes: 1 << 20, AtLeastOne: true, LeaderEpoch: -1, LastFetchedEpoch: -1,
		ReplicaID: -1, ReplicaEpoch: -1}, &res)
	return res
}

// wantCode fails the test when the codes differ.
func wantCode(t testing.TB, what string, got, want protocol.Code) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %s, want %s", what, got, want)
	}
}

// waiter counts its wakes.
type waiter struct{ n chan struct{} }

func newWaiter() *waiter { return &waiter{make(chan struct{}, 1000)} }

func (w *waiter) Wake() { w.n <- struct{}{} }

func (w *waiter) count() int {
	n := len(w.n)
	for range n {
		<-w.n
	}
	return n
}

func done(a partition.Ack) bool {
	if a == nil {
		return true
	}
	select {
	case <-a.Done():
		return true
	case <-time.After(0):
		select {
		case <-a.Done():
			return true
		default:
			return false
		}
	}
}

package replica

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/api"
	"weir/broker/fetch"
	"weir/broker/partition"
	"weir/config"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
	"weir/wal"
)

// ring is three brokers' Managers, in one process and in virtual time: their logs are in memory, the connections between them are calls of
// the real Fetch handler, and the controller is the real one without Raft.
type ring struct {
	t      *testing.T
	mu     sync.Mutex
	ctl    *controller.Controller
	img    *controller.Image
	offset int64
	nodes  map[int32]*ringNode
}

type ringNode struct {
	id    int32
	store *memStore
	m     *Manager
	srv   *api.Server
	cut   bool // nobody reaches it
	conns []*ringLeader
}

func newRing(t *testing.T, settings ...string) *ring {
	x := &ring{t: t, img: controller.NewImage(), nodes: map[int32]*ringNode{}}
	x.ctl = controller.New(controller.Config{NodeID: 1, NumPartitions: 1, DefaultReplicationFactor: 3, SessionTimeoutMs: 9000, DeleteTopics: true})
	x.commit(controller.BootstrapRecords("AAAAAAAAAAAAAAAAAAAAAQ"))
	for id := int32(1); id <= 3; id++ {
		x.nodes[id] = &ringNode{id: id, store: newMemStore()}
		x.start(id, settings...)
	}
	return x
}

// start begins an incarnation of a broker on what its directory holds.
func (x *ring) start(id int32, settings ...string) {
	x.t.Helper()
	src, err := config.FromSets(settings)
	if err != nil {
		x.t.Fatal(err)
	}
	static, _, err := config.Resolve(src)
	if err != nil {
		x.t.Fatal(err)
	}
	n := x.nodes[id]
	m, err := Open(Config{NodeID: id, Static: static, Dirs: []DirConfig{{Path: "/d", ID: protocol.UUID{0xd, byte(id), 1}}},
		OpenStore: func(DirConfig, wal.Options) (Store, error) { return n.store, nil },
		AlterISR:  x.alter(id),
		Dial:      x.dial})
	if err != nil {
		x.t.Fatal(err)
	}
	x.mu.Lock()
	n.m, n.cut = m, false
	session := int32(0)
	n.srv = &api.Server{NodeID: id, Image: func() *controller.Image { return m.image.Load() }, Replicas: m, FetchMaxBytes: 50 << 20,
		Authorizer: api.AllowAll{}, Now: time.Now, Sessions: fetch.NewCache(100, func() int32 { session++; return session })}
	m.Apply(controller.NewImage(), x.img, controller.FullDelta(x.img))
	q := kmsg.NewPtrBrokerRegistrationRequest()
	q.BrokerID, q.ClusterID, q.IncarnationID = id, x.img.ClusterID, [16]byte{byte(id), byte(x.offset)}
	q.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "P", Host: "h", Port: uint16(9000 + id)}}
	for _, f := range controller.SupportedFeatures {
		q.Features = append(q.Features, kmsg.BrokerRegistrationRequestFeature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
	}
	q.LogDirs = [][16]byte{{0xd, byte(id), 1}}
	r := x.decide(q).(*kmsg.BrokerRegistrationResponse)
	if r.ErrorCode != 0 {
		x.t.Fatalf("broker %d: %v", id, protocol.Code(r.ErrorCode))
	}
	epoch := x.img.Broker(id).Epoch
	x.beat(id, func(*kmsg.BrokerHeartbeatRequest) {})
	x.mu.Unlock()
	m.Registered(epoch)
}

// beat has the controller hear a broker. x.mu is held.
func (x *ring) beat(id int32, change func(*kmsg.BrokerHeartbeatRequest)) {
	h := kmsg.NewPtrBrokerHeartbeatRequest()
	h.BrokerID, h.BrokerEpoch, h.CurrentMetadataOffset = id, x.img.Broker(id).Epoch, x.offset
	change(h)
	x.decide(h)
}

// decide is the controller; x.mu is held.
func (x *ring) decide(q kmsg.Request) kmsg.Response {
	resp, recs := x.ctl.Handle(controller.Input{NowMs: time.Now().UnixMilli(), Rand: rand.New(rand.NewPCG(1, 2)), Image: x.img, Request: q})
	x.commit(recs)
	controller.Complete(resp, x.offset)
	return resp
}

func (x *ring) commit(recs []controller.Record) {
	if len(recs) == 0 {
		return
	}
	x.offset++
	img, d, err := controller.Merge(x.img, recs, x.offset, 1)
	if err == nil {
		err = controller.CheckInvariants(x.img, img)
	}
	if err != nil {
		x.t.Fatal(err)
	}
	x.ctl.Applied(recs, x.offset)
	old := x.img
	x.img = img
	for id := int32(1); id <= 3; id++ {
		if n := x.nodes[id]; n != nil && n.m != nil && !n.cut {
			n.m.Apply(old, img, d)
		}
	}
}

func (x *ring) alter(self int32) func(*partition.Proposal, func(*partition.Answer)) {
	return func(p *partition.Proposal, answered func(*partition.Answer)) {
		go func() {
			x.mu.Lock()
			if x.nodes[self].cut {
				x.mu.Unlock()
				return
			}
			q := kmsg.NewPtrAlterPartitionRequest()
			q.Version, q.BrokerID, q.BrokerEpoch = 3, self, x.img.Broker(self).Epoch
			w := kmsg.NewAlterPartitionRequestTopicPartition()
			w.Partition, w.LeaderEpoch, w.PartitionEpoch = p.ID.Partition, p.LeaderEpoch, p.PartitionEpoch
			for _, m := range p.ISR {
				w.NewEpochISR = append(w.NewEpochISR, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: m.ID, BrokerEpoch: m.Epoch})
			}
			q.Topics = []kmsg.AlterPartitionRequestTopic{{TopicID: p.ID.Topic, Partitions: []kmsg.AlterPartitionRequestTopicPartition{w}}}
			a := x.decide(q).(*kmsg.AlterPartitionResponse).Topics[0].Partitions[0]
			x.mu.Unlock()
			answered(&partition.Answer{Code: protocol.Code(a.ErrorCode), LeaderEpoch: a.LeaderEpoch, PartitionEpoch: a.PartitionEpoch, ISR: a.ISR})
		}()
	}
}

// topic makes a topic of one partition with replicas, led by the first.
func (x *ring) topic(name string, replicas ...int32) partition.ID {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	k := kmsg.NewCreateTopicsRequestTopic()
	k.Topic, k.NumPartitions, k.ReplicationFactor = name, -1, -1
	k.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: replicas}}
	two := "2"
	k.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "min.insync.replicas", Value: &two}}
	r := x.decide(&kmsg.CreateTopicsRequest{Version: 7, Topics: []kmsg.CreateTopicsRequestTopic{k}}).(*kmsg.CreateTopicsResponse)
	if r.Topics[0].ErrorCode != 0 {
		x.t.Fatalf("%s: %v", name, protocol.Code(r.Topics[0].ErrorCode))
	}
	return partition.ID{Topic: x.img.Topic(name).ID}
}

// isolate cuts a broker off: it hears of no metadata, and nobody reaches it.
func (x *ring) isolate(id int32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.nodes[id]
	n.cut = true
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
	for _, o := range x.nodes {
		for _, c := range o.conns {
			if c.from == n.m {
				c.Close()
			}
		}
	}
}

// fence has the controller lose sight of a broker.
func (x *ring) fence(id int32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.beat(id, func(h *kmsg.BrokerHeartbeatRequest) { h.WantFence = true })
}

// heal lets an isolated broker hear of what has happened.
func (x *ring) heal(id int32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.nodes[id]
	old := n.m.image.Load()
	n.cut = false
	n.m.Apply(old, x.img, controller.Diff(old, x.img))
	x.beat(id, func(*kmsg.BrokerHeartbeatRequest) {})
}

// stop ends a broker's process.
func (x *ring) stop(id int32) {
	x.isolate(id)
	if err := x.nodes[id].m.Close(); err != nil {
		x.t.Error(err)
	}
}

func (x *ring) close() {
	for id := int32(1); id <= 3; id++ {
		if !x.nodes[id].m.closed.Load() {
			x.stop(id)
		}
	}
}

func (x *ring) state(id partition.ID) *controller.Partition {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.img.Partition(id.Topic, id.Partition)
}

// pass lets virtual time pass: all of a ring runs in a bubble of testing/synctest.
func (x *ring) pass(d time.Duration) { <-time.After(d) }

// until waits, in virtual time, for something to come true.
func (x *ring) until(what string, ok func() bool) {
	x.t.Helper()
	for range 10_000 {
		synctest.Wait()
		if ok() {
			return
		}
		x.pass(10 * time.Millisecond)
	}
	x.t.Fatalf("never: %s", what)
}

// produce appends a batch with acks=all and waits for the outcome.
func (x *ring) produce(node int32, id partition.ID, n int) (int64, protocol.Code) {
	var r partition.AppendResult
	x.nodes[node].m.Append(id, &partition.AppendRequest{Version: 11, Acks: -1, Records: batch(n, time.Now().UnixMilli())}, &r)
	if r.Ack != nil {
		select {
		case <-r.Ack.Done():
			return r.BaseOffset, r.Ack.Code()
		case <-time.After(5 * time.Second):
			return r.BaseOffset, protocol.RequestTimedOut
		}
	}
	return r.BaseOffset, r.Code
}

// log is all that a broker has of a partition.
func (x *ring) log(node int32, id partition.ID) []byte {
	x.t.Helper()
	r, code, _ := x.nodes[node].m.lock(id)
	wantCode(x.t, "log", code, protocol.None)
	log := r.log
	r.mu.Unlock()
	var d record.Data
	if log.Start() < log.End() {
		if err := log.Read(&d, log.Start(), log.End(), 1<<30, true); err != nil {
			x.t.Fatal(err)
		}
	}
	b, err := bytesOf(&d)
	if err != nil {
		x.t.Fatal(err)
	}
	return bytes.Clone(b)
}

func (x *ring) end(node int32, id partition.ID) (hw, end int64) {
	r, code, _ := x.nodes[node].m.lock(id)
	if code != protocol.None {
		return -1, -1
	}
	defer r.mu.Unlock()
	return r.p.HighWatermark(), r.log.End()
}

// ringLeader is a connection to a broker of the ring.
type ringLeader struct {
	x      *ring
	from   *Manager
	srv    *api.Server
	ctx    context.Context
	cancel context.CancelFunc
	self   int32
}

func (x *ring) dial(id int32) (Leader, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.nodes[id]
	if n.cut || n.srv == nil {
		return nil, errors.New("connection refused")
	}
	l := &ringLeader{x: x, srv: n.srv}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	n.conns = append(n.conns, l)
	return l, nil
}

func (l *ringLeader) Close() error { l.cancel(); return nil }

// sink gathers what would go to the socket.
type sink struct{ bytes.Buffer }

func (s *sink) Bytes(b []byte) { s.Write(b) }

func (s *sink) Data(d *record.Data) error {
	b, err := bytesOf(d)
	s.Write(b)
	return err
}

func (l *ringLeader) call(q kmsg.Request, v int16) (api.Response, error) {
	q.SetVersion(v)
	if err := l.ctx.Err(); err != nil {
		return nil, err
	}
	c := &api.Call{Header: protocol.Header{Key: q.Key(), Version: v}, Session: &api.Session{}, Body: q, Received: time.Now()}
	resp, err := api.Entries()[q.Key()].Handle(l.srv, c)
	if p, ok := resp.(*api.Pending); ok && err == nil {
		resp, err = p.Wait(l.ctx)
	}
	if err == nil && l.ctx.Err() != nil {
		err = l.ctx.Err()
	}
	return resp, err
}

func (l *ringLeader) Fetch(q *FetchRequest, each func(*protocol.FetchedPartition)) (protocol.FetchedHead, error) {
	l.self = q.ReplicaID
	l.x.mu.Lock()
	from := l.x.nodes[q.ReplicaID]
	l.from = from.m
	cut := from.cut
	l.x.mu.Unlock()
	if cut {
		return protocol.FetchedHead{}, errors.New("no route")
	}
	k := kmsg.NewPtrFetchRequest()
	k.ReplicaState.ID, k.ReplicaState.Epoch = q.ReplicaID, q.BrokerEpoch
	k.MaxWaitMillis, k.MinBytes, k.MaxBytes = int32(q.MaxWait/time.Millisecond), q.MinBytes, q.MaxBytes
	k.SessionID, k.SessionEpoch = q.SessionID, q.SessionEpoch
	for _, w := range q.Want {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.CurrentLeaderEpoch, p.FetchOffset, p.LastFetchedEpoch = w.ID.Partition, w.LeaderEpoch, w.Offset, w.LastEpoch
		p.LogStartOffset, p.PartitionMaxBytes = w.LogStart, w.MaxBytes
		k.Topics = append(k.Topics, kmsg.FetchRequestTopic{TopicID: w.ID.Topic, Partitions: []kmsg.FetchRequestTopicPartition{p}})
	}
	for _, id := range q.Forget {
		k.ForgottenTopics = append(k.ForgottenTopics, kmsg.FetchRequestForgottenTopic{TopicID: id.Topic, Partitions: []int32{id.Partition}})
	}
	resp, err := l.call(k, 17)
	if err != nil {
		return protocol.FetchedHead{}, err
	}
	s := resp.(api.Streamed) // not released: the pool would hand its channel to the next test, whose time is another
	var to sink
	if err := s.Stream(1, &to); err != nil {
		return protocol.FetchedHead{}, err
	}
	return protocol.ReadFetchResponse(to.Buffer.Bytes()[9:], each)
}

func (l *ringLeader) ListOffset(topic string, n int32, ms int64, epoch int32) (partition.OffsetResult, error) {
	q := kmsg.NewPtrListOffsetsRequest()
	q.ReplicaID = l.self
	q.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Partition: n, Timestamp: ms, CurrentLeaderEpoch: epoch}}}}
	resp, err := l.call(q, 8)
	if err != nil {
		return partition.OffsetResult{}, err
	}
	a := resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	return partition.OffsetResult{Code: protocol.Code(a.ErrorCode), Offset: a.Offset}, nil
}

package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker"
	"weir/protocol"
	"weir/protocol/record"
)

// clusterClient asks whichever broker has to be asked, and keeps connections.
type clusterClient struct {
	c     *broker.Cluster
	conns map[int32]net.Conn
	last  int32 // correlation id
}

func newClusterClient(t testing.TB, c *broker.Cluster) *clusterClient {
	x := &clusterClient{c: c, conns: map[int32]net.Conn{}}
	t.Cleanup(x.close)
	return x
}

func (x *clusterClient) close() {
	for _, nc := range x.conns {
		nc.Close()
	}
}

func (x *clusterClient) ask(id int32, q kmsg.Request) (kmsg.Response, error) {
	nc := x.conns[id]
	if nc == nil {
		b := x.c.Broker(id)
		if b == nil {
			return nil, errors.New("not running")
		}
		var err error
		if nc, err = net.Dial("tcp", b.Addr()); err != nil {
			return nil, err
		}
		x.conns[id] = nc
	}
	x.last++
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	r, err := exchange(nc, q, x.last)
	if err != nil {
		nc.Close()
		delete(x.conns, id)
	}
	return r, err
}

// partition is what the brokers say of a partition, the newest of what they say.
func (x *clusterClient) partition(topic string, n int32) (p kmsg.MetadataResponseTopicPartition, id protocol.UUID) {
	p.Leader, p.LeaderEpoch = -1, -1
	for b := int32(1); b <= 3; b++ {
		q := kmsg.NewPtrMetadataRequest()
		q.SetVersion(12)
		q.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
		r, err := x.ask(b, q)
		if err != nil {
			continue
		}
		for _, have := range r.(*kmsg.MetadataResponse).Topics[0].Partitions {
			if have.Partition == n && have.LeaderEpoch > p.LeaderEpoch || have.LeaderEpoch == p.LeaderEpoch && len(have.ISR) > len(p.ISR) {
				p, id = have, r.(*kmsg.MetadataResponse).Topics[0].TopicID
			}
		}
	}
	return p, id
}

// create makes a topic of one partition on three replicas.
func (x *clusterClient) create(t testing.TB, topic string, replicas ...int32) {
	t.Helper()
	q := kmsg.NewPtrCreateTopicsRequest()
	q.SetVersion(7)
	q.TimeoutMillis = 10_000
	two := "2"
	q.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: topic, NumPartitions: -1, ReplicationFactor: -1,
		ReplicaAssignment: []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: replicas}},
		Configs:           []kmsg.CreateTopicsRequestTopicConfig{{Name: "min.insync.replicas", Value: &two}}}}
	r, err := x.ask(1, q)
	if err != nil {
		t.Fatal(err)
	}
	if code := r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != 0 {
		t.Fatal(protocol.Code(code))
	}
}

// startRestartable runs three brokers that come back at the addresses they had.
func startRestartable(t testing.TB, set ...string) *broker.Cluster {
	t.Helper()
	var at sync.Map
	log := &lines{}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := broker.StartCluster(ctx, 3, broker.ClusterConfig{
		Dir: t.TempDir(), Set: set, Config: broker.Config{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo}))},
		SetOf: func(id int32) []string {
			if a, ok := at.Load(id); ok {
				return []string{"listeners=PLAINTEXT://" + a.(string)}
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if t.Failed() {
			log.mu.Lock()
			t.Log(log.text.String())
			log.mu.Unlock()
		}
	})
	for id := int32(1); id <= 3; id++ {
		at.Store(id, c.Broker(id).Addr())
	}
	return c
}

func valueBatch(value string) []byte {
	b := record.Builder{LeaderEpoch: -1}
	b.Add(time.Now().UnixMilli(), nil, []byte(value))
	return b.Bytes()
}

// produce writes a value with acks=all to a broker.
func (x *clusterClient) produce(id int32, topic, value string) error {
	q := kmsg.NewPtrProduceRequest()
	q.SetVersion(9)
	q.Acks, q.TimeoutMillis = -1, 5000
	q.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: 0, Records: valueBatch(value)}}}}
	r, err := x.ask(id, q)
	if err != nil {
		return err
	}
	if code := protocol.Code(r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode); code != protocol.None {
		return code
	}
	return nil
}

// read returns all values that a broker has, leader or not, and their batches.
func (x *clusterClient) read(t testing.TB, id int32, topic string, topicID protocol.UUID) (values []string, raw []byte) {
	t.Helper()
	for offset := int64(0); ; {
		q := kmsg.NewPtrFetchRequest()
		q.SetVersion(16)
		q.SessionEpoch = -1
		q.MaxBytes = 10 << 20
		q.Topics = []kmsg.FetchRequestTopic{{Topic: topic, TopicID: topicID, Partitions: []kmsg.FetchRequestTopicPartition{{Partition: 0,
			CurrentLeaderEpoch: -1, FetchOffset: offset, LastFetchedEpoch: -1, LogStartOffset: -1, PartitionMaxBytes: 10 << 20}}}}
		r, err := x.ask(id, q)
		if err != nil {
			t.Fatal(err)
		}
		p := r.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			t.Fatalf("broker %d: fetch at %d: %v", id, offset, protocol.Code(p.ErrorCode))
		}
		if len(p.RecordBatches) == 0 {
			return values, raw
		}
		raw = append(raw, p.RecordBatches...)
		for rest := p.RecordBatches; len(rest) > 0; {
			var b record.Batch
			if b, rest, err = record.Next(rest); err != nil {
				t.Fatal(err)
			}
			_ = record.Records(b, func(r *record.Record) bool {
				values = append(values, string(r.Value))
				return true
			})
			offset = b.NextOffset()
		}
	}
}

// TestBrokersDieInTurn stops and starts each of three brokers while records are written with acks=all. Those that were acknowledged are there at
// the end, and all replicas are the same.
func TestBrokersDieInTurn(t *testing.T) {
	c := startRestartable(t, "broker.session.timeout.ms=1000", "broker.heartbeat.interval.ms=100")
	x := newClusterClient(t, c)
	x.create(t, "t", 1, 2, 3)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var acked []string
	wg.Go(func() {
		w := newClusterClient(t, c)
		leader := int32(1)
		for i := 0; ctx.Err() == nil; i++ {
			value := fmt.Sprint("value ", i)
			if err := w.produce(leader, "t", value); err != nil {
				if p, _ := w.partition("t", 0); p.Leader > 0 {
					leader = p.Leader
				}
				continue
			}
			mu.Lock()
			acked = append(acked, value)
			mu.Unlock()
		}
	})
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acked)
	}
	more := func() {
		t.Helper()
		n := count() + 50
		eventually(t, "more records are acknowledged", func() bool { return count() >= n })
	}
	for round, id := range []int32{1, 2, 3, 1} {
		more()
		end := c.Stop
		if round > 0 {
			end = c.Kill
		}
		if err := end(id); err != nil {
			t.Fatal(err)
		}
		more()
		rctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := c.Restart(rctx, id); err != nil {
			t.Fatal(err)
		}
		cancel()
		eventually(t, "all replicas are in sync", func() bool { p, _ := x.partition("t", 0); return len(p.ISR) == 3 })
	}
	more()
	stop()
	wg.Wait()
	p, id := x.partition("t", 0)
	values, raw := x.read(t, p.Leader, "t", id)
	slices.Sort(values)
	for _, v := range acked {
		if _, found := slices.BinarySearch(values, v); !found {
			t.Errorf("%q was acknowledged and is lost", v)
		}
	}
	t.Logf("%d records were acknowledged", len(acked))
	for b := int32(1); b <= 3; b++ {
		eventually(t, "a replica is the same", func() bool {
			_, other := x.read(t, b, "t", id)
			return bytes.Equal(raw, other)
		})
	}
}

// BenchmarkReplicate produces with acks=all, with several requests under way, to a partition on three brokers, all in this process.
func BenchmarkReplicate(b *testing.B) {
	for _, c := range []struct {
		name              string
		records, size, at int
	}{{"1000x1KiB-5", 1000, 1024, 5}, {"16x1KiB-5", 16, 1024, 5}, {"1x100B-1", 1, 100, 1}} {
		b.Run(c.name, func(b *testing.B) {
			cluster := startRestartable(b, "message.max.bytes=20000000", "log.retention.bytes=100000000", "log.segment.bytes=67108864",
				"log.retention.check.interval.ms=1000")
			newClusterClient(b, cluster).create(b, "bench", 1, 2, 3)
			nc, err := net.Dial("tcp", cluster.Broker(1).Addr())
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			r := produceRequest(9, "bench", batchOf(c.records, c.size))
			request := sized(encode(r, 1))
			w := &wire{nc: nc, request: request, answer: make([]byte, 1<<20)}
			for range c.at - 1 {
				if _, err := nc.Write(request); err != nil {
					b.Fatal(err)
				}
			}
			var before, after syscall.Rusage
			syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			b.SetBytes(int64(c.records * c.size))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				w.exchange(b)
				n++
			}
			syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(cpu)/float64(n)/1000, "cpu-us/op")
			b.ReportMetric(float64(cpu)/1e9/(float64(n)*float64(c.records*c.size)/(1<<30)), "cpu-s/GiB")
		})
	}
}

// TestLeaderLeaves holds that a broker which is stopped in order hands over what it leads: nobody waits for its session to end.
func TestLeaderLeaves(t *testing.T) {
	c := startRestartable(t, "broker.session.timeout.ms=600000")
	x := newClusterClient(t, c)
	x.create(t, "t", 2, 3, 1)
	eventually(t, "the first record is taken", func() bool { return x.produce(2, "t", "before") == nil })
	if err := c.Stop(2); err != nil {
		t.Fatal(err)
	}
	p, _ := x.partition("t", 0)
	if p.Leader != 3 || slices.Contains(p.ISR, 2) {
		t.Fatalf("%+v", p)
	}
	eventually(t, "the new leader takes records", func() bool { return x.produce(3, "t", "after") == nil })
}

// coordinator finds who coordinates a group, -1 where nobody says.
func (x *clusterClient) coordinator(ask int32, group string) int32 {
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.SetVersion(3)
	q.CoordinatorKey = group
	r, err := x.ask(ask, q)
	if err != nil || r.(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
		return -1
	}
	return r.(*kmsg.FindCoordinatorResponse).NodeID
}

// committed returns the offset that a group has committed for partition 0 of t; -2 where the broker does not say.
func (x *clusterClient) committed(id int32, group string) int64 {
	q := kmsg.NewPtrOffsetFetchRequest()
	q.SetVersion(7)
	q.Group = group
	q.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
	r, err := x.ask(id, q)
	if err != nil || r.(*kmsg.OffsetFetchResponse).ErrorCode != 0 {
		return -2
	}
	return r.(*kmsg.OffsetFetchResponse).Topics[0].Partitions[0].Offset
}

func (x *clusterClient) commit(id int32, group string, offset int64) error {
	q := kmsg.NewPtrOffsetCommitRequest()
	q.SetVersion(8)
	q.Group, q.Generation = group, -1
	q.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0, Offset: offset, LeaderEpoch: -1}}}}
	r, err := x.ask(id, q)
	if err != nil {
		return err
	}
	if code := protocol.Code(r.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode); code != protocol.None {
		return code
	}
	return nil
}

// TestCoordinatorMoves stops the coordinator of a group, again and again. What was committed is known to the next one, and the one before says
// that it is not the coordinator any more.
func TestCoordinatorMoves(t *testing.T) {
	c := startRestartable(t, "offsets.topic.num.partitions=5")
	x := newClusterClient(t, c)
	x.create(t, "t", 1, 2, 3)
	at := int32(-1)
	find := func(not int32) {
		t.Helper()
		eventually(t, "there is a coordinator", func() bool {
			for id := int32(1); id <= 3; id++ {
				if at = x.coordinator(id, "g"); at > 0 && at != not && c.Broker(at) != nil {
					return true
				}
			}
			return false
		})
	}
	find(-1)
	for offset := int64(1); offset <= 4; offset++ {
		eventually(t, "the offset is committed", func() bool { return x.commit(at, "g", offset) == nil })
		old := at
		if err := c.Stop(old); err != nil {
			t.Fatal(err)
		}
		find(old)
		eventually(t, "the new coordinator knows the offset", func() bool { return x.committed(at, "g") == offset })
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := c.Restart(ctx, old); err != nil {
			t.Fatal(err)
		}
		cancel()
		var code protocol.Code
		eventually(t, "the old one sends clients away", func() bool { return errors.As(x.commit(old, "g", 99), &code) })
		if code != protocol.NotCoordinator && code != protocol.CoordinatorNotAvailable {
			t.Errorf("%v", code)
		}
	}
}

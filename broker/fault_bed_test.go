package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker"
	"weir/config"
	"weir/protocol"
	"weir/protocol/record"
	"weir/wal/vfs"
)

// pipes is a listener whose connections are in memory.
type pipes struct {
	calls  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{calls: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.calls:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092} }

// faulty is a broker on a disk that fails, with one client.
type faulty struct {
	t           testing.TB
	b           *broker.Broker
	log         *lines
	nc          net.Conn
	correlation int32
}

// tcp as a setting lets the client come by a socket, and records go out with sendfile.
const tcp = "listeners=PLAINTEXT://127.0.0.1:0"

// tryFaulty starts a broker on the directories that settings name.
func tryFaulty(t testing.TB, disk vfs.FS, settings ...string) (*faulty, error) {
	t.Helper()
	source, err := config.FromSets(append([]string{"listeners=PLAINTEXT://127.0.0.1:9092"}, settings...))
	if err != nil {
		t.Fatal(err)
	}
	static, _, err := config.Resolve(source)
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{t: t, log: &lines{}}
	p := newPipes()
	listen := func(string, string) (net.Listener, error) { return p, nil }
	overTCP := slices.Contains(settings, tcp)
	if overTCP {
		listen = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f.b, err = broker.Start(ctx, broker.Config{
		Settings: static, FS: disk, Listen: listen,
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, err
	}
	if overTCP {
		if f.nc, err = net.Dial("tcp", f.b.Addr()); err != nil {
			t.Fatal(err)
		}
	} else {
		client, server := net.Pipe()
		p.calls <- server
		f.nc = client
	}
	t.Cleanup(func() { f.nc.Close(); f.b.Close() }) // where a test ended early
	return f, nil
}

func startFaulty(t testing.TB, disk vfs.FS, settings ...string) *faulty {
	t.Helper()
	f, err := tryFaulty(t, disk, settings...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// stop closes the broker. A directory that failed makes that an error, which is for the caller to judge.
func (f *faulty) stop() error {
	f.nc.Close()
	err := f.b.Close()
	if text := f.log.panics(); text != "" {
		f.t.Errorf("the broker panicked:\n%s", text)
	}
	return err
}

// ask sends a request in its newest version and returns the answer.
func ask[R kmsg.Response](f *faulty, q kmsg.Request, version int16) R {
	f.t.Helper()
	q.SetVersion(version)
	f.correlation++
	resp, err := exchange(f.nc, q, f.correlation)
	if err != nil {
		f.t.Fatalf("%T: %v", q, err)
	}
	return resp.(R)
}

// create asks for a topic and returns the code. Settings are key=value.
func (f *faulty) create(name string, partitions int32, settings map[string]string) protocol.Code {
	f.t.Helper()
	q := kmsg.NewPtrCreateTopicsRequest()
	q.TimeoutMillis = 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for key, value := range settings {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: &value})
	}
	q.Topics = append(q.Topics, topic)
	return protocol.Code(ask[*kmsg.CreateTopicsResponse](f, q, 5).Topics[0].ErrorCode)
}

// mustCreate makes a topic and fails the test where that is refused.
func (f *faulty) mustCreate(name string, partitions int32, settings map[string]string) {
	f.t.Helper()
	if code := f.create(name, partitions, settings); code != protocol.None {
		f.t.Fatalf("create %s: %v", name, code)
	}
}

// produce sends one record of one batch with acks=all.
func (f *faulty) produce(topic string, partition int32, value []byte) (int64, protocol.Code) {
	f.t.Helper()
	return f.produceTime(topic, partition, value, time.Now())
}

func (f *faulty) produceTime(topic string, partition int32, value []byte, at time.Time) (int64, protocol.Code) {
	f.t.Helper()
	var b record.Builder
	b.Add(at.UnixMilli(), nil, value)
	q := produceRequest(9, topic, b.Bytes())
	q.Topics[0].Partitions[0].Partition = partition
	p := ask[*kmsg.ProduceResponse](f, q, 9).Topics[0].Partitions[0]
	return p.BaseOffset, protocol.Code(p.ErrorCode)
}

// mustProduce sends a record and fails the test where it is refused.
func (f *faulty) mustProduce(topic string, partition int32, value []byte) int64 {
	f.t.Helper()
	offset, code := f.produce(topic, partition, value)
	if code != protocol.None {
		f.t.Fatalf("produce to %s-%d: %v", topic, partition, code)
	}
	return offset
}

// fetch reads from an offset on, at most about a MiB, and says where the next read begins.
func (f *faulty) fetch(topic string, partition int32, from int64) (values map[int64]string, next int64, code protocol.Code) {
	f.t.Helper()
	q := kmsg.NewPtrFetchRequest()
	q.ReplicaID, q.MaxBytes = -1, 1<<20
	qt := kmsg.NewFetchRequestTopic()
	qt.Topic = topic
	qp := kmsg.NewFetchRequestTopicPartition()
	qp.Partition, qp.FetchOffset, qp.PartitionMaxBytes = partition, from, 1<<20
	qt.Partitions = append(qt.Partitions, qp)
	q.Topics = append(q.Topics, qt)
	p := ask[*kmsg.FetchResponse](f, q, 11).Topics[0].Partitions[0]
	values, next = map[int64]string{}, from
	for rest := p.RecordBatches; len(rest) > 0; {
		b, r, err := record.Next(rest)
		if err != nil || !b.CheckCRC() {
			f.t.Fatalf("%s-%d at %d: a bad batch: %v", topic, partition, next, err)
		}
		if err := record.Records(b, func(r *record.Record) bool { values[r.Offset] = string(r.Value); return true }); err != nil {
			f.t.Fatal(err)
		}
		next, rest = b.NextOffset(), r
	}
	return values, next, protocol.Code(p.ErrorCode)
}

// all reads a partition from an offset to its end.
func (f *faulty) all(topic string, partition int32, from int64) map[int64]string {
	f.t.Helper()
	out := map[int64]string{}
	for {
		values, next, code := f.fetch(topic, partition, from)
		if code != protocol.None {
			f.t.Fatalf("fetch %s-%d at %d: %v", topic, partition, from, code)
		}
		if next == from {
			return out
		}
		for offset, v := range values {
			out[offset] = v
		}
		from = next
	}
}

// offset asks ListOffsets for one of its special timestamps.
func (f *faulty) offset(topic string, partition int32, timestamp int64) (int64, protocol.Code) {
	f.t.Helper()
	q := kmsg.NewPtrListOffsetsRequest()
	q.ReplicaID = -1
	qt := kmsg.NewListOffsetsRequestTopic()
	qt.Topic = topic
	qp := kmsg.NewListOffsetsRequestTopicPartition()
	qp.Partition, qp.Timestamp = partition, timestamp
	qt.Partitions = append(qt.Partitions, qp)
	q.Topics = append(q.Topics, qt)
	p := ask[*kmsg.ListOffsetsResponse](f, q, 7).Topics[0].Partitions[0]
	return p.Offset, protocol.Code(p.ErrorCode)
}

// logDirs describes the log directories: the code of each, and the directory of each partition, "topic-0".
func (f *faulty) logDirs() (codes []protocol.Code, where map[string]int) {
	f.t.Helper()
	q := kmsg.NewPtrDescribeLogDirsRequest()
	where = map[string]int{}
	for i, d := range ask[*kmsg.DescribeLogDirsResponse](f, q, 4).Dirs {
		codes = append(codes, protocol.Code(d.ErrorCode))
		for _, topic := range d.Topics {
			for _, p := range topic.Partitions {
				where[fmt.Sprintf("%s-%d", topic.Topic, p.Partition)] = i
			}
		}
	}
	return codes, where
}

// offlinePartitions are the partitions of a topic with an offline replica or no leader, as Metadata says.
func (f *faulty) offlinePartitions(topic string) []int32 {
	f.t.Helper()
	q := kmsg.NewPtrMetadataRequest()
	want := kmsg.NewMetadataRequestTopic()
	want.Topic = &topic
	q.Topics = append(q.Topics, want)
	var out []int32
	for _, p := range ask[*kmsg.MetadataResponse](f, q, 9).Topics[0].Partitions {
		if len(p.OfflineReplicas) > 0 || p.Leader < 0 {
			if len(p.OfflineReplicas) != 1 || p.Leader >= 0 || protocol.Code(p.ErrorCode) != protocol.LeaderNotAvailable {
				f.t.Errorf("%s-%d is half offline: %+v", topic, p.Partition, p)
			}
			out = append(out, p.Partition)
		}
	}
	slices.Sort(out)
	return out
}

// eventually waits for what the broker does by itself.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

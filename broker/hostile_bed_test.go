package broker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker"
	"weir/config"
	"weir/protocol"
	"weir/protocol/record"
)

// patience bounds every wait of these tests: far more than a healthy broker needs on a busy machine.
const patience = 20 * time.Second

// foreignBroker names a broker, host:port, that the tests of frames and batches run against instead: with it, what they
// expect is proved on Kafka itself.
const foreignBroker = "WEIR_HOSTILE_BROKER"

// bed is a broker that hostile clients are let loose on.
type bed struct {
	network, addr string
	log           *lines // nil for a foreign broker
}

// lines keeps what a broker logs.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// troubles are the lines at level warn and above from the n-th on.
func (l *lines) troubles(n int) []string {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			out = append(out, line)
		}
	}
	return out[min(n, len(out)):]
}

// panics is everything that was logged, where a panic is in it.
func (l *lines) panics() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := l.text.String(); strings.Contains(text, "panic") {
		return text
	}
	l.text.Reset()
	return ""
}

// startBroker runs a broker on listen with data of its own. Settings are key=value.
func startBroker(t testing.TB, listen func(network, address string) (net.Listener, error), settings ...string) (*broker.Broker, *lines) {
	t.Helper()
	sets := append([]string{"log.dirs=" + t.TempDir(), "listeners=PLAINTEXT://127.0.0.1:0"}, settings...)
	source, err := config.FromSets(sets)
	if err != nil {
		t.Fatal(err)
	}
	static, _, err := config.Resolve(source)
	if err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := broker.Start(ctx, broker.Config{
		Settings: static, Listen: listen,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if text := log.panics(); text != "" {
			t.Errorf("the broker panicked:\n%s", text)
		}
	})
	return b, log
}

// newTCPBed is a broker on a TCP port, or the foreign one.
func newTCPBed(t testing.TB) *bed {
	if addr := os.Getenv(foreignBroker); addr != "" {
		return &bed{network: "tcp", addr: addr}
	}
	b, log := startBroker(t, nil)
	return &bed{"tcp", b.Addr(), log}
}

// newUnixBed is a broker on a socket in the file system: it has descriptors as TCP has, and tens of thousands of connections leave
// no port waiting behind them.
func newUnixBed(t testing.TB) *bed {
	dir, err := os.MkdirTemp("", "weir") // t.TempDir can be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := filepath.Join(dir, "s")
	listen := func(string, string) (net.Listener, error) { return net.Listen("unix", name) }
	_, log := startBroker(t, listen, "listeners=PLAINTEXT://127.0.0.1:9092")
	return &bed{"unix", name, log}
}

// halfCloser is a connection that can say that it will send no more.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// dial opens a connection that gives up after patience.
func (b *bed) dial(t testing.TB) halfCloser {
	t.Helper()
	nc, err := net.Dial(b.network, b.addr)
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(patience))
	return nc.(halfCloser)
}

// send lets a client send b and nothing more, and returns everything the broker sends until it closes.
func (b *bed) send(t testing.TB, bytes []byte) []byte {
	t.Helper()
	nc := b.dial(t)
	defer nc.Close()
	if _, err := nc.Write(bytes); err == nil {
		nc.CloseWrite()
	}
	got, err := io.ReadAll(nc)
	if err != nil && !reset(err) {
		t.Fatalf("the broker neither answered nor closed: %v", err)
	}
	return got
}

// reset says whether the other side closed with bytes unread.
func reset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// sized puts the length before a frame.
func sized(frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
}

// header is a request header.
func header(key, version int16, correlation int32, client string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = binary.BigEndian.AppendUint16(b, uint16(len(client)))
	b = append(b, client...)
	if protocol.Flexible(key, version) {
		b = append(b, 0)
	}
	return b
}

// encode is the frame of a request, without its length.
func encode(r kmsg.Request, correlation int32) []byte {
	return r.AppendTo(header(r.Key(), r.GetVersion(), correlation, "hostile"))
}

// exchange sends a request and reads its answer.
func exchange(nc net.Conn, r kmsg.Request, correlation int32) (kmsg.Response, error) {
	if _, err := nc.Write(sized(encode(r, correlation))); err != nil {
		return nil, err
	}
	frame, err := readFrame(nc)
	if err != nil {
		return nil, err
	}
	return decode(r, frame, correlation)
}

// readFrame reads one frame.
func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int32(binary.BigEndian.Uint32(size[:]))
	if n < 4 || n > 64<<20 {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

// decode reads an answer to r.
func decode(r kmsg.Request, frame []byte, correlation int32) (kmsg.Response, error) {
	if got := int32(binary.BigEndian.Uint32(frame)); got != correlation {
		return nil, fmt.Errorf("the answer is to request %d, want %d", got, correlation)
	}
	frame = frame[4:]
	if r.IsFlexible() && r.Key() != int16(kmsg.ApiVersions) {
		if len(frame) == 0 || frame[0] != 0 {
			return nil, errors.New("the answer's header has no empty tag block")
		}
		frame = frame[1:]
	}
	resp := r.ResponseKind()
	return resp, resp.ReadFrom(frame)
}

// create makes a topic of one partition and waits until it takes records.
func (b *bed) create(t testing.TB, name string) {
	t.Helper()
	nc := b.dial(t)
	defer nc.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 5, 10000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	req.Topics = append(req.Topics, topic)
	resp, err := exchange(nc, req, 1)
	if err != nil {
		t.Fatal(err)
	}
	if code := protocol.Code(resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode); code != protocol.None && code != protocol.TopicAlreadyExists {
		t.Fatalf("create %s: %v", name, code)
	}
	for until := time.Now().Add(patience); ; {
		meta := kmsg.NewPtrMetadataRequest()
		meta.Version = 9
		want := kmsg.NewMetadataRequestTopic()
		want.Topic = &name
		meta.Topics = append(meta.Topics, want)
		resp, err := exchange(nc, meta, 2)
		if err != nil {
			t.Fatal(err)
		}
		got := resp.(*kmsg.MetadataResponse).Topics[0]
		if got.ErrorCode == 0 && len(got.Partitions) == 1 && got.Partitions[0].ErrorCode == 0 {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("topic %s is not ready: %v", name, protocol.Code(got.ErrorCode))
		}
	}
}

// witness is a connection of somebody else, who must notice nothing.
type witness struct {
	nc          net.Conn
	correlation int32
	next        int64 // the offset that his next record gets, -1 before the first
}

func (b *bed) witness(t testing.TB) *witness {
	t.Helper()
	b.create(t, "witness")
	w := &witness{nc: b.dial(t), next: -1}
	t.Cleanup(func() { w.nc.Close() })
	w.check(t)
	return w
}

// check produces a record on the witness's old connection: it is acknowledged, and gets the next offset.
func (w *witness) check(t testing.TB) {
	t.Helper()
	w.nc.SetDeadline(time.Now().Add(patience))
	w.correlation++
	resp, err := exchange(w.nc, produceRequest(9, "witness", goodBatch()), w.correlation)
	if err != nil {
		t.Fatalf("the witness: %v", err)
	}
	p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if code := protocol.Code(p.ErrorCode); code != protocol.None {
		t.Fatalf("the witness: %v", code)
	}
	if w.next >= 0 && p.BaseOffset != w.next {
		t.Fatalf("the witness's record got offset %d, want %d", p.BaseOffset, w.next)
	}
	w.next = p.BaseOffset + 3 // goodBatch has three
}

// produceRequest asks for acks=all.
func produceRequest(version int16, topic string, records []byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = version, -1, 5000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = records
	rt.Partitions = append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	return r
}

// goodBatch is a batch of three records that any broker takes.
func goodBatch() record.Batch {
	var b record.Builder
	now := time.Now().UnixMilli()
	for i := range 3 {
		b.Add(now, []byte("key"), fmt.Appendf(nil, "value %d", i))
	}
	return b.Bytes()
}

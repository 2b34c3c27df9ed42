package compat

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Codecs are the compressions that every client knows.
var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Record is one record in no client's words. A nil Key or Value is Kafka's null.
type Record struct {
	Partition int32
	Offset    int64
	Key       []byte
	Value     []byte
	Headers   []Header
	Time      time.Time // with milliseconds
}

// Header is one header of a record. A nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// Options of a producer.
type Options struct {
	Codec      string // one of Codecs; empty is none
	Idempotent bool   // only where CanBeIdempotent
	MaxBytes   int    // of a batch; 0 is a bit less than 1 MiB
}

// Client is a client library as an application uses it.
type Client interface {
	Name() string
	CanBeIdempotent() bool
	// TellsNullFromEmpty says that a consumer sees the two apart.
	TellsNullFromEmpty() bool
	// NewProducer connects a producer to one topic. It is for one goroutine.
	NewProducer(addr, topic string, o Options) (Producer, error)
	// Consume reads n records of a partition from an offset on.
	Consume(ctx context.Context, addr, topic string, partition int32, from int64, n int) ([]Record, error)
	// OffsetAt is the offset of the first record that is not older than t, -1 or the end offset (the library's choice) where
	// there is none.
	OffsetAt(ctx context.Context, addr, topic string, partition int32, t time.Time) (int64, error)
}

// Producer sends records to the partitions that they name.
type Producer interface {
	// Send hands a record to the library; done is called once, from any goroutine, with the offset or with why not.
	Send(r Record, done func(offset int64, err error))
	// Close waits until every record is answered.
	Close() error
}

// Clients are the libraries under test.
func Clients() []Client { return []Client{FranzGo{}, Sarama{}, KafkaGo{}} }

// Produce sends records, waits for all, and fills their offsets in. It fails the test where one is refused.
func Produce(t testing.TB, c Client, addr, topic string, o Options, records []Record) {
	t.Helper()
	p, err := c.NewProducer(addr, topic, o)
	if err != nil {
		t.Fatalf("%s: producer: %v", c.Name(), err)
	}
	var mu sync.Mutex
	var failures []error
	for i := range records {
		p.Send(records[i], func(offset int64, err error) {
			mu.Lock()
			defer mu.Unlock()
			records[i].Offset = offset
			if err != nil {
				failures = append(failures, fmt.Errorf("record %d: %w", i, err))
			}
		})
	}
	if err := p.Close(); err != nil {
		t.Fatalf("%s: close the producer: %v", c.Name(), err)
	}
	if len(failures) > 0 {
		t.Fatalf("%s: %d of %d records refused, first %v", c.Name(), len(failures), len(records), failures[0])
	}
}

// CreateTopic makes a topic with a name of its own for the test.
func CreateTopic(t testing.TB, b *Broker, partitions int32, configs ...string) string {
	t.Helper()
	settings := map[string]*string{}
	for _, kv := range configs {
		key, value, _ := strings.Cut(kv, "=")
		settings[key] = &value
	}
	topic := TopicName(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, settings, topic); err != nil {
		t.Fatalf("create %s: %v", topic, err)
	}
	for ctx.Err() == nil { // Kafka answers before its own metadata has the topic, and some clients do not ask twice
		if offsets, err := kadm.NewClient(client).ListEndOffsets(ctx, topic); err == nil && offsets.Error() == nil {
			return topic
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s has no leaders", topic)
	return topic
}

var topicNumber struct {
	sync.Mutex
	n int
}

// TopicName is a legal topic name that no other test has, not even in an earlier run against the same broker.
func TopicName(t testing.TB) string {
	topicNumber.Lock()
	topicNumber.n++
	n := topicNumber.n
	topicNumber.Unlock()
	legal := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}
	return fmt.Sprintf("%s-%d-%d", strings.Map(legal, t.Name()), time.Now().UnixMilli(), n)
}

// EndOffset is a partition's high watermark.
func EndOffset(t testing.TB, b *Broker, topic string, partition int32) int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	offsets, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = offsets.Error()
	}
	o, ok := offsets.Lookup(topic, partition)
	if err != nil || !ok {
		t.Fatalf("end of %s-%d: %v", topic, partition, err)
	}
	return o.Offset
}

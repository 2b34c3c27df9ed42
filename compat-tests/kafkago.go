package compat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// KafkaGo is github.com/segmentio/kafka-go.
type KafkaGo struct{}

// Name is the library's.
func (KafkaGo) Name() string { return "kafka-go" }

// TellsNullFromEmpty says that it does not.
func (KafkaGo) TellsNullFromEmpty() bool { return false }

// CanBeIdempotent says that it cannot.
func (KafkaGo) CanBeIdempotent() bool { return false }

type kafkaGoProducer struct {
	writer   *kafka.Writer
	pool     *kafka.Transport // its own: the shared one keeps connections to a broker that is gone
	waiting  sync.WaitGroup
	inFlight chan struct{} // the library queues without a bound
}

type kafkaGoPending struct {
	partition int32
	done      func(int64, error)
}

// NewProducer is a Writer that sends a record once only: its retries are not idempotent, and a test that counts records must not
// see them twice.
func (KafkaGo) NewProducer(addr, topic string, o Options) (Producer, error) {
	codecs := map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	if o.Idempotent {
		return nil, errors.New("kafka-go cannot be idempotent")
	}
	p := &kafkaGoProducer{pool: &kafka.Transport{}, inFlight: make(chan struct{}, 1000)}
	p.writer = &kafka.Writer{Addr: kafka.TCP(addr), Transport: p.pool, Topic: topic, Compression: codecs[o.Codec], RequiredAcks: kafka.RequireAll,
		MaxAttempts: 1, BatchTimeout: 5 * time.Millisecond, BatchBytes: int64(o.MaxBytes), Async: true, AllowAutoTopicCreation: true,
		Balancer: kafka.BalancerFunc(func(m kafka.Message, _ ...int) int { return int(m.WriterData.(*kafkaGoPending).partition) }),
		Completion: func(messages []kafka.Message, err error) {
			for _, m := range messages {
				offset := m.Offset
				if err != nil {
					offset = -1
				}
				p.answer(m, offset, err)
			}
		}}
	return p, nil
}

func (p *kafkaGoProducer) answer(m kafka.Message, offset int64, err error) {
	<-p.inFlight
	m.WriterData.(*kafkaGoPending).done(offset, err)
	p.waiting.Done()
}

func (p *kafkaGoProducer) Send(r Record, done func(int64, error)) {
	p.inFlight <- struct{}{}
	p.waiting.Add(1)
	m := kafka.Message{Key: r.Key, Value: r.Value, Time: r.Time, WriterData: &kafkaGoPending{r.Partition, done}}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
	}
	if err := p.writer.WriteMessages(context.Background(), m); err != nil { // refused before it was queued
		p.answer(m, -1, err)
	}
}

func (p *kafkaGoProducer) Close() error {
	p.waiting.Wait()
	defer p.pool.CloseIdleConnections()
	return p.writer.Close()
}

// Consume uses a Reader of one partition.
func (KafkaGo) Consume(ctx context.Context, addr, topic string, partition int32, from int64, n int) ([]Record, error) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: topic, Partition: int(partition),
		MinBytes: 1, MaxBytes: 16 << 20, MaxWait: 500 * time.Millisecond})
	defer reader.Close()
	if err := reader.SetOffset(from); err != nil {
		return nil, err
	}
	var records []Record
	for len(records) < n {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			return records, fmt.Errorf("after %d of %d records: %w", len(records), n, err)
		}
		got := Record{Partition: int32(m.Partition), Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Time}
		for _, h := range m.Headers {
			got.Headers = append(got.Headers, Header{h.Key, h.Value})
		}
		records = append(records, got)
	}
	return records, nil
}

// OffsetAt asks the partition's leader.
func (KafkaGo) OffsetAt(ctx context.Context, addr, topic string, partition int32, t time.Time) (int64, error) {
	conn, err := kafka.DialLeader(ctx, "tcp", addr, topic, int(partition))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ReadOffset(t)
}

package compat

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// Sarama is github.com/IBM/sarama.
type Sarama struct{}

// Name is the library's.
func (Sarama) Name() string { return "sarama" }

// TellsNullFromEmpty says that it does.
func (Sarama) TellsNullFromEmpty() bool { return true }

// CanBeIdempotent says that it can.
func (Sarama) CanBeIdempotent() bool { return true }

type saramaProducer struct {
	producer sarama.AsyncProducer
	topic    string
	// waiting is for answers: records that are tried again while the producer closes are refused, and a first batch is often tried
	// again. The library opens its connection in the background; who comes before it is there is told "broker not connected".
	waiting  sync.WaitGroup
	finished chan struct{}
}

func saramaConfig() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.ClientID = "weir-compat"
	config.Consumer.Return.Errors = true
	return config
}

// NewProducer is an AsyncProducer that tries long enough for a broker to come back.
func (Sarama) NewProducer(addr, topic string, o Options) (Producer, error) {
	codecs := map[string]sarama.CompressionCodec{"": sarama.CompressionNone, "none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}
	config := saramaConfig()
	config.Producer.Compression = codecs[o.Codec]
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Retry.Max = 600
	config.Producer.Retry.Backoff = 50 * time.Millisecond
	config.Metadata.Retry.Max = 600
	config.Metadata.Retry.Backoff = 50 * time.Millisecond
	config.Net.MaxOpenRequests = 1
	config.Producer.Idempotent = o.Idempotent
	if o.MaxBytes > 0 {
		config.Producer.MaxMessageBytes = o.MaxBytes
	}
	producer, err := sarama.NewAsyncProducer([]string{addr}, config)
	if err != nil {
		return nil, err
	}
	p := &saramaProducer{producer: producer, topic: topic, finished: make(chan struct{})}
	go p.answer()
	return p, nil
}

// answer ends when both channels are closed, which AsyncClose does after the last message.
func (p *saramaProducer) answer() {
	defer close(p.finished)
	successes, errors := p.producer.Successes(), p.producer.Errors()
	for successes != nil || errors != nil {
		select {
		case m, ok := <-successes:
			if !ok {
				successes = nil
				continue
			}
			m.Metadata.(func(int64, error))(m.Offset, nil)
			p.waiting.Done()
		case e, ok := <-errors:
			if !ok {
				errors = nil
				continue
			}
			e.Msg.Metadata.(func(int64, error))(-1, e.Err)
			p.waiting.Done()
		}
	}
}

func (p *saramaProducer) Send(r Record, done func(int64, error)) {
	m := &sarama.ProducerMessage{Topic: p.topic, Partition: r.Partition, Timestamp: r.Time, Metadata: done}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	if r.Value != nil {
		m.Value = sarama.ByteEncoder(r.Value)
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	p.waiting.Add(1)
	p.producer.Input() <- m
}

func (p *saramaProducer) Close() error {
	p.waiting.Wait()
	p.producer.AsyncClose()
	<-p.finished
	return nil
}

// Consume reads with a partition consumer.
func (Sarama) Consume(ctx context.Context, addr, topic string, partition int32, from int64, n int) ([]Record, error) {
	consumer, err := sarama.NewConsumer([]string{addr}, saramaConfig())
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	p, err := consumer.ConsumePartition(topic, partition, from)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var records []Record
	for len(records) < n {
		select {
		case m := <-p.Messages():
			got := Record{Partition: m.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value, Time: m.Timestamp}
			for _, h := range m.Headers {
				got.Headers = append(got.Headers, Header{string(h.Key), h.Value})
			}
			records = append(records, got)
		case err := <-p.Errors():
			return records, fmt.Errorf("after %d of %d records: %w", len(records), n, err)
		case <-ctx.Done():
			return records, fmt.Errorf("after %d of %d records: %w", len(records), n, ctx.Err())
		}
	}
	return records, nil
}

// OffsetAt asks ListOffsets.
func (Sarama) OffsetAt(_ context.Context, addr, topic string, partition int32, t time.Time) (int64, error) {
	client, err := sarama.NewClient([]string{addr}, saramaConfig())
	if err != nil {
		return 0, err
	}
	defer client.Close()
	return client.GetOffset(topic, partition, t.UnixMilli())
}

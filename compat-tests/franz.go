package compat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// FranzGo is github.com/twmb/franz-go.
type FranzGo struct{}

// Name is the library's.
func (FranzGo) Name() string { return "franz-go" }

// TellsNullFromEmpty says that it does.
func (FranzGo) TellsNullFromEmpty() bool { return true }

// CanBeIdempotent says that it can.
func (FranzGo) CanBeIdempotent() bool { return true }

type franzProducer struct{ client *kgo.Client }

// NewProducer is a client that retries for ever, as is its default.
func (FranzGo) NewProducer(addr, topic string, o Options) (Producer, error) {
	codecs := map[string]kgo.CompressionCodec{"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	options := []kgo.Opt{kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codecs[o.Codec]),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }), kgo.MetadataMinAge(50 * time.Millisecond)}
	if !o.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if o.MaxBytes > 0 {
		options = append(options, kgo.ProducerBatchMaxBytes(int32(o.MaxBytes)))
	}
	client, err := kgo.NewClient(options...)
	return &franzProducer{client}, err
}

func (p *franzProducer) Send(r Record, done func(int64, error)) {
	record := &kgo.Record{Partition: r.Partition, Key: r.Key, Value: r.Value, Timestamp: r.Time}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	p.client.Produce(context.Background(), record, func(r *kgo.Record, err error) { done(r.Offset, err) })
}

func (p *franzProducer) Close() error {
	defer p.client.Close()
	return p.client.Flush(context.Background())
}

// Consume reads one partition directly.
func (FranzGo) Consume(ctx context.Context, addr, topic string, partition int32, from int64, n int) ([]Record, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {partition: kgo.NewOffset().At(from)}}), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var records []Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil && !errors.Is(err, context.Canceled) {
			return records, fmt.Errorf("after %d of %d records: %w", len(records), n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got := Record{Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Time: r.Timestamp}
			for _, h := range r.Headers {
				got.Headers = append(got.Headers, Header{h.Key, h.Value})
			}
			records = append(records, got)
		})
	}
	return records[:n], nil
}

// OffsetAt asks ListOffsets.
func (FranzGo) OffsetAt(ctx context.Context, addr, topic string, partition int32, t time.Time) (int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	offsets, err := kadm.NewClient(client).ListOffsetsAfterMilli(ctx, t.UnixMilli(), topic)
	if err != nil {
		return 0, err
	}
	o, _ := offsets.Lookup(topic, partition)
	return o.Offset, o.Err
}

package main

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	gib = 1 << 30
	mib = 1 << 20
)

// pretouch has the host give the memory that a load will need: see doc.go.
func pretouch(dir string, bytes int64) error {
	path := filepath.Join(dir, "pretouch")
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer file.Close()
	for buffer := make([]byte, mib); bytes > 0; bytes -= mib {
		if _, err := file.Write(buffer); err != nil {
			return err
		}
	}
	return nil
}

// payload is text that compresses about two to one, from which values are cut.
var payload = func() []byte {
	text := make([]byte, 4*mib)
	rand.New(rand.NewSource(1)).Read(text)
	for i := range text {
		text[i] = "abcdefghijklmnop"[text[i]&15]
	}
	return text
}()

// produce sends so many bytes in values of one size with one idempotent client and acks=all, as fast as it goes.
func (s *suite) produce(b *broker, topic string, bytes int64, size int) (result, error) {
	if err := pretouch(s.dir, bytes+gib); err != nil {
		return nil, err
	}
	client, err := producer(b, topic)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var failed atomic.Pointer[error]
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	m, err := s.measure(b)
	if err != nil {
		return nil, err
	}
	records := bytes / int64(size)
	for i, at := int64(0), 0; i < records; i, at = i+1, at+size {
		if at+size > len(payload) {
			at = 0
		}
		client.Produce(context.Background(), &kgo.Record{Value: payload[at : at+size]}, done)
	}
	if err := client.Flush(context.Background()); err != nil {
		return nil, err
	}
	if err := failed.Load(); err != nil {
		return nil, fmt.Errorf("produce: %w", *err)
	}
	return m.throughput(records, size)
}

// consume reads a topic from its beginning until it has so many bytes.
func (s *suite) consume(b *broker, topic string, bytes int64, size int) (result, error) {
	records := bytes / int64(size)
	m, err := s.measure(b)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxBytes(50*mib), kgo.FetchMaxPartitionBytes(4*mib))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for got := int64(0); got < records; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("consume, after %d of %d records: %w", got, records, err)
		}
		got += int64(fetches.NumRecords())
	}
	return m.throughput(records, size)
}

// result is figures by their names.
type result map[string]float64

// measurement is what is taken before a load.
type measurement struct {
	broker *broker
	start  time.Time
	cpu    usage
}

func (s *suite) measure(b *broker) (measurement, error) {
	cpu, err := b.cpu()
	return measurement{b, time.Now(), cpu}, err
}

// throughput is what was moved since then, and what the broker used for it.
func (m measurement) throughput(records int64, size int) (result, error) {
	seconds := time.Since(m.start).Seconds()
	cpu, err := m.broker.cpu()
	used, bytes := cpu.sub(m.cpu), float64(records)*float64(size)
	return result{
		"CPU s/GiB":      used.total() / (bytes / gib),
		"user CPU s/GiB": used.user / (bytes / gib),
		"MB/s":           bytes / 1e6 / seconds,
		"records/s":      float64(records) / seconds,
	}, err
}

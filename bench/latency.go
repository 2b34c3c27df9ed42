package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// latency sends records at an even rate and measures until the acknowledgement and until a consumer has them.
func (s *suite) latency(b *broker, topic string, rate, size int, seconds float64) (result, error) {
	n := int(float64(rate) * seconds)
	consumer, err := kgo.NewClient(kgo.SeedBrokers(b.addr()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	client, err := producer(b, topic)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	settle, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	consumer.PollFetches(settle) // until it stands at the end
	cancel()

	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds*float64(time.Second))+30*time.Second)
	defer cancel()
	var arrived []float64
	var receiver sync.WaitGroup
	receiver.Go(func() { arrived = receive(ctx, consumer, n) })
	before, err := b.cpu()
	if err != nil {
		return nil, err
	}
	acked, err := sendEvenly(client, n, rate, size)
	if err != nil {
		return nil, err
	}
	receiver.Wait()
	after, err := b.cpu()
	if err != nil {
		return nil, err
	}
	if len(arrived) < n {
		return nil, fmt.Errorf("%d of %d records arrived", len(arrived), n)
	}
	return result{
		"ack p50 ms": quantile(acked, .5), "ack p99 ms": quantile(acked, .99),
		"end-to-end p50 ms": quantile(arrived, .5), "end-to-end p99 ms": quantile(arrived, .99),
		"CPU us/record": after.sub(before).total() / float64(n) * 1e6,
	}, nil
}

// sendEvenly keeps the rate whatever a single send takes; each record carries the time of its sending. It returns the milliseconds
// until each acknowledgement.
func sendEvenly(client *kgo.Client, n, rate, size int) ([]float64, error) {
	var mu sync.Mutex
	var failures []error
	latencies := make([]float64, 0, n)
	begin, interval := time.Now(), time.Second/time.Duration(rate)
	for i := range n {
		if wait := time.Until(begin.Add(time.Duration(i) * interval)); wait > 0 {
			time.Sleep(wait)
		}
		sent := time.Now()
		key := binary.BigEndian.AppendUint64(nil, uint64(sent.UnixNano()))
		client.Produce(context.Background(), &kgo.Record{Key: key, Value: payload[:size]}, func(_ *kgo.Record, err error) {
			took := milliseconds(time.Since(sent))
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, took)
			if err != nil {
				failures = append(failures, err)
			}
		})
	}
	err := client.Flush(context.Background())
	mu.Lock()
	defer mu.Unlock()
	return latencies, errors.Join(append(failures, err)...)
}

// receive returns the milliseconds between sending and arrival of n records, or of as many as come.
func receive(ctx context.Context, consumer *kgo.Client, n int) []float64 {
	latencies := make([]float64, 0, n)
	for len(latencies) < n && ctx.Err() == nil {
		fetches := consumer.PollFetches(ctx)
		now := time.Now().UnixNano()
		fetches.EachRecord(func(r *kgo.Record) {
			latencies = append(latencies, float64(now-int64(binary.BigEndian.Uint64(r.Key)))/1e6)
		})
	}
	return latencies
}

func quantile(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[int(float64(len(values)-1)*q)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transactions are small ones, where what counts is what a transaction costs and not its records.
func (s *suite) transactions() error {
	return s.together(func(brokers []*broker) error {
		n := s.count(1000)
		for _, b := range brokers {
			if err := createTopic(b, "input", 6); err != nil {
				return err
			}
			if err := createTopic(b, "output", 6); err != nil {
				return err
			}
			if err := awaitReady(b, "output", 6); err != nil {
				return err
			}
			if _, err := s.produce(b, "input", int64(n)*recordsEach*100, 100); err != nil {
				return err
			}
		}
		err := s.inTurns(brokers, "consume-transform-produce", func(b *broker, run int) (result, error) {
			return s.transform(b, fmt.Sprintf("transform-%d", run), n)
		})
		if err != nil {
			return err
		}
		return s.inTurns(brokers, "transactions of 1 record", func(b *broker, run int) (result, error) {
			return s.oneByOne(b, fmt.Sprintf("one-%d", run), s.count(2000))
		})
	})
}

const recordsEach = 100 // in a transaction of transform

// transform reads records of one topic and writes as many to another, so many transactions with their offsets. It is timed from the
// first record on, so that the time in which the group forms does not count.
func (s *suite) transform(b *broker, name string, transactions int) (result, error) {
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(b.addr()), kgo.TransactionalID(name), kgo.ConsumerGroup(name),
		kgo.ConsumeTopics("input"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DefaultProduceTopic("output"), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	defer session.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var m measurement
	for i := range transactions {
		var records []*kgo.Record
		for len(records) < recordsEach {
			fetches := session.PollRecords(ctx, recordsEach-len(records))
			if err := fetches.Err(); err != nil {
				return nil, err
			}
			records = append(records, fetches.Records()...)
		}
		if i == 0 {
			if m, err = s.measure(b); err != nil {
				return nil, err
			}
		}
		if err := session.Begin(); err != nil {
			return nil, err
		}
		var failed atomic.Pointer[error]
		for _, r := range records {
			session.Produce(ctx, &kgo.Record{Value: r.Value}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			})
		}
		committed, err := session.End(ctx, kgo.TryCommit)
		if f := failed.Load(); f != nil {
			err = errors.Join(err, *f)
		}
		if err != nil || !committed {
			return nil, fmt.Errorf("transaction %d, committed %v: %w", i, committed, err)
		}
	}
	seconds := time.Since(m.start).Seconds()
	cpu, err := b.cpu()
	return result{
		"transactions/s":     float64(transactions) / seconds,
		"CPU us/transaction": cpu.sub(m.cpu).total() / float64(transactions) * 1e6,
	}, err
}

// oneByOne is begin, produce and commit, each waiting for the one before.
func (s *suite) oneByOne(b *broker, id string, n int) (result, error) {
	client, err := producer(b, "output", kgo.TransactionalID(id))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	one := func() error {
		if err := client.BeginTransaction(); err != nil {
			return err
		}
		if err := client.ProduceSync(ctx, &kgo.Record{Value: payload[:100]}).FirstErr(); err != nil {
			return err
		}
		return client.EndTransaction(ctx, kgo.TryCommit)
	}
	if err := one(); err != nil { // has the producer id
		return nil, err
	}
	m, err := s.measure(b)
	if err != nil {
		return nil, err
	}
	took := make([]float64, 0, n)
	for range n {
		begin := time.Now()
		if err := one(); err != nil {
			return nil, err
		}
		took = append(took, milliseconds(time.Since(begin)))
	}
	cpu, err := b.cpu()
	return result{
		"p50 ms": quantile(took, .5), "p99 ms": quantile(took, .99),
		"CPU us/transaction": cpu.sub(m.cpu).total() / float64(n) * 1e6,
	}, err
}

// overhead is what transactions of 10,000 records cost beside the same records from an idempotent producer, which waits for its
// acknowledgements as often.
func (s *suite) overhead() error {
	return s.together(func(brokers []*broker) error {
		// The difference is a few percent: two runs more than for the rest.
		more := *s
		more.runs = s.runs + 2
		records := max(1, s.count(200)) * 10_000
		return more.inTurns(brokers, "transactions of 10,000 records", func(b *broker, run int) (result, error) {
			r := result{}
			for _, kind := range []string{"idempotent", "transactional"} {
				us, err := s.inParts(b, fmt.Sprintf("%s-%d", kind, run), kind == "transactional", records)
				if err != nil {
					return nil, err
				}
				r[kind+" CPU us/record"] = us
			}
			return r, nil
		})
	})
}

func (s *suite) inParts(b *broker, topic string, inTransactions bool, records int) (us float64, err error) {
	const part, size, partitions = 10_000, 1024, 6
	if err := createTopic(b, topic, partitions); err != nil {
		return 0, err
	}
	if err := awaitReady(b, topic, partitions); err != nil {
		return 0, err
	}
	if err := pretouch(s.dir, int64(records)*size+gib); err != nil {
		return 0, err
	}
	var opts []kgo.Opt
	if inTransactions {
		opts = append(opts, kgo.TransactionalID(topic))
	}
	client, err := producer(b, topic, opts...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var failed atomic.Pointer[error]
	m, err := s.measure(b)
	if err != nil {
		return 0, err
	}
	for sent := 0; sent < records; sent += part {
		if inTransactions {
			if err := client.BeginTransaction(); err != nil {
				return 0, err
			}
		}
		for i := range part {
			at := i * size % (len(payload) - size)
			client.Produce(ctx, &kgo.Record{Value: payload[at : at+size]}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			})
		}
		err := client.Flush(ctx)
		if err == nil && inTransactions {
			err = client.EndTransaction(ctx, kgo.TryCommit)
		}
		if f := failed.Load(); f != nil {
			err = errors.Join(err, *f)
		}
		if err != nil {
			return 0, err
		}
	}
	cpu, err := b.cpu()
	if err != nil {
		return 0, err
	}
	return cpu.sub(m.cpu).total() / float64(records) * 1e6, deleteTopic(b, topic)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
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
		kgo.RequireStableFetchOffsets(), kgo.DefaultProduceTopic("output"), kgo.ProducerLinger(0))
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

// transactionalIDs is 10,000 that have a transaction open: their memory, and the start with them.
func (s *suite) transactionalIDs() error {
	const topic, clients = "open", 100
	ids := names("id-%05d", s.count(10_000))
	return s.each(func(name string) error {
		b, err := s.started(name)
		if err != nil {
			return err
		}
		defer s.discard(b)
		if err := createTopic(b, topic, 1); err != nil {
			return err
		}
		if err := awaitReady(b, topic, 1); err != nil {
			return err
		}
		if err := openMany(b, topic, ids, clients); err != nil {
			return err
		}
		time.Sleep(2 * time.Second)
		r := result{}
		if r["RSS MiB"], err = b.rss(); err != nil {
			return err
		}
		if err := b.stop(false); err != nil {
			return err
		}
		begin := time.Now()
		if err := b.start(); err != nil {
			return err
		}
		err = awaitProducers(b, ids)
		r["first InitProducerId after kill -9 ms"] = milliseconds(time.Since(begin))
		s.add("10,000 transactional ids", name, r)
		return err
	})
}

// openMany has each id begin a transaction with one partition.
func openMany(b *broker, topic string, ids []string, clients int) error {
	var all sync.WaitGroup
	failures := make([]error, clients)
	for client := range clients {
		w, err := dial(b)
		if err != nil {
			return err
		}
		defer w.conn.Close()
		all.Go(func() {
			for i := client; i < len(ids) && failures[client] == nil; i += clients {
				failures[client] = w.open(ids[i], topic)
			}
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

func (w *wire) open(id, topic string) error {
	for limit := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorKey, find.CoordinatorType = id, 1
		if _, err := w.ask(find, 3); err != nil { // makes the internal topic
			return err
		}
		producer, err := w.initProducer(id)
		if err == nil {
			return w.addPartition(id, topic, producer)
		}
		if !kerr.IsRetriable(err) || time.Now().After(limit) {
			return err
		}
	}
}

func (w *wire) initProducer(id string) (*kmsg.InitProducerIDResponse, error) {
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionalID, q.TransactionTimeoutMillis, q.ProducerID, q.ProducerEpoch = &id, 900_000, -1, -1
	response, err := w.ask(q, 4)
	if err != nil {
		return nil, err
	}
	r := response.(*kmsg.InitProducerIDResponse)
	return r, kerr.ErrorForCode(r.ErrorCode)
}

func (w *wire) addPartition(id, topic string, producer *kmsg.InitProducerIDResponse) error {
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch = id, producer.ProducerID, producer.ProducerEpoch
	t := kmsg.NewAddPartitionsToTxnRequestTopic()
	t.Topic, t.Partitions = topic, []int32{0}
	q.Topics = append(q.Topics, t)
	response, err := w.ask(q, 3)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.(*kmsg.AddPartitionsToTxnResponse).Topics[0].Partitions[0].ErrorCode)
}

// awaitProducers polls until 16 of the ids, which are in as many partitions of the internal topic as it goes, have a producer again.
// Their transactions are aborted before.
func awaitProducers(b *broker, ids []string) error {
	next := 0
	return poll(b, func(w *wire) (bool, error) {
		for ; next < 16; next++ {
			r, err := w.initProducer(ids[next*len(ids)/16])
			if r == nil || err != nil && kerr.IsRetriable(err) {
				return false, nil // not up yet, loading, or aborting
			}
			if err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

package main

import (
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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
		r, err := fullThenKilled(b, "InitProducerId", func() error { return awaitProducers(b, ids) })
		if err != nil {
			return err
		}
		s.add("10,000 transactional ids", name, r)
		return nil
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
		defer w.close()
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
		if _, err := w.ask(find, 3); err != nil { // makes the internal topic, whose leaders come a moment later
			return err
		}
		producer, err := w.initProducer(id)
		if err == nil {
			return w.addPartition(id, topic, producer)
		}
		if !passes(err) || time.Now().After(limit) {
			return err
		}
	}
}

// passes says that the answer will be another one soon.
func passes(err error) bool {
	return kerr.IsRetriable(err) || errors.Is(err, kerr.ConcurrentTransactions)
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
			if r == nil || passes(err) {
				return false, nil // not up yet, loading, or aborting
			}
			if err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

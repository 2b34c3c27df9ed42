package compat

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// saramaWithin bounds each wait of the tests below.
const saramaWithin = 60 * time.Second

// txnScene is a topic with a sarama consumer of committed records on its partition 0.
type txnScene struct {
	t      *testing.T
	b      *Broker
	topic  string
	config *sarama.Config
	read   <-chan *sarama.ConsumerMessage
}

func saramaTxnConfig(id string) *sarama.Config {
	config := saramaConfig()
	config.Producer.Idempotent = true
	config.Producer.Transaction.ID = id
	config.Producer.Transaction.Retry.Max = 200
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Return.Successes = true
	config.Producer.Return.Errors = true
	config.Producer.Flush.Messages = 200
	config.Producer.Flush.Frequency = 20 * time.Millisecond
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Net.MaxOpenRequests = 1
	return config
}

func newTxnScene(t *testing.T, b *Broker) *txnScene {
	s := &txnScene{t: t, b: b, topic: CreateTopic(t, b, 1)}
	s.config = saramaTxnConfig(s.topic)
	consumer, err := sarama.NewConsumer([]string{b.Addr}, s.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { consumer.Close() })
	p, err := consumer.ConsumePartition(s.topic, 0, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	s.read = p.Messages()
	return s
}

// producer makes one that is closed with the test.
func (s *txnScene) producer(config *sarama.Config) sarama.AsyncProducer {
	s.t.Helper()
	p, err := sarama.NewAsyncProducer([]string{s.b.Addr}, config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { p.Close() })
	return p
}

// plain produces records outside of any transaction.
func (s *txnScene) plain(values ...string) {
	s.t.Helper()
	config := saramaConfig()
	config.Producer.Return.Successes, config.Producer.Return.Errors = true, true
	p := s.producer(config)
	s.send(p, values...)
}

// send waits until each record is answered.
func (s *txnScene) send(p sarama.AsyncProducer, values ...string) {
	s.t.Helper()
	for _, v := range values {
		p.Input() <- &sarama.ProducerMessage{Topic: s.topic, Value: sarama.StringEncoder(v)}
	}
	for range values {
		select {
		case <-p.Successes():
		case err := <-p.Errors():
			s.t.Fatal(err)
		case <-time.After(saramaWithin):
			s.t.Fatal("no answer to a record")
		}
	}
}

func (s *txnScene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// expect waits for these records and no others.
func (s *txnScene) expect(values ...string) {
	s.t.Helper()
	for _, want := range values {
		select {
		case m := <-s.read:
			if string(m.Value) != want {
				s.t.Fatalf("read %q at %d, want %q", m.Value, m.Offset, want)
			}
		case <-time.After(saramaWithin):
			s.t.Fatalf("%q is never read", want)
		}
	}
}

// The scenarios of sarama's own functional tests of transactions.
func TestSaramaTransactions(t *testing.T) {
	for _, x := range []struct {
		name string
		run  func(*txnScene)
	}{
		{"no begin", func(s *txnScene) {
			p := s.producer(s.config)
			p.Input() <- &sarama.ProducerMessage{Topic: s.topic, Value: sarama.StringEncoder("x")}
			select {
			case <-p.Errors():
			case <-p.Successes():
				s.t.Error("a record without a transaction is taken")
			}
		}},
		{"no records", func(s *txnScene) {
			p := s.producer(s.config)
			s.must(p.BeginTxn())
			s.must(p.AbortTxn())
			s.must(p.BeginTxn())
			s.must(p.CommitTxn())
		}},
		{"commits, one after the other", func(s *txnScene) {
			p := s.producer(s.config)
			for _, v := range []string{"a", "b", "c"} {
				s.must(p.BeginTxn())
				s.send(p, v+"1", v+"2")
				s.must(p.CommitTxn())
				s.expect(v+"1", v+"2")
			}
		}},
		{"two at once, one is aborted", func(s *txnScene) {
			other := saramaTxnConfig(s.topic + "-2")
			p, q := s.producer(s.config), s.producer(other)
			s.must(p.BeginTxn())
			s.must(q.BeginTxn())
			s.send(p, "committed 1")
			s.send(q, "aborted 1", "aborted 2")
			s.send(p, "committed 2")
			s.must(p.CommitTxn())
			s.must(q.AbortTxn())
			s.plain("last")
			s.expect("committed 1", "committed 2", "last")
		}},
		{"aborted", func(s *txnScene) {
			p := s.producer(s.config)
			s.must(p.BeginTxn())
			s.send(p, "aborted 1", "aborted 2")
			s.must(p.AbortTxn())
			s.plain("plain 1", "plain 2")
			s.must(p.BeginTxn())
			s.send(p, "committed")
			s.must(p.CommitTxn())
			s.expect("plain 1", "plain 2", "committed")
		}},
		{"a second producer of the id fences the first", func(s *txnScene) {
			p := s.producer(s.config)
			s.must(p.BeginTxn())
			s.send(p, "fenced")
			q := s.producer(s.config)
			s.must(q.BeginTxn())
			s.send(q, "fresh")
			s.must(q.CommitTxn())
			if err := p.CommitTxn(); err == nil {
				s.t.Error("the first one commits")
			}
			s.expect("fresh")
		}},
	} {
		t.Run(x.name, func(t *testing.T) { x.run(newTxnScene(t, Shared(t))) })
	}
}

// The broker is killed while a transaction is open and comes back on the same data: the transaction goes on.
func TestSaramaTransactionOverKill(t *testing.T) {
	b := Start(t)
	s := newTxnScene(t, b)
	s.config.Producer.Retry.Max, s.config.Producer.Retry.Backoff = 600, 50*time.Millisecond
	s.config.Metadata.Retry.Max, s.config.Metadata.Retry.Backoff = 600, 50*time.Millisecond
	p := s.producer(s.config)
	for _, v := range []string{"a", "b"} {
		s.must(p.BeginTxn())
		s.send(p, v+"1")
		b.Kill(t)
		b.Restart(t)
		s.send(p, v+"2")
		s.must(p.CommitTxn())
		s.expect(v+"1", v+"2")
	}
}

// copier copies what a group reads to another topic, each record with its offset in one transaction.
type copier struct {
	s        *txnScene
	producer sarama.AsyncProducer
	group    string
	add      func(sarama.AsyncProducer, sarama.ConsumerGroupSession, *sarama.ConsumerMessage, string) error
}

func (*copier) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*copier) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *copier) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for m := range claim.Messages() {
		if err := c.copy(session, m); err != nil {
			c.s.t.Errorf("copy of %s: %v", m.Value, err)
			return err
		}
	}
	return nil
}

func (c *copier) copy(session sarama.ConsumerGroupSession, m *sarama.ConsumerMessage) error {
	if err := c.producer.BeginTxn(); err != nil {
		return err
	}
	c.producer.Input() <- &sarama.ProducerMessage{Topic: c.s.topic, Value: sarama.ByteEncoder(m.Value)}
	select { // CommitTxn waits until nobody waits to tell of a success
	case <-c.producer.Successes():
	case err := <-c.producer.Errors():
		return err
	}
	if err := c.add(c.producer, session, m, c.group); err != nil {
		return err
	}
	return c.producer.CommitTxn()
}

// Offsets of a group go with the transaction, by the group's name alone and with the member's generation, in old and new versions.
func TestSaramaOffsetsInTransaction(t *testing.T) {
	named := func(p sarama.AsyncProducer, _ sarama.ConsumerGroupSession, m *sarama.ConsumerMessage, group string) error {
		return p.AddMessageToTxn(m, group, nil)
	}
	member := func(p sarama.AsyncProducer, s sarama.ConsumerGroupSession, m *sarama.ConsumerMessage, group string) error {
		return p.AddMessageToTxnWithGroupMetadata(m, sarama.NewConsumerGroupMetadataFromSession(s, group, nil), nil)
	}
	for _, x := range []struct {
		name    string
		version sarama.KafkaVersion
		add     func(sarama.AsyncProducer, sarama.ConsumerGroupSession, *sarama.ConsumerMessage, string) error
	}{
		{"newest, by name", sarama.MaxVersion, named}, {"newest, by member", sarama.MaxVersion, member},
		{"2.1", sarama.V2_1_0_0, member}, {"2.5", sarama.V2_5_0_0, member},
	} {
		t.Run(x.name, func(t *testing.T) {
			b := Shared(t)
			s := newTxnScene(t, b)
			from, group := CreateTopic(t, b, 4), TopicName(t)
			config := saramaTxnConfig(s.topic)
			config.Version = x.version
			config.Consumer.Offsets.Initial = sarama.OffsetOldest
			c := &copier{s: s, producer: s.producer(config), group: group, add: x.add}
			cg, err := sarama.NewConsumerGroup([]string{b.Addr}, group, config)
			s.must(err)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- cg.Consume(ctx, []string{from}, c) }()
			plain := saramaConfig()
			plain.Producer.Return.Successes = true
			plain.Producer.Partitioner = sarama.NewManualPartitioner
			p, err := sarama.NewSyncProducer([]string{b.Addr}, plain)
			s.must(err)
			defer p.Close()
			_, _, err = p.SendMessage(&sarama.ProducerMessage{Topic: from, Partition: 2, Value: sarama.StringEncoder("first")})
			s.must(err)
			s.expect("first")
			_, _, err = p.SendMessage(&sarama.ProducerMessage{Topic: from, Partition: 2, Value: sarama.StringEncoder("second")})
			s.must(err)
			s.expect("second")
			cancel()
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			s.must(cg.Close())
			admin, err := sarama.NewClusterAdmin([]string{b.Addr}, saramaConfig())
			s.must(err)
			defer admin.Close()
			offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{from: {0, 1, 2, 3}})
			s.must(err)
			var got []int64
			for n := range int32(4) {
				got = append(got, offsets.GetBlock(from, n).Offset)
			}
			if !slices.Equal(got, []int64{-1, -1, 2, -1}) {
				t.Errorf("committed: %v", got)
			}
		})
	}
}

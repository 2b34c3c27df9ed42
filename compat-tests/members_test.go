package compat

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// starter makes a member of a crew out of a client library, and sets its run and bye.
type starter func(c *crew, m *member) error

// libraries are the ways to be a member of a group.
var libraries = []struct {
	name  string
	start starter
}{
	{"franz-go classic", func(c *crew, m *member) error {
		return franzMember(c, m, kgo.SessionTimeout(3*time.Second), kgo.HeartbeatInterval(300*time.Millisecond))
	}},
	{"franz-go consumer", func(c *crew, m *member) error { return franzMember(c, m, kgo.ServerSideBalancer()) }},
	{"sarama range", func(c *crew, m *member) error { return saramaMember(c, m, sarama.NewBalanceStrategyRange()) }},
	{"sarama sticky", func(c *crew, m *member) error { return saramaMember(c, m, sarama.NewBalanceStrategySticky()) }},
	{"kafka-go", kafkaGoMember},
}

// member is one of a crew. It commits what it has read.
type member struct {
	crew *crew
	line Lifeline
	run  func(ctx context.Context)       // reads until ctx ends
	bye  func(ctx context.Context) error // commits the rest and leaves
	stop context.CancelFunc
	done chan struct{}
	n    int // records read; under the crew's lock
}

// read notes a record.
func (m *member) read(key []byte) {
	m.crew.mu.Lock()
	m.crew.seen[string(key)]++
	m.n++
	m.crew.mu.Unlock()
	select {
	case m.crew.more <- struct{}{}:
	default:
	}
}

// die cuts the member off, as a process that was killed: it cannot even leave the group.
func (m *member) die() {
	m.line.Cut()
	m.stop()
	go func() {
		<-m.done
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = m.bye(ctx) // in vain
	}()
}

// leave ends the member as it should: what it has read is committed.
func (m *member) leave(t *testing.T) {
	t.Helper()
	m.stop()
	<-m.done
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := m.bye(ctx); err != nil {
		t.Errorf("a member leaves: %v", err)
	}
}

func (c *crew) join() *member {
	c.t.Helper()
	m := &member{crew: c, done: make(chan struct{})}
	if err := c.library(c, m); err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() {
		defer close(m.done)
		m.run(ctx)
	}()
	return m
}

// again calls try until it succeeds or ctx ends: while a group rebalances, a commit may be refused.
func again(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // nothing tells when the rebalance is over
	}
}

func franzMember(c *crew, m *member, own ...kgo.Opt) error {
	client, err := kgo.NewClient(append(own, kgo.SeedBrokers(c.b.Addr), kgo.ConsumerGroup(c.group), kgo.ConsumeTopics(c.topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Dialer(m.line.DialContext), kgo.MetadataMinAge(50*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }), kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		return err
	}
	m.run = func(ctx context.Context) {
		for ctx.Err() == nil {
			fetches := client.PollFetches(ctx)
			fetches.EachRecord(func(r *kgo.Record) { m.read(r.Key) })
			if fetches.NumRecords() > 0 {
				client.CommitUncommittedOffsets(ctx) // one that fails is made good by a later one, or by reading again
			}
		}
	}
	m.bye = func(ctx context.Context) error {
		defer client.Close()
		return again(ctx, func() error { return client.CommitUncommittedOffsets(ctx) })
	}
	return nil
}

// saramaClaims is a sarama.ConsumerGroupHandler.
type saramaClaims struct{ m *member }

// Setup is called when a generation begins.
func (saramaClaims) Setup(sarama.ConsumerGroupSession) error { return nil }

// Cleanup is called when it ends, and its members may still commit.
func (saramaClaims) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	return nil
}

// ConsumeClaim reads one partition.
func (h saramaClaims) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case r, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			h.m.read(r.Key)
			session.MarkMessage(r, "")
			if len(claim.Messages()) == 0 {
				session.Commit()
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func saramaMember(c *crew, m *member, strategy sarama.BalanceStrategy) error {
	config := saramaConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	config.Consumer.Group.Session.Timeout = 3 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	config.Consumer.Group.Rebalance.Timeout = 10 * time.Second
	config.Consumer.MaxWaitTime = 200 * time.Millisecond
	config.Metadata.Retry.Backoff = 50 * time.Millisecond
	config.Net.Proxy.Enable, config.Net.Proxy.Dialer = true, &m.line
	group, err := sarama.NewConsumerGroup([]string{c.b.Addr}, c.group, config)
	if err != nil {
		return err
	}
	go func() {
		for range group.Errors() { // the library tries again by itself
		}
	}()
	m.run = func(ctx context.Context) {
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{c.topic}, saramaClaims{m}); err != nil { // the broker is down, and is not to be asked without pause
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	m.bye = func(context.Context) error { return group.Close() }
	return nil
}

func kafkaGoMember(c *crew, m *member) error {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{c.b.Addr}, GroupID: c.group, Topic: c.topic, Dialer: &kafka.Dialer{DialFunc: m.line.DialContext, Timeout: 5 * time.Second},
		SessionTimeout: 3 * time.Second, HeartbeatInterval: 300 * time.Millisecond, RebalanceTimeout: 10 * time.Second, JoinGroupBackoff: 100 * time.Millisecond,
		StartOffset: kafka.FirstOffset, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 200 * time.Millisecond, ReadBackoffMin: 20 * time.Millisecond, ReadBackoffMax: 200 * time.Millisecond})
	var last []kafka.Message // read and not committed when the member was stopped
	m.run = func(ctx context.Context) {
		for ctx.Err() == nil {
			r, err := reader.FetchMessage(ctx)
			if err != nil {
				continue
			}
			m.read(r.Key)
			if err := reader.CommitMessages(ctx, r); err != nil && ctx.Err() != nil { // after other errors it is read again
				last = append(last, r)
			}
		}
	}
	m.bye = func(ctx context.Context) error {
		var err error
		if len(last) > 0 {
			err = again(ctx, func() error { return reader.CommitMessages(ctx, last...) })
		}
		if closed := reader.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return fmt.Errorf("kafka-go: %w", err)
		}
		return nil
	}
	return nil
}

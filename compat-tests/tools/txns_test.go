package tools

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	compat "weir-compat"
)

const (
	transactionsCommand = "org.apache.kafka.tools.TransactionsCommand"
	featureCommand      = "org.apache.kafka.tools.FeatureCommand"
)

func transactional(t *testing.T, b *compat.Broker, id, topic string) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.TransactionalID(id), kgo.TransactionTimeout(10*time.Minute), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// send writes one record in a transaction that stays open.
func send(t *testing.T, c *kgo.Client, value string) {
	t.Helper()
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(limited(t), kgo.StringRecord(value)).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestTransactionsCommand(t *testing.T) {
	b := compat.Start(t)
	topic := compat.CreateTopic(t, b, 2)
	id := compat.TopicName(t)
	c := transactional(t, b, id, topic)
	send(t, c, "a")
	command := func(args ...string) string { return tool(t, b, nil, transactionsCommand, args...) }
	list := command("list")
	contains(t, list, id, "Ongoing")
	contains(t, command("describe", "--transactional-id", id), id, "Ongoing", topic+"-0")
	refused(t, b, "could not be found", transactionsCommand, "describe", "--transactional-id", id+"-none")
	producers := command("describe-producers", "--topic", topic, "--partition", "0")
	producer := regexp.MustCompile(regexp.QuoteMeta(id) + `\s+\d+\s+(\d+)`).FindStringSubmatch(list)
	if producer == nil {
		t.Fatalf("no producer id in:\n%s", list)
	}
	contains(t, producers, producer[1])
	if out := command("list", "--duration-filter", "3600000"); strings.Contains(out, id) {
		t.Errorf("it is not that old:\n%s", out)
	}
	if err := c.EndTransaction(limited(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	contains(t, command("describe", "--transactional-id", id), "Complete") // or it is being completed
	if got := kcat(t, b, nil, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q"); got != "a\n" {
		t.Errorf("read %q", got)
	}
}

// A transaction in a partition that no coordinator knows of: an old client has written it to a broker that does not verify.
func TestHangingTransaction(t *testing.T) {
	b := compat.Start(t)
	topic := compat.CreateTopic(t, b, 1)
	tool(t, b, nil, configCommand, "--entity-type", "brokers", "--entity-default", "--alter", "--add-config", "transaction.partition.verification.enable=false")
	c := transactional(t, b, compat.TopicName(t), topic)
	if _, _, err := c.ProducerID(limited(t)); err != nil { // the coordinator is there
		t.Fatal(err)
	}
	hang(t, b, topic, 4_000_000_000)
	read := func() string { return kcat(t, b, nil, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q") }
	if got := read(); got != "" {
		t.Errorf("committed: %q", got)
	}
	contains(t, tool(t, b, nil, transactionsCommand, "find-hanging", "--broker-id", "1"), topic, "4000000000")
	contains(t, tool(t, b, nil, transactionsCommand, "describe-producers", "--topic", topic, "--partition", "0"), "4000000000")
	tool(t, b, nil, transactionsCommand, "abort", "--topic", topic, "--partition", "0", "--start-offset", "0")
	if out := tool(t, b, nil, transactionsCommand, "find-hanging", "--broker-id", "1"); strings.Contains(out, topic) {
		t.Errorf("it still hangs:\n%s", out)
	}
	send(t, c, "b")
	if err := c.EndTransaction(limited(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "b\n" {
		t.Errorf("read %q", got)
	}
}

// hang writes a transactional record of an hour ago without a transaction.
func hang(t *testing.T, b *compat.Broker, topic string, producer int64) {
	t.Helper()
	at := time.Now().Add(-time.Hour).UnixMilli()
	record := []byte{0, 0, 0, 1, 2, 'x', 0} // no key, the value x, no headers
	batch := kmsg.RecordBatch{Magic: 2, Attributes: 0x10, FirstTimestamp: at, MaxTimestamp: at, ProducerID: producer, NumRecords: 1,
		Records: append([]byte{byte(2 * len(record))}, record...)}
	raw := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	q := kmsg.NewPtrProduceRequest()
	q.TransactionID, q.Acks, q.TimeoutMillis = kmsg.StringPtr("old"), -1, 10_000
	q.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: raw}}}}
	old, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.MaxVersions(producesUpTo(11)))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	resp, err := old.Broker(1).Request(limited(t), q)
	if err != nil {
		t.Fatal(err)
	}
	if code := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatalf("the record that is to hang: error %d", code)
	}
}

func producesUpTo(version int16) *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.Produce), version)
	return v
}

func TestFeatureCommand(t *testing.T) {
	b := compat.Start(t)
	command := func(args ...string) string { return tool(t, b, nil, featureCommand, args...) }
	level := func() string {
		m := regexp.MustCompile(`transaction\.version.*FinalizedVersionLevel: (\d)`).FindStringSubmatch(command("describe"))
		if m == nil {
			return "none"
		}
		return m[1]
	}
	if got := level(); got != "2" {
		t.Errorf("a new cluster has transaction.version %s", got)
	}
	topic := compat.CreateTopic(t, b, 1)
	for i, to := range []string{"1", "2", "0", "2"} {
		way := "downgrade"
		if to == "2" {
			way = "upgrade"
		}
		command(way, "--feature", "transaction.version="+to)
		if got := level(); got != to {
			t.Errorf("transaction.version is %s after it was set to %s", got, to)
		}
		c := transactional(t, b, fmt.Sprintf("%s-%d", topic, i%2), topic)
		send(t, c, to)
		if err := c.EndTransaction(limited(t), kgo.TryCommit); err != nil {
			t.Errorf("transaction.version %s: %v", to, err)
		}
	}
	if got := kcat(t, b, nil, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q"); got != "1\n2\n0\n2\n" {
		t.Errorf("read %q", got)
	}
	refused(t, b, "transaction.version", featureCommand, "upgrade", "--feature", "transaction.version=3")
	refused(t, b, "flying", featureCommand, "upgrade", "--feature", "flying=1")
}

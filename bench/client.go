package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const patience = 5 * time.Minute

// batchBytes is the largest batch of the producers.
const batchBytes = 1_000_000

func producer(b *broker, topic string, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(opts, kgo.SeedBrokers(b.addr()), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0), kgo.ProducerBatchMaxBytes(batchBytes),
		kgo.MaxBufferedRecords(1<<20), kgo.MaxBufferedBytes(64<<20), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(batchBytes, false, false, nil)))...)
}

func createTopic(b *broker, topic string, partitions int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err = kadm.NewClient(client).CreateTopic(ctx, int32(partitions), 1, nil, topic); err != nil {
		return fmt.Errorf("create %s: %w", topic, err)
	}
	return nil
}

func deleteTopic(b *broker, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr()))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err = kadm.NewClient(client).DeleteTopic(ctx, topic); err != nil {
		return fmt.Errorf("delete %s: %w", topic, err)
	}
	time.Sleep(2 * time.Second) // the files go a second later
	return nil
}

// wire is a bare connection, for what is timed in milliseconds or where the client is to take as little of the processor as it can.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	n    int32
	till time.Time // the deadline of conn
}

func newWire(conn net.Conn) *wire { return &wire{conn: conn, in: bufio.NewReader(conn)} }

// dial opens one to b.
func dial(b *broker) (*wire, error) {
	conn, err := net.DialTimeout("tcp", b.addr(), patience)
	if err != nil {
		return nil, err
	}
	return newWire(conn), nil
}

func (w *wire) close() error { return w.conn.Close() }

var formatter = kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench"))

func (w *wire) ask(request kmsg.Request, version int16) (kmsg.Response, error) {
	request.SetVersion(version)
	w.n++
	if now := time.Now(); w.till.Sub(now) < patience { // not for every request: that costs
		w.till = now.Add(2 * patience)
		if err := w.conn.SetDeadline(w.till); err != nil {
			return nil, err
		}
	}
	w.out = formatter.AppendRequest(w.out[:0], request, w.n)
	if _, err := w.conn.Write(w.out); err != nil {
		return nil, err
	}
	size, err := w.in.Peek(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size)
	if n < 5 || n > 64<<20 {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	body := make([]byte, 4+n)
	if _, err := io.ReadFull(w.in, body); err != nil {
		return nil, err
	}
	body = body[8:] // the size and the correlation id
	if request.IsFlexible() {
		if body[0] != 0 {
			return nil, errors.New("an answer whose header has tags")
		}
		body = body[1:]
	}
	response := request.ResponseKind()
	return response, response.ReadFrom(body)
}

// awaitReady polls until Metadata names the broker and, where there is a topic, the ends of all its partitions are known.
func awaitReady(b *broker, topic string, partitions int) error {
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Topics = []kmsg.MetadataRequestTopic{}
	ends := kmsg.NewPtrListOffsetsRequest()
	ends.ReplicaID = -1
	list := kmsg.ListOffsetsRequestTopic{Topic: topic}
	for p := range partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = int32(p), -1
		list.Partitions = append(list.Partitions, partition)
	}
	ends.Topics = append(ends.Topics, list)
	return poll(b, func(w *wire) (bool, error) { return w.knows(metadata, ends), nil })
}

// poll asks on a fresh connection, again and again while the process lives, until the answer is yes.
func poll(b *broker, ready func(*wire) (bool, error)) error {
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(500 * time.Microsecond) {
		if err := b.alive(); err != nil {
			return err
		}
		conn, err := net.DialTimeout("tcp", b.addr(), time.Second)
		if err != nil {
			continue
		}
		yes, err := ready(newWire(conn))
		conn.Close()
		if yes || err != nil {
			return err
		}
	}
	return errors.New(b.name + " is not ready")
}

func (w *wire) knows(metadata *kmsg.MetadataRequest, ends *kmsg.ListOffsetsRequest) bool {
	response, err := w.ask(metadata, 8)
	if err != nil || len(response.(*kmsg.MetadataResponse).Brokers) == 0 {
		return false
	}
	if ends.Topics[0].Topic == "" {
		return true
	}
	response, err = w.ask(ends, 5)
	if err != nil {
		return false
	}
	for _, p := range response.(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
		if p.ErrorCode != 0 {
			return false
		}
	}
	return true
}

// endsSum is the number of records ever written to a topic.
func endsSum(b *broker, topic string, partitions int) (int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr()))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	var sum int64
	for p := range int32(partitions) {
		end, _ := ends.Lookup(topic, p)
		sum += end.Offset
	}
	return sum, ends.Error()
}

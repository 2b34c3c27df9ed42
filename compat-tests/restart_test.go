package compat

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// What was acknowledged before a clean stop is there after it, in order and once, and the partition goes on where it ended.
func TestCleanRestart(t *testing.T) {
	b := Start(t)
	type written struct {
		client Client
		topic  string
		sent   []Record
	}
	var all []written
	for _, c := range Clients() {
		w := written{c, CreateTopic(t, b, 3), mixed(300, 3)}
		Produce(t, c, b.Addr, w.topic, Options{Codec: "snappy"}, w.sent[:150])
		all = append(all, w)
	}
	b.Stop(t)
	b.Restart(t)
	for _, w := range all {
		checkRead(t, b, w.topic, w.sent[:150], 3)
		Produce(t, w.client, b.Addr, w.topic, Options{Codec: "gzip"}, w.sent[150:])
		checkRead(t, b, w.topic, w.sent, 3)
	}
	b.Stop(t)
	b.Restart(t)
	for _, w := range all {
		checkRead(t, b, w.topic, w.sent, 3)
	}
}

// Each client writes without pause while the broker is killed and comes back. Every acknowledged record is there once, at the
// offset of its acknowledgement; one that was refused or not answered may be there, but not twice.
func TestKill(t *testing.T) {
	for _, c := range Clients() {
		t.Run(c.Name(), func(t *testing.T) {
			b := Start(t)
			topic := CreateTopic(t, b, 3)
			stop := make(chan struct{})
			log := newAckLog(t)
			var writer sync.WaitGroup
			writer.Go(func() { write(t, c, b.Addr, topic, log, stop) })
			for range 2 {
				log.await(t, 500)
				b.Kill(t)
				b.Restart(t)
			}
			log.await(t, 500)
			close(stop)
			writer.Wait()
			log.check(t, b, topic, 3)
		})
	}
}

// Twenty kills in a row (WEIR_COMPAT_KILLS; few by default) under one idempotent producer that logs every acknowledgement to a
// file.
func TestKills(t *testing.T) {
	kills := 3
	if text := os.Getenv("WEIR_COMPAT_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("WEIR_COMPAT_KILLS: %v", err)
		}
		kills = n
	}
	b := Start(t)
	topic := CreateTopic(t, b, 3)
	stop := make(chan struct{})
	log := newAckLog(t)
	var writer sync.WaitGroup
	writer.Go(func() { write(t, FranzGo{}, b.Addr, topic, log, stop) })
	for kill := range kills {
		log.await(t, 200+kill*97%800) // a kill may meet the producer at any point of a batch
		b.Kill(t)
		b.Restart(t)
	}
	log.await(t, 500)
	close(stop)
	writer.Wait()
	log.check(t, b, topic, 3)
}

// write sends numbered records until stop is closed, and again opens a producer when the library gave up on one.
func write(t *testing.T, c Client, addr, topic string, log *ackLog, stop <-chan struct{}) {
	next := 0
	for {
		p, err := c.NewProducer(addr, topic, Options{Idempotent: c.CanBeIdempotent()})
		if err != nil { // the broker is down, and this library tells at once
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				continue
			}
		}
		refused := make(chan struct{}, 1)
		window := make(chan struct{}, 400)
		for open := true; open; {
			select {
			case <-stop:
				if err := p.Close(); err != nil {
					t.Errorf("%s: close: %v", c.Name(), err)
				}
				return
			case <-refused:
				time.Sleep(20 * time.Millisecond)
				open = c.Name() != "sarama" // whose idempotent producer does not recover from an error
			case window <- struct{}{}:
				n := next
				next++
				record := Record{Partition: int32(n % 3), Key: strconv.AppendInt(nil, int64(n), 10), Value: fmt.Appendf(nil, "record %d", n)}
				p.Send(record, func(offset int64, err error) {
					<-window
					if err != nil {
						select {
						case refused <- struct{}{}:
						default:
						}
						return
					}
					log.add(n, record.Partition, offset)
				})
			}
		}
		if err := p.Close(); err != nil {
			t.Errorf("%s: close: %v", c.Name(), err)
		}
	}
}

// ackLog holds what was acknowledged, in memory and in a file that is kept when the test fails.
type ackLog struct {
	mu    sync.Mutex
	acked map[int]place
	more  chan struct{} // gets a token with every acknowledgement, when it is empty
	file  *os.File
}

type place struct {
	partition int32
	offset    int64
}

func newAckLog(t *testing.T) *ackLog {
	file, err := os.Create(filepath.Join(t.TempDir(), "acks"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &ackLog{acked: map[int]place{}, more: make(chan struct{}, 1), file: file}
}

func (l *ackLog) add(n int, partition int32, offset int64) {
	l.mu.Lock()
	l.acked[n] = place{partition, offset}
	fmt.Fprintln(l.file, n, partition, offset)
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (l *ackLog) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// await returns when so many more records are acknowledged.
func (l *ackLog) await(t *testing.T, more int) {
	t.Helper()
	want, limit := l.len()+more, time.After(2*time.Minute)
	for l.len() < want {
		select {
		case <-l.more:
		case <-limit:
			t.Fatalf("only %d of %d records acknowledged after two minutes", l.len(), want)
		}
	}
}

// check reads everything back.
func (l *ackLog) check(t *testing.T, b *Broker, topic string, partitions int32) {
	t.Helper()
	seen, last := map[int]place{}, map[int32]int{}
	for p := range partitions {
		end := EndOffset(t, b, topic, p)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		records, err := FranzGo{}.Consume(ctx, b.Addr, topic, p, 0, int(end))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			n, err := strconv.Atoi(string(r.Key))
			if err != nil || string(r.Value) != "record "+string(r.Key) {
				t.Fatalf("%d-%d holds what nobody sent: %q=%q", p, r.Offset, r.Key, r.Value)
			}
			if at, twice := seen[n]; twice {
				t.Fatalf("record %d is there twice, at %v and at %d-%d", n, at, p, r.Offset)
			}
			seen[n] = place{p, r.Offset}
			if n < last[p] {
				t.Errorf("record %d comes after record %d in partition %d", n, last[p], p)
			}
			last[p] = n
		}
	}
	for n, at := range l.acked {
		got, there := seen[n]
		if !there {
			t.Errorf("record %d was acknowledged at %v and is lost", n, at)
		} else if got != at {
			t.Errorf("record %d was acknowledged at %v and is at %v", n, at, got)
		}
	}
	t.Logf("%d records acknowledged, %d there", len(l.acked), len(seen))
}

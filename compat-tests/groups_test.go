package compat

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// groupSettings let a member's death be noticed while a test waits.
var groupSettings = []string{
	"group.initial.rebalance.delay.ms=100", "group.min.session.timeout.ms=1000",
	"group.consumer.heartbeat.interval.ms=500", "group.consumer.min.heartbeat.interval.ms=500",
	"group.consumer.session.timeout.ms=3000", "group.consumer.min.session.timeout.ms=3000",
}

// crew is the members of one group, with what they have read.
type crew struct {
	t       *testing.T
	b       *Broker
	group   string
	topic   string
	library starter

	mu   sync.Mutex
	seen map[string]int // number of a record: how often
	more chan struct{}
}

// await returns when all records up to n were read.
func (c *crew) await(n int) {
	c.t.Helper()
	c.until(fmt.Sprintf("%d records are read", n), func() bool { return len(c.seen) >= n })
}

func (c *crew) until(what string, ok func() bool) {
	c.t.Helper()
	limit := time.After(time.Minute)
	for {
		c.mu.Lock()
		done, have := ok(), len(c.seen)
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-c.more:
		case <-limit:
			c.t.Fatalf("after a minute: not so that %s; %d are", what, have)
		}
	}
}

// produce sends the records from..to over all partitions.
func (c *crew) produce(from, to int, partitions int32) {
	c.t.Helper()
	var records []Record
	for n := from; n < to; n++ {
		records = append(records, Record{Partition: int32(n) % partitions, Key: strconv.AppendInt(nil, int64(n), 10), Value: []byte("v")})
	}
	Produce(c.t, FranzGo{}, c.b.Addr, c.topic, Options{}, records)
}

// The members of a group share its partitions, commit, die and are replaced; the broker is killed in the middle. Every record is
// read, none twice but what a member had read and could not commit, and in the end everything is committed.
func TestGroupSharesDiesResumes(t *testing.T) {
	for _, library := range libraries {
		t.Run(library.name, func(t *testing.T) {
			b := Start(t, groupSettings...)
			const partitions = 6
			c := &crew{t: t, b: b, group: "crew", topic: CreateTopic(t, b, partitions), library: library.start, seen: map[string]int{}, more: make(chan struct{}, 1)}
			c.produce(0, 300, partitions)
			one := c.join()
			c.await(300)
			two := c.join()
			sent := 300
			c.until("both have a share", func() bool { // new records go on coming until the second member has its partitions
				if one.n > 300 && two.n > 0 {
					return true
				}
				c.mu.Unlock()
				c.produce(sent, sent+60, partitions)
				sent += 60
				time.Sleep(100 * time.Millisecond)
				c.mu.Lock()
				return false
			})
			c.await(sent)

			one.die()
			c.produce(sent, sent+300, partitions)
			sent += 300
			c.await(sent)

			b.Kill(t)
			b.Restart(t)
			c.produce(sent, sent+300, partitions)
			sent += 300
			c.await(sent)
			three := c.join()
			c.produce(sent, sent+300, partitions)
			sent += 300
			c.await(sent)
			two.leave(t)
			three.leave(t)

			c.checkCommitted(sent, partitions)
			twice := 0
			for _, n := range c.seen {
				if n > 1 {
					twice++
				}
			}
			t.Logf("%d records, %d read more than once", sent, twice)
			b.Kill(t)
			b.Restart(t)
			c.checkCommitted(sent, partitions)
			four := c.join()
			c.produce(sent, sent+60, partitions)
			c.await(sent + 60)
			four.leave(t)
			if four.n != 60 {
				t.Errorf("the last member has read %d records, want the 60 new ones: it begins where the group ended", four.n)
			}
		})
	}
}

// checkCommitted compares the group's offsets with the ends of the partitions.
func (c *crew) checkCommitted(records int, partitions int32) {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.b.Addr))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	offsets, err := kadm.NewClient(client).FetchOffsets(ctx, c.group)
	if err != nil {
		c.t.Fatal(err)
	}
	for p := range partitions {
		o, _ := offsets.Lookup(c.topic, p)
		if want := int64(records) / int64(partitions); o.Err != nil || o.At != want {
			c.t.Errorf("partition %d is committed at %d (%v), want %d", p, o.At, o.Err, want)
		}
	}
}

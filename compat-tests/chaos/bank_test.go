package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	compat "weir-compat"
)

const (
	envBank = "WEIR_COMPAT_BANK" // how long money moves; 30s

	bankAccounts   = 100
	bankDeposit    = 1000
	bankPartitions = 5 // of each of two topics
	bankTellers    = 8
	opening        = "opening" // the transfer that pays the deposits in
)

// A hundred accounts over ten partitions of two topics. Eight transactional producers, processes of their own, make transfers of two
// records each and abort every fifth, while they are killed, frozen and replaced, and the broker is killed. Who reads committed
// records sees each transfer that was committed whole and once, none that was not, and the sum stays what it was.
func TestBank(t *testing.T) {
	lasts := span(t, envBank, 30*time.Second)
	b := startKillable(t)
	topics := []string{compat.CreateTopic(t, b, bankPartitions), compat.CreateTopic(t, b, bankPartitions)}
	openAccounts(t, b, topics)
	seed := time.Now().UnixNano()
	random := rand.New(rand.NewSource(seed))
	t.Logf("seed %d", seed)

	outcomes := &outcomes{done: map[string]bool{}, messages: map[string]int{}}
	var process atomic.Int64
	var desks []*desk
	for n := range bankTellers {
		d := &desk{outcomes: outcomes, seeds: func() int64 { return process.Add(1) }, env: []string{envTeller + "=teller-" + strconv.Itoa(n),
			envTellerAddr + "=" + b.Addr, envTellerTopics + "=" + strings.Join(topics, ",")}}
		if err := d.open(); err != nil {
			t.Fatal(err)
		}
		defer d.close()
		desks = append(desks, d)
	}
	readers := []*reader{newReader(t, "reader", b.Addr, topics),
		newReader(t, "reader of little", b.Addr, topics, kgo.FetchMaxBytes(4000), kgo.FetchMaxPartitionBytes(500))}
	for _, r := range readers {
		defer r.close()
	}

	kills := disturb(t, b, topics, desks, readers, random, lasts)
	for _, d := range desks {
		d.close()
	}
	b.Kill(t)
	b.Restart(t)
	for _, d := range desks {
		d.last(t)
	}
	ends := stable(t, b.Addr, topics)
	for at, end := range ends {
		if all := compat.EndOffset(t, b, at.topic, at.partition); all != end {
			t.Errorf("%v ends at %d and is stable up to %d: a transaction was left open", at, all, end)
		}
	}
	readers = append(readers, newReader(t, "last reader", b.Addr, topics))
	defer readers[2].close()
	for _, r := range readers {
		r.reach(t, b.Addr, topics)
		r.audit(t, outcomes)
	}
	agree(t, readers[0], readers[1], ends)
	agree(t, readers[0], readers[2], ends)
	t.Logf("%d processes; %s; %d transfers committed, %d aborted; %d tellers ended with an error", process.Load(), kills, outcomes.committed,
		outcomes.aborted, outcomes.errors)
	for _, message := range slices.Sorted(maps.Keys(outcomes.messages)) {
		t.Logf("%d times: %s", outcomes.messages[message], message)
	}
	if outcomes.committed == 0 || outcomes.aborted == 0 {
		t.Error("nothing happened")
	}
}

// openAccounts pays the deposits in, in one transaction over all partitions.
func openAccounts(t *testing.T, b *compat.Broker, topics []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.TransactionalID("manager"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for n := range bankAccounts {
		topic, partition := account(topics, n)
		client.Produce(ctx, &kgo.Record{Topic: topic, Partition: partition, Key: strconv.AppendInt(nil, int64(n), 10),
			Value: fmt.Appendf(nil, "%s %d", opening, bankDeposit)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("opening: %v", err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

// disturb kills and freezes tellers and kills the broker for a time, and says how often. After every third start of the broker it
// lets somebody new read all from the first record on.
func disturb(t *testing.T, b *compat.Broker, topics []string, desks []*desk, readers []*reader, random *rand.Rand, lasts time.Duration) string {
	start, brokers, tellers, zombies := time.Now(), 0, 0, 0
	pause := func() time.Duration { return 3*time.Second + time.Duration(random.Intn(9000))*time.Millisecond }
	up, next := time.Now(), pause()
	for time.Since(start) < lasts {
		// Tellers make a few transfers between two disturbances, at no fixed point of a transaction.
		time.Sleep(time.Duration(500+random.Intn(1500)) * time.Millisecond)
		d := desks[random.Intn(len(desks))]
		if random.Intn(3) == 0 {
			zombies++
			if err := d.freeze(); err != nil {
				t.Fatal(err)
			}
		} else {
			tellers++
			d.kill()
		}
		if time.Since(up) < next {
			continue
		}
		b.Kill(t)
		b.Restart(t)
		brokers++
		up, next = time.Now(), pause()
		if brokers%3 != 0 {
			continue
		}
		fresh := newReader(t, "new reader", b.Addr, topics)
		ends := fresh.reach(t, b.Addr, topics)
		for _, r := range readers {
			r.whole(t)
			r.reach(t, b.Addr, topics)
			agree(t, fresh, r, ends)
		}
		fresh.close()
	}
	return fmt.Sprintf("the broker killed %d times, tellers %d times, frozen %d times", brokers, tellers, zombies)
}

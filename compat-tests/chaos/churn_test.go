package chaos

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	compat "weir-compat"
)

const (
	envChurn = "WEIR_COMPAT_CHURN" // how long members come and go; 30s

	churnGroups     = 10
	churnMembers    = 10 // of a group, one more or less
	churnPartitions = 20
	churnStep       = 400 * time.Millisecond // between two arrivals or departures in all groups together
	churnPause      = 10 * time.Millisecond  // between two records
)

// A hundred consumers in ten groups, every second group with the consumer protocol: for a time members leave, die without a word and
// are replaced, and records come all along. Each group reads every record, and the broker's memory stops growing.
func TestChurn(t *testing.T) {
	lasts := span(t, envChurn, 30*time.Second)
	// Whoever dies leaves its fetch sessions behind, which go when the cache is full: with the 1,000 places of the default it fills for
	// longer than the test lasts.
	b := compat.Start(t, "max.incremental.fetch.session.cache.slots=200", "group.initial.rebalance.delay.ms=100", "group.min.session.timeout.ms=1000",
		"group.consumer.heartbeat.interval.ms=1000", "group.consumer.min.heartbeat.interval.ms=1000",
		"group.consumer.session.timeout.ms=6000", "group.consumer.min.session.timeout.ms=6000")
	topic := compat.CreateTopic(t, b, churnPartitions)
	seed := time.Now().UnixNano()
	random := rand.New(rand.NewSource(seed))
	t.Logf("seed %d", seed)
	var groups []*crew
	for g := range churnGroups {
		c := &crew{addr: b.Addr, group: fmt.Sprintf("crew-%d", g), topic: topic, next: g%2 == 1}
		for range churnMembers {
			c.join(t)
		}
		groups = append(groups, c)
	}
	stop := make(chan struct{})
	var producer sync.WaitGroup
	var sent int
	producer.Go(func() { sent = produceSteadily(t, b.Addr, topic, stop) })

	var memory []sample
	start, measured := time.Now(), time.Time{}
	for n := 0; time.Since(start) < lasts; n++ {
		groups[random.Intn(churnGroups)].step(t, random)
		if time.Since(measured) > time.Second {
			measured = time.Now()
			memory = append(memory, sample{time.Since(start), residentKB(b.PID)})
		}
		time.Sleep(churnStep)
	}
	close(stop)
	producer.Wait()
	for _, c := range groups {
		c.await(t, sent)
	}
	for _, c := range groups {
		t.Logf("%s (consumer protocol: %v): %s", c.group, c.next, c)
		c.end()
	}
	checkMemory(t, b, memory, lasts)
}

// produceSteadily sends numbered records to all partitions until stop is closed, and says how many.
func produceSteadily(t *testing.T, addr, topic string, stop <-chan struct{}) int {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Error(err)
		return 0
	}
	defer client.Close()
	tick := time.NewTicker(churnPause)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			if err := client.Flush(context.Background()); err != nil {
				t.Errorf("flush: %v", err)
			}
			return n
		case <-tick.C:
			record := &kgo.Record{Partition: int32(n % churnPartitions), Key: strconv.AppendInt(nil, int64(n), 10), Value: []byte("value")}
			client.Produce(context.Background(), record, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Errorf("record %d: %v", n, err)
				}
			})
		}
	}
}

// crew is the members of one group and what they have read.
type crew struct {
	addr, group, topic string
	next               bool // the consumer protocol (KIP-848)

	members            []*member // of the goroutine of the test
	joined, left, died int

	mu    sync.Mutex
	seen  []uint16 // by number of a record: how often
	count int      // different records
}

func (c *crew) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	more := 0
	for _, n := range c.seen {
		more += max(0, int(n)-1)
	}
	return fmt.Sprintf("%d records read, %d again; %d members joined, %d left, %d died", c.count, more, c.joined, c.left, c.died)
}

// member is one consumer, which commits what it has read after each poll.
type member struct {
	client *kgo.Client
	line   compat.Lifeline
	stop   context.CancelFunc
	done   chan struct{}
}

func (c *crew) join(t *testing.T) {
	m := &member{done: make(chan struct{})}
	options := []kgo.Opt{kgo.SeedBrokers(c.addr), kgo.ConsumerGroup(c.group), kgo.ConsumeTopics(c.topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.Dialer(m.line.DialContext), kgo.FetchMaxWait(time.Second), kgo.DisableClientMetrics()}
	if c.next {
		options = append(options, kgo.ServerSideBalancer())
	} else {
		options = append(options, kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(time.Second), kgo.RebalanceTimeout(10*time.Second))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	m.client = client
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	c.joined++
	c.members = append(c.members, m)
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			if fetches := client.PollFetches(ctx); fetches.NumRecords() > 0 {
				c.read(t, fetches)
				client.CommitUncommittedOffsets(ctx) // one that fails is made good by a later one, or by reading again
			}
		}
	}()
}

func (c *crew) read(t *testing.T, fetches kgo.Fetches) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) {
		n, err := strconv.Atoi(string(r.Key))
		if err != nil {
			t.Errorf("%s read what nobody sent: %q", c.group, r.Key)
			return
		}
		if n >= len(c.seen) {
			c.seen = append(c.seen, make([]uint16, n+1000-len(c.seen))...)
		}
		if c.seen[n] == 0 {
			c.count++
		}
		c.seen[n]++
	})
}

// step lets somebody come, leave or die.
func (c *crew) step(t *testing.T, random *rand.Rand) {
	if have := len(c.members); have < churnMembers || have == churnMembers && random.Intn(2) == 0 {
		c.join(t)
		return
	}
	i := random.Intn(len(c.members))
	m := c.members[i]
	c.members = slices.Delete(c.members, i, i+1)
	if random.Intn(2) == 0 {
		c.left++
		go m.leave()
		return
	}
	c.died++
	m.die()
}

// leave ends the member as it should.
func (m *member) leave() {
	m.stop()
	<-m.done
	m.client.Close()
}

// die cuts the member off, as a process that was killed: it can neither commit nor leave the group.
func (m *member) die() {
	m.line.Cut()
	go m.leave() // in vain
}

// await returns when the group has read all records.
func (c *crew) await(t *testing.T, sent int) {
	t.Helper()
	limit := time.After(3 * time.Minute)
	for {
		c.mu.Lock()
		have := c.count
		c.mu.Unlock()
		if have == sent {
			return
		}
		select {
		case <-limit:
			t.Errorf("%s has read %d of %d records three minutes after the last came", c.group, have, sent)
			return
		case <-time.After(100 * time.Millisecond): // the readers only count, which costs them least
		}
	}
}

func (c *crew) end() {
	var all sync.WaitGroup
	for _, m := range c.members {
		all.Go(m.leave)
	}
	all.Wait()
}

// sample is the broker's memory at a time of the run.
type sample struct {
	at time.Duration
	kb int
}

// residentKB is what a process holds in memory, 0 where the system does not say.
func residentKB(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kb, _ := strconv.Atoi(fields[1])
			return kb
		}
	}
	return 0
}

// checkMemory compares the middle of the minute after the third with the middle of the last, in a run that is long enough to tell.
func checkMemory(t *testing.T, b *compat.Broker, memory []sample, lasts time.Duration) {
	middle := func(from, to time.Duration) int {
		var in []int
		for _, s := range memory {
			if s.at >= from && s.at < to {
				in = append(in, s.kb)
			}
		}
		if len(in) == 0 {
			return 0
		}
		slices.Sort(in)
		return in[len(in)/2]
	}
	var line strings.Builder
	for from := time.Duration(0); from < lasts; from += time.Minute {
		fmt.Fprintf(&line, " %.1f", float64(middle(from, from+time.Minute))/1024)
	}
	t.Logf("resident, MiB, middle of each minute:%s", line.String())
	if lasts < 5*time.Minute || b.IsKafka() || memory[0].kb == 0 {
		return
	}
	early, late := middle(3*time.Minute, 4*time.Minute), middle(lasts-time.Minute, lasts)
	if limit := early + early/10; late > limit {
		t.Errorf("resident memory grew from %d MiB after three minutes to %d MiB at the end", early>>10, late>>10)
	}
}

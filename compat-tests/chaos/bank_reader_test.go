package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type place struct {
	topic     string
	partition int32
}

// posting is one half of a transfer.
type posting struct {
	offset   int64
	transfer string
	account  int
	delta    int
}

// reader is a read_committed consumer of both topics from the first record on, and the book that it keeps.
type reader struct {
	name   string
	client *kgo.Client
	stop   context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	books  map[place][]posting
	ends   map[place]int64 // behind the last record or marker that was read
	halves map[string]int  // of transfers: those of which one record was read
	wrong  []string
	more   chan struct{} // gets a token whenever something was read, when it is empty
}

func newReader(t *testing.T, name, addr string, topics []string, options ...kgo.Opt) *reader {
	t.Helper()
	from := map[string]map[int32]kgo.Offset{}
	for _, topic := range topics {
		from[topic] = map[int32]kgo.Offset{}
		for p := range int32(bankPartitions) {
			from[topic][p] = kgo.NewOffset().At(0)
		}
	}
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(addr), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumePartitions(from),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(500*time.Millisecond), kgo.DisableClientMetrics(), kgo.AlwaysRetryEOF(),
		kgo.KeepControlRecords())...) // behind a marker a partition is stable, so that they tell how far this is
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &reader{name: name, client: client, stop: stop, done: make(chan struct{}), books: map[place][]posting{}, ends: map[place]int64{}, halves: map[string]int{}, more: make(chan struct{}, 1)}
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			r.take(client.PollFetches(ctx))
		}
	}()
	return r
}

func (r *reader) close() {
	r.stop()
	<-r.done
	r.client.Close()
}

func (r *reader) take(fetches kgo.Fetches) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fetches.EachError(func(topic string, partition int32, err error) {
		// Of errors that end, the client tells and goes on. This one would be a loss.
		if errors.Is(err, kerr.OffsetOutOfRange) || errors.As(err, new(*kgo.ErrDataLoss)) {
			r.complain("%s-%d: %v", topic, partition, err)
		}
	})
	fetches.EachRecord(r.enter)
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// enter takes one record into the books.
func (r *reader) enter(record *kgo.Record) {
	at := place{record.Topic, record.Partition}
	if record.Offset < r.ends[at] {
		r.complain("%v@%d comes after %d", at, record.Offset, r.ends[at]-1)
	}
	r.ends[at] = record.Offset + 1
	if record.Attrs.IsControl() {
		return
	}
	p := posting{offset: record.Offset}
	var err1, err2 error
	p.account, err1 = strconv.Atoi(string(record.Key))
	_, err2 = fmt.Sscanf(string(record.Value), "%s %d", &p.transfer, &p.delta)
	if err := errors.Join(err1, err2); err != nil {
		r.complain("%v@%d is nobody's: %v", at, p.offset, err)
		return
	}
	r.books[at] = append(r.books[at], p)
	if p.transfer == opening {
		return
	}
	if r.halves[p.transfer]++; r.halves[p.transfer] == 2 {
		delete(r.halves, p.transfer)
	}
}

func (r *reader) complain(format string, args ...any) {
	if len(r.wrong) < 20 {
		r.wrong = append(r.wrong, r.name+": "+fmt.Sprintf(format, args...))
	}
}

// until waits for something that is to become true, under the reader's lock.
func (r *reader) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(3 * time.Minute)
	for {
		r.mu.Lock()
		done := ok()
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-r.more:
		case <-limit:
			t.Fatalf("%s, after three minutes: not so that %s", r.name, what)
		}
	}
}

// whole waits until each transfer of which this reader had one half by now has two: the other may be read a little later, in another
// partition, but it is there.
func (r *reader) whole(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	halves := slices.Collect(maps.Keys(r.halves))
	r.mu.Unlock()
	r.until(t, fmt.Sprintf("the %d transfers of which half was read are whole", len(halves)), func() bool {
		halves = slices.DeleteFunc(halves, func(id string) bool { return r.halves[id] == 0 })
		return len(halves) == 0
	})
}

// reach waits until the reader has read all partitions up to their last stable offset as it is now, and returns that.
func (r *reader) reach(t *testing.T, addr string, topics []string) map[place]int64 {
	t.Helper()
	ends := stable(t, addr, topics)
	r.until(t, "it has read up to the last stable offset", func() bool {
		for at, end := range ends {
			if r.ends[at] < end {
				return false
			}
		}
		return true
	})
	return ends
}

// stable is each partition's last stable offset.
func stable(t *testing.T, addr string, topics []string) map[place]int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DisableClientMetrics(), kgo.AlwaysRetryEOF())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ends := map[place]int64{}
	for len(ends) < len(topics)*bankPartitions {
		offsets, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topics...)
		if err == nil {
			err = offsets.Error()
		}
		if err != nil {
			if ctx.Err() != nil {
				t.Fatalf("last stable offsets: %v", err)
			}
			time.Sleep(100 * time.Millisecond) // partitions come back one by one after a start of the broker
			continue
		}
		offsets.Each(func(o kadm.ListedOffset) { ends[place{o.Topic, o.Partition}] = o.Offset })
	}
	return ends
}

// agree compares two readers' books below the given offsets.
func agree(t *testing.T, a, b *reader, ends map[place]int64) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for at, end := range ends {
		upTo := func(r *reader) []posting {
			book := r.books[at]
			n, _ := slices.BinarySearchFunc(book, end, func(p posting, end int64) int { return int(p.offset - end) })
			return book[:n]
		}
		one, two := upTo(a), upTo(b)
		for i := range max(len(one), len(two)) {
			if i >= len(one) || i >= len(two) || one[i] != two[i] {
				t.Errorf("%v: %s and %s have read different records below %d, the first is number %d of %d and %d:\n%v\n%v", at, a.name, b.name, end, i,
					len(one), len(two), one[min(i, len(one)):min(i+2, len(one))], two[min(i, len(two)):min(i+2, len(two))])
				break
			}
		}
	}
}

// audit checks a reader's books against what the tellers have said, when nothing is under way any more.
func (r *reader) audit(t *testing.T, o *outcomes) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, complaint := range r.wrong {
		t.Error(complaint)
	}
	seen, sums, total := map[string][]int{}, map[int]int{}, 0
	for _, book := range r.books {
		for _, p := range book {
			sums[p.account] += p.delta
			total += p.delta
			if p.transfer != opening {
				seen[p.transfer] = append(seen[p.transfer], p.delta)
			}
		}
	}
	var wrong []string
	for id, deltas := range seen {
		if _, asked := o.done[id]; !asked {
			wrong = append(wrong, fmt.Sprintf("transfer %s was aborted or left, and is there: %v", id, deltas))
		} else if len(deltas) != 2 || deltas[0] != -deltas[1] {
			wrong = append(wrong, fmt.Sprintf("transfer %s is not whole: %v", id, deltas))
		}
	}
	unknown := 0
	for id, done := range o.done {
		if done && len(seen[id]) == 0 {
			wrong = append(wrong, fmt.Sprintf("transfer %s was committed and is lost", id))
		}
		if !done {
			unknown++
		}
	}
	if want := bankAccounts * bankDeposit; total != want || len(sums) != bankAccounts {
		wrong = append(wrong, fmt.Sprintf("%d accounts hold %d, want %d with %d", len(sums), total, bankAccounts, want))
	}
	if len(wrong) > 0 {
		t.Errorf("%s: %d faults, first\n%s", r.name, len(wrong), strings.Join(wrong[:min(20, len(wrong))], "\n"))
	}
	t.Logf("%s: %d transfers read; %d commits answered, %d not", r.name, len(seen), len(o.done)-unknown, unknown)
}

package chaos

import (
	"bufio"
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	compat "weir-compat"
)

// Environment variables of a bank's producer, a process of its own.
const (
	envTeller       = "WEIR_BANK_TELLER" // its transactional id
	envTellerAddr   = "WEIR_BANK_ADDR"
	envTellerTopics = "WEIR_BANK_TOPICS" // two, separated by a comma
	envTellerSeed   = "WEIR_BANK_SEED"   // of this process: its transfers are numbered after it
	envTellerLimit  = "WEIR_BANK_LIMIT"  // of transfers, 0 for none
)

// account is where an account's records are.
func account(topics []string, n int) (topic string, partition int32) {
	return topics[n%len(topics)], int32(n / len(topics) % bankPartitions)
}

// teller makes transfers until it is killed or an error ends it, as it would end an application. It writes a line before and after
// each step that decides: what was written is in the parent's pipe, whatever happens to this process.
func teller() error {
	seed, err := strconv.ParseInt(os.Getenv(envTellerSeed), 10, 64)
	if err != nil {
		return err
	}
	limit, _ := strconv.Atoi(os.Getenv(envTellerLimit))
	topics := strings.Split(os.Getenv(envTellerTopics), ",")
	random := rand.New(rand.NewSource(seed))
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Getenv(envTellerAddr)), kgo.TransactionalID(os.Getenv(envTeller)),
		kgo.TransactionTimeout(10*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.DisableClientMetrics(), kgo.AlwaysRetryEOF())
	if err != nil {
		return err
	}
	for n := 0; limit == 0 || n < limit; n++ {
		id := fmt.Sprintf("%d.%d", seed, n)
		abort := limit == 0 && random.Intn(5) == 0
		if err := transfer(client, topics, id, random, abort); err != nil {
			return fmt.Errorf("transfer %s: %w", id, err)
		}
		if limit == 0 { // so that kills and freezes also meet it between two transfers
			time.Sleep(time.Duration(random.Intn(20)) * time.Millisecond)
		}
	}
	client.Close()
	return nil
}

// transfer is one transaction of two records, in two partitions unless chance has it otherwise.
func transfer(client *kgo.Client, topics []string, id string, random *rand.Rand, abort bool) error {
	ctx := context.Background()
	from, amount := random.Intn(bankAccounts), 1+random.Intn(100)
	to := (from + 1 + random.Intn(bankAccounts-1)) % bankAccounts
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	var mu sync.Mutex
	var failed error
	post := func(n, delta int) {
		topic, partition := account(topics, n)
		record := &kgo.Record{Topic: topic, Partition: partition, Key: strconv.AppendInt(nil, int64(n), 10), Value: fmt.Appendf(nil, "%s %d", id, delta)}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if failed == nil {
				failed = err
			}
		})
	}
	post(from, -amount)
	if random.Intn(4) == 0 { // now and then the two do not go out in one request
		if err := client.Flush(ctx); err != nil {
			return err
		}
	}
	post(to, amount)
	if abort && random.Intn(3) == 0 {
		if err := client.AbortBufferedRecords(ctx); err != nil {
			return err
		}
		return client.EndTransaction(ctx, kgo.TryAbort)
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	switch {
	case failed != nil:
		return failed
	case abort:
		fmt.Println("abort", id)
		return client.EndTransaction(ctx, kgo.TryAbort)
	}
	fmt.Println("commit", id)
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	fmt.Println("done", id)
	return nil
}

// outcomes is what the tellers have said about their transfers. One that is not in it was never to be committed.
type outcomes struct {
	mu                         sync.Mutex
	done                       map[string]bool // false: asked for, and not answered yet, or never
	committed, aborted, errors int
	messages                   map[string]int // of tellers that ended with an error, without the numbers
}

func (o *outcomes) say(line string) {
	verb, id, _ := strings.Cut(line, " ")
	o.mu.Lock()
	defer o.mu.Unlock()
	switch verb {
	case "commit":
		o.done[id] = false
	case "done":
		o.done[id] = true
		o.committed++
	case "abort":
		o.aborted++
	case "error":
		o.errors++
		message := strings.TrimSpace(id)
		if _, after, ok := strings.Cut(message, ": "); ok {
			message = after
		}
		o.messages[message]++
	}
}

// desk is the place of one transactional id, where one teller process follows the other.
type desk struct {
	env      []string
	outcomes *outcomes
	seeds    func() int64

	mu      sync.Mutex
	closed  bool
	current *exec.Cmd
	frozen  *exec.Cmd
	all     sync.WaitGroup
}

// open starts a teller, and another one whenever one ends that was not replaced.
func (d *desk) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(d.env, envTellerSeed+"="+strconv.FormatInt(d.seeds(), 10))...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = compat.DieWithParent()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	d.current = cmd
	d.all.Go(func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			d.outcomes.say(lines.Text())
			if strings.HasPrefix(lines.Text(), "done") {
				d.thaw(cmd)
			}
		}
		_ = cmd.Wait() // killed, or it has said why
		d.mu.Lock()
		follow := d.current == cmd
		d.mu.Unlock()
		if follow {
			d.thaw(cmd)
			if err := d.open(); err != nil {
				d.outcomes.say("error start: " + err.Error())
			}
		}
	})
	return nil
}

// kill ends the current teller at whatever it does.
func (d *desk) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.current.Process.Kill() // an error says that it has just ended by itself
}

// freeze stops the current teller, as a long pause of a virtual machine does, and opens another. When that one has made a transfer,
// the first goes on where it was, and is a zombie.
func (d *desk) freeze() error {
	d.mu.Lock()
	if d.frozen != nil || d.closed {
		d.mu.Unlock()
		return nil
	}
	d.frozen = d.current
	_ = d.frozen.Process.Signal(syscall.SIGSTOP)
	d.current = nil
	d.mu.Unlock()
	return d.open()
}

// thaw lets the frozen one go on when it is not cmd.
func (d *desk) thaw(cmd *exec.Cmd) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.frozen != nil && d.frozen != cmd {
		zombie := d.frozen
		d.frozen = nil
		_ = zombie.Process.Signal(syscall.SIGCONT)
		d.all.Go(func() { // whom the broker tells that its time is over; if it only waits, it ends here, after two transaction time-outs
			time.Sleep(20 * time.Second)
			_ = zombie.Process.Kill()
		})
	}
}

// close kills the tellers and waits until they are gone.
func (d *desk) close() {
	d.mu.Lock()
	d.closed = true
	for _, cmd := range []*exec.Cmd{d.current, d.frozen} {
		if cmd != nil {
			_ = cmd.Process.Kill()
		}
	}
	d.mu.Unlock()
	d.all.Wait()
}

// last lets a teller make one transfer to the end: it takes the transactional id over, and what its predecessors left open is aborted.
func (d *desk) last(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(d.env, envTellerSeed+"="+strconv.FormatInt(d.seeds(), 10), envTellerLimit+"=1")...)
	cmd.SysProcAttr = compat.DieWithParent()
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		d.outcomes.say(strings.TrimSpace(line))
	}
	if err != nil {
		t.Errorf("the last transfer of %s: %v\n%s", d.env, err, out)
	}
}

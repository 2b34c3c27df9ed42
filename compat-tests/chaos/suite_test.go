package chaos

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	compat "weir-compat"
)

// edit is a change to a file of franz-go's suite: what is there once, and what stands there instead.
type edit struct{ from, to string }

// patient lets the ETL test of groups outlive a broker that is away. Unchanged, it ends at the first error that a client tells of, be
// it that a JoinGroup was under way when the connection broke, which no broker can prevent. What the client tells is printed; it goes
// on by itself. A record that is read again, because the commit was under way, is printed and not counted a second time, so that at
// the end each group must still have read each record.
//
// Sessions are shorter than the time between two kills. That a classic member left is in the log with the next generation only, so
// that a broker that is killed before waits for it again, and a session of 20 seconds, which begins anew with each start, never ends.
//
// One check is new: who gets a partition reads nothing from before what was known to be committed when it got it.
var patient = []edit{
	{`"github.com/twmb/franz-go/pkg/kerr"`, `"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"`},
	{`func (c *testConsumer) goGroupETL(`, ackedOffsets + `func (c *testConsumer) goGroupETL(`},
	{`sessTimeout := 20 * time.Second`, `sessTimeout, floors := 3*time.Second, map[int32]int64{}`},
	{`SessionTimeout(sessTimeout),`, `SessionTimeout(sessTimeout), HeartbeatInterval(500*time.Millisecond),
		AutoCommitCallback(func(cl *Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, _ error) {
			acked.add(c.group, cl.CommittedOffsets())
		}),
		OnPartitionsAssigned(func(_ context.Context, _ *Client, assigned map[string][]int32) {
			c.mu.Lock()
			defer c.mu.Unlock()
			acked.floors(c.group, assigned[c.consumeFrom], floors)
		}),`},
	{`c.sendErr(fmt.Errorf("poll got unexpected errs: %v", fetchErrs))
				return`, `fmt.Printf("passed over: errors of a poll: %v\n", fetchErrs)
				continue`},
	{`if err := cl.CommitUncommittedOffsets(ctx); err != nil {`, `err := cl.CommitUncommittedOffsets(ctx)
			acked.add(c.group, cl.CommittedOffsets())
			if err != nil {`},
	{`c.sendErr(fmt.Errorf("unable to commit in revoked: %v", err))`, `fmt.Printf("passed over: errors of a commit when revoked: %v\n", err)`},
	{`c.sendErr(fmt.Errorf("unable to commit: %v", err))`, `fmt.Printf("passed over: errors of a commit: %v\n", err)`},
	{`if _, exists := c.partOffsets[partOffset{r.Partition, r.Offset}]; exists {`, `if floor := floors[r.Partition]; r.Offset < floor {
					c.sendErr(fmt.Errorf("read t %s p%do%d, and %d was committed before", r.Topic, r.Partition, r.Offset, floor))
				}
				if _, exists := c.partOffsets[partOffset{r.Partition, r.Offset}]; exists {`},
	{`c.sendErr(fmt.Errorf("saw double offset t %s p%do%d", r.Topic, r.Partition, r.Offset))
					c.mu.Unlock()
					return`, `fmt.Printf("passed over: records read again: %s p%do%d\n", r.Topic, r.Partition, r.Offset)
					c.mu.Unlock()
					continue`},
}

// ackedOffsets is what the suite gets to know the commits that were answered.
const ackedOffsets = `var acked ackedOffsets

type ackedOffsets struct {
	mu sync.Mutex
	m  map[string]map[int32]int64
}

func (a *ackedOffsets) add(group string, committed map[string]map[int32]EpochOffset) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.m == nil {
		a.m = map[string]map[int32]int64{}
	}
	if a.m[group] == nil {
		a.m[group] = map[int32]int64{}
	}
	for _, partitions := range committed {
		for p, o := range partitions {
			a.m[group][p] = max(a.m[group][p], o.Offset)
		}
	}
}

func (a *ackedOffsets) floors(group string, partitions []int32, into map[int32]int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range partitions {
		into[p] = a.m[group][p]
	}
}

`

// patientTxn is the same for the ETL test of transactions, but that a record which is read again in a transaction that was committed
// fails it. A transaction whose end the client could not reach is aborted, and its records come again.
var patientTxn = []edit{
	{`SessionTimeout(20 * time.Second),`, `SessionTimeout(3 * time.Second), HeartbeatInterval(500*time.Millisecond),`},
	{`c.sendErr(fmt.Errorf("poll got unexpected errs: %v", fetchErrs))`, `fmt.Printf("passed over: errors of a poll: %v\n", fetchErrs)`},
	{`c.sendErr(fmt.Errorf("flush unexpected err: %v", err))`, `fmt.Printf("passed over: errors of an end: %v\n", err)`},
}

// buildSuite compiles the tests of franz-go's client with edits to one of their files, in a copy of the module.
func buildSuite(t *testing.T, file string, edits []edit) string {
	t.Helper()
	const module = "github.com/twmb/franz-go"
	dir := t.TempDir()
	copied, binary := filepath.Join(dir, "franz-go"), filepath.Join(dir, "kgo.test")
	source := strings.TrimSpace(goTool(t, "list", "-m", "-f", "{{.Dir}}", module))
	if err := os.CopyFS(copied, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(copied, "pkg", "kgo", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		if n := bytes.Count(text, []byte(e.from)); n != 1 {
			t.Fatalf("the suite has changed: this is %d times in %s: %s", n, file, e.from)
		}
		text = bytes.Replace(text, []byte(e.from), []byte(e.to), 1)
	}
	if err := os.Remove(file); err != nil { // what is copied from the cache of modules cannot be written
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(dir, "go.mod")
	for _, name := range []string{"go.mod", "go.sum"} { // with what else the client needs, in the versions that this module has
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	goTool(t, "mod", "edit", "-replace", module+"="+copied, modules)
	goTool(t, "test", "-c", "-modfile", modules, "-o", binary, module+"/pkg/kgo")
	return binary
}

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command("go", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// startKillable starts a broker whose groups are quick. Kafka gets a short session of brokers
// too: as long as the controller believes in the one that was killed, the new one is not let in, nine seconds by default.
func startKillable(t *testing.T, more ...string) *compat.Broker {
	t.Helper()
	settings := append(more, "group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000",
		"group.consumer.heartbeat.interval.ms=1000", "group.consumer.min.heartbeat.interval.ms=1000",
		"group.consumer.session.timeout.ms=3000", "group.consumer.min.session.timeout.ms=3000")
	if os.Getenv("WEIR_COMPAT_KAFKA") != "" {
		settings = append(settings, "broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500")
	}
	return compat.Start(t, settings...)
}

package tools

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	compat "weir-compat"
)

// programs runs the Java programs of compat-tests/java.
var programs = filepath.Join("..", "java", "programs.sh")

// runProgram is run for one that must end well; it returns what it printed.
func runProgram(t *testing.T, args ...string) string {
	t.Helper()
	r := run(t, nil, programs, args...)
	if r.code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// background starts one and waits until it prints line. It is killed with the test, or before by what is returned.
func background(t *testing.T, line string, args ...string) (kill func()) {
	t.Helper()
	cmd := exec.Command(programs, args...)
	cmd.SysProcAttr = compat.DieWithParent()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Logf("%s: %s", args[0], tail(stderr.String(), 4000))
		}
	})
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == line {
			go func() {
				for lines.Scan() {
				}
			}()
			return kill
		}
	}
	kill()
	t.Fatalf("%s ends before it says %q\n%s", args[0], line, stderr.String())
	return nil
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// console reads a topic with ConsoleConsumer and returns its values.
func console(t *testing.T, b *compat.Broker, topic, isolation string) []string {
	t.Helper()
	out := tool(t, b, nil, consoleConsumer, "--topic", topic, "--partition", "0", "--offset", "earliest", "--isolation-level", isolation, "--timeout-ms", "10000")
	return strings.FieldsFunc(out, func(r rune) bool { return r == '\n' })
}

// Kafka's own transactional producer: a reader of committed records sees whole transactions and nothing else.
func TestJavaTransactions(t *testing.T) {
	b := compat.Shared(t)
	topic, copied := compat.CreateTopic(t, b, 1), compat.CreateTopic(t, b, 1)
	runProgram(t, "Transactions", "write", b.Addr, topic, topic, "30")
	committed := console(t, b, topic, "read_committed")
	if want := committedLines(30, ""); !slices.Equal(committed, want) {
		t.Errorf("%d lines are committed, want %d: %.300q", len(committed), len(want), committed)
	}
	if all := console(t, b, topic, "read_uncommitted"); len(all) != 300 {
		t.Errorf("%d lines in all", len(all))
	}
	runProgram(t, "Transactions", "copy", b.Addr, topic, copied, topic, copied, "200")
	if got, want := console(t, b, copied, "read_committed"), committedLines(30, " copied"); !slices.Equal(got, want) {
		t.Errorf("%d lines are copied, want %d: %.300q", len(got), len(want), got)
	}
	fenced := compat.CreateTopic(t, b, 1)
	if out := strings.TrimSpace(runProgram(t, "Transactions", "fence", b.Addr, fenced, fenced)); out != "fenced" {
		t.Errorf("the first of two producers: %s", out)
	}
	if got := console(t, b, fenced, "read_committed"); !slices.Equal(got, []string{"fresh"}) {
		t.Errorf("after the fence: %q", got)
	}
}

func committedLines(n int, suffix string) []string {
	var lines []string
	for i := range n {
		for j := 0; j < 10 && i%3 != 2; j++ {
			lines = append(lines, fmt.Sprintf("committed %d %d%s", i, j, suffix))
		}
	}
	return lines
}

// TestStreams counts the words of a real text with Kafka Streams, exactly once, while the program and the broker are killed in the middle.
func TestStreams(t *testing.T) {
	b := compat.Start(t)
	from, to := compat.CreateTopic(t, b, 4), compat.CreateTopic(t, b, 4, "cleanup.policy=compact")
	want := produceText(t, b, from, 12<<20)
	state := t.TempDir()
	kill := background(t, "started", "WordCount", b.Addr, from, from, to, state)
	awaitGroup(t, b, from, 0.2)
	kill()
	kill = background(t, "started", "WordCount", b.Addr, from, from, to, state)
	awaitGroup(t, b, from, 0.5)
	b.Kill(t)
	b.Restart(t)
	awaitGroup(t, b, from, 0.7)
	kill()
	background(t, "started", "WordCount", b.Addr, from, from, to, state)
	awaitGroup(t, b, from, 1)
	sum := func(counts map[string]string) (n int) {
		for _, text := range counts {
			c, _ := strconv.Atoi(text)
			n += c
		}
		return n
	}
	all := 0
	for _, n := range want {
		all += n
	}
	got := newest(t, b, to)
	for tries := 0; tries < 30 && sum(got) < all; tries++ { // what was read is counted a little later
		got = newest(t, b, to)
	}
	wrong := 0
	for word, n := range want {
		if got[word] != fmt.Sprint(n) {
			if wrong++; wrong <= 10 {
				t.Errorf("%q is there %d times and was counted %s times", word, n, got[word])
			}
		}
	}
	if len(got) != len(want) || wrong > 0 {
		t.Errorf("%d words, %d counted, %d wrong", len(want), len(got), wrong)
	}
	t.Logf("%d words", len(want))
}

var words = regexp.MustCompile(`[A-Za-z]+`)

// produceText sends the sources of Go's standard library, a line a record, until there are so many bytes, and returns how often each word is in it.
func produceText(t *testing.T, b *compat.Broker, topic string, bytes int) map[string]int {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	count := map[string]int{}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src")
	files, _ := filepath.Glob(filepath.Join(source, "*", "*.go"))
	more, _ := filepath.Glob(filepath.Join(source, "*", "*", "*.go"))
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			for _, w := range words.FindAllString(line, -1) {
				count[w]++
			}
			client.Produce(t.Context(), kgo.StringRecord(line), func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if bytes -= len(text); bytes < 0 {
			break
		}
	}
	if bytes > 0 {
		t.Fatalf("the text is %d bytes too short", bytes)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return count
}

// awaitGroup polls, for nothing tells of a commit, until a group has committed so large a part of the topic of its name.
func awaitGroup(t *testing.T, b *compat.Broker, group string, part float64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	limit := time.Now().Add(5 * time.Minute)
	var done, all int64
	for ; time.Now().Before(limit); time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		ends, err1 := admin.ListEndOffsets(ctx, group)
		committed, err2 := admin.FetchOffsets(ctx, group)
		cancel()
		if err1 != nil || err2 != nil || ends.Error() != nil {
			continue
		}
		done, all = 0, 0
		ends.Each(func(o kadm.ListedOffset) {
			all += o.Offset
			if c, ok := committed.Lookup(o.Topic, o.Partition); ok && c.At > 0 {
				done += c.At
			}
		})
		if all > 0 && float64(done) >= part*float64(all) {
			return
		}
	}
	t.Fatalf("group %s has committed %d of %d", group, done, all)
}

// newest reads a topic to its end and returns the newest value of each key.
func newest(t *testing.T, b *compat.Broker, topic string) map[string]string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	values := map[string]string{}
	for quiet := 0; quiet < 3; {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		quiet++
		fetches.EachRecord(func(r *kgo.Record) {
			quiet = 0
			values[string(r.Key)] = string(r.Value)
		})
	}
	return values
}

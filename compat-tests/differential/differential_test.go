package differential

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	compat "weir-compat"
)

// peerVersion is the Kafka that says what is right.
const peerVersion = "4.4.0"

// settings are both brokers' own: what kafka.sh sets, so that it shows in neither as a difference, and some more.
var settings = []string{"node.id=1", "process.roles=broker,controller", "offsets.topic.replication.factor=1", "transaction.state.log.replication.factor=1",
	"transaction.state.log.min.isr=1", "share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
	"group.initial.rebalance.delay.ms=0", "log.retention.hours=100", "group.max.size=3", "group.consumer.max.size=3"}

// script is one case: what is asked of a broker, at one version of the key it is about.
type script struct {
	name     string
	key      int16
	from, to int16 // versions
	run      func(s *session, version int16)
}

var brokers struct {
	sync.Once
	kafka, ours *compat.Broker
}

// pair starts both brokers for the package's tests.
func pair(t *testing.T) (kafka, ours *compat.Broker) {
	t.Helper()
	brokers.Do(func() {
		brokers.kafka = compat.SharedKafka(t, peerVersion, settings...)
		brokers.ours = compat.Shared(t, settings...)
	})
	if brokers.kafka == nil || brokers.ours == nil {
		t.Fatal("the brokers did not start")
	}
	return brokers.kafka, brokers.ours
}

func TestMain(m *testing.M) { compat.Main(m) }

// Every case at every version, answers compared field by field. WEIR_DIFF_VERSIONS=ends tries only the lowest and the highest.
func TestRequests(t *testing.T) {
	kafka, ours := pair(t)
	run := strconv.FormatInt(time.Now().UnixMilli(), 36)
	start := time.Now().Add(-time.Hour).Truncate(time.Second).UnixMilli()
	scripts := slices.Concat(metadataScripts, topicScripts, configScripts, produceScripts, fetchScripts, groupScripts, memberScripts, consumerScripts, txnScripts, txnClientScripts)
	slices.SortStableFunc(scripts, func(a, b script) int { return cmp.Compare(a.key, b.key) })
	number := 0
	for _, c := range scripts {
		for version := c.from; version <= c.to; version++ {
			if os.Getenv("WEIR_DIFF_VERSIONS") == "ends" && version != c.from && version != c.to {
				continue
			}
			number++
			t.Run(fmt.Sprintf("%02d/%s/v%d", c.key, strings.ReplaceAll(c.name, " ", "-"), version), func(t *testing.T) {
				prefix := fmt.Sprintf("d%s-%d.", run, number)
				theirs := play(t, "Kafka", kafka.Addr, prefix, start, c, version)
				mine := play(t, "the broker", ours.Addr, prefix, start, c, version)
				compare(t, theirs, mine, c, version)
			})
		}
	}
	summarize(t)
	for i, k := range known {
		if !used[i] {
			t.Logf("no longer a difference, or never asked for: key %d, %s", k.key, k.path)
		}
	}
}

// play runs a case against one broker.
func play(t *testing.T, name, addr, prefix string, start int64, c script, version int16) *session {
	s := &session{t: t, name: name, addr: addr, prefix: prefix, start: start, ids: map[string][16]byte{}}
	defer s.close()
	c.run(s, version)
	return s
}

// shownDifferences is how many of one case are printed with it; the summary has all, each once.
const shownDifferences = 3

// seen are the differences of all cases, with the versions at which each was.
var seen = map[string][]int16{}

// summarize prints each difference once, over all versions, in the order of keys and steps.
func summarize(t *testing.T) {
	var lines []string
	for what, versions := range seen {
		slices.Sort(versions)
		versions = slices.Compact(versions)
		lines = append(lines, fmt.Sprintf("%s (v%s)", what, ranges(versions)))
	}
	if len(lines) == 0 {
		return
	}
	slices.Sort(lines)
	t.Logf("%d differences in all:\n%s", len(lines), strings.Join(lines, "\n"))
}

// ranges writes 3, 4, 5, 7 as 3-5, 7.
func ranges(versions []int16) string {
	var out []string
	for i := 0; i < len(versions); {
		j := i
		for j+1 < len(versions) && versions[j+1] == versions[j]+1 {
			j++
		}
		if text := itoa(versions[i]); i == j {
			out = append(out, text)
		} else {
			out = append(out, text+"-"+itoa(versions[j]))
		}
		i = j + 1
	}
	return strings.Join(out, ", ")
}

// compare fails the test with the first differences that count.
func compare(t *testing.T, kafka, ours *session, c script, version int16) {
	t.Helper()
	found := 0
	for i, a := range kafka.answers {
		if i >= len(ours.answers) || ours.answers[i].what != a.what {
			t.Fatalf("the case went another way after %q", a.what)
		}
		b := ours.answers[i]
		step := fmt.Sprintf("%s (%s v%d)", a.what, kmsg.NameForKey(a.key), a.version)
		for _, d := range differences(step, render(a, kafka.prefix, kafka.ids), render(b, ours.prefix, ours.ids)) {
			if allowed(d, a.key, c.key) {
				continue
			}
			if strings.HasSuffix(d.path, "SessionID") || strings.HasSuffix(d.path, "ProducerID") { // new each time
				d.kafka, d.ours = sign(d.kafka), sign(d.ours)
			}
			what := fmt.Sprintf("%02d %s / %s / %s: Kafka %s, ours %s", c.key, c.name, a.what, d.path, short(d.kafka), short(d.ours))
			seen[what] = append(seen[what], version)
			if found++; found <= shownDifferences {
				t.Errorf("%s\n      %s\n      Kafka: %s\n      ours:  %s", d.step, d.path, short(d.kafka), short(d.ours))
			}
		}
	}
	if found > shownDifferences {
		t.Errorf("... and %d more", found-shownDifferences)
	}
}

func short(v string) string {
	if len(v) > 120 {
		return fmt.Sprintf("%s... (%d characters)", v[:120], len(v))
	}
	return v
}

func itoa[T ~int16 | ~int32 | ~int](n T) string { return strconv.Itoa(int(n)) }

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

// settings are both brokers' own, so that they show in neither as a difference.
var settings = []string{"log.retention.hours=100"}

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
	scripts := slices.Concat(metadataScripts, topicScripts, configScripts, produceScripts, fetchScripts)
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
				compare(t, theirs, mine)
			})
		}
	}
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

// shownDifferences is how many of one case are printed: the first ones explain the rest.
const shownDifferences = 12

// compare fails the test with the first differences that count.
func compare(t *testing.T, kafka, ours *session) {
	t.Helper()
	var found []difference
	for i, a := range kafka.answers {
		if i >= len(ours.answers) || ours.answers[i].what != a.what {
			t.Fatalf("the case went another way after %q", a.what)
		}
		b := ours.answers[i]
		step := fmt.Sprintf("%s (%s v%d)", a.what, kmsg.NameForKey(a.key), a.version)
		for _, d := range differences(step, render(a, kafka.prefix, kafka.ids), render(b, ours.prefix, ours.ids)) {
			if !allowed(d, a.key) {
				found = append(found, d)
			}
		}
	}
	step := ""
	for i, d := range found {
		if i == shownDifferences {
			t.Errorf("... and %d more", len(found)-i)
			break
		}
		if d.step != step {
			step = d.step
			t.Errorf("%s:", step)
		}
		t.Errorf("  %s\n      Kafka: %s\n      ours:  %s", d.path, short(d.kafka), short(d.ours))
	}
}

func short(v string) string {
	if len(v) > 200 {
		return fmt.Sprintf("%s... (%d characters)", v[:200], len(v))
	}
	return v
}

func itoa[T ~int16 | ~int32 | ~int](n T) string { return strconv.Itoa(int(n)) }

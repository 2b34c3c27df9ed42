package compat

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const franzPackage = "github.com/twmb/franz-go/pkg/kgo"

// The client's own suite, unchanged, as far as franz_suite.txt says that this broker can pass it. WEIR_COMPAT_FRANZ=all runs all
// of the list and reports; WEIR_COMPAT_FRANZ_RECORDS sets the size of the large tests (10,000).
func TestFranzSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	list := readSuiteList(t)
	all := os.Getenv("WEIR_COMPAT_FRANZ") == "all"
	var names []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if state := list[name]; all || state == "pass" {
			names = append(names, name)
		}
	}
	var b *Broker
	if os.Getenv(envExternal) != "" {
		b = Shared(t)
	} else {
		b = Start(t, "group.consumer.heartbeat.interval.ms=1000", "group.consumer.min.heartbeat.interval.ms=1000")
	}
	results := runSuite(t, b.Addr, names)
	for _, name := range slices.Sorted(maps.Keys(list)) {
		state := list[name]
		r, ran := results[name]
		switch {
		case state == "pass" && !ran:
			t.Errorf("%s is in the list and not in the suite", name)
		case state == "pass" && r.action != "pass":
			t.Errorf("%s: %s\n%s", name, r.action, r.tail())
		case ran && state != "pass" && r.action == "pass":
			t.Logf("%s passes (the list says: %s)", name, state)
		case ran && state != "pass":
			t.Logf("%s: %s (the list says: %s)\n%s", name, r.action, state, r.tail())
		}
	}
	t.Logf("%d of the %d broker tests of the suite run", len(names), len(list))
}

// readSuiteList is test name to state.
func readSuiteList(t *testing.T) map[string]string {
	text, err := os.ReadFile("franz_suite.txt")
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, state, ok := strings.Cut(line, " ")
		state = strings.TrimSpace(state)
		if !ok || list[name] != "" || state != "pass" && !strings.HasPrefix(state, "needs ") {
			t.Fatalf("franz_suite.txt: not a new test with \"pass\" or \"needs ...\": %s", line)
		}
		list[name] = state
	}
	return list
}

type suiteResult struct {
	action string // pass, fail, skip, or empty for a test that never ended
	output []string
}

// tail is the end of what a test wrote, subtests included.
func (r *suiteResult) tail() string {
	return strings.Join(r.output[max(0, len(r.output)-25):], "")
}

// runSuite runs top-level tests of the client's package as the client's maintainers do, and collects how each ended.
func runSuite(t *testing.T, addr string, names []string) map[string]*suiteResult {
	records := os.Getenv("WEIR_COMPAT_FRANZ_RECORDS")
	if records == "" {
		records = "10000"
	}
	// Most of these tests wait, so more of them run at once than there are processors.
	cmd := exec.Command("go", "test", "-json", franzPackage, "-count=1", "-parallel", "16", "-timeout", "8m",
		"-run", "^("+strings.Join(names, "|")+")$")
	cmd.Env = append(os.Environ(), "KGO_SEEDS="+addr, "KGO_TEST_RF=1", "KGO_TEST_RECORDS="+records, "KGO_LOG_LEVEL=none")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	results := map[string]*suiteResult{}
	var rest []string
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct{ Action, Test, Output string }
		if json.Unmarshal(lines.Bytes(), &event) != nil {
			rest = append(rest, lines.Text()+"\n")
			continue
		}
		name, _, isSubtest := strings.Cut(event.Test, "/")
		if name == "" {
			rest = append(rest, event.Output)
			continue
		}
		if results[name] == nil {
			results[name] = &suiteResult{}
		}
		switch event.Action {
		case "output":
			results[name].output = append(results[name].output, event.Output)
		case "pass", "fail", "skip":
			if !isSubtest {
				results[name].action = event.Action
			}
		}
	}
	if err := cmd.Wait(); err != nil && len(results) == 0 {
		t.Fatal(fmt.Errorf("the suite did not run: %w\n%s%s", err, strings.Join(rest, ""), stderr.String()))
	}
	return results
}

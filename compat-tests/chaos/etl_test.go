package chaos

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	compat "weir-compat"
)

const (
	envRuns    = "WEIR_COMPAT_ETL_RUNS"    // runs in a row; 2
	envRecords = "WEIR_COMPAT_ETL_RECORDS" // that each of six chains of three groups moves; 100,000
	envKeep    = "WEIR_COMPAT_ETL_KEEP"    // a folder that gets the output of each run and the broker's log
)

// killEvery is the time between the end of a start and the next kill.
const killEvery = 5 * time.Second

// franz-go's chains of consumer groups, classic and KIP-848, dynamic and static members, while the broker is killed every five
// seconds: no group loses a record, and what it reads again is counted.
func TestGroupETLWithKills(t *testing.T) { runETL(t, "TestGroupETL", "group_test.go", patient) }

// The same in transactions: each record is moved exactly once.
func TestTxnETLWithKills(t *testing.T) { runETL(t, "TestTxnEtl", "txn_test.go", patientTxn) }

func runETL(t *testing.T, name, file string, edits []edit) {
	suite := buildSuite(t, file, edits)
	runs, records := number(t, envRuns, 2), number(t, envRecords, 100_000)
	for run := range runs {
		t.Run(fmt.Sprint(run+1), func(t *testing.T) {
			clients := newRelay(t)
			b := startKillable(t, "advertised.listeners=PLAINTEXT://"+clients.addr())
			clients.serve(b.Addr)
			r := runKilled(t, b, clients.addr(), suite, name, records)
			keepLog(t, b)
			t.Logf("%d kills in %v; %s", r.kills, r.took.Round(time.Second), r.verdicts())
			if r.kills == 0 {
				t.Errorf("it was over before the first kill: %s=%d is too small here", envRecords, records)
			}
			if name == "TestGroupETL" { // in transactions they take effect in the order of the markers
				checkCommits(t, b)
			}
			if r.err != nil {
				t.Errorf("%s: %v\n%s", name, r.err, r.reasons())
			}
		})
	}
}

// etlRun is how one run of the suite went.
type etlRun struct {
	kills  int
	took   time.Duration
	err    error
	output string
}

// runKilled runs a test of the suite, and kills and restarts the broker until it ends.
func runKilled(t *testing.T, b *compat.Broker, addr, suite, name string, records int) etlRun {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := exec.CommandContext(ctx, suite, "-test.run", "^"+name+"$", "-test.v", "-test.parallel", "16", "-test.timeout", "10m")
	cmd.Env = append(os.Environ(), "KGO_SEEDS="+addr, "KGO_TEST_RF=1", fmt.Sprintf("KGO_TEST_RECORDS=%d", records),
		"KGO_LOG_LEVEL="+os.Getenv("WEIR_COMPAT_ETL_LOG"))
	if os.Getenv("WEIR_COMPAT_ETL_LOG") == "" {
		cmd.Env = append(cmd.Env, "KGO_LOG_LEVEL=none")
	}
	output, err := os.Create(outputFile(t))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = compat.DieWithParent()
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var r etlRun
	for {
		select {
		case r.err = <-ended:
			r.took = time.Since(start)
			text, err := os.ReadFile(output.Name())
			if err != nil {
				t.Fatal(err)
			}
			r.output = string(text)
			return r
		case <-time.After(killEvery):
			b.Kill(t)
			r.kills++
			b.Restart(t)
		}
	}
}

var (
	verdict = regexp.MustCompile(`(?m)^ +--- (PASS|FAIL|SKIP): [^/]+/(\S+)`)
	passed  = regexp.MustCompile(`(?m)^passed over: ([^:\n]*)`)
	// What the suite prints that is neither a verdict nor a topic's name.
	reason = regexp.MustCompile(`(?m)^.*(?:sendErr|_test\.go:\d+: [^dF]|panic:).*$`)
	ids    = regexp.MustCompile(`[0-9a-f]{64}`)
)

// verdicts counts the subtests by outcome, those whose checks the suite itself gave up (it knows that a commit of the new protocol
// may be refused when the epoch has just changed), and what was passed over.
func (r etlRun) verdicts() string {
	count := map[string]int{}
	for _, m := range verdict.FindAllStringSubmatch(r.output, -1) {
		count[m[1]]++
	}
	for _, m := range passed.FindAllStringSubmatch(r.output, -1) {
		count[m[1]]++
	}
	if n := strings.Count(r.output, "skipping validation"); n > 0 {
		count["unchecked"] = n
	}
	var parts []string
	for _, v := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %s", count[v], v))
	}
	return strings.Join(parts, ", ")
}

func (r etlRun) reasons() string {
	count := map[string]int{}
	var order []string
	for _, line := range reason.FindAllString(r.output, -1) {
		if line = ids.ReplaceAllStringFunc(line, func(id string) string { return id[:6] }); count[line] == 0 {
			order = append(order, line)
		}
		count[line]++
	}
	return strings.Join(order[:min(len(order), 60)], "\n")
}

// outputFile is where a run's output goes, while it runs.
func outputFile(t *testing.T) string {
	folder := os.Getenv(envKeep)
	if folder == "" {
		folder = t.TempDir()
	}
	return filepath.Join(folder, strings.ReplaceAll(t.Name(), "/", "-")+".out")
}

// keepLog leaves the broker's log where the variable says.
func keepLog(t *testing.T, b *compat.Broker) {
	if os.Getenv(envKeep) == "" {
		return
	}
	if err := os.WriteFile(strings.TrimSuffix(outputFile(t), ".out")+".log", []byte(b.Log()), 0o644); err != nil {
		t.Error(err)
	}
}

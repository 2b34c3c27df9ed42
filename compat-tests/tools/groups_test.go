package tools

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	compat "weir-compat"
)

const (
	consoleConsumer      = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	consumerGroupCommand = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	groupsCommand        = "org.apache.kafka.tools.GroupsCommand"
	verifiableConsumer   = "org.apache.kafka.tools.VerifiableConsumer"
)

// protocols are the values of group.protocol.
var protocols = []string{"classic", "consumer"}

// groupSettings let members come and go while a test waits.
var groupSettings = []string{
	"group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000",
	"group.consumer.heartbeat.interval.ms=500", "group.consumer.min.heartbeat.interval.ms=500",
	"group.consumer.session.timeout.ms=3000", "group.consumer.min.session.timeout.ms=3000",
}

// A group of one console consumer after the other reads each line once, also when the broker is killed between two.
func TestConsoleConsumer(t *testing.T) {
	b := compat.Start(t, groupSettings...)
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			topic := compat.CreateTopic(t, b, 1)
			kcat(t, b, strings.NewReader(numbered(0, 300)), "-P", "-t", topic, "-p", "0", "-K:")
			consume := func(n int, args ...string) string {
				return tool(t, b, nil, consoleConsumer, append(args, "--group", topic, "--max-messages", strconv.Itoa(n), "--timeout-ms", "60000",
					"--command-property", "group.protocol="+protocol, "--formatter-property", "print.key=true", "--formatter-property", "key.separator=:")...)
			}
			if out := consume(120, "--topic", topic, "--from-beginning"); out != numbered(0, 120) {
				t.Errorf("the first %d lines, %q...", strings.Count(out, "\n"), out[:min(len(out), 40)])
			}
			b.Kill(t)
			b.Restart(t)
			if out := consume(100, "--topic", topic); out != numbered(120, 220) {
				t.Errorf("after the kill %d lines, %q...", strings.Count(out, "\n"), out[:min(len(out), 40)])
			}
			if out := consume(80, "--include", topic[:len(topic)-1]+"."); out != numbered(220, 300) {
				t.Errorf("by an expression %d lines, %q...", strings.Count(out, "\n"), out[:min(len(out), 40)])
			}
		})
	}
}

// startVerifiable starts a member of a group that says what it gets.
func startVerifiable(t *testing.T, b *compat.Broker, group, topic, protocol string, args ...string) *process {
	t.Helper()
	config, properties := filepath.Join(t.TempDir(), "consumer.properties"), "client.id=one\n"
	if protocol == "classic" {
		properties += "heartbeat.interval.ms=500\n"
		args = append(args, "--session-timeout", "3000")
	}
	if err := os.WriteFile(config, []byte(properties), 0o644); err != nil {
		t.Fatal(err)
	}
	return startTool(t, b, verifiableConsumer, append(args, "--group-id", group, "--topic", topic, "--group-protocol", protocol, "--command-config", config)...)
}

// All that the tool can do with a group: while it has a member, and when it is gone. Its words are those that it has for Kafka's answers.
func TestConsumerGroupCommand(t *testing.T) {
	b := compat.Start(t, groupSettings...)
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			topic := compat.CreateTopic(t, b, 3)
			start := time.Now().Add(-time.Hour).Truncate(time.Second)
			var records []compat.Record
			for i := range 140 {
				records = append(records, compat.Record{Partition: int32(i / 100), Value: []byte("v"), Time: start.Add(time.Duration(i) * time.Second)})
			}
			compat.Produce(t, compat.FranzGo{}, b.Addr, topic, compat.Options{}, records)
			at := start.Add(30 * time.Second).UTC().Format("2006-01-02T15:04:05.000")
			csv := filepath.Join(t.TempDir(), "offsets.csv")
			x := &transcript{t: t, b: b, jvm: startJVM(t), names: []string{topic, "TOPIC", at, "TIME", csv, "FILE"}}
			groups := func(args ...string) { x.tool(consumerGroupCommand, args...) }
			of := func(args ...string) { groups(append([]string{"--group", "g"}, args...)...) }

			one := startVerifiable(t, b, "g", topic, protocol)
			var offsets [3]float64
			one.until("all is committed", func(event map[string]any) bool {
				if event["name"] != "offsets_committed" {
					return false
				}
				for _, o := range event["offsets"].([]any) {
					o := o.(map[string]any)
					offsets[int(o["partition"].(float64))] = o["offset"].(float64)
				}
				return offsets[0] == 100 && offsets[1] == 40
			})
			aliveCommands(x, groups, of, topic)
			one.end(syscall.SIGTERM)
			goneCommands(t, x, groups, of, topic, at, csv)
			x.check("consumer_groups_" + protocol + ".txt")
		})
	}
}

// aliveCommands are for a group with a member.
func aliveCommands(x *transcript, groups, of func(...string), topic string) {
	groups("--list")
	groups("--list", "--state")
	groups("--list", "--state", "stable")
	groups("--list", "--state", "empty,dead")
	groups("--list", "--type")
	groups("--list", "--type", "classic")
	of("--describe")
	of("--describe", "--offsets", "--verbose")
	of("--describe", "--members")
	of("--describe", "--members", "--verbose")
	of("--describe", "--state")
	of("--describe", "--state", "--verbose")
	groups("--all-groups", "--describe")
	of("--reset-offsets", "--to-earliest", "--topic", topic, "--execute")
	of("--delete")
	of("--delete-offsets", "--topic", topic)
	x.tool(groupsCommand, "--list")
	x.tool(groupsCommand, "--list", "--consumer")
	x.tool(groupsCommand, "--list", "--group-type", "consumer")
	x.tool(groupsCommand, "--list", "--protocol", "consumer")
}

// goneCommands are for a group without members.
func goneCommands(t *testing.T, x *transcript, groups, of func(...string), topic, at, csv string) {
	of("--describe")
	of("--describe", "--members", "--verbose")
	of("--describe", "--state")
	of("--describe", "--group", "nobody")
	reset := func(args ...string) { of(append([]string{"--reset-offsets"}, args...)...) }
	reset("--to-earliest", "--topic", topic)
	reset("--to-earliest", "--all-topics", "--execute")
	reset("--shift-by", "30", "--topic", topic+":0,1", "--execute")
	reset("--shift-by", "-500", "--topic", topic+":1", "--execute")
	reset("--to-datetime", at, "--topic", topic, "--execute")
	reset("--by-duration", "PT24H", "--topic", topic)
	reset("--to-offset", "1000", "--topic", topic, "--execute")
	reset("--to-current", "--topic", topic)
	reset("--to-latest", "--topic", topic+"-none", "--execute")
	reset("--to-offset", "17", "--topic", topic+":0", "--execute")

	r := x.jvm.run(x.b, consumerGroupCommand, "--group", "g", "--reset-offsets", "--to-current", "--all-topics", "--export", "--dry-run")
	x.note("exported", r.stdout+r.stderr)
	text := fmt.Sprintf("%q,0,5\n%q,1,6\n", topic, topic)
	if err := os.WriteFile(csv, []byte(strings.ReplaceAll(text, `"`, "")), 0o644); err != nil {
		t.Fatal(err)
	}
	reset("--from-file", csv, "--execute")
	of("--describe", "--offsets")
	of("--delete-offsets", "--topic", topic+":1", "--topic", topic+":7")
	of("--delete-offsets", "--topic", topic+"-none")
	of("--describe", "--offsets")
	groups("--group", "new", "--reset-offsets", "--to-latest", "--topic", topic, "--execute")
	groups("--list", "--state")
	groups("--list", "--type")
	groups("--group", "new", "--describe")
	x.tool(groupsCommand, "--list")
	groups("--group", "new", "--group", "g", "--delete")
	of("--delete")
	groups("--list")
	groups("--all-groups", "--delete")
	groups("--validate-regex", "a.*")
	groups("--validate-regex", "[")
}

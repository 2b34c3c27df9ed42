package tools

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	compat "weir-compat"
)

// verifiable is a VerifiableConsumer with what it has said of itself.
type verifiable struct {
	*process
	owned    map[int]bool
	consumed int
}

// take takes in what the tool has said meanwhile.
func (v *verifiable) take() {
	for {
		select {
		case event, more := <-v.events:
			if !more {
				if !v.exited {
					v.t.Fatalf("the tool has ended\n%s", v.stderr.String())
				}
				return
			}
			v.event(event)
		default:
			return
		}
	}
}

func (v *verifiable) event(event map[string]any) {
	switch event["name"] {
	case "partitions_assigned", "partitions_revoked":
		for _, p := range event["partitions"].([]any) {
			n := int(p.(map[string]any)["partition"].(float64))
			if v.owned[n] = event["name"] == "partitions_assigned"; !v.owned[n] {
				delete(v.owned, n)
			}
		}
	case "records_consumed":
		v.consumed += int(event["count"].(float64))
	}
}

// team is the members of one group that run.
type team struct {
	t            *testing.T
	b            *compat.Broker
	group, topic string
	members      []*verifiable
}

func (m *team) join(protocol string) *verifiable {
	m.t.Helper()
	v := &verifiable{process: startVerifiable(m.t, m.b, m.group, m.topic, protocol), owned: map[int]bool{}}
	m.members = append(m.members, v)
	return v
}

// leave ends a member.
func (m *team) leave(v *verifiable, signal syscall.Signal) {
	v.end(signal)
	m.members = slices.DeleteFunc(m.members, func(x *verifiable) bool { return x == v })
}

// shared waits until every member has so many partitions, and none is had twice.
func (m *team) shared(what string, each int) {
	m.t.Helper()
	m.until(what, func() bool {
		all := map[int]bool{}
		for _, v := range m.members {
			for p := range v.owned {
				all[p] = true
			}
			if len(v.owned) != each {
				return false
			}
		}
		return len(all) == each*len(m.members)
	})
}

// until polls: what the tools print comes by a channel for each, and what a group has committed by asking.
func (m *team) until(what string, ok func() bool) {
	m.t.Helper()
	for limit := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		for _, v := range m.members {
			v.take()
		}
		if ok() {
			return
		}
		if time.Now().After(limit) {
			for _, v := range m.members {
				m.t.Logf("a member has %v, read %d\n%s", v.owned, v.consumed, v.stderr.String())
			}
			m.t.Fatalf("after two minutes: not so that %s", what)
		}
	}
}

// committed waits until the group has committed so many records.
func (m *team) committed(records int64) {
	m.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(m.b.Addr))
	if err != nil {
		m.t.Fatal(err)
	}
	defer client.Close()
	m.until("all is committed", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		offsets, err := kadm.NewClient(client).FetchOffsets(ctx, m.group)
		if err != nil {
			return false
		}
		var sum int64
		offsets.Offsets().Each(func(o kadm.Offset) { sum += o.At })
		return sum == records
	})
}

// kind is the group's type in ListGroups.
func (m *team) kind() string {
	m.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(m.b.Addr))
	if err != nil {
		m.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	groups, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, client)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, g := range groups.Groups {
		if g.Group == m.group {
			return g.GroupType
		}
	}
	return ""
}

// produce writes n lines to each of four partitions.
func (m *team) produce(n int) {
	m.t.Helper()
	for _, p := range []string{"0", "1", "2", "3"} {
		kcat(m.t, m.b, strings.NewReader(numbered(0, n)), "-P", "-t", m.topic, "-p", p, "-K:")
	}
}

// Consumers in Java share a topic, one is killed, the broker is killed, and all is read and committed.
func TestVerifiableConsumer(t *testing.T) {
	b := compat.Start(t, groupSettings...)
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			topic := compat.CreateTopic(t, b, 4)
			m := &team{t: t, b: b, group: topic, topic: topic}
			m.produce(100)
			one, _ := m.join(protocol), m.join(protocol)
			m.shared("two have two each", 2)
			m.committed(400)
			m.leave(one, syscall.SIGKILL)
			m.shared("the one that is left has all", 4)
			b.Kill(t)
			b.Restart(t)
			m.produce(100)
			m.committed(800)
			three := m.join(protocol)
			m.shared("another shares with it", 2)
			m.leave(three, syscall.SIGTERM)
			m.shared("it has all again", 4)
			m.produce(50)
			m.committed(1000)
		})
	}
}

// A group goes from the classic to the consumer protocol and back without being stopped (KIP-848).
func TestUpgradeAndDowngrade(t *testing.T) {
	b := compat.Start(t, groupSettings...)
	topic := compat.CreateTopic(t, b, 4)
	m := &team{t: t, b: b, group: "moving", topic: topic}
	want := func(kind string) {
		t.Helper()
		m.until("the group is "+kind, func() bool { return m.kind() == kind })
	}
	m.produce(100)
	one := m.join("classic")
	m.shared("one has all", 4)
	want("classic")
	two := m.join("consumer")
	m.shared("two protocols share", 2)
	want("consumer")
	m.produce(50)
	m.committed(600)
	m.leave(one, syscall.SIGTERM)
	m.shared("the consumer protocol has all", 4)
	want("consumer")
	m.join("classic")
	m.shared("two protocols share again", 2)
	m.produce(50)
	m.committed(800)
	m.leave(two, syscall.SIGTERM)
	m.shared("the classic protocol has all", 4)
	want("classic")
	m.produce(50)
	m.committed(1000)
}

// kcat in a group reads on where it ended, also when the broker was killed meanwhile.
func TestKcatGroup(t *testing.T) {
	b := compat.Start(t, groupSettings...)
	topic := compat.CreateTopic(t, b, 1)
	kcat(t, b, strings.NewReader(numbered(0, 300)), "-P", "-t", topic, "-p", "0", "-K:")
	consume := func(n string) string {
		return kcat(t, b, nil, "-G", "cats", "-c", n, "-K:", "-q", "-X", "auto.offset.reset=earliest", topic)
	}
	if out := consume("120"); out != numbered(0, 120) {
		t.Errorf("the first %d lines, %q...", strings.Count(out, "\n"), out[:min(len(out), 40)])
	}
	b.Kill(t)
	b.Restart(t)
	if out := consume("180"); out != numbered(120, 300) {
		t.Errorf("after the kill %d lines, %q...", strings.Count(out, "\n"), out[:min(len(out), 40)])
	}
}

var (
	timestamp   = regexp.MustCompile(`(?i)(timestamp)":\d+`)
	quotedUUID  = regexp.MustCompile(`-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"`)
	topicID     = regexp.MustCompile(`"topicId":"[\w-]{22}"`)
	memberBytes = regexp.MustCompile(`"(subscription|assignment)":"([^"]+)"`)
)

// plain takes out of a record what differs from run to run.
func plain(record, topic string) string {
	record = timestamp.ReplaceAllString(record, `$1":0`)
	record = topicID.ReplaceAllString(quotedUUID.ReplaceAllString(record, `-ID"`), `"topicId":"ID"`)
	named := string(binary.BigEndian.AppendUint16(nil, uint16(len(topic)))) + topic
	return memberBytes.ReplaceAllStringFunc(record, func(field string) string {
		m := memberBytes.FindStringSubmatch(field)
		raw, err := base64.StdEncoding.DecodeString(m[2])
		if err != nil {
			return field
		}
		return fmt.Sprintf("%q:%q", m[1], strings.ReplaceAll(string(raw), named, "TOPIC"))
	})
}

// Kafka's formatters read the records in __consumer_offsets.
func TestFormatters(t *testing.T) {
	b := compat.Start(t, append(groupSettings, "offsets.topic.num.partitions=1")...)
	topic := compat.CreateTopic(t, b, 1)
	kcat(t, b, strings.NewReader(numbered(0, 20)), "-P", "-t", topic, "-p", "0", "-K:")
	tool(t, b, nil, consoleConsumer, "--topic", topic, "--group", "reader", "--from-beginning", "--max-messages", "20", "--timeout-ms", "60000",
		"--command-property", "enable.auto.commit=false", "--command-property", "client.id=one")
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	admin := kadm.NewClient(client)
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 7, LeaderEpoch: 0, Metadata: "some words"})
	for range 2 {
		if err := admin.CommitAllOffsets(ctx, "reader", offsets); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.DeleteOffsets(ctx, "reader", offsets.TopicsSet()); err != nil {
		t.Fatal(err)
	}
	x := &transcript{t: t, b: b, names: []string{topic, "TOPIC"}}
	records := strconv.FormatInt(compat.EndOffset(t, b, "__consumer_offsets", 0), 10)
	for _, formatter := range []string{"OffsetsMessageFormatter", "GroupMetadataMessageFormatter"} {
		out := tool(t, b, nil, consoleConsumer, "--topic", "__consumer_offsets", "--partition", "0", "--offset", "earliest", "--max-messages", records,
			"--timeout-ms", "60000", "--formatter", "org.apache.kafka.tools.consumer."+formatter)
		var lines strings.Builder
		for values := json.NewDecoder(strings.NewReader(out)); values.More(); { // nothing is between them
			var v json.RawMessage
			if err := values.Decode(&v); err != nil {
				t.Fatalf("%v in %q", err, out)
			}
			lines.WriteString(plain(string(v), topic) + "\n")
		}
		if lines.Len() == 0 {
			t.Fatalf("%s prints nothing", formatter)
		}
		x.note(formatter, lines.String())
	}
	x.check("formatters.txt")
}

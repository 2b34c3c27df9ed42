package group

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
)

// TestConsumerScripts runs the scripts of testdata/consumer: the consumer protocol in virtual time. A command prints what it is answered, then
// the records that it wrote, by type and member; a tombstone has a minus.
func TestConsumerScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/consumer", func(t *testing.T, path string) {
		s := newConsumerScript(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t, s.h.t = t, t
			return s.run(d)
		})
	})
}

type consumerScript struct {
	t       *testing.T
	h       *harness
	group   GroupConfig
	has     map[string][]kmsg.ConsumerGroupHeartbeatRequestTopic // by group and member: what it was assigned last
	classic map[string]*scriptMember
	tokens  coordinator.Token
	waiting map[coordinator.Token]string
}

// scriptMember is a member of the classic protocol: it remembers what it was told.
type scriptMember struct {
	id         string
	generation int32
	owned      []kmsg.ConsumerMemberMetadataOwnedPartition
}

func newConsumerScript(t *testing.T) *consumerScript {
	s := &consumerScript{t: t, group: GroupConfig{ConsumerSessionMs: 45000, ConsumerHeartbeatMs: 5000}}
	cfg := testConfig()
	cfg.Group = func(string) GroupConfig { return s.group }
	s.h = newHarness(t, cfg)
	s.has, s.classic, s.waiting = map[string][]kmsg.ConsumerGroupHeartbeatRequestTopic{}, map[string]*scriptMember{}, map[coordinator.Token]string{}
	return s
}

func arg(d *datadriven.TestData, key string) (string, bool) {
	for _, a := range d.CmdArgs {
		if a.Key == key {
			return strings.Join(a.Vals, ","), true
		}
	}
	return "", false
}

func argOr(d *datadriven.TestData, key, or string) string {
	if v, ok := arg(d, key); ok {
		return v
	}
	return or
}

func argInt(d *datadriven.TestData, key string, or int64) int64 {
	if v, ok := arg(d, key); ok {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	return or
}

func argText(d *datadriven.TestData, key string) *string {
	if v, ok := arg(d, key); ok {
		return &v
	}
	return nil
}

// argList is a value with commas; nil when there is none.
func argList(d *datadriven.TestData, key string) []string {
	v, ok := arg(d, key)
	if !ok {
		return nil
	}
	return strings.FieldsFunc(v, func(r rune) bool { return r == ',' })
}

func (s *consumerScript) run(d *datadriven.TestData) string {
	s.h.written = s.h.written[:0]
	out := ""
	switch d.Cmd {
	case "topic":
		md := s.h.md.with(d.CmdArgs[0].Key, byte(argInt(d, "id", 0)), int32(argInt(d, "parts", 0)))
		s.h.md = md
		s.h.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(s.h.now, md) })
	case "config":
		s.config(d)
	case "heartbeat":
		out = s.heartbeat(d)
	case "advance":
		out = s.advance(d)
	case "reload":
		s.h.reload()
		s.h.written = s.h.written[:0]
	case "describe":
		out = s.describe(d.CmdArgs[0].Key)
	case "commit":
		out = s.commit(d)
	case "check-fetch":
		g := s.h.m.groups[argOr(d, "group", "g")]
		out = g.protocol().checkFetch(argText(d, "member"), int32(argInt(d, "epoch", -1))).String() + "\n"
	case "delete":
		resp := s.do(func(m *Machine, t coordinator.Token) coordinator.Effects {
			return m.DeleteGroup(s.h.now, t, d.CmdArgs[0].Key)
		})
		out = code(resp.(*kmsg.DeleteGroupsResponseGroup).ErrorCode) + "\n"
	default:
		out = s.runClassic(d)
	}
	return out + s.written()
}

// do runs an operation and returns its own reply, nil when it waits.
func (s *consumerScript) do(op func(m *Machine, t coordinator.Token) coordinator.Effects) any {
	s.tokens++
	s.h.replies = nil
	s.h.do(func(m *Machine) coordinator.Effects { return op(m, s.tokens) })
	for i, r := range s.h.replies {
		if r.To == s.tokens {
			s.h.replies = slices.Delete(s.h.replies, i, i+1)
			return r.Response
		}
	}
	return nil
}

func (s *consumerScript) config(d *datadriven.TestData) {
	cfg := *s.h.cfg
	cfg.ConsumerMaxSize = int32(argInt(d, "max-size", int64(cfg.ConsumerMaxSize)))
	cfg.MaxSize = int32(argInt(d, "classic-max-size", int64(cfg.MaxSize)))
	cfg.ConsumerMigrationPolicy = argOr(d, "policy", cfg.ConsumerMigrationPolicy)
	cfg.InitialRebalanceDelayMs = int32(argInt(d, "initial-delay", int64(cfg.InitialRebalanceDelayMs)))
	s.group.ConsumerAssignmentMs = int32(argInt(d, "assignment-interval", int64(s.group.ConsumerAssignmentMs)))
	s.group.ConsumerSessionMs = int32(argInt(d, "session", int64(s.group.ConsumerSessionMs)))
	s.group.ConsumerHeartbeatMs = int32(argInt(d, "heartbeat", int64(s.group.ConsumerHeartbeatMs)))
	s.h.cfg = &cfg
	s.h.do(func(m *Machine) coordinator.Effects { return m.SetConfig(s.h.now, &cfg) })
}

// heartbeat sends what a client sends: all of it when it joins, else what is named. "own" reports what was assigned last.
func (s *consumerScript) heartbeat(d *datadriven.TestData) string {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version = int16(argInt(d, "version", 1))
	r.Group, r.MemberID, r.MemberEpoch = argOr(d, "group", "g"), argOr(d, "member", ""), int32(argInt(d, "epoch", 0))
	if r.MemberEpoch == 0 {
		r.RebalanceTimeoutMillis, r.Topics = 10000, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	r.RebalanceTimeoutMillis = int32(argInt(d, "rebalance", int64(r.RebalanceTimeoutMillis)))
	r.SubscribedTopicNames, r.SubscribedTopicRegex = argList(d, "topics"), argText(d, "regex")
	r.InstanceID, r.RackID, r.ServerAssignor = argText(d, "instance"), argText(d, "rack"), argText(d, "assignor")
	key := r.Group + "/" + r.MemberID
	if _, own := arg(d, "own"); own {
		r.Topics = append([]kmsg.ConsumerGroupHeartbeatRequestTopic{}, s.has[key]...)
	}
	if _, silent := arg(d, "silent"); silent {
		r.Topics = nil
	}
	client := Client{ID: "client", Host: "/127.0.0.1", NewID: "generated"}
	if hidden := argList(d, "hidden"); hidden != nil {
		client.MayDescribe = func(topic string) bool { return !slices.Contains(hidden, topic) }
	}
	resp := s.do(func(m *Machine, t coordinator.Token) coordinator.Effects {
		return m.ConsumerGroupHeartbeat(s.h.now, t, client, r)
	}).(*kmsg.ConsumerGroupHeartbeatResponse)
	if resp.ErrorCode != 0 {
		return fmt.Sprintf("%s: %s\n", code(resp.ErrorCode), *resp.ErrorMessage)
	}
	if resp.Assignment == nil {
		return fmt.Sprintf("%s at %d\n", *resp.MemberID, resp.MemberEpoch)
	}
	s.has[r.Group+"/"+*resp.MemberID] = nil
	var list []string
	for _, t := range resp.Assignment.Topics {
		q := kmsg.NewConsumerGroupHeartbeatRequestTopic()
		q.TopicID, q.Partitions = t.TopicID, t.Partitions
		s.has[r.Group+"/"+*resp.MemberID] = append(s.has[r.Group+"/"+*resp.MemberID], q)
		name, _ := s.h.md.TopicName(t.TopicID)
		list = append(list, fmt.Sprintf(" %s%v", name, t.Partitions))
	}
	return fmt.Sprintf("%s at %d reads:%s\n", *resp.MemberID, resp.MemberEpoch, strings.Join(list, ""))
}

func (s *consumerScript) advance(d *datadriven.TestData) string {
	names := map[uint8]string{timerConsumerSession: "session", timerConsumerRebalance: "rebalance", timerConsumerSync: "sync", timerConsumerJoin: "join",
		timerConsumerRegex: "regex", timerClassicSession: "classic session", timerClassicJoin: "classic join", timerClassicSync: "classic sync"}
	ms, err := strconv.ParseInt(d.CmdArgs[0].Key, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	s.h.replies = nil
	s.h.advance(ms, func(k coordinator.TimerKey) {
		if names[k.Kind] != "" {
			fmt.Fprintf(&b, "%s of %s expired\n", names[k.Kind], k.Name+"/"+k.Part)
			b.WriteString(s.written() + s.late())
		}
	})
	s.h.written = s.h.written[:0]
	return b.String()
}

// late are the answers to requests that waited.
func (s *consumerScript) late() string {
	var b strings.Builder
	for _, r := range s.h.replies {
		if key, ok := s.waiting[r.To]; ok {
			delete(s.waiting, r.To)
			b.WriteString(key + ": " + s.classicAnswer(key, r.Response))
		}
	}
	s.h.replies = nil
	return b.String()
}

func (s *consumerScript) describe(id string) string {
	resp := s.do(func(m *Machine, t coordinator.Token) coordinator.Effects {
		return m.ConsumerGroupDescribe(s.h.now, t, id)
	}).(*kmsg.ConsumerGroupDescribeResponseGroup)
	if resp.ErrorCode != 0 {
		return fmt.Sprintf("%s: %s\n", code(resp.ErrorCode), *resp.ErrorMessage)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %d, target of %d by %s\n", resp.State, resp.Epoch, resp.AssignmentEpoch, resp.AssignorName)
	list := func(a kmsg.Assignment) string {
		out := ""
		for _, t := range a.TopicPartitions {
			out += fmt.Sprintf(" %s%v", t.Topic, t.Partitions)
		}
		return out
	}
	for _, m := range resp.Members {
		kind := [2]string{"classic", "consumer"}[m.MemberType]
		fmt.Fprintf(&b, "%s member %s at %d topics=%v", kind, m.MemberID, m.MemberEpoch, m.SubscribedTopics)
		if m.InstanceID != nil {
			fmt.Fprintf(&b, " instance=%s", *m.InstanceID)
		}
		if text(m.SubscribedTopicRegex) != "" {
			fmt.Fprintf(&b, " regex=%s", *m.SubscribedTopicRegex)
		}
		fmt.Fprintf(&b, " reads:%s target:%s\n", list(m.Assignment), list(m.TargetAssignment))
	}
	return b.String()
}

func (s *consumerScript) commit(d *datadriven.TestData) string {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version = int16(argInt(d, "version", 9))
	r.Group, r.MemberID, r.Generation = argOr(d, "group", "g"), argOr(d, "member", ""), int32(argInt(d, "epoch", -1))
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = argOr(d, "topic", "t")
	id, _ := s.h.md.TopicID(t.Topic)
	t.TopicID = id
	for _, p := range argList(d, "parts") {
		n, _ := strconv.Atoi(p)
		q := kmsg.NewOffsetCommitRequestTopicPartition()
		q.Partition, q.Offset = int32(n), 7
		t.Partitions = append(t.Partitions, q)
	}
	r.Topics = append(r.Topics, t)
	resp := s.do(func(m *Machine, tok coordinator.Token) coordinator.Effects { return m.OffsetCommit(s.h.now, tok, r) }).(*kmsg.OffsetCommitResponse)
	var b strings.Builder
	for _, p := range resp.Topics[0].Partitions {
		fmt.Fprintf(&b, "%s/%d %s\n", t.Topic, p.Partition, code(p.ErrorCode))
	}
	return b.String()
}

// written names the records of the last operation.
func (s *consumerScript) written() string {
	names := map[int16]string{typeOffsetCommit: "offset", typeGroupMetadata: "classic", typeConsumerMetadata: "epoch", typeConsumerPartition: "partitions", typeConsumerMember: "member",
		typeConsumerTarget: "target", typeConsumerTargetMember: "target", typeConsumerCurrent: "current", typeConsumerRegex: "regex"}
	var b strings.Builder
	for _, r := range s.h.written {
		k, err := decodeKey(r.Key)
		if err != nil {
			s.t.Fatal(err)
		}
		b.WriteByte(' ')
		if r.Value == nil {
			b.WriteByte('-')
		}
		b.WriteString(names[k.kind])
		if len(k.member) > 0 {
			fmt.Fprintf(&b, ":%s", k.member)
		}
		var v consumerMetadataValue
		if k.kind == typeConsumerMetadata && r.Value != nil && v.decode(r.Value) == nil {
			fmt.Fprintf(&b, "=%d", v.epoch)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "records:" + b.String() + "\n"
}

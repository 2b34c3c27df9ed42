package group

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// TestScripts runs testdata: requests in virtual time to the coordinator of one partition. A command prints what it caused: replies by the
// number of their request, and records. The timers of a member or a group fire while time advances.
func TestScripts(t *testing.T) {
	for _, dir := range []string{"classic", "offsets"} {
		datadriven.Walk(t, "testdata/"+dir, func(t *testing.T, path string) {
			s := &script{harness: newHarness(t, testConfig())}
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				s.t = t
				return s.run(args{t, d})
			})
		})
	}
}

type script struct {
	*harness
	token, id int
	out       strings.Builder
}

type args struct {
	t *testing.T
	d *datadriven.TestData
}

func (a args) has(key string) bool { return a.d.HasArg(key) }

func (a args) str(key string) string {
	var v string
	if a.d.HasArg(key) {
		a.d.ScanArgs(a.t, key, &v)
	}
	return v
}

func (a args) opt(key string) *string {
	if !a.d.HasArg(key) {
		return nil
	}
	v := a.str(key)
	return &v
}

func (a args) list(key string) []string {
	for _, arg := range a.d.CmdArgs {
		if arg.Key == key {
			return arg.Vals
		}
	}
	return nil
}

func (a args) int(key string, def int64) int64 {
	if a.d.HasArg(key) {
		a.d.ScanArgs(a.t, key, &def)
	}
	return def
}

// commands are the commands of scripts; consumerCommands has those of consumer groups.
var commands = map[string]func(s *script, a args){
	"join": (*script).join, "sync": (*script).sync, "heartbeat": (*script).heartbeat, "leave": (*script).leave,
	"commit": (*script).commit, "txn-commit": (*script).commitTxn, "marker": (*script).endTxn, "fetch": (*script).fetch,
	"delete-offsets": (*script).deleteOffsets, "delete-topic": (*script).deleteTopic, "topic": (*script).topic,
	"describe": (*script).describe, "list": (*script).list, "delete": (*script).delete,
	"config": (*script).config, "advance": (*script).pass, "reload": (*script).reloaded,
}

func (s *script) run(a args) string {
	s.out.Reset()
	f := commands[a.d.Cmd]
	if f == nil {
		f = consumerCommands[a.d.Cmd]
	}
	if f == nil {
		a.t.Fatalf("%s: unknown command %s", a.d.Pos, a.d.Cmd)
	}
	f(s, a)
	s.flush()
	return s.out.String()
}

// op runs one operation with the next token.
func (s *script) op(f func(m *Machine, t coordinator.Token) coordinator.Effects) {
	s.token++
	s.do(func(m *Machine) coordinator.Effects { return f(m, coordinator.Token(s.token)) })
	s.flush()
}

// flush prints records and replies.
func (s *script) flush() {
	for _, r := range s.written {
		s.out.WriteString("  " + describeRecord(r) + "\n")
	}
	s.written = s.written[:0]
	for _, r := range s.replies {
		fmt.Fprintf(&s.out, "#%d %s\n", r.To, describeResponse(r.Response))
	}
	s.replies = s.replies[:0]
}

func describeRecord(r coordinator.Record) string {
	k, err := decodeKey(r.Key)
	if err != nil {
		return err.Error()
	}
	head := fmt.Sprintf("record %d %s", k.kind, k.group)
	switch {
	case k.kind == typeOffsetCommit:
		head += fmt.Sprintf(" %s/%d", k.topic, k.partition)
	case k.member != nil:
		head += " " + string(k.member)
	}
	if r.Value == nil {
		return head + " tombstone"
	}
	switch k.kind {
	case typeOffsetCommit:
		v, err := decodeOffsetValue(r.Value)
		return fmt.Sprintf("%s offset=%d epoch=%d metadata=%q at=%d expires=%d id=%d %v", head, v.offset, v.leaderEpoch, v.metadata, v.committed, v.expires, v.topicID[15], err)
	case typeGroupMetadata:
		v, err := decodeGroupValue(r.Value)
		if err != nil {
			return err.Error()
		}
		head += fmt.Sprintf(" type=%s generation=%d protocol=%s leader=%s since=%d", v.protocolType, v.generation, text(v.protocol), text(v.leader), v.since)
		for _, m := range v.members {
			head += fmt.Sprintf(" %s=%q", m.id, m.assignment)
		}
		return head
	}
	return describeConsumerRecord(head, &k, r.Value)
}

func code(c int16) string { return protocol.Code(c).String() }

func describeResponse(v any) string {
	switch r := v.(type) {
	case *kmsg.JoinGroupResponse:
		out := "join " + code(r.ErrorCode)
		if r.MemberID != "" {
			out += " member=" + r.MemberID
		}
		if r.ErrorCode == 0 {
			out += fmt.Sprintf(" generation=%d protocol=%s/%s leader=%s", r.Generation, text(r.ProtocolType), text(r.Protocol), r.LeaderID)
			if r.SkipAssignment {
				out += " skip-assignment"
			}
			for _, m := range r.Members {
				out += " " + m.MemberID
				if m.InstanceID != nil {
					out += "(" + *m.InstanceID + ")"
				}
			}
		} else if r.Protocol == nil {
			out += " no-protocol"
		}
		return out
	case *kmsg.SyncGroupResponse:
		if r.ErrorCode != 0 {
			return "sync " + code(r.ErrorCode)
		}
		return fmt.Sprintf("sync NONE %s/%s %q", text(r.ProtocolType), text(r.Protocol), r.MemberAssignment)
	case *kmsg.HeartbeatResponse:
		return "heartbeat " + code(r.ErrorCode)
	case *kmsg.LeaveGroupResponse:
		out := "leave " + code(r.ErrorCode)
		for _, m := range r.Members {
			out += fmt.Sprintf(" %s(%s)=%s", m.MemberID, text(m.InstanceID), code(m.ErrorCode))
		}
		return out
	case *kmsg.OffsetCommitResponse:
		out := "commit"
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				out += fmt.Sprintf(" %s/%d=%s", t.Topic, p.Partition, code(p.ErrorCode))
			}
		}
		return out
	case *kmsg.TxnOffsetCommitResponse:
		out := "txn-commit"
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				out += fmt.Sprintf(" %s/%d=%s", t.Topic, p.Partition, code(p.ErrorCode))
			}
		}
		return out
	case *kmsg.OffsetFetchResponseGroup:
		out := "fetch " + code(r.ErrorCode)
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				out += fmt.Sprintf(" %s/%d=%d,%d,%q,%s", t.Topic, p.Partition, p.Offset, p.LeaderEpoch, text(p.Metadata), code(p.ErrorCode))
			}
		}
		return out
	}
	return describeAdmin(v)
}

func describeAdmin(v any) string {
	switch r := v.(type) {
	case *kmsg.OffsetDeleteResponse:
		out := "delete-offsets " + code(r.ErrorCode)
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				out += fmt.Sprintf(" %s/%d=%s", t.Topic, p.Partition, code(p.ErrorCode))
			}
		}
		return out
	case *kmsg.DescribeGroupsResponseGroup:
		out := fmt.Sprintf("describe %s state=%s type=%s protocol=%s", code(r.ErrorCode), r.State, r.ProtocolType, r.Protocol)
		for _, m := range r.Members {
			out += fmt.Sprintf("\n   %s(%s) %s %s metadata=%d assignment=%q", m.MemberID, text(m.InstanceID), m.ClientID, m.ClientHost, len(m.ProtocolMetadata), m.MemberAssignment)
		}
		if r.ErrorMessage != nil {
			out += " " + *r.ErrorMessage
		}
		return out
	case []kmsg.ListGroupsResponseGroup:
		out := "list"
		for _, g := range r {
			out += fmt.Sprintf(" %s(%s,%s,%s)", g.Group, g.GroupState, g.GroupType, g.ProtocolType)
		}
		return out
	case *kmsg.DeleteGroupsResponseGroup:
		return "delete " + code(r.ErrorCode)
	}
	return fmt.Sprintf("%T %+v", v, v)
}

// client is who sends a request: client=NAME. Its fresh id is new, or u1, u2, ...
func (s *script) client(a args) Client {
	if a.has("new") {
		return Client{ID: a.str("client"), Host: "/127.0.0.1", NewID: a.str("new")}
	}
	s.id++
	return Client{ID: a.str("client"), Host: "/127.0.0.1", NewID: "u" + strconv.Itoa(s.id)}
}

// subscribe encodes the metadata of a consumer: topics joined by +.
func subscribe(topics string) []byte {
	b := append16(nil, 0)
	list := strings.Split(topics, "+")
	if topics == "" {
		list = nil
	}
	b = append32(b, int32(len(list)))
	for _, t := range list {
		b = appendString(b, t)
	}
	return binary.BigEndian.AppendUint32(b, 0xffffffff)
}

// join: g, member, instance, client, v, session, rebalance, type, proto=(NAME:TOPICS,...); raw has the metadata as it is.
func (s *script) join(a args) {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID = int16(a.int("v", 9)), a.str("g"), a.str("member"), a.opt("instance")
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = int32(a.int("session", 10000)), int32(a.int("rebalance", 60000))
	if r.ProtocolType = "consumer"; a.has("type") {
		r.ProtocolType = a.str("type")
	}
	protos := a.list("proto")
	if !a.has("proto") {
		protos = []string{"range:t"}
	}
	for _, p := range protos {
		if name, topics, ok := strings.Cut(p, ":"); ok {
			metadata := subscribe(topics)
			if a.has("raw") {
				metadata = []byte(topics)
			}
			r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: metadata})
		}
	}
	c := s.client(a)
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.JoinGroup(s.now, t, c, r) })
}

// sync: g, member, instance, gen, v, type, protocol, assign=(MEMBER:BYTES,...).
func (s *script) sync(a args) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID = int16(a.int("v", 5)), a.str("g"), a.str("member"), a.opt("instance")
	r.Generation, r.ProtocolType, r.Protocol = int32(a.int("gen", 1)), a.opt("type"), a.opt("protocol")
	for _, x := range a.list("assign") {
		id, b, _ := strings.Cut(x, ":")
		r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: []byte(b)})
	}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.SyncGroup(s.now, t, r) })
}

// heartbeat: g, member, instance, gen.
func (s *script) heartbeat(a args) {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = 4, a.str("g"), a.str("member"), a.opt("instance"), int32(a.int("gen", 1))
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.Heartbeat(s.now, t, r) })
}

// leave: g, v, and member up to version 2 or members=(MEMBER:INSTANCE,...).
func (s *script) leave(a args) {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group, r.MemberID = int16(a.int("v", 5)), a.str("g"), a.str("member")
	for _, x := range a.list("members") {
		id, instance, ok := strings.Cut(x, ":")
		m := kmsg.LeaveGroupRequestMember{MemberID: id}
		if ok {
			m.InstanceID = &instance
		}
		r.Members = append(r.Members, m)
	}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.LeaveGroup(s.now, t, r) })
}

// pass: ms. Commands advance time only by it. A check for expired offsets that finds none says nothing.
func (s *script) pass(a args) {
	s.advance(a.int("ms", 0), func(k coordinator.TimerKey) {
		names := [...]string{timerExpire: "expire", timerDeleted: "deleted", timerClassicSession: "session", timerClassicJoin: "join", timerClassicSync: "sync",
			timerConsumerSession: "consumer session", timerConsumerRebalance: "consumer rebalance", timerConsumerSync: "consumer sync", timerConsumerJoin: "consumer join"}
		if k.Kind == timerExpire && len(s.written) == 0 {
			return
		}
		fmt.Fprintf(&s.out, "%d: %s\n", s.now, strings.TrimRight(names[k.Kind]+" "+k.Name+" "+k.Part, " "))
		s.flush()
	})
	fmt.Fprintf(&s.out, "now %d\n", s.now)
}

func (s *script) reloaded(args) { s.reload() }

// config: max-size, delay, retention, check, metadata-max.
func (s *script) config(a args) {
	c := *s.cfg
	c.MaxSize, c.InitialRebalanceDelayMs = int32(a.int("max-size", int64(c.MaxSize))), int32(a.int("delay", int64(c.InitialRebalanceDelayMs)))
	c.OffsetsRetentionMs, c.OffsetsRetentionCheckMs = a.int("retention", c.OffsetsRetentionMs), a.int("check", c.OffsetsRetentionCheckMs)
	c.OffsetMetadataMaxBytes = int32(a.int("metadata-max", int64(c.OffsetMetadataMaxBytes)))
	c.ConsumerMaxSize = int32(a.int("consumer-max-size", int64(c.ConsumerMaxSize)))
	if a.has("migration") {
		c.ConsumerMigrationPolicy = a.str("migration")
	}
	s.cfg = &c
	s.do(func(m *Machine) coordinator.Effects { return m.SetConfig(s.now, &c) })
}

// topic: name, id, partitions (0: it is deleted).
func (s *script) topic(a args) {
	s.md = s.md.with(a.str("name"), byte(a.int("id", 1)), int32(a.int("partitions", 1)))
	s.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(s.now, s.md) })
}

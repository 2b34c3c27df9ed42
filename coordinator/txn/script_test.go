package txn

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// TestScripts runs testdata: requests in virtual time to the coordinator of one partition. A command prints what it caused: records,
// replies by the number of their request, and what is sent to brokers.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &script{harness: newHarness(t, testConfig())}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			return s.run(args{t, d})
		})
	})
}

type script struct {
	*harness
	token int
	out   strings.Builder
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

// parts is the partitions of parts=(TOPIC/N,...), by topic in the order in which they come.
func (a args) parts() (topics []string, parts map[string][]int32) {
	parts = map[string][]int32{}
	for _, x := range a.list("parts") {
		topic, n, _ := strings.Cut(x, "/")
		i, err := strconv.Atoi(n)
		if err != nil {
			a.t.Fatalf("%s: %s is no partition", a.d.Pos, x)
		}
		if parts[topic] == nil {
			topics = append(topics, topic)
		}
		parts[topic] = append(parts[topic], int32(i))
	}
	return topics, parts
}

var commands = map[string]func(s *script, a args){
	"init": (*script).init, "add": (*script).add, "batch": (*script).batch, "offsets": (*script).offsets, "end": (*script).end,
	"describe": (*script).describe, "list": (*script).list, "answer": (*script).answer, "ids": (*script).ids, "topic": (*script).topic,
	"epochs": (*script).epochs, "config": (*script).config, "advance": (*script).pass, "reload": (*script).reloaded,
}

func (s *script) run(a args) string {
	s.out.Reset()
	f := commands[a.d.Cmd]
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
	token := coordinator.Token(s.token)
	s.do(func(m *Machine) coordinator.Effects { return f(m, token) })
	s.flush()
}

// flush prints records, replies and sends.
func (s *script) flush() {
	for _, r := range s.written {
		s.out.WriteString("  " + describeRecord(r) + "\n")
	}
	for _, r := range s.replies {
		fmt.Fprintf(&s.out, "#%d %s\n", r.To, describeResponse(r.Response))
	}
	for _, q := range s.sent {
		req, ok := q.Request.(*kmsg.WriteTxnMarkersRequest)
		if !ok {
			if s.manual {
				s.out.WriteString("-> producer ids\n")
			}
			continue
		}
		fmt.Fprintf(&s.out, "-> node %d", q.Node)
		for _, m := range req.Markers {
			fmt.Fprintf(&s.out, " [%d/%d %s by %d tv=%d", m.ProducerID, m.ProducerEpoch, map[bool]string{true: "commit", false: "abort"}[m.Committed], m.CoordinatorEpoch, m.TransactionVersion)
			for _, t := range m.Topics {
				for _, p := range t.Partitions {
					fmt.Fprintf(&s.out, " %s/%d", t.Topic, p)
				}
			}
			s.out.WriteString("]")
		}
		s.out.WriteString("\n")
	}
	s.written, s.replies, s.sent = s.written[:0], s.replies[:0], nil
}

func describeRecord(r coordinator.Record) string {
	id, err := decodeKey(r.Key)
	if err != nil {
		return err.Error()
	}
	if r.Value == nil {
		return fmt.Sprintf("%s tombstone", id)
	}
	v, err := decodeValue(r.Value, nil, func(b []byte) string { return string(b) })
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s v%d %s", id, r.Value[1], describe(&v))
}

func code(c int16) string { return protocol.Code(c).String() }

func describeResponse(v any) string {
	switch r := v.(type) {
	case *kmsg.InitProducerIDResponse:
		return fmt.Sprintf("init %s %d/%d", code(r.ErrorCode), r.ProducerID, r.ProducerEpoch)
	case *kmsg.AddPartitionsToTxnResponse:
		out := "add"
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				out += fmt.Sprintf(" %s/%d=%s", t.Topic, p.Partition, code(p.ErrorCode))
			}
		}
		for _, x := range r.Transactions {
			out += " " + x.TransactionalID + ":"
			for _, t := range x.Topics {
				for _, p := range t.Partitions {
					out += fmt.Sprintf(" %s/%d=%s", t.Topic, p.Partition, code(p.ErrorCode))
				}
			}
		}
		return out
	case *kmsg.AddOffsetsToTxnResponse:
		return "offsets " + code(r.ErrorCode)
	case *kmsg.EndTxnResponse:
		return fmt.Sprintf("end %s %d/%d", code(r.ErrorCode), r.ProducerID, r.ProducerEpoch)
	case *kmsg.DescribeTransactionsResponseTransactionState:
		out := fmt.Sprintf("describe %s %s", r.TransactionalID, code(r.ErrorCode))
		if r.ErrorCode == 0 {
			out += fmt.Sprintf(" %s %d/%d timeout=%d start=%d", r.State, r.ProducerID, r.ProducerEpoch, r.TimeoutMillis, r.StartTimestamp)
			for _, t := range r.Topics {
				out += fmt.Sprintf(" %s%v", t.Topic, t.Partitions)
			}
		}
		return out
	case []kmsg.ListTransactionsResponseTransactionState:
		out := "list"
		for _, x := range r {
			out += fmt.Sprintf(" %s(%d,%s)", x.TransactionalID, x.ProducerID, x.TransactionState)
		}
		return out
	}
	return fmt.Sprintf("%T %+v", v, v)
}

// init: id, timeout, v, pid and epoch to go on with, 2pc, keep; no-id leaves the transactional id out.
func (s *script) init(a args) {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionTimeoutMillis = int16(a.int("v", 5)), int32(a.int("timeout", 60000))
	r.ProducerID, r.ProducerEpoch = a.int("pid", -1), int16(a.int("epoch", -1))
	if !a.has("no-id") {
		id := a.str("id")
		r.TransactionalID = &id
	}
	two := TwoPhase{a.has("2pc"), a.has("keep")}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.InitProducerID(s.now, t, r, two) })
}

// add: id, pid, epoch, parts, v (3), verify.
func (s *script) add(a args) {
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.Version = int16(a.int("v", 3))
	x := kmsg.AddPartitionsToTxnRequestTransaction{TransactionalID: a.str("id"), ProducerID: a.int("pid", 1000), ProducerEpoch: int16(a.int("epoch", 0)), VerifyOnly: a.has("verify")}
	topics, parts := a.parts()
	for _, topic := range topics {
		x.Topics = append(x.Topics, kmsg.AddPartitionsToTxnRequestTransactionTopic{Topic: topic, Partitions: parts[topic]})
		r.Topics = append(r.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: topic, Partitions: parts[topic]})
	}
	if r.Version >= 4 {
		r.Transactions, r.Topics = append(r.Transactions, x), nil
	} else {
		r.TransactionalID, r.ProducerID, r.ProducerEpoch = x.TransactionalID, x.ProducerID, x.ProducerEpoch
	}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.AddPartitionsToTxn(s.now, t, r) })
}

// batch: a broker's request; each line of input is ID PID EPOCH TOPIC/N [verify].
func (s *script) batch(a args) {
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.Version = 5
	for _, line := range strings.Split(strings.TrimSpace(a.d.Input), "\n") {
		x := kmsg.AddPartitionsToTxnRequestTransaction{VerifyOnly: strings.HasSuffix(line, " verify")}
		var part string
		if _, err := fmt.Sscan(line, &x.TransactionalID, &x.ProducerID, &x.ProducerEpoch, &part); err != nil {
			a.t.Fatalf("%s: %s: %v", a.d.Pos, line, err)
		}
		topic, n, _ := strings.Cut(part, "/")
		i, _ := strconv.Atoi(n)
		x.Topics = []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: []int32{int32(i)}}}
		r.Transactions = append(r.Transactions, x)
	}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.AddPartitionsToTxn(s.now, t, r) })
}

// offsets: id, pid, epoch, partition, v.
func (s *script) offsets(a args) {
	r := kmsg.NewPtrAddOffsetsToTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch = int16(a.int("v", 4)), a.str("id"), a.int("pid", 1000), int16(a.int("epoch", 0))
	r.Group = "g"
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects {
		return m.AddOffsetsToTxn(s.now, t, r, int32(a.int("partition", 0)))
	})
}

// end: id, pid, epoch, commit or abort, v.
func (s *script) end(a args) {
	r := kmsg.NewPtrEndTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch = int16(a.int("v", 5)), a.str("id"), a.int("pid", 1000), int16(a.int("epoch", 0))
	if r.Commit = a.has("commit"); r.Commit == a.has("abort") {
		a.t.Fatalf("%s: commit or abort?", a.d.Pos)
	}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.EndTxn(s.now, t, r) })
}

func (s *script) describe(a args) {
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects {
		return m.DescribeTransaction(s.now, t, a.str("id"))
	})
}

// list: states, pids, longer, pattern (quoted by input), v.
func (s *script) list(a args) {
	r := kmsg.NewPtrListTransactionsRequest()
	r.Version, r.StateFilters, r.DurationFilterMillis = int16(a.int("v", 2)), a.list("states"), a.int("longer", -1)
	for _, p := range a.list("pids") {
		id, err := strconv.ParseInt(p, 10, 64)
		if err != nil {
			a.t.Fatal(err)
		}
		r.ProducerIDFilters = append(r.ProducerIDFilters, id)
	}
	if a.d.Input != "" {
		r.TransactionalIDPattern = &a.d.Input
	}
	f, code := NewFilter(r)
	if code != protocol.None {
		fmt.Fprintf(&s.out, "list %s\n", code)
		return
	}
	if len(f.Unknown) > 0 {
		fmt.Fprintf(&s.out, "unknown %v\n", f.Unknown)
	}
	s.op(func(m *Machine, t coordinator.Token) coordinator.Effects { return m.ListTransactions(s.now, t, f) })
}

// answer: node (the first request to it that waits is answered, any node's without), code (NONE), only=TOPIC/N (the others are written),
// gone: there is no answer, missing: it says nothing.
func (s *script) answer(a args) {
	i := slices.IndexFunc(s.sends, func(q coordinator.Send) bool { return !a.has("node") || int64(q.Node) == a.int("node", 0) })
	if i < 0 {
		s.out.WriteString("nothing is sent\n")
		return
	}
	if a.has("gone") {
		s.answerMarkers(i, nil)
		return
	}
	c := protocol.None
	if a.has("code") {
		if c = codeNamed(a.str("code")); c == protocol.None {
			a.t.Fatalf("%s: no such code", a.d.Pos)
		}
	}
	if a.has("missing") {
		c = protocol.NetworkException
	}
	s.answerMarkers(i, func(_ int32, topic string, n int32, _ *kmsg.WriteTxnMarkersRequestMarker) protocol.Code {
		if a.has("only") && a.str("only") != fmt.Sprintf("%s/%d", topic, n) {
			return protocol.None
		}
		return c
	})
}

func codeNamed(name string) protocol.Code {
	for c := protocol.Code(-1); c < 200; c++ {
		if c.String() == name {
			return c
		}
	}
	return protocol.None
}

// ids: manual, auto, block (how many come at a time); give: an answer with so many; refuse: an answer that there are none.
func (s *script) ids(a args) {
	s.manual = (s.manual || a.has("manual")) && !a.has("auto")
	s.block = a.int("block", s.block)
	i := slices.IndexFunc(s.sends, func(q coordinator.Send) bool { _, ok := q.Request.(AllocateIDs); return ok })
	if !a.has("give") && !a.has("refuse") {
		return
	}
	if i < 0 {
		s.out.WriteString("nobody asks for producer ids\n")
		return
	}
	s.sends = slices.Delete(s.sends, i, i+1)
	if a.has("give") {
		s.giveIDs(a.int("give", 0))
		return
	}
	s.do(func(m *Machine) coordinator.Effects { return m.Answered(s.now, idsKey{}, nil, errGone) })
}

// topic: name, leaders; without leaders it is deleted.
func (s *script) topic(a args) {
	var leaders []int32
	for _, x := range a.list("leaders") {
		n, err := strconv.Atoi(x)
		if err != nil {
			a.t.Fatal(err)
		}
		leaders = append(leaders, int32(n))
	}
	s.md = s.md.with(a.str("name"), leaders...)
	s.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(s.now, s.md) })
}

// config: version, max-timeout, expiration, record, 2pc.
func (s *script) config(a args) {
	c := *s.cfg
	c.Version, c.MaxTimeoutMs, c.ExpirationMs = int16(a.int("version", int64(c.Version))), int32(a.int("max-timeout", int64(c.MaxTimeoutMs))), a.int("expiration", c.ExpirationMs)
	c.MaxRecordBytes, c.TwoPhaseCommit = int(a.int("record", int64(c.MaxRecordBytes))), a.has("2pc")
	s.cfg = &c
	s.do(func(m *Machine) coordinator.Effects { return m.SetConfig(s.now, &c) })
}

// epochs: id, to: as if a producer had taken all epochs up to this one.
func (s *script) epochs(a args) {
	s.do(func(m *Machine) coordinator.Effects {
		v := m.txns[a.str("id")].value
		v.prevID, v.epoch = v.producerID, int16(a.int("to", 0))
		s := m.begin(s.now)
		s.write(a.str("id"), &v)
		return s.e
	})
}

// pass: ms. Commands advance time only by it. A timer that finds nothing to do says nothing.
func (s *script) pass(a args) {
	s.advance(a.int("ms", 0), func(k coordinator.TimerKey) {
		if len(s.written) == 0 && len(s.sent) == 0 && len(s.replies) == 0 {
			return
		}
		fmt.Fprintf(&s.out, "%d: %s\n", s.now, [...]string{timerAbort: "abort", timerExpire: "expire", timerMarkers: "markers", timerIDs: "ids"}[k.Kind])
		s.flush()
	})
	fmt.Fprintf(&s.out, "now %d\n", s.now)
}

func (s *script) reloaded(args) { s.reload() }

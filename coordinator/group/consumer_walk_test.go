package group

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/coordinator/group/assignor"
	"weir/protocol"
)

// TestConsumerWalk lets clients of one group come, go, lose answers, subscribe anew and die at random, while topics come, go and grow, the
// coordinator moves, and the group changes from one protocol to the other. After each operation: no partition is with two members, what a client reads
// is what the coordinator thinks it may read, and epochs are in order. From time to time everybody
// just heartbeats, and then the group must become stable, complete and balanced.
//
// WEIR_CONSUMER_WALK is the number of operations of each walk.
func TestConsumerWalk(t *testing.T) {
	ops, seed := 5000, rand.Uint64()
	if v := os.Getenv("WEIR_CONSUMER_WALK"); v != "" {
		ops, _ = strconv.Atoi(v)
	}
	if v := os.Getenv("WEIR_CONSUMER_SEED"); v != "" {
		seed, _ = strconv.ParseUint(v, 10, 64)
	}
	for i, mode := range []string{"consumers", "cooperative", "migration"} {
		t.Run(mode, func(t *testing.T) {
			t.Logf("WEIR_CONSUMER_SEED=%d", seed)
			newConsumerWalk(t, mode, seed+uint64(i)).run(ops)
		})
	}
}

type consumerWalk struct {
	*harness
	mode    string
	rng     *rand.Rand
	clients []*consumerClient
	topicID byte
	names   int
	tokens  coordinator.Token
	waits   map[coordinator.Token]*consumerClient
	group   GroupConfig
}

// consumerClient is a consumer as far as the coordinator has to do with it: of either protocol.
type consumerClient struct {
	id       string
	instance *string
	classic  bool
	eager    bool
	epoch    int32 // 0: not in the group; the generation of a classic member
	reads    map[partitionID]bool
	names    []string
	regex    *string
	assignor *string
	changed  bool // its subscription has to be sent
	unsure   bool // it did not hear the last answer: the next request says all
	joining  bool // a JoinGroup or SyncGroup waits
	leader   []string
	synced   bool
	gone     bool
}

func newConsumerWalk(t *testing.T, mode string, seed uint64) *consumerWalk {
	w := &consumerWalk{mode: mode, rng: rand.New(rand.NewPCG(seed, 1)), waits: map[coordinator.Token]*consumerClient{}}
	w.group = GroupConfig{ConsumerSessionMs: 6000, ConsumerHeartbeatMs: 500, ConsumerAssignmentMs: int32(w.rng.IntN(2) * 1000)}
	cfg := testConfig()
	cfg.InitialRebalanceDelayMs, cfg.ConsumerMaxSize = 0, 9
	cfg.Group = func(string) GroupConfig { return w.group }
	if mode == "cooperative" {
		cfg.ConsumerMigrationPolicy = "upgrade"
	}
	w.harness = newHarness(t, cfg)
	w.every = 97
	return w
}

func (w *consumerWalk) run(ops int) {
	for n := range ops {
		w.step()
		w.check()
		if n%400 == 399 {
			w.quiesce()
			w.log = compact(w.log, w.rng.IntN(2) == 0)
		}
	}
}

func (w *consumerWalk) step() {
	switch k := w.rng.IntN(100); {
	case k < 60 && len(w.clients) > 0:
		w.act(w.any(), w.rng.IntN(12) == 0)
	case k < 72:
		w.advance(int64(w.rng.IntN(900)), nil)
		w.deliver()
	case k < 78:
		w.come()
	case k < 84 && len(w.clients) > 0:
		w.leave(w.any())
	case k < 87 && len(w.clients) > 0: // dies
		w.remove(w.any())
	case k < 92 && len(w.clients) > 0:
		c := w.any()
		w.subscribe(c)
		c.changed = true
	case k < 98:
		w.topic()
	case k < 99:
		w.reload()
		w.deliver()
	default:
		w.restart()
	}
}

func (w *consumerWalk) any() *consumerClient { return w.clients[w.rng.IntN(len(w.clients))] }

func (w *consumerWalk) remove(c *consumerClient) {
	c.gone = true
	w.clients = slices.DeleteFunc(w.clients, func(x *consumerClient) bool { return x == c })
}

func (w *consumerWalk) subscribe(c *consumerClient) {
	c.names, c.regex = []string{}, nil
	if !c.classic && w.rng.IntN(4) == 0 {
		c.regex = []*string{new(string), new(string), new(string)}[w.rng.IntN(3)]
		*c.regex = []string{"t.", "t[0-2]", ".*3"}[w.rng.IntN(3)]
	}
	all := w.rng.IntN(2) == 0
	for i := range 4 {
		if all || w.rng.IntN(2) == 0 {
			c.names = append(c.names, "t"+strconv.Itoa(i))
		}
	}
	c.assignor = nil
	if w.rng.IntN(6) == 0 {
		c.assignor = &w.cfg.ConsumerAssignors[w.rng.IntN(2)]
	}
}

func (w *consumerWalk) come() {
	if len(w.clients) >= 10 {
		return
	}
	w.names++
	c := &consumerClient{id: "c" + strconv.Itoa(w.names), reads: map[partitionID]bool{}, changed: true}
	if w.mode != "consumers" && w.rng.IntN(2) == 0 {
		c.classic, c.eager, c.id = true, w.mode == "migration", ""
	}
	if w.rng.IntN(3) == 0 {
		instance := "i" + strconv.Itoa(w.rng.IntN(5))
		c.instance = &instance
	}
	w.subscribe(c)
	w.clients = append(w.clients, c)
	w.act(c, false)
}

// restart is a static member that goes and comes back as another one.
func (w *consumerWalk) restart() {
	for _, c := range w.clients {
		if c.instance == nil || c.classic || c.epoch == 0 {
			continue
		}
		w.send(c, w.request(c, epochStaticLeave), false)
		w.names++
		c.id, c.epoch, c.reads = "c"+strconv.Itoa(w.names), 0, map[partitionID]bool{}
		return
	}
}

func (w *consumerWalk) topic() {
	name := "t" + strconv.Itoa(w.rng.IntN(4))
	t := w.md.topics[name]
	switch k := w.rng.IntN(6); {
	case t.parts == 0:
		w.topicID++
		for slices.ContainsFunc([]string{"t0", "t1", "t2", "t3"}, func(n string) bool { return w.md.topics[n].id[15] == w.topicID }) || w.topicID == 0 {
			w.topicID++
		}
		w.md = w.md.with(name, w.topicID, int32(1+w.rng.IntN(6)))
	case k == 0:
		w.md = w.md.with(name, 0, 0)
	case k < 3:
		w.md = w.md.with(name, t.id[15], t.parts+1)
	default: // something else has changed
		md := *w.md
		md.version++
		w.md = &md
	}
	w.do(func(m *Machine) coordinator.Effects { return m.MetadataChanged(w.now, w.md) })
}

// op runs an operation of a client and returns its answer, nil if it waits.
func (w *consumerWalk) op(c *consumerClient, f func(m *Machine, t coordinator.Token) coordinator.Effects) any {
	w.tokens++
	t := w.tokens
	w.waits[t] = c
	w.do(func(m *Machine) coordinator.Effects { return f(m, t) })
	var own any
	for i, r := range w.replies {
		if r.To == t {
			own = r.Response
			w.replies = slices.Delete(w.replies, i, i+1)
			delete(w.waits, t)
			break
		}
	}
	return own
}

// deliver hands answers to those who waited for them.
func (w *consumerWalk) deliver() {
	replies := slices.Clone(w.replies)
	w.replies = w.replies[:0]
	for _, r := range replies {
		c := w.waits[r.To]
		delete(w.waits, r.To)
		if c != nil && !c.gone {
			c.joining = false
			w.classicAnswer(c, r.Response)
		}
	}
}

// act is what a client does next. lost: it never hears the answer.
func (w *consumerWalk) act(c *consumerClient, lost bool) {
	if c.classic {
		w.actClassic(c, lost)
	} else {
		w.send(c, w.request(c, c.epoch), lost)
	}
	w.deliver()
}

func (w *consumerWalk) request(c *consumerClient, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.MemberEpoch, r.InstanceID = 1, "g", c.id, epoch, c.instance
	if epoch == epochJoin || c.changed || c.unsure {
		r.SubscribedTopicNames, r.ServerAssignor, r.RebalanceTimeoutMillis = slices.Clone(c.names), c.assignor, 4000
		if r.SubscribedTopicRegex = c.regex; c.regex == nil {
			r.SubscribedTopicRegex = new(string)
		}
	}
	if epoch == epochJoin || c.unsure || w.rng.IntN(3) > 0 {
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for id := range c.reads {
			r.Topics = append(r.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id.topic, Partitions: []int32{id.partition}})
		}
	}
	return r
}

func (w *consumerWalk) send(c *consumerClient, r *kmsg.ConsumerGroupHeartbeatRequest, lost bool) {
	resp := w.op(c, func(m *Machine, t coordinator.Token) coordinator.Effects {
		return m.ConsumerGroupHeartbeat(w.now, t, Client{ID: "client", Host: "/host", NewID: "?"}, r)
	}).(*kmsg.ConsumerGroupHeartbeatResponse)
	if c.unsure = lost; lost {
		return
	}
	switch code := protocol.Code(resp.ErrorCode); code {
	case protocol.None:
		if r.MemberEpoch >= 0 {
			c.epoch, c.changed = resp.MemberEpoch, false
		}
	case protocol.FencedInstanceID:
		w.remove(c)
	case protocol.FencedMemberEpoch, protocol.UnknownMemberID, protocol.GroupIDNotFound, protocol.UnreleasedInstanceID,
		protocol.GroupMaxSizeReached, protocol.UnknownServerError:
		c.epoch, c.reads = 0, map[partitionID]bool{}
	default:
		w.t.Fatalf("heartbeat %+v: %v %s", r, code, *resp.ErrorMessage)
	}
	if resp.Assignment != nil {
		c.reads = map[partitionID]bool{}
		for _, t := range resp.Assignment.Topics {
			for _, p := range t.Partitions {
				c.reads[partitionID{t.TopicID, p}] = true
			}
		}
	}
}

func (w *consumerWalk) leave(c *consumerClient) {
	if c.epoch > 0 && !c.classic {
		w.send(c, w.request(c, epochLeave), false)
	}
	if c.id != "" && c.classic {
		w.op(c, func(m *Machine, t coordinator.Token) coordinator.Effects {
			return m.LeaveGroup(w.now, t, &kmsg.LeaveGroupRequest{Version: 5, Group: "g", Members: []kmsg.LeaveGroupRequestMember{{MemberID: c.id, InstanceID: c.instance}}})
		})
	}
	w.remove(c)
	w.deliver()
}

func (w *consumerWalk) consumer() *consumerGroup {
	if g := w.m.groups["g"]; g != nil {
		return g.consumer
	}
	return nil
}

// check holds what must hold after every operation.
func (w *consumerWalk) check() {
	c := w.consumer()
	if c == nil {
		return
	}
	for id, n := range c.owners {
		if n != 1 {
			w.t.Fatalf("%v is with %d members", id, n)
		}
	}
	if c.assignmentEpoch > c.epoch {
		w.t.Fatalf("the target is of epoch %d, the group at %d", c.assignmentEpoch, c.epoch)
	}
	seen := map[partitionID]string{}
	for _, m := range c.members {
		if m.epoch > c.assignmentEpoch {
			w.t.Fatalf("member %s is at %d, the target at %d", m.id, m.epoch, c.assignmentEpoch)
		}
		for _, tp := range c.targets[m.id] {
			for _, p := range tp.Partitions {
				id := partitionID{tp.Topic, p}
				if who, twice := seen[id]; twice {
					w.t.Fatalf("%v is in the targets of %s and %s", id, who, m.id)
				}
				seen[id] = m.id
			}
		}
	}
	for _, x := range w.clients {
		m := c.member(x.id)
		if m == nil || x.epoch == 0 || x.classic != (m.classic != nil) {
			continue
		}
		if x.classic && x.epoch != m.epoch {
			// A downgrade deals out the targets, and an upgrade before members could sync takes them for theirs: in Kafka, too. Who is of
			// an older generation is refused.
			continue
		}
		for id := range x.reads {
			if _, there := w.md.TopicName(id.topic); !there && x.classic {
				continue // the classic protocol names topics: nobody can speak of one that is gone
			}
			if !isIn(m.assigned, id) && !isIn(m.revoking, id) {
				w.t.Fatalf("client %s at %d reads %v, which is not its: %s", x.id, x.epoch, id, describe(m))
			}
		}
	}
}

// quiesce lets everybody heartbeat in peace until the group is stable.
func (w *consumerWalk) quiesce() {
	for range 300 {
		for _, c := range slices.Clone(w.clients) {
			w.act(c, false)
			w.check()
		}
		w.advance(200, nil)
		w.deliver()
		w.check()
		if w.stable() == "" {
			w.balanced()
			return
		}
	}
	c := w.consumer()
	if c == nil {
		w.t.Fatalf("the classic group does not become stable: %s", w.stable())
	}
	w.t.Fatalf("the group does not become stable: %s\n%s", w.stable(), hardConsumer(c))
}

// stable says what is missing.
func (w *consumerWalk) stable() string {
	c := w.consumer()
	if c == nil {
		if g := w.m.groups["g"]; g != nil && g.classic != nil && g.classic.state != stateStable && g.classic.state != stateEmpty {
			return g.classic.stateName()
		}
		return ""
	}
	if len(c.members) > 0 && len(c.members) == c.classicMembers {
		return "" // nobody who heartbeats asks for a new target: in Kafka, too
	}
	if s := c.stateName(); s != "Stable" && s != "Empty" {
		return s
	}
	for _, m := range c.members {
		i := slices.IndexFunc(w.clients, func(x *consumerClient) bool { return x.id == m.id })
		if i < 0 {
			return "member " + m.id + " is dead"
		}
		x := w.clients[i]
		if x.epoch != c.epoch || x.changed || len(x.reads) != c.targets[m.id].Size() {
			return fmt.Sprintf("client %s at %d of %d reads %v, not %v", x.id, x.epoch, c.epoch, x.reads, c.targets[m.id])
		}
	}
	return ""
}

// balanced: every partition that somebody wants is read, and shares are even if all want the same.
func (w *consumerWalk) balanced() {
	c := w.consumer()
	if c == nil || len(c.members) == c.classicMembers || c.assignedAt == 0 {
		return // zero: the target is still what the leader of a classic group made
	}
	readers := map[partitionID]int{}
	for _, x := range w.clients {
		if c.member(x.id) != nil {
			for id := range x.reads {
				readers[id]++
			}
		}
	}
	total := 0
	for name := range c.topics {
		id, ok := w.md.TopicID(name)
		for p := range w.md.Partitions(name) {
			if total++; readers[partitionID{id, p}] != 1 && ok {
				w.t.Fatalf("%s/%d is read by %d\n%s", name, p, readers[partitionID{id, p}], hardConsumer(c))
			}
		}
	}
	if len(readers) != total {
		w.t.Fatalf("%d partitions are read, %d are there", len(readers), total)
	}
	if len(c.members) == 0 || (&step{m: w.m}).consumer(c).preferred(c.votes) != "uniform" {
		return
	}
	first := c.members[0]
	var lo, hi int
	for i, m := range c.members {
		if !slices.Equal(m.topics, first.topics) || *m.regex != *first.regex {
			return
		}
		n := assignor.Assignment(c.targets[m.id]).Size()
		if i == 0 {
			lo, hi = n, n
		}
		lo, hi = min(lo, n), max(hi, n)
	}
	if hi-lo > 1 {
		w.t.Fatalf("some have %d, some %d\n%s", lo, hi, hardConsumer(c))
	}
}

package group

import (
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/coordinator"
	"weir/protocol"
)

// What the clients of the walk have in common: no request waits longer than walkRebalanceMs, for that is everybody's rebalance time-out.
const (
	walkRebalanceMs = 10_000
	walkSessionMs   = 6_000
	walkPartitions  = 6
)

// TestClassicWalk lets clients of three groups join, assign, commit, leave, crash, restart as static members, send requests of former
// generations and of former selves, repeat requests, and commit in transactions, while time passes, coordinators change and groups and
// offsets are deleted. WEIR_GROUP_WALK says how many operations. It holds what walker.check and walker.answer say, and of the harness that
// operations are pure and the log says everything.
func TestClassicWalk(t *testing.T) {
	seed, ops := time.Now().UnixNano(), 20_000
	if v, err := strconv.Atoi(os.Getenv("WEIR_GROUP_WALK")); err == nil {
		ops = v
	}
	if v, err := strconv.ParseInt(os.Getenv("WEIR_GROUP_SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("WEIR_GROUP_SEED=%d", seed)
	w := newWalker(t, seed)
	for range ops {
		w.step()
		w.check()
	}
	w.settle()
	t.Logf("%d operations, %v", w.ops, w.count)
	for _, what := range []string{"sync NONE", "commit NONE", "heartbeat REBALANCE_IN_PROGRESS", "join FENCED_INSTANCE_ID", "stale refused", "reload"} {
		if ops >= 20_000 && w.count[what] == 0 {
			t.Errorf("the walk never saw %s", what)
		}
	}
}

type walker struct {
	*harness
	r       *rand.Rand
	clients []*walkClient
	former  []walkClient // as they were: their requests come late
	token   coordinator.Token
	waiting map[coordinator.Token]*walkRequest
	value   map[string]int64 // last offset that was sent for group/partition: the clients' offsets only rise
	seen    map[string]int64 // highest committed offset that was seen
	owners  map[string]string
	open    map[int64]bool
	loads   int
	ids     int
	count   map[string]int
}

// walkClient is what a client knows.
type walkClient struct {
	group    string
	instance *string
	id       string
	gen      int32
	leader   bool
	members  []string
	joined   bool // has a generation
	synced   bool
	token    coordinator.Token // of the request that it waits for
}

// walkRequest is a request that has no answer yet.
type walkRequest struct {
	client *walkClient
	kind   string
	at     int64
	gen    int32
	stale  bool // of another generation than the group's, when it was sent
}

func newWalker(t *testing.T, seed int64) *walker {
	cfg := testConfig()
	cfg.MaxSize, cfg.InitialRebalanceDelayMs = 5, 1000
	w := &walker{harness: newHarness(t, cfg), r: rand.New(rand.NewSource(seed)), waiting: map[coordinator.Token]*walkRequest{}, value: map[string]int64{},
		seen: map[string]int64{}, owners: map[string]string{}, open: map[int64]bool{}, count: map[string]int{}}
	for i := range 18 {
		c := &walkClient{group: "g" + strconv.Itoa(i%3)}
		if i%4 == 0 {
			instance := "i" + strconv.Itoa(i/6)
			c.instance = &instance
		}
		w.clients = append(w.clients, c)
	}
	return w
}

// send runs an operation of a client and takes the replies.
func (w *walker) send(c *walkClient, kind string, gen int32, op func(m *Machine, t coordinator.Token) coordinator.Effects) {
	w.token++
	q := &walkRequest{client: c, kind: kind, at: w.now, gen: gen}
	if g := w.m.groups[c.group]; gen >= 0 && (g == nil || g.classic == nil || g.classic.generation != gen) {
		q.stale = true
	}
	w.waiting[w.token] = q
	c.token = w.token
	token := w.token
	// Whether an operation is pure, and the log says everything, is looked at now and then: it takes longer than the operation.
	w.every = 0
	if w.r.Intn(200) == 0 {
		w.log, w.every = compact(w.log, w.r.Intn(2) == 0), 1
	}
	w.do(func(m *Machine) coordinator.Effects { return op(m, token) })
	w.take()
	if w.waiting[token] != nil && kind != "join" && kind != "sync" {
		w.t.Fatalf("no answer to %s", kind)
	}
}

func (w *walker) take() {
	for _, r := range w.replies {
		q := w.waiting[r.To]
		if q == nil {
			w.t.Fatalf("an answer to a request that waits for none: %v", describeResponse(r.Response))
		}
		delete(w.waiting, r.To)
		w.answer(q, r)
	}
	w.replies = w.replies[:0]
}

// answer holds that a request of another generation is refused, and that no partition has two owners in a generation.
func (w *walker) answer(q *walkRequest, r coordinator.Reply) {
	c, mine := q.client, q.client.token == r.To
	text := describeResponse(r.Response)
	failed := protocol.None
	switch resp := r.Response.(type) {
	case *kmsg.JoinGroupResponse:
		failed = protocol.Code(resp.ErrorCode)
		if !mine {
			break
		}
		switch failed {
		case protocol.None:
			c.id, c.gen, c.joined, c.synced = resp.MemberID, resp.Generation, true, false
			c.leader = resp.LeaderID == resp.MemberID && len(resp.Members) > 0 && !resp.SkipAssignment
			c.members = nil
			for _, m := range resp.Members {
				c.members = append(c.members, m.MemberID)
			}
		case protocol.MemberIDRequired:
			c.id, c.joined = resp.MemberID, false
		case protocol.RebalanceInProgress, protocol.NotCoordinator:
		default:
			c.forget()
		}
	case *kmsg.SyncGroupResponse:
		failed = protocol.Code(resp.ErrorCode)
		if failed == protocol.None {
			w.own(c, q, resp.MemberAssignment)
		}
		if mine && failed == protocol.None {
			c.synced = true
		} else if mine {
			c.rejoin(failed)
		}
	case *kmsg.HeartbeatResponse:
		if failed = protocol.Code(resp.ErrorCode); mine && failed != protocol.None {
			c.rejoin(failed)
		}
	case *kmsg.OffsetCommitResponse:
		failed = protocol.Code(resp.Topics[0].Partitions[0].ErrorCode)
	}
	w.count[strings.Fields(text)[0]+" "+failed.String()]++
	if q.stale && q.kind != "join" {
		if failed == protocol.None {
			w.t.Fatalf("%s of generation %d was not refused: %s", q.kind, q.gen, text)
		}
		w.count["stale refused"]++
	}
}

func (c *walkClient) forget() { c.id, c.joined, c.synced = "", false, false }

func (c *walkClient) rejoin(code protocol.Code) {
	if c.joined, c.synced = false, false; code == protocol.UnknownMemberID || code == protocol.FencedInstanceID {
		c.id = ""
	}
}

// own takes note of an assignment. The owner is the member, or what its instance id stands for.
func (w *walker) own(c *walkClient, q *walkRequest, assignment []byte) {
	owner := c.id
	if c.instance != nil {
		owner = *c.instance
	}
	for _, p := range assignment {
		key := fmt.Sprintf("%s/%d generation %d of load %d", c.group, p, q.gen, w.loads)
		if old, ok := w.owners[key]; ok && old != owner {
			w.t.Fatalf("%s is owned by %s and by %s", key, old, owner)
		}
		w.owners[key] = owner
	}
}

func (w *walker) step() {
	c := w.clients[w.r.Intn(len(w.clients))]
	switch n := w.r.Intn(1000); {
	case n < 300:
		w.pass(w.r.Int63n(200))
	case n < 310:
		w.pass(w.r.Int63n(12_000))
	case n < 330 && len(w.former) > 0:
		w.late()
	case n < 331:
		w.load()
	case n < 335:
		w.admin(c.group)
	case n < 350:
		w.endTxn()
	case w.waiting[c.token] != nil && n < 970: // it waits
	default:
		w.act(c)
	}
}

// pass lets time pass.
func (w *walker) pass(ms int64) {
	w.every = 0
	w.advance(ms, func(coordinator.TimerKey) { w.take() })
}

// load changes the coordinator: generations that were not written are lost.
func (w *walker) load() {
	w.loads++
	w.count["reload"]++
	clear(w.owners)
	w.reload()
	w.take()
	if len(w.waiting) > 0 {
		w.t.Fatalf("%d requests wait for a coordinator that is gone", len(w.waiting))
	}
}

// act is what a client does next: mostly what it should.
func (w *walker) act(c *walkClient) {
	if len(w.former) < 50 {
		w.former = append(w.former, *c)
	} else {
		w.former[w.r.Intn(50)] = *c
	}
	switch n := w.r.Intn(100); {
	case n < 2:
		c.forget() // its process dies: it knows nothing, and does not say goodbye
	case n < 6 && c.id != "":
		w.leave(c)
	case n < 9 && c.joined:
		w.join(c)
	case !c.joined:
		w.join(c)
	case !c.synced:
		w.sync(c)
	case n < 60:
		w.heartbeat(c)
	case n < 70:
		w.txn(c)
	default:
		w.commit(c)
	}
}

// late is a request of somebody that is not any more, or not what it was.
func (w *walker) late() {
	c := w.former[w.r.Intn(len(w.former))]
	c.token = 0
	switch w.r.Intn(4) {
	case 0:
		w.heartbeat(&c)
	case 1:
		w.sync(&c)
	case 2:
		w.commit(&c)
	default:
		w.join(&c)
	}
}

func (w *walker) join(c *walkClient) {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID = int16(3+w.r.Intn(7)), c.group, c.id, c.instance
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.ProtocolType = walkSessionMs, walkRebalanceMs, consumerType
	for _, name := range []string{"range", "rr", "sticky"}[w.r.Intn(2):] {
		r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: subscribe([]string{"t", "t+u"}[w.r.Intn(8)/7])})
	}
	w.ids++
	client := Client{ID: "c", Host: "/h", NewID: strconv.Itoa(w.ids)}
	w.send(c, "join", -1, func(m *Machine, t coordinator.Token) coordinator.Effects { return m.JoinGroup(w.now, t, client, r) })
}

// sync sends the assignment if the client leads: each partition to one member, and some to nobody.
func (w *walker) sync(c *walkClient) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = 5, c.group, c.id, c.instance, c.gen
	if c.leader {
		parts := map[string][]byte{}
		for p := range walkPartitions {
			id := c.members[w.r.Intn(len(c.members))]
			parts[id] = append(parts[id], byte(p))
		}
		for _, id := range c.members {
			r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: parts[id]})
		}
	}
	w.send(c, "sync", c.gen, func(m *Machine, t coordinator.Token) coordinator.Effects { return m.SyncGroup(w.now, t, r) })
}

func (w *walker) heartbeat(c *walkClient) {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = 4, c.group, c.id, c.instance, c.gen
	w.send(c, "heartbeat", c.gen, func(m *Machine, t coordinator.Token) coordinator.Effects { return m.Heartbeat(w.now, t, r) })
}

func (w *walker) leave(c *walkClient) {
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Version, r.Group = 5, c.group
	r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: c.id, InstanceID: c.instance}}
	if c.instance != nil && w.r.Intn(2) == 0 {
		r.Members[0].MemberID = ""
	}
	w.send(c, "leave", -1, func(m *Machine, t coordinator.Token) coordinator.Effects { return m.LeaveGroup(w.now, t, r) })
	c.forget()
}

// rise is an offset for a partition: higher than all before.
func (w *walker) rise(group string, p int32) int64 {
	key := fmt.Sprintf("%s/%d", group, p)
	w.value[key] += 1 + w.r.Int63n(3)
	return w.value[key]
}

func (w *walker) commit(c *walkClient) {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID, r.Generation = int16(7+w.r.Intn(3)), c.group, c.id, c.instance, c.gen
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition = int32(w.r.Intn(walkPartitions))
	p.Offset = w.rise(c.group, p.Partition)
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	w.send(c, "commit", c.gen, func(m *Machine, t coordinator.Token) coordinator.Effects { return m.OffsetCommit(w.now, t, r) })
}

func (w *walker) txn(c *walkClient) {
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.Version, r.Group, r.ProducerID = 5, c.group, int64(w.r.Intn(4))
	r.MemberID, r.InstanceID, r.Generation = c.id, c.instance, c.gen
	w.open[r.ProducerID] = true
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Partition = int32(w.r.Intn(walkPartitions))
	p.Offset = w.rise(c.group, p.Partition)
	r.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{p}}}
	w.send(c, "txn", -1, func(m *Machine, t coordinator.Token) coordinator.Effects { return m.TxnOffsetCommit(w.now, t, r) })
}

func (w *walker) endTxn() {
	if p := int64(w.r.Intn(4)); w.open[p] {
		delete(w.open, p)
		e := logEntry{at: coordinator.At{Offset: w.harness.next, ProducerID: p}, marker: true, commit: w.r.Intn(3) > 0}
		w.harness.next++
		w.log = append(w.log, e)
		w.m.ReplayMarker(e.at, e.commit)
	}
}

// admin deletes offsets or a group, if they may be deleted: then committed offsets begin anew.
func (w *walker) admin(group string) {
	c := &walkClient{group: group}
	if w.r.Intn(2) == 0 {
		w.send(c, "delete", -1, func(m *Machine, t coordinator.Token) coordinator.Effects { return m.DeleteGroup(w.now, t, group) })
	} else {
		r := &kmsg.OffsetDeleteRequest{Group: group, Topics: []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}}
		w.send(c, "delete-offsets", -1, func(m *Machine, t coordinator.Token) coordinator.Effects { return m.OffsetDelete(w.now, t, r) })
	}
	for _, r := range w.written {
		if k, err := decodeKey(r.Key); err == nil && k.kind == typeOffsetCommit {
			delete(w.seen, fmt.Sprintf("%s/%d", k.group, k.partition))
		} else if err == nil {
			clear(w.owners) // generations begin anew, too
		}
	}
}

// check holds that no request waits longer than it may, that committed offsets do not fall, and that the groups are sound.
func (w *walker) check() {
	for _, q := range w.waiting {
		if w.now-q.at > walkRebalanceMs {
			w.t.Fatalf("%s of %s has waited for %d ms", q.kind, q.client.id, w.now-q.at)
		}
	}
	for _, g := range w.m.groups {
		for _, t := range g.offsets.topics {
			for _, c := range t.parts {
				key := g.id + "/" + strconv.Itoa(int(c.partition))
				if c.offset < w.seen[key] {
					w.t.Fatalf("%s fell from %d to %d", key, w.seen[key], c.offset)
				}
				w.seen[key] = c.offset
			}
		}
		if g.classic != nil {
			w.sound(g.classic)
		}
	}
}

// sound holds that the counts are what is counted, and that somebody always looks after a member that is silent.
func (w *walker) sound(c *classicGroup) {
	var joining, unsynced, static int
	supported := map[string]int{}
	for _, m := range c.members {
		if c.byID[m.id] != m {
			w.t.Fatalf("%s: member %s is not found by its id", c.id, m.id)
		}
		if m.join.to != 0 {
			joining++
		}
		if m.unsynced {
			unsynced++
		}
		if m.instance != nil {
			if static++; c.instances[*m.instance] != m {
				w.t.Fatalf("%s: instance %s stands for another", c.id, *m.instance)
			}
		}
		for _, p := range m.protocols {
			supported[p.name]++
		}
		if _, ok := w.timers[timer(timerClassicSession, c.id, m.id)]; !ok && m.join.to == 0 && m.sync.to == 0 {
			w.t.Fatalf("%s: %s has no session", c.id, m.id)
		}
		if m.join.to != 0 && c.state != statePreparing || m.sync.to != 0 && c.state != stateCompleting {
			w.t.Fatalf("%s: %s waits in state %s", c.id, m.id, c.stateName())
		}
	}
	for id := range c.pending {
		if _, ok := w.timers[timer(timerClassicSession, c.id, id)]; !ok {
			w.t.Fatalf("%s: pending %s has no session", c.id, id)
		}
	}
	_, join := w.timers[timer(timerClassicJoin, c.id, "")]
	_, sync := w.timers[timer(timerClassicSync, c.id, "")]
	switch {
	case joining != c.joining || unsynced != c.unsynced || static != len(c.instances) || len(c.members) != len(c.byID):
		w.t.Fatalf("%s: %d join, %d sync, %d static of %d: counted %d, %d, %d, %d", c.id, joining, unsynced, static, len(c.members), c.joining, c.unsynced, len(c.instances), len(c.byID))
	case fmt.Sprint(supported) != fmt.Sprint(c.supported):
		w.t.Fatalf("%s: protocols %v, counted %v", c.id, supported, c.supported)
	case (c.leader == "") != (len(c.members) == 0) || c.leader != "" && c.byID[c.leader] == nil:
		w.t.Fatalf("%s: leader %q of %d members", c.id, c.leader, len(c.members))
	case c.state == stateEmpty && len(c.members) > 0 || (c.state == stateStable || c.state == stateCompleting) && len(c.members) == 0:
		w.t.Fatalf("%s: %s with %d members", c.id, c.stateName(), len(c.members))
	case (c.state == statePreparing) != join:
		w.t.Fatalf("%s: in %s, and the end of the join phase is set: %v", c.id, c.stateName(), join)
	case (c.unsynced > 0) != sync:
		w.t.Fatalf("%s: %d members have not sent SyncGroup, and an end is set: %v", c.id, c.unsynced, sync)
	}
}

// settle lets all clients fall silent: every request is answered, and every group is empty.
func (w *walker) settle() {
	for range 60 {
		w.pass(5_000)
		w.check()
	}
	w.pass(newMemberJoinMs)
	if len(w.waiting) > 0 {
		w.t.Errorf("%d requests were never answered", len(w.waiting))
	}
	for _, id := range w.m.ids() {
		if c := w.m.groups[id].classic; c != nil && (!c.empty() || len(c.pending) > 0) {
			w.t.Errorf("%s is in %s with %d members and %d pending", id, c.stateName(), len(c.members), len(c.pending))
		}
	}
	w.checkReplay()
}

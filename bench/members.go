package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// member is a consumer without its records: what its client library says to the coordinator, on a connection of its own.
type member interface {
	// follow takes part in a rebalance until it is over.
	follow(*rebalance) error
	beat() error
	leave() error
	close() error // the connection
}

// group is one that many members share, of a topic with so many partitions.
type group struct {
	broker     *broker
	name       string
	topic      string
	id         [16]byte // of the topic
	partitions int
	session    int32         // milliseconds
	pause      time.Duration // between the heartbeats of a member that waits for news
}

// newGroup makes the topic and has the coordinator ready.
func newGroup(b *broker, name string, partitions int, pause time.Duration) (*group, error) {
	g := &group{broker: b, name: name, topic: "of-" + name, partitions: partitions, session: 45_000, pause: pause}
	if err := createTopic(b, g.topic, partitions); err != nil {
		return nil, err
	}
	if err := awaitReady(b, g.topic, partitions); err != nil {
		return nil, err
	}
	w, err := dial(b)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.awaitCoordinator(name); err != nil {
		return nil, err
	}
	metadata := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &g.topic
	metadata.Topics = append(metadata.Topics, topic)
	response, err := w.ask(metadata, 12)
	if err != nil {
		return nil, err
	}
	g.id = response.(*kmsg.MetadataResponse).Topics[0].TopicID
	return g, nil
}

// awaitCoordinator has the internal topic made and polls until the coordinator serves all of these groups: nothing tells of a load.
func (w *wire) awaitCoordinator(groups ...string) error {
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = groups[0]
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = groups
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		response, err := w.ask(find, 3)
		if err != nil {
			return err
		}
		if response.(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
			continue
		}
		if response, err = w.ask(describe, 5); err != nil {
			return err
		}
		if !slices.ContainsFunc(response.(*kmsg.DescribeGroupsResponse).Groups, func(g kmsg.DescribeGroupsResponseGroup) bool { return g.ErrorCode != 0 }) {
			return nil
		}
	}
	return fmt.Errorf("no coordinator of %s", groups[0])
}

// rebalance is over once all the members have the same generation or epoch, all the partitions are someone's, and nobody has more
// than a fair share. The last matters: between two assignments all members may well be at one epoch, the late ones with nothing.
type rebalance struct {
	members, partitions int

	over chan struct{}
	end  time.Time

	mu     sync.Mutex
	last   map[member]holding
	at     map[int32]int
	owned  int
	greedy int // members with more than their share
	failed error
}

type holding struct {
	epoch int32
	owned int
}

func newRebalance(members, partitions int) *rebalance {
	return &rebalance{members: members, partitions: partitions, over: make(chan struct{}), last: map[member]holding{}, at: map[int32]int{}}
}

// has says what a member has now.
func (r *rebalance) has(m member, epoch int32, owned int) {
	share := (r.partitions + r.members - 1) / r.members
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, ok := r.last[m]; ok {
		r.at[before.epoch]--
		r.owned -= before.owned
		if before.owned > share {
			r.greedy--
		}
	}
	r.last[m] = holding{epoch, owned}
	r.at[epoch]++
	r.owned += owned
	if owned > share {
		r.greedy++
	}
	if r.at[epoch] == r.members && r.owned == r.partitions && r.greedy == 0 {
		r.finish(nil)
	}
}

// finish ends it, unless it is over. It is called under the lock.
func (r *rebalance) finish(err error) {
	if !r.isOver() {
		r.failed, r.end = err, time.Now()
		close(r.over)
	}
}

func (r *rebalance) isOver() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

// run has the members follow it, and returns the milliseconds since begin.
func (r *rebalance) run(members []member, begin time.Time) (float64, error) {
	var all sync.WaitGroup
	for _, m := range members {
		all.Go(func() {
			if err := m.follow(r); err != nil {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.finish(err)
			}
		})
	}
	limit := time.AfterFunc(patience, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.finish(fmt.Errorf("not stable in %v: %d members with %d of %d partitions", patience, len(r.last), r.owned, r.partitions))
	})
	defer limit.Stop()
	<-r.over
	all.Wait()
	return milliseconds(r.end.Sub(begin)), r.failed
}

// classic is a member by JoinGroup and SyncGroup; the one that leads gives each the partitions of its place.
type classic struct {
	*wire
	g          *group
	id         string
	generation int32
	joined     bool
}

const consumerProtocol, assignor = "consumer", "range"

func (m *classic) follow(r *rebalance) error {
	for !r.isOver() {
		if !m.joined {
			owned, err := m.join()
			if errors.Is(err, kerr.RebalanceInProgress) {
				continue
			}
			if err != nil {
				return err
			}
			m.joined = true
			r.has(m, m.generation, owned)
			continue
		}
		switch err := m.beat(); {
		case errors.Is(err, kerr.RebalanceInProgress):
			m.joined = false
		case err != nil:
			return err
		default:
			time.Sleep(m.g.pause) // between two heartbeats, as a client waits, only shorter
		}
	}
	return nil
}

// join is until the member has its partitions.
func (m *classic) join() (owned int, err error) {
	q := kmsg.NewPtrJoinGroupRequest()
	q.Group, q.MemberID, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis, q.ProtocolType = m.g.name, m.id, m.g.session, 60_000, consumerProtocol
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Topics = []string{m.g.topic}
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = assignor, metadata.AppendTo(nil)
	q.Protocols = append(q.Protocols, protocol)
	response, err := m.ask(q, 9)
	if err != nil {
		return 0, err
	}
	joined := response.(*kmsg.JoinGroupResponse)
	err = kerr.ErrorForCode(joined.ErrorCode)
	if m.id = joined.MemberID; errors.Is(err, kerr.MemberIDRequired) {
		return m.join()
	}
	if err != nil {
		return 0, fmt.Errorf("JoinGroup: %w", err)
	}
	m.generation = joined.Generation
	return m.sync(joined)
}

func (m *classic) sync(joined *kmsg.JoinGroupResponse) (owned int, err error) {
	q := kmsg.NewPtrSyncGroupRequest()
	q.Group, q.MemberID, q.Generation, q.ProtocolType, q.Protocol = m.g.name, m.id, m.generation, joined.ProtocolType, joined.Protocol
	for i, one := range joined.Members { // empty but for the leader
		var plan kmsg.ConsumerMemberAssignment
		topic := kmsg.NewConsumerMemberAssignmentTopic()
		topic.Topic = m.g.topic
		for p := i; p < m.g.partitions; p += len(joined.Members) {
			topic.Partitions = append(topic.Partitions, int32(p))
		}
		plan.Topics = append(plan.Topics, topic)
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = one.MemberID, plan.AppendTo(nil)
		q.GroupAssignment = append(q.GroupAssignment, a)
	}
	response, err := m.ask(q, 5)
	if err != nil {
		return 0, err
	}
	synced := response.(*kmsg.SyncGroupResponse)
	if err := kerr.ErrorForCode(synced.ErrorCode); err != nil {
		return 0, fmt.Errorf("SyncGroup: %w", err)
	}
	var mine kmsg.ConsumerMemberAssignment
	if err := mine.ReadFrom(synced.MemberAssignment); err != nil {
		return 0, err
	}
	for _, t := range mine.Topics {
		owned += len(t.Partitions)
	}
	return owned, nil
}

func (m *classic) beat() error {
	q := kmsg.NewPtrHeartbeatRequest()
	q.Group, q.MemberID, q.Generation = m.g.name, m.id, m.generation
	response, err := m.ask(q, 4)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.(*kmsg.HeartbeatResponse).ErrorCode)
}

func (m *classic) leave() error {
	q := kmsg.NewPtrLeaveGroupRequest()
	q.Group = m.g.name
	one := kmsg.NewLeaveGroupRequestMember()
	one.MemberID = m.id
	q.Members = append(q.Members, one)
	response, err := m.ask(q, 5)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(response.(*kmsg.LeaveGroupResponse).ErrorCode)
}

// consumer is a member by ConsumerGroupHeartbeat: it gives up at once what it is to give up.
type consumer struct {
	*wire
	g     *group
	id    string
	epoch int32
	owned []kmsg.ConsumerGroupHeartbeatRequestTopic
	news  bool // that it has not told
}

func (m *consumer) follow(r *rebalance) error {
	for !r.isOver() {
		if err := m.beat(); err != nil {
			return err
		}
		r.has(m, m.epoch, m.count())
		if !m.news { // what is new is told at once
			time.Sleep(m.g.pause)
		}
	}
	return nil
}

func (m *consumer) count() (n int) {
	for _, t := range m.owned {
		n += len(t.Partitions)
	}
	return n
}

func (m *consumer) beat() error {
	q := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	q.Group, q.MemberID, q.MemberEpoch, q.RebalanceTimeoutMillis = m.g.name, m.id, m.epoch, -1
	if m.epoch == 0 {
		q.RebalanceTimeoutMillis, q.SubscribedTopicNames, q.Topics = 60_000, []string{m.g.topic}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	} else if m.news {
		q.Topics = m.owned
	}
	response, err := m.ask(q, 1)
	if err != nil {
		return err
	}
	r := response.(*kmsg.ConsumerGroupHeartbeatResponse)
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return fmt.Errorf("ConsumerGroupHeartbeat: %w", err)
	}
	m.epoch, m.news = r.MemberEpoch, r.Assignment != nil
	if r.Assignment != nil {
		m.owned = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, t := range r.Assignment.Topics {
			one := kmsg.NewConsumerGroupHeartbeatRequestTopic()
			one.TopicID, one.Partitions = t.TopicID, t.Partitions
			m.owned = append(m.owned, one)
		}
	}
	return nil
}

func (m *consumer) leave() error {
	m.epoch, m.news = -1, false
	return m.beat()
}

// enter opens the connections of so many members.
func (g *group) enter(protocol string, n int) (members []member, closeAll func(), err error) {
	closeAll = func() {
		for _, m := range members {
			m.close()
		}
	}
	for i := range n {
		w, err := dial(g.broker)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		if protocol == "classic" {
			members = append(members, &classic{wire: w, g: g})
		} else {
			members = append(members, &consumer{wire: w, g: g, id: fmt.Sprintf("member-%05d", i)})
		}
	}
	return members, closeAll, nil
}

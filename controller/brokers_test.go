package controller

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

func registration(id int32, incarnation byte) *kmsg.BrokerRegistrationRequest {
	q := kmsg.NewPtrBrokerRegistrationRequest()
	q.BrokerID, q.ClusterID, q.IncarnationID = id, uuidA.String(), [16]byte{incarnation, 1}
	q.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "P", Host: "h", Port: uint16(9000 + id)}}
	for _, f := range SupportedFeatures {
		q.Features = append(q.Features, kmsg.BrokerRegistrationRequestFeature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
	}
	q.LogDirs = [][16]byte{{byte(id), 1}}
	return q
}

func (w *world) mustRegister(id int32, incarnation byte) *Broker {
	w.t.Helper()
	if r := w.handle(registration(id, incarnation)).(*kmsg.BrokerRegistrationResponse); r.ErrorCode != 0 {
		w.t.Fatalf("broker %d: %v", id, protocol.Code(r.ErrorCode))
	}
	return w.m.Broker(id)
}

func (w *world) beat(id int32, change func(*kmsg.BrokerHeartbeatRequest)) *kmsg.BrokerHeartbeatResponse {
	w.t.Helper()
	q := kmsg.NewPtrBrokerHeartbeatRequest()
	q.BrokerID, q.BrokerEpoch, q.CurrentMetadataOffset = id, w.m.Broker(id).Epoch, w.m.Offset
	if change != nil {
		change(q)
	}
	return w.handle(q).(*kmsg.BrokerHeartbeatResponse)
}

// three is a cluster of three unfenced brokers with one topic on all of them.
func three(t *testing.T) *world {
	w := newWorld(t, 3, false)
	for id := range int32(3) {
		w.mustRegister(id, 1)
		if r := w.beat(id, nil); r.IsFenced || !r.IsCaughtUp {
			t.Fatalf("%+v", r)
		}
	}
	w.handle(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{assigned("t", []int32{0, 1, 2}, []int32{1, 2, 0})}})
	return w
}

func TestRegistrationRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*kmsg.BrokerRegistrationRequest)
		code   protocol.Code
	}{
		"other cluster":    {func(q *kmsg.BrokerRegistrationRequest) { q.ClusterID = "x" }, protocol.InconsistentClusterID},
		"other process":    {func(q *kmsg.BrokerRegistrationRequest) { q.BrokerID = 1; q.LogDirs = [][16]byte{{1, 1}} }, protocol.DuplicateBrokerRegistration},
		"old metadata":     {func(q *kmsg.BrokerRegistrationRequest) { q.Features[2].MaxSupportedVersion = 20 }, protocol.UnsupportedVersion},
		"feature missing":  {func(q *kmsg.BrokerRegistrationRequest) { q.Features = q.Features[:1] }, protocol.UnsupportedVersion},
		"no directory":     {func(q *kmsg.BrokerRegistrationRequest) { q.LogDirs = nil }, protocol.InvalidRegistration},
		"directory twice":  {func(q *kmsg.BrokerRegistrationRequest) { q.LogDirs = append(q.LogDirs, q.LogDirs[0]) }, protocol.InvalidRegistration},
		"reserved":         {func(q *kmsg.BrokerRegistrationRequest) { q.LogDirs = [][16]byte{{15: 99}} }, protocol.InvalidRegistration},
		"others directory": {func(q *kmsg.BrokerRegistrationRequest) { q.LogDirs = [][16]byte{{2, 1}} }, protocol.InvalidRegistration},
		"zookeeper":        {func(q *kmsg.BrokerRegistrationRequest) { q.IsMigratingZkBroker = true }, protocol.BrokerIDNotRegistered},
		"fine":             {func(q *kmsg.BrokerRegistrationRequest) {}, 0},
	} {
		w := three(t)
		q := registration(9, 2)
		c.change(q)
		if r := w.handle(q).(*kmsg.BrokerRegistrationResponse); protocol.Code(r.ErrorCode) != c.code {
			t.Errorf("%s: %v", name, protocol.Code(r.ErrorCode))
		}
	}
}

func TestRegistrationAgain(t *testing.T) {
	w := three(t)
	old := *w.m.Broker(1)
	if b := w.mustRegister(1, 1); b.Epoch != old.Epoch || b.Fenced {
		t.Errorf("the same incarnation: %+v", b)
	}
	// A new incarnation has to wait until the session of the old one has run out, also on the same address, which another host may have said too.
	if r := w.handle(registration(1, 2)).(*kmsg.BrokerRegistrationResponse); protocol.Code(r.ErrorCode) != protocol.DuplicateBrokerRegistration {
		t.Errorf("%v", protocol.Code(r.ErrorCode))
	}
	// Where the process of the old one is known to be gone, it need not. The old one's leadership goes before it is registered.
	if records := w.c.Gone(w.input(nil), 1, old.Epoch-1, false); records != nil {
		t.Errorf("of another epoch: %v", records)
	}
	if r := w.handle(registration(1, 2)).(*kmsg.BrokerRegistrationResponse); protocol.Code(r.ErrorCode) != protocol.DuplicateBrokerRegistration {
		t.Errorf("%v", protocol.Code(r.ErrorCode))
	}
	if records := w.c.Gone(w.input(nil), 1, old.Epoch, false); records != nil {
		t.Errorf("%v", records)
	}
	b := w.mustRegister(1, 2)
	if b.Epoch <= old.Epoch || !b.Fenced {
		t.Errorf("%+v", b)
	}
	if p := w.m.Topic("t").Partitions[1]; p.Leader != 2 || !slices.Equal(p.ISR, []int32{2, 0}) {
		t.Errorf("%+v", p)
	}
	// On another address it has to wait until the session of the old one has run out.
	w.beat(1, nil)
	q := registration(1, 3)
	q.Listeners[0].Port = 1
	if r := w.handle(q).(*kmsg.BrokerRegistrationResponse); protocol.Code(r.ErrorCode) != protocol.DuplicateBrokerRegistration {
		t.Errorf("%v", protocol.Code(r.ErrorCode))
	}
	w.now += 9001
	if r := w.handle(q).(*kmsg.BrokerRegistrationResponse); r.ErrorCode != 0 {
		t.Errorf("%v", protocol.Code(r.ErrorCode))
	}
}

// A broker whose process is gone is fenced when that is said; one that is heard again is not gone.
func TestGone(t *testing.T) {
	w := three(t)
	epoch := w.m.Broker(1).Epoch
	w.c.Gone(w.input(nil), 1, epoch, false)
	w.beat(1, nil)
	if records := w.c.Tick(w.input(nil)); records != nil {
		t.Errorf("a broker that is heard is fenced: %v", records)
	}
	w.commit(w.c.Gone(w.input(nil), 1, epoch, true))
	if p := w.m.Topic("t").Partitions[1]; !w.m.Broker(1).Fenced || p.Leader != 2 {
		t.Errorf("%+v, %+v", w.m.Broker(1), p)
	}
	if records := w.c.Gone(w.input(nil), 1, epoch, true); records != nil {
		t.Errorf("a fenced one: %v", records)
	}
	if records := w.c.Gone(w.input(nil), 9, 1, true); records != nil {
		t.Errorf("an unknown one: %v", records)
	}
}

func TestSessionsRunOut(t *testing.T) {
	w := three(t)
	w.now += 5000
	w.beat(0, nil)
	w.beat(2, nil)
	if next := w.c.NextDeadlineMs(w.m); next != w.now-5000+9001 {
		t.Errorf("deadline %d, now %d", next, w.now)
	}
	w.now += 4000
	if records := w.c.Tick(w.input(nil)); records != nil {
		t.Fatalf("fenced too early: %v", records)
	}
	w.now++
	w.commit(w.c.Tick(w.input(nil)))
	if !w.m.Broker(1).Fenced {
		t.Fatal("not fenced")
	}
	if p := w.m.Topic("t").Partitions[1]; p.Leader != 2 || !slices.Equal(p.ISR, []int32{2, 0}) || p.LeaderEpoch != 1 {
		t.Errorf("%+v", p)
	}
	if p := w.m.Topic("t").Partitions[0]; p.Leader != 0 || p.LeaderEpoch != 0 || p.PartitionEpoch != 1 {
		t.Errorf("%+v", p)
	}
	// It comes back into the ISR by its leaders, not by itself.
	if r := w.beat(1, nil); r.IsFenced {
		t.Errorf("%+v", r)
	}
	if p := w.m.Topic("t").Partitions[1]; p.Leader != 2 || slices.Contains(p.ISR, 1) {
		t.Errorf("%+v", p)
	}
}

func TestLastInSyncStays(t *testing.T) {
	w := three(t)
	for id := range int32(3) {
		w.beat(id, func(q *kmsg.BrokerHeartbeatRequest) { q.WantFence = true })
	}
	p := w.m.Topic("t").Partitions[0]
	if p.Leader != -1 || len(p.ISR) != 1 || p.ISR[0] != 2 {
		t.Fatalf("%+v", p)
	}
	w.beat(0, nil)
	if p := w.m.Topic("t").Partitions[0]; p.Leader != -1 {
		t.Fatalf("an unclean leader: %+v", p)
	}
	w.beat(2, nil)
	if p := w.m.Topic("t").Partitions[0]; p.Leader != 2 || p.Recovering {
		t.Fatalf("%+v", p)
	}
}

func TestUncleanElection(t *testing.T) {
	w := three(t)
	w.commit([]Record{&ConfigRecord{TopicConfig, "t", "unclean.leader.election.enable", ptr("true")}})
	for id := range int32(3) {
		w.beat(id, func(q *kmsg.BrokerHeartbeatRequest) { q.WantFence = true })
	}
	w.beat(0, nil)
	if p := w.m.Topic("t").Partitions[0]; p.Leader != 0 || !p.Recovering || !slices.Equal(p.ISR, []int32{0}) {
		t.Fatalf("%+v", p)
	}
}

func TestControlledShutdown(t *testing.T) {
	w := three(t)
	shut := func(q *kmsg.BrokerHeartbeatRequest) { q.WantShutdown = true }
	r := w.beat(0, shut)
	if r.IsFenced || r.ShouldShutdown || !w.m.Broker(0).ShuttingDown {
		t.Fatalf("%+v", r)
	}
	if p := w.m.Topic("t").Partitions[0]; p.Leader != 1 || slices.Contains(p.ISR, 0) {
		t.Fatalf("%+v", p)
	}
	// Not before the others have seen that they lead.
	if r := w.beat(0, shut); r.ShouldShutdown {
		t.Fatal("too early")
	}
	w.beat(1, nil)
	w.beat(2, nil)
	if r := w.beat(0, shut); !r.ShouldShutdown || !r.IsFenced || !w.m.Broker(0).Fenced {
		t.Fatalf("%+v", r)
	}
	if r := w.beat(0, nil); !r.IsFenced {
		t.Fatal("it came back without a new incarnation")
	}
}

func TestHeartbeatEpoch(t *testing.T) {
	w := three(t)
	if r := w.beat(1, func(q *kmsg.BrokerHeartbeatRequest) { q.BrokerEpoch-- }); protocol.Code(r.ErrorCode) != protocol.StaleBrokerEpoch {
		t.Errorf("%v", protocol.Code(r.ErrorCode))
	}
	before := len(w.all)
	w.beat(1, nil)
	if len(w.all) != before {
		t.Error("a plain heartbeat made records")
	}
}

func TestOfflineDirectory(t *testing.T) {
	w := newWorld(t, 3, false)
	q := registration(0, 1)
	q.LogDirs = [][16]byte{{1}, {2}}
	w.handle(q)
	w.mustRegister(1, 1)
	w.beat(0, nil)
	w.beat(1, nil)
	w.handle(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{assigned("t", []int32{0, 1}, []int32{0, 1}), assigned("u", []int32{0})}})
	if d := w.m.Topic("t").Partitions[0].Directories; d[0] != DirUnassigned || d[1] != (protocol.UUID{1, 1}) {
		t.Fatalf("%v", d)
	}
	place := kmsg.NewPtrAssignReplicasToDirsRequest()
	place.BrokerEpoch = w.m.Broker(0).Epoch
	put := func(dir byte, topic string, id int32) {
		place.Directories = append(place.Directories, kmsg.AssignReplicasToDirsRequestDirectory{ID: [16]byte{dir}, Topics: []kmsg.AssignReplicasToDirsRequestDirectoryTopic{
			{TopicID: w.m.Topic(topic).ID, Partitions: []kmsg.AssignReplicasToDirsRequestDirectoryTopicPartition{{Partition: id}}}}})
	}
	put(1, "t", 0)
	put(2, "t", 1)
	put(1, "u", 0)
	w.handle(place)
	w.beat(0, func(q *kmsg.BrokerHeartbeatRequest) { q.OfflineLogDirs = [][16]byte{{1}} })
	for _, c := range []struct {
		p      *Partition
		leader int32
	}{{w.m.Topic("t").Partitions[0], 1}, {w.m.Topic("t").Partitions[1], 0}, {w.m.Topic("u").Partitions[0], -1}} {
		if c.p.Leader != c.leader {
			t.Errorf("want leader %d: %+v", c.leader, c.p)
		}
	}
	if b := w.m.Broker(0); len(b.LogDirs) != 1 || b.Fenced {
		t.Errorf("%+v", b)
	}
}

func TestAlterPartition(t *testing.T) {
	isr := func(ids ...int32) (l []kmsg.AlterPartitionRequestTopicPartitionNewEpochISR) {
		for _, id := range ids {
			l = append(l, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: id, BrokerEpoch: -1})
		}
		return l
	}
	type request = kmsg.AlterPartitionRequest
	type partition = kmsg.AlterPartitionRequestTopicPartition
	for name, c := range map[string]struct {
		change func(w *world, q *request, p *partition)
		code   protocol.Code
	}{
		"shrink":             {func(w *world, q *request, p *partition) {}, 0},
		"no change":          {func(w *world, q *request, p *partition) { p.NewEpochISR = isr(0, 1, 2) }, 0},
		"unknown partition":  {func(w *world, q *request, p *partition) { p.Partition = 7 }, protocol.UnknownTopicOrPartition},
		"unknown topic":      {func(w *world, q *request, p *partition) { q.Topics[0].TopicID = uuidB }, protocol.UnknownTopicID},
		"later leader epoch": {func(w *world, q *request, p *partition) { p.LeaderEpoch++ }, protocol.NotController},
		"later epoch":        {func(w *world, q *request, p *partition) { p.PartitionEpoch++ }, protocol.NotController},
		"fenced leader":      {func(w *world, q *request, p *partition) { p.LeaderEpoch-- }, protocol.FencedLeaderEpoch},
		"old epoch":          {func(w *world, q *request, p *partition) { p.PartitionEpoch-- }, protocol.InvalidUpdateVersion},
		"not the leader": {func(w *world, q *request, p *partition) {
			q.BrokerID, q.BrokerEpoch = 1, w.m.Broker(1).Epoch
		}, protocol.InvalidRequest},
		"without the leader": {func(w *world, q *request, p *partition) { p.NewEpochISR = isr(1, 2) }, protocol.InvalidRequest},
		"no replica":         {func(w *world, q *request, p *partition) { p.NewEpochISR = isr(0, 9) }, protocol.InvalidRequest},
		"a replica twice":    {func(w *world, q *request, p *partition) { p.NewEpochISR = isr(0, 0) }, protocol.InvalidRequest},
		"recovering":         {func(w *world, q *request, p *partition) { p.LeaderRecoveryState = 1 }, protocol.InvalidRequest},
		"other incarnation":  {func(w *world, q *request, p *partition) { p.NewEpochISR[1].BrokerEpoch = 1 }, protocol.IneligibleReplica},
		"fenced replica": {func(w *world, q *request, p *partition) {
			w.beat(2, func(q *kmsg.BrokerHeartbeatRequest) { q.WantFence = true })
			p.PartitionEpoch, p.NewEpochISR = w.m.Topic("t").Partitions[0].PartitionEpoch, isr(0, 2)
		}, protocol.IneligibleReplica},
	} {
		w := three(t)
		// Epochs to go below of.
		w.commit([]Record{&PartitionChangeRecord{TopicID: w.m.Topic("t").ID, Leader: 0, LeaderRecoveryState: -1}})
		at := w.m.Topic("t").Partitions[0]
		q := &request{BrokerID: 0, BrokerEpoch: w.m.Broker(0).Epoch, Topics: []kmsg.AlterPartitionRequestTopic{{TopicID: w.m.Topic("t").ID,
			Partitions: []partition{{LeaderEpoch: at.LeaderEpoch, PartitionEpoch: at.PartitionEpoch, NewEpochISR: isr(0, 1)}}}}}
		c.change(w, q, &q.Topics[0].Partitions[0])
		before := w.m
		a := w.handle(q).(*kmsg.AlterPartitionResponse).Topics[0].Partitions[0]
		if protocol.Code(a.ErrorCode) != c.code {
			t.Errorf("%s: %v", name, protocol.Code(a.ErrorCode))
		}
		if changed := w.m != before; changed != (name == "shrink") {
			t.Errorf("%s: changed %v", name, changed)
		}
		if name == "shrink" && (!slices.Equal(a.ISR, []int32{0, 1}) || a.PartitionEpoch != at.PartitionEpoch+1 || a.LeaderEpoch != at.LeaderEpoch) {
			t.Errorf("%+v", a)
		}
	}
	w := three(t)
	if r := w.handle(&request{BrokerID: 0, BrokerEpoch: 77}).(*kmsg.AlterPartitionResponse); protocol.Code(r.ErrorCode) != protocol.StaleBrokerEpoch {
		t.Errorf("%v", protocol.Code(r.ErrorCode))
	}
}

// A reassignment ends when all that stay are in sync, and its leader goes if it does not stay.
func TestReassignmentCompletes(t *testing.T) {
	w := three(t)
	id := w.m.Topic("t").ID
	w.commit([]Record{&PartitionChangeRecord{TopicID: id, ISR: []int32{0}, Replicas: []int32{1, 2, 0}, Removing: []int32{0}, Adding: []int32{2},
		Directories: []protocol.UUID{{1, 1}, {2, 1}, {0, 1}}, Leader: NoLeaderChange, LeaderRecoveryState: -1}})
	alter := func(ids ...int32) protocol.Code {
		p := w.m.Topic("t").Partitions[0]
		q := &kmsg.AlterPartitionRequest{BrokerID: 0, BrokerEpoch: w.m.Broker(0).Epoch, Topics: []kmsg.AlterPartitionRequestTopic{{TopicID: id,
			Partitions: []kmsg.AlterPartitionRequestTopicPartition{{LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch}}}}}
		for _, id := range ids {
			q.Topics[0].Partitions[0].NewEpochISR = append(q.Topics[0].Partitions[0].NewEpochISR,
				kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: id, BrokerEpoch: -1})
		}
		return protocol.Code(w.handle(q).(*kmsg.AlterPartitionResponse).Topics[0].Partitions[0].ErrorCode)
	}
	if code := alter(0, 1); code != 0 {
		t.Fatal(code)
	}
	if code := alter(0, 1, 2); code != protocol.NewLeaderElected {
		t.Fatal(code)
	}
	if p := w.m.Topic("t").Partitions[0]; p.Leader != 1 || !slices.Equal(p.Replicas, []int32{1, 2}) || !slices.Equal(p.ISR, []int32{1, 2}) ||
		len(p.Adding)+len(p.Removing) > 0 || len(p.Directories) != 2 {
		t.Fatalf("%+v", p)
	}
}

// KIP-966: below min.insync.replicas those who leave the ISR stay eligible, and can lead without loss.
func TestEligibleLeaders(t *testing.T) {
	w := three(t)
	w.commit([]Record{&FeatureLevelRecord{elrFeature, 1}, &ConfigRecord{TopicConfig, "t", "min.insync.replicas", ptr("2")}})
	fence := func(id int32) {
		w.beat(id, func(q *kmsg.BrokerHeartbeatRequest) { q.WantFence = true })
	}
	at := func() *Partition { return w.m.Topic("t").Partitions[0] }
	fence(2)
	if p := at(); len(p.ELR) != 0 || !slices.Equal(p.ISR, []int32{0, 1}) {
		t.Fatalf("%+v", p)
	}
	fence(1)
	if p := at(); !slices.Equal(p.ELR, []int32{1}) || !slices.Equal(p.ISR, []int32{0}) {
		t.Fatalf("%+v", p)
	}
	fence(0)
	if p := at(); p.Leader != -1 || len(p.ISR) != 0 || !slices.Equal(p.LastELR, []int32{0}) || len(p.ELR) != 2 {
		t.Fatalf("%+v", p)
	}
	w.beat(1, nil)
	if p := at(); p.Leader != 1 || !slices.Equal(p.ISR, []int32{1}) || !slices.Equal(p.ELR, []int32{0}) || p.Recovering || len(p.LastELR) != 0 {
		t.Fatalf("%+v", p)
	}
	// Broker 0 comes back as another process that did not stop cleanly: it may have lost what made it eligible.
	again := registration(0, 9)
	again.Features = append(again.Features, kmsg.BrokerRegistrationRequestFeature{Name: elrFeature, MaxSupportedVersion: 1})
	if r := w.handle(again).(*kmsg.BrokerRegistrationResponse); r.ErrorCode != 0 {
		t.Fatal(protocol.Code(r.ErrorCode))
	}
	if p := at(); len(p.ELR) != 0 {
		t.Fatalf("%+v", p)
	}
}

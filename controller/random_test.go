package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type batch struct {
	records []Record
	offset  int64
}

// world is a cluster whose brokers and users do what they like.
type world struct {
	t       *testing.T
	r       *rand.Rand
	c       *Controller
	m       *Image
	now     int64
	offset  int64
	all     []batch
	altered map[string]bool
	pids    map[int64]bool
}

func newWorld(t *testing.T, seed uint64, elr bool) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{t: t, r: r, m: NewImage(), now: 1e12, altered: map[string]bool{}, pids: map[int64]bool{}}
	w.c = New(Config{NodeID: 99, NumPartitions: 3, DefaultReplicationFactor: 2, SessionTimeoutMs: 9000, DeleteTopics: true})
	first := BootstrapRecords(uuidA.String())
	if elr {
		first = append(first, &FeatureLevelRecord{elrFeature, 1})
	}
	w.commit(first)
	return w
}

func (w *world) input(q kmsg.Request) Input {
	return Input{NowMs: w.now, Rand: w.r, Image: w.m, Request: q}
}

func (w *world) commit(records []Record) {
	w.t.Helper()
	if len(records) == 0 {
		return
	}
	w.offset += 1 + w.r.Int64N(3)
	next, d, err := Merge(w.m, records, w.offset, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	w.c.Applied(records, w.offset)
	if err := CheckInvariants(w.m, next); err != nil {
		w.t.Fatalf("batch %d: %v", len(w.all), err)
	}
	w.covers(d, Diff(w.m, next))
	w.all = append(w.all, batch{records, w.offset})
	w.m = next
}

// covers holds that a delta names everything that differs.
func (w *world) covers(d, diff *Delta) {
	w.t.Helper()
	for _, x := range diff.Topics {
		i := slices.IndexFunc(d.Topics, func(y TopicDelta) bool { return y.Topic == x.Topic && (y.Old == nil) == (x.Old == nil) })
		if i < 0 {
			w.t.Fatalf("topic %s missing in the delta", x.Topic.Name)
		}
		for _, p := range x.Partitions {
			if _, ok := slices.BinarySearch(d.Topics[i].Partitions, p); !ok {
				w.t.Fatalf("%s-%d missing in the delta", x.Topic.Name, p)
			}
		}
	}
	for _, x := range diff.Deleted {
		if !slices.Contains(d.Deleted, x) {
			w.t.Fatalf("deleted %s missing in the delta", x.Name)
		}
	}
	for _, x := range diff.Brokers {
		if !slices.Contains(d.Brokers, x) {
			w.t.Fatalf("broker %d missing in the delta", x)
		}
	}
	for _, x := range diff.Configs {
		if !slices.Contains(d.Configs, x) {
			w.t.Fatalf("config %v missing in the delta", x)
		}
	}
	if diff.Features && !d.Features || diff.ProducerIDs && !d.ProducerIDs {
		w.t.Fatal("features or producer ids missing in the delta")
	}
}

func (w *world) handle(q kmsg.Request) kmsg.Response {
	w.t.Helper()
	q.SetVersion(q.MaxVersion())
	resp, records := w.c.Handle(w.input(q))
	if resp == nil {
		w.t.Fatalf("%T not handled", q)
	}
	w.commit(records)
	return resp
}

const worldBrokers = 5

func (w *world) register() {
	q := kmsg.NewPtrBrokerRegistrationRequest()
	id := w.r.Int32N(worldBrokers)
	q.BrokerID, q.ClusterID = id, w.m.ClusterID
	q.IncarnationID = [16]byte{byte(w.r.IntN(3)), 1}
	q.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "P", Host: fmt.Sprint("h", id), Port: uint16(9000 + w.r.IntN(2))}}
	for _, f := range append(slices.Clone(SupportedFeatures), FeatureRange{elrFeature, 0, 1}) {
		q.Features = append(q.Features, kmsg.BrokerRegistrationRequestFeature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
	}
	q.LogDirs = [][16]byte{{byte(id + 1), 1}}
	if id%2 == 0 {
		q.LogDirs = append(q.LogDirs, [16]byte{byte(id + 1), 2})
	}
	q.Rack = ptr(fmt.Sprint("rack", id%3))
	w.handle(q)
}

func (w *world) heartbeat() {
	if len(w.m.Brokers()) == 0 {
		return
	}
	b := w.m.Brokers()[w.r.IntN(len(w.m.Brokers()))]
	q := kmsg.NewPtrBrokerHeartbeatRequest()
	q.BrokerID, q.BrokerEpoch, q.CurrentMetadataOffset = b.ID, b.Epoch, w.m.Offset
	switch w.r.IntN(12) {
	case 0:
		q.WantShutdown = true
	case 1:
		q.WantFence = true
	case 2:
		q.CurrentMetadataOffset = b.Epoch - 1
	case 3:
		if len(b.LogDirs) > 0 {
			q.OfflineLogDirs = [][16]byte{b.LogDirs[0]}
		}
	}
	w.handle(q)
}

func (w *world) randomTopic() *Topic {
	n := w.m.NumTopics()
	if n == 0 {
		return nil
	}
	n = w.r.IntN(n)
	for t := range w.m.Topics() {
		if n == 0 {
			return t
		}
		n--
	}
	return nil
}

func (w *world) topics() {
	switch t := w.randomTopic(); {
	case t == nil || w.r.IntN(3) == 0:
		q := kmsg.NewPtrCreateTopicsRequest()
		for range 1 + w.r.IntN(3) {
			c := kmsg.NewCreateTopicsRequestTopic()
			c.Topic, c.NumPartitions, c.ReplicationFactor = fmt.Sprintf("t.%d", w.r.IntN(20)), 1+w.r.Int32N(4), 1+int16(w.r.IntN(4))
			if w.r.IntN(3) == 0 {
				c.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "unclean.leader.election.enable", Value: ptr("true")}, {Name: "min.insync.replicas", Value: ptr("2")}}
			}
			q.Topics = append(q.Topics, c)
		}
		w.handle(q)
	case w.r.IntN(3) == 0:
		q := kmsg.NewPtrDeleteTopicsRequest()
		q.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &t.Name}}
		w.handle(q)
	case w.r.IntN(2) == 0:
		q := kmsg.NewPtrCreatePartitionsRequest()
		q.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: t.Name, Count: int32(len(t.Partitions)) + w.r.Int32N(3)}}
		w.handle(q)
	default:
		q := kmsg.NewPtrIncrementalAlterConfigsRequest()
		q.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: t.Name,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Op: kmsg.IncrementalAlterConfigOp(w.r.IntN(2)), Value: ptr("5")}}}}
		w.handle(q)
	}
}

// alter has a leader say who is in sync, now and then from what it knew before.
func (w *world) alter() {
	t := w.randomTopic()
	if t == nil {
		return
	}
	id := w.r.Int32N(int32(len(t.Partitions)))
	p := t.Partitions[id]
	b := w.m.Broker(p.Leader)
	if b == nil {
		return
	}
	q := kmsg.NewPtrAlterPartitionRequest()
	q.BrokerID, q.BrokerEpoch = b.ID, b.Epoch
	want := kmsg.NewAlterPartitionRequestTopicPartition()
	want.Partition, want.LeaderEpoch, want.PartitionEpoch = id, p.LeaderEpoch, p.PartitionEpoch-w.r.Int32N(4)/3
	if p.Recovering {
		want.LeaderRecoveryState = int8(w.r.IntN(2))
	}
	for _, r := range p.Replicas {
		if (r == p.Leader || w.r.IntN(2) == 0) && (r == p.Leader || want.LeaderRecoveryState == 0) {
			want.NewEpochISR = append(want.NewEpochISR, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: r, BrokerEpoch: -1})
		}
	}
	q.Topics = []kmsg.AlterPartitionRequestTopic{{TopicID: t.ID, Partitions: []kmsg.AlterPartitionRequestTopicPartition{want}}}
	before := len(w.all)
	r := w.handle(q).(*kmsg.AlterPartitionResponse)
	answer := r.Topics[0].Partitions[0]
	if len(w.all) > before {
		key := fmt.Sprint(t.ID, id, want.LeaderEpoch, want.PartitionEpoch)
		if w.altered[key] {
			w.t.Fatalf("%s accepted twice", key)
		}
		w.altered[key] = true
	}
	if answer.ErrorCode == 0 {
		now := w.m.Partition(t.ID, id)
		if answer.LeaderID != now.Leader || answer.PartitionEpoch != now.PartitionEpoch || !slices.Equal(answer.ISR, now.ISR) {
			w.t.Fatalf("answer %+v, partition %+v", answer, now)
		}
	}
}

func (w *world) others() {
	if len(w.m.Brokers()) == 0 {
		return
	}
	b := w.m.Brokers()[w.r.IntN(len(w.m.Brokers()))]
	switch w.r.IntN(10) {
	case 6, 7:
		w.reassignSome()
	case 8:
		q := kmsg.NewPtrElectLeadersRequest()
		q.Version, q.ElectionType = 2, int8(w.r.IntN(2))
		if t := w.randomTopic(); t != nil {
			q.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: t.Name, Partitions: []int32{0, 1}}}
		}
		w.handle(q)
	case 9:
		w.c.upkeep.balanceMs = w.now
		w.commit(w.c.Tick(w.input(nil)))
	case 0:
		q := kmsg.NewPtrUnregisterBrokerRequest()
		q.BrokerID = b.ID
		w.handle(q)
	case 1:
		if t := w.randomTopic(); t != nil && len(b.LogDirs) > 0 {
			q := kmsg.NewPtrAssignReplicasToDirsRequest()
			q.BrokerID, q.BrokerEpoch = b.ID, b.Epoch
			dirs := append(slices.Clone(b.LogDirs), DirLost)
			q.Directories = []kmsg.AssignReplicasToDirsRequestDirectory{{ID: dirs[w.r.IntN(len(dirs))], Topics: []kmsg.AssignReplicasToDirsRequestDirectoryTopic{
				{TopicID: t.ID, Partitions: []kmsg.AssignReplicasToDirsRequestDirectoryTopicPartition{{Partition: 0}}}}}}
			w.handle(q)
		}
	default:
		q := kmsg.NewPtrAllocateProducerIDsRequest()
		q.BrokerID, q.BrokerEpoch = b.ID, b.Epoch
		r := w.handle(q).(*kmsg.AllocateProducerIDsResponse)
		for i := r.ProducerIDStart; i < r.ProducerIDStart+int64(r.ProducerIDLen); i++ {
			if w.pids[i] {
				w.t.Fatalf("producer id %d twice", i)
			}
			w.pids[i] = true
		}
	}
}

// reassignSome begins or cancels the reassignment of a partition.
func (w *world) reassignSome() {
	t := w.randomTopic()
	if t == nil {
		return
	}
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Partition = w.r.Int32N(int32(len(t.Partitions)))
	if w.r.IntN(4) > 0 {
		p.Replicas = []int32{}
		for _, i := range w.r.Perm(len(w.m.Brokers()))[:w.r.IntN(len(w.m.Brokers())+1)] {
			p.Replicas = append(p.Replicas, w.m.Brokers()[i].ID)
		}
	}
	q := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	q.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: t.Name, Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{p}}}
	w.handle(q)
}

// replayAll holds that a snapshot from anywhere and what follows it give the image that everything gives, through the bytes.
func (w *world) replayAll() {
	w.t.Helper()
	at := func(m *Image, i int) *Image {
		_, records, err := DecodeBatch(AppendBatch(nil, 1, w.all[i].records))
		if err == nil {
			m, _, err = Merge(m, records, w.all[i].offset, 1)
		}
		if err != nil {
			w.t.Fatalf("batch %d: %v", i, err)
		}
		return m
	}
	full := NewImage()
	var fromSnapshot []*Image
	for i := range w.all {
		full = at(full, i)
		for k := range fromSnapshot {
			fromSnapshot[k] = at(fromSnapshot[k], i)
		}
		if i%(len(w.all)/5) == 1 {
			_, records, err := DecodeBatch(AppendBatch(nil, 1, slices.Collect(full.Records())))
			if err != nil {
				w.t.Fatal(err)
			}
			m, _, err := Merge(NewImage(), records, full.Offset, full.Epoch)
			if err != nil {
				w.t.Fatal(err)
			}
			sameImage(w.t, full, m)
			fromSnapshot = append(fromSnapshot, m)
		}
	}
	sameImage(w.t, w.m, full)
	for _, m := range fromSnapshot {
		sameImage(w.t, w.m, m)
	}
}

func sameImage(t *testing.T, a, b *Image) {
	t.Helper()
	if d := Diff(a, b); !d.Empty() || a.ClusterID != b.ClusterID || a.NumTopics() != b.NumTopics() || a.NumPartitions() != b.NumPartitions() {
		t.Fatalf("images differ: %+v", d)
	}
	if !slices.Equal(slices.Collect(values(a.folded.all())), slices.Collect(values(b.folded.all()))) {
		t.Fatal("colliding names differ")
	}
}

func TestRandomOperations(t *testing.T) {
	for _, elr := range []bool{false, true} {
		t.Run(fmt.Sprint("elr=", elr), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			w := newWorld(t, seed, elr)
			for range 8000 {
				w.now += w.r.Int64N(400)
				switch w.r.IntN(10) {
				case 0:
					w.register()
				case 1, 2, 3:
					w.heartbeat()
				case 4, 5:
					w.topics()
				case 6, 7:
					w.alter()
				case 8:
					w.others()
				default:
					w.commit(w.c.Tick(w.input(nil)))
					if w.r.IntN(20) == 0 {
						w.now += 8000
					}
					if w.r.IntN(50) == 0 { // another leader
						w.c = New(w.c.cfg)
					}
				}
			}
			if w.m.NumTopics() == 0 || len(w.altered) < 50 || len(w.pids) == 0 {
				t.Fatalf("the test does too little: %d topics, %d ISR changes", w.m.NumTopics(), len(w.altered))
			}
			w.replayAll()
		})
	}
}

package sim

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/broker/partition/memlog"
	"weir/config"
	"weir/controller"
	"weir/protocol"
	"weir/protocol/record"
)

// broker is one broker: what outlives a crash is its logs and its metadata.
type broker struct {
	w    *World
	id   int32
	logs map[partition.ID]*memlog.Log
	img  *controller.Image
	next int // the next batch of the quorum's log

	up          bool
	life        int   // counts incarnations: what an earlier one had planned does not happen
	epoch       int64 // of the registration, -1: none
	serving     bool  // it was unfenced once
	parts       map[partition.ID]*replica
	hws         map[partition.ID]int64 // as they were checkpointed last
	registering bool
}

// replica is a partition on a broker.
type replica struct {
	b     *broker
	id    partition.ID
	p     *partition.Partition
	log   *memlog.Log
	topic *config.Topic
	fetch int64 // the fetch that is under way; answers to others are late
}

func newBroker(w *World, id int32) *broker {
	return &broker{w: w, id: id, logs: map[partition.ID]*memlog.Log{}, img: controller.NewImage(), hws: map[partition.ID]int64{}}
}

var settings = partition.Settings{ReplicaLagMs: 600, ProducerExpireMs: -1, SnapshotBytes: 4 << 10}

// after plans something that a crash prevents.
func (b *broker) after(ms int64, do func()) {
	life := b.life
	b.w.after(ms, func() {
		if b.up && b.life == life {
			do()
		}
	})
}

// ask sends a request to the quorum. A crash in between loses the answer.
func (b *broker) ask(q kmsg.Request, reply func(kmsg.Response)) {
	life := b.life
	b.w.send(b.id, 0, func() {
		b.w.quorum.submit(q, func(r kmsg.Response) {
			b.w.send(0, b.id, func() {
				if b.up && b.life == life {
					reply(r)
				}
			})
		})
	})
}

// start begins an incarnation.
func (b *broker) start() {
	if b.up {
		return
	}
	b.life++
	b.up, b.epoch, b.serving, b.registering = true, -1, false, false
	b.parts = map[partition.ID]*replica{}
	b.w.note("broker %d starts, incarnation %d", b.id, b.life)
	for t := range b.img.Topics() {
		b.apply(t)
	}
	b.follow()
	b.beat()
	b.tick()
}

// crash ends it. With a loss of power what was not synced is gone.
func (b *broker) crash() {
	if !b.up {
		return
	}
	b.w.note("broker %d crashes", b.id)
	b.up = false
	if b.w.PowerLoss {
		for _, l := range b.logs {
			l.Crash()
		}
	}
}

// follow takes the quorum's log, batch by batch.
func (b *broker) follow() {
	b.after(b.w.between(2, 15), b.follow)
	life, from := b.life, b.next
	b.w.send(b.id, 0, func() {
		batches := b.w.quorum.log[min(from, len(b.w.quorum.log)):]
		b.w.send(0, b.id, func() {
			if !b.up || b.life != life || b.next != from {
				return
			}
			for _, x := range batches {
				b.merge(x)
			}
		})
	})
}

func (b *broker) merge(x committedBatch) {
	img, d, err := controller.Merge(b.img, x.records, x.offset, x.term)
	if err != nil {
		b.w.fail("broker %d: %w", b.id, err)
		return
	}
	b.img = img
	b.next++
	for i := range d.Topics {
		b.apply(d.Topics[i].Topic)
	}
}

// apply tells the partitions of a topic what the metadata says.
func (b *broker) apply(t *controller.Topic) {
	for n, m := range t.Partitions {
		if !slices.Contains(m.Replicas, b.id) {
			continue
		}
		r := b.replica(t, int32(n))
		var e partition.Effects
		md := partition.Metadata{Leader: m.Leader, LeaderEpoch: m.LeaderEpoch, PartitionEpoch: m.PartitionEpoch, Replicas: m.Replicas, ISR: m.ISR}
		if m.Leader == b.id {
			r.fetch = 0
			r.p.BecomeLeader(b.w.now, &md, &e)
		} else if r.p.BecomeFollower(&md, &e) && m.Leader >= 0 {
			r.fetchNext(0)
		}
		r.carryOut(&e)
	}
}

func (b *broker) replica(t *controller.Topic, n int32) *replica {
	id := partition.ID{Topic: t.ID, Partition: n}
	if r := b.parts[id]; r != nil {
		return r
	}
	l := b.logs[id]
	if l == nil {
		l = &memlog.Log{}
		b.logs[id] = l
	}
	layers := config.Layers{Topic: b.img.Config(controller.TopicConfig, t.Name)}
	r := &replica{b: b, id: id, log: l, topic: layers.TopicConfig()}
	r.p = partition.New(id, b.id, l, r.topic, &settings, b)
	hw, ok := b.hws[id]
	if !ok {
		hw = -1
	}
	if err := r.p.Load(hw); err != nil {
		b.w.fail("broker %d: %w", b.id, err)
	}
	b.parts[id] = r
	return r
}

// Broker implements partition.Brokers.
func (b *broker) Broker(id int32) (epoch int64, alive, eligible bool) {
	x := b.img.Broker(id)
	if x == nil {
		return -1, false, false
	}
	return x.Epoch, !x.Fenced, !x.Fenced && !x.ShuttingDown
}

// beat registers the broker, and tells the quorum that it lives.
func (b *broker) beat() {
	b.after(100, b.beat)
	if b.epoch < 0 {
		b.register()
		return
	}
	q := kmsg.NewPtrBrokerHeartbeatRequest()
	q.BrokerID, q.BrokerEpoch, q.CurrentMetadataOffset = b.id, b.epoch, b.img.Offset
	b.ask(q, func(r kmsg.Response) {
		switch a := r.(*kmsg.BrokerHeartbeatResponse); {
		case protocol.Code(a.ErrorCode) == protocol.StaleBrokerEpoch:
			b.epoch = -1
		case a.ErrorCode == 0 && !a.IsFenced:
			b.serving = true
		}
	})
}

func (b *broker) register() {
	q := kmsg.NewPtrBrokerRegistrationRequest()
	q.BrokerID, q.ClusterID, q.IncarnationID = b.id, clusterID, [16]byte{byte(b.id), byte(b.life >> 8), byte(b.life)}
	q.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "P", Host: "h", Port: uint16(b.id)}}
	for _, f := range controller.SupportedFeatures {
		q.Features = append(q.Features, kmsg.BrokerRegistrationRequestFeature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
	}
	q.LogDirs = [][16]byte{{0xd, byte(b.id)}}
	b.ask(q, func(r kmsg.Response) {
		if a := r.(*kmsg.BrokerRegistrationResponse); a.ErrorCode == 0 {
			b.epoch = a.BrokerEpoch
		}
	})
}

// tick does what is due on this broker's partitions.
func (b *broker) tick() {
	b.after(b.w.between(100, 300), b.tick)
	for _, id := range b.w.all() {
		r := b.parts[id]
		if r == nil {
			continue
		}
		var e partition.Effects
		r.p.Tick(b.w.now, &e)
		r.carryOut(&e)
		if b.w.chance(300) {
			b.hws[id] = r.p.HighWatermark()
		}
	}
}

// carryOut does what a step wants done.
func (r *replica) carryOut(e *partition.Effects) {
	b := r.b
	for _, w := range e.Wake {
		w.Wake()
	}
	for _, d := range e.Done {
		d.To.Complete(d.Code)
	}
	if e.Alter != nil {
		r.propose(e.Alter)
	}
	if e.Snapshot {
		if err := r.p.SaveSnapshot(); err != nil {
			b.w.fail("snapshot: %w", err)
		}
	}
	if e.SyncUpTo > 0 {
		b.after(b.w.syncTime(), r.sync)
	}
	if e.HWMoved {
		b.w.check.moved(r)
	}
}

// syncTime is how long a sync takes: now and then the disk is busy.
func (w *World) syncTime() int64 {
	if w.chance(50) {
		return w.between(0, 150)
	}
	return w.between(0, 3)
}

func (r *replica) sync() {
	if r.log.Synced() == r.log.End() {
		return
	}
	if err := r.log.Sync(); err != nil {
		r.b.w.fail("sync: %w", err)
	}
	var e partition.Effects
	r.p.Synced(r.b.w.now, &e)
	r.carryOut(&e)
}

// propose asks the quorum for other in-sync replicas, again and again until it answers.
func (r *replica) propose(p *partition.Proposal) {
	b := r.b
	answered := false
	q := kmsg.NewPtrAlterPartitionRequest()
	q.Version, q.BrokerID, q.BrokerEpoch = 3, b.id, b.epoch
	x := kmsg.NewAlterPartitionRequestTopicPartition()
	x.Partition, x.LeaderEpoch, x.PartitionEpoch = p.ID.Partition, p.LeaderEpoch, p.PartitionEpoch
	if p.Recovering {
		x.LeaderRecoveryState = 1
	}
	for _, m := range p.ISR {
		x.NewEpochISR = append(x.NewEpochISR, kmsg.AlterPartitionRequestTopicPartitionNewEpochISR{BrokerID: m.ID, BrokerEpoch: m.Epoch})
	}
	q.Topics = []kmsg.AlterPartitionRequestTopic{{TopicID: p.ID.Topic, Partitions: []kmsg.AlterPartitionRequestTopicPartition{x}}}
	b.ask(q, func(resp kmsg.Response) {
		a := resp.(*kmsg.AlterPartitionResponse)
		if answered || a.ErrorCode != 0 {
			return
		}
		answered = true
		one := a.Topics[0].Partitions[0]
		var e partition.Effects
		r.p.AlterAnswered(b.w.now, p, &partition.Answer{Code: protocol.Code(one.ErrorCode), LeaderEpoch: one.LeaderEpoch, PartitionEpoch: one.PartitionEpoch,
			ISR: one.ISR, Recovering: one.LeaderRecoveryState == 1}, &e)
		if e.Alter != nil { // not now: a while later
			again := e.Alter
			e.Alter = nil
			b.after(50, func() { r.propose(again) })
		}
		r.carryOut(&e)
	})
	b.after(b.w.between(150, 400), func() {
		if !answered {
			answered = true // an answer that comes now is late
			r.propose(p)
		}
	})
}

// produce appends a value for a client. reply says what became of it, where that becomes known.
func (b *broker) produce(id partition.ID, value string, reply func(protocol.Code)) {
	r := b.parts[id]
	if r == nil || !b.serving {
		reply(protocol.NotLeaderOrFollower)
		return
	}
	build := record.Builder{LeaderEpoch: -1}
	build.Add(b.w.now, nil, []byte(value))
	var e partition.Effects
	var out partition.Appended
	r.p.AppendAsLeader(b.w.now, &partition.Append{Records: build.Bytes(), Acks: -1,
		Set: record.Set{Next: 1, MaxTimestamp: b.w.now, LeaderEpoch: -1, Records: 1}}, &out, &e)
	if out.Code == protocol.None {
		_, epoch := r.p.Leader()
		b.w.check.led(id, epoch, b.id)
	}
	life := b.life
	answer := completer(func(c protocol.Code) {
		if b.up && b.life == life {
			reply(c)
		}
	})
	if out.Code == protocol.None && (out.WaitHW || out.WaitSync) {
		r.p.Await(&out, answer)
	} else {
		answer(out.Code)
	}
	r.carryOut(&e)
}

// completer is a partition.Completer.
type completer func(protocol.Code)

// Complete implements partition.Completer.
func (c completer) Complete(code protocol.Code) { c(code) }

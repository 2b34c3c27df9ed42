package sim

import (
	"bytes"

	"weir/broker/partition"
	"weir/protocol"
	"weir/protocol/record"
)

// fetchNext has a follower ask its leader, after a while.
func (r *replica) fetchNext(ms int64) {
	r.b.w.seq++
	mine := r.b.w.seq
	r.fetch = mine
	r.b.after(ms, func() {
		if r.fetch == mine {
			r.ask()
		}
	})
}

// again is how long a follower rests after an error, or waits for an answer.
const again, patience = 20, 300

// ask sends one fetch.
func (r *replica) ask() {
	b := r.b
	leader, epoch := r.p.Leader()
	if leader < 0 || leader == b.id {
		r.fetch = 0
		return
	}
	if b.epoch < 0 {
		r.fetchNext(again)
		return
	}
	mine := r.fetch
	q := partition.ReadRequest{LeaderEpoch: epoch, ReplicaID: b.id, ReplicaEpoch: b.epoch, ReplicaLogStart: r.log.Start(), Isolation: partition.ReadToEnd, OnlyLeader: true}
	q.Offset, q.LastFetchedEpoch = r.p.FetchFrom()
	life := b.life
	b.w.send(b.id, leader, func() {
		b.w.broker(leader).answer(r.id, q, func(a *answer) {
			b.w.send(leader, b.id, func() {
				if b.up && b.life == life && r.fetch == mine {
					r.take(&q, a)
				}
			})
		})
	})
	b.after(patience, func() {
		if r.fetch == mine {
			r.fetchNext(0)
		}
	})
}

// answer is what a leader says to a fetch.
type answer struct {
	partition.ReadPlan
	records      []byte
	end, logHead int64 // with OFFSET_OUT_OF_RANGE: where the leader's log ends and begins
}

// waiting is a fetch that waits at a leader.
type waiting struct {
	r     *replica
	q     partition.ReadRequest
	reply func(*answer)
	done  bool
}

// Wake implements partition.Waiter. It is called from within a step.
func (w *waiting) Wake() { w.r.b.after(0, w.finish) }

func (w *waiting) finish() {
	if w.done {
		return
	}
	w.done = true
	w.r.p.Unwatch(w)
	w.q.FromWait = true
	w.reply(w.r.read(&w.q))
}

// answer is a leader that is asked.
func (b *broker) answer(id partition.ID, q partition.ReadRequest, reply func(*answer)) {
	r := b.parts[id]
	if !b.up || r == nil {
		return // a connection that is refused: the follower tries again
	}
	a := r.read(&q)
	if a.Code != protocol.None || len(a.records) > 0 || a.Diverging.Epoch >= 0 {
		reply(a)
		return
	}
	w := &waiting{r: r, q: q, reply: reply}
	if r.p.Watch(q.Offset, q.Isolation, w) {
		w.Wake()
	}
	b.after(100, w.finish)
}

// read is one look into the log.
func (r *replica) read(q *partition.ReadRequest) *answer {
	a := &answer{}
	var e partition.Effects
	r.p.PlanRead(r.b.w.now, q, &a.ReadPlan, &e)
	if a.Code == protocol.OffsetOutOfRange {
		a.end, a.logHead = r.log.End(), r.log.Start()
	}
	if a.Code == protocol.None && a.Diverging.Epoch < 0 && a.From < a.Limit {
		a.records = bytesOf(r, a.From, a.Limit, int(r.b.w.between(1, 2000)))
	}
	r.carryOut(&e)
	return a
}

// bytesOf copies whole batches out of a log, at least one.
func bytesOf(r *replica, from, limit int64, most int) []byte {
	var d record.Data
	if err := r.log.Read(&d, from, limit, most, true); err != nil {
		r.b.w.fail("broker %d reads %d..%d: %w", r.b.id, from, limit, err)
		return nil
	}
	var out []byte
	for _, p := range d.Pieces {
		out = append(out, p.Bytes...)
	}
	return bytes.Clone(out)
}

// take is a follower that is answered.
func (r *replica) take(q *partition.ReadRequest, a *answer) {
	var e partition.Effects
	var err error
	wait := int64(0)
	_, epoch := r.p.Leader()
	switch {
	case a.Code == protocol.OffsetOutOfRange && epoch == q.LeaderEpoch:
		if a.end < r.log.End() {
			err = r.p.TruncateTo(a.end, &e)
		} else if a.logHead > r.log.End() {
			err = r.p.TruncateFullyAt(a.logHead, &e)
		}
		wait = again
	case a.Code == protocol.FencedLeaderEpoch && epoch == q.LeaderEpoch:
		r.fetch = 0 // until the metadata says more
		return
	case a.Code != protocol.None:
		wait = again
	case a.Diverging.Epoch >= 0:
		if epoch == q.LeaderEpoch {
			before := r.log.End()
			err = r.p.Diverged(a.Diverging, &e)
			r.b.w.note("broker %d truncates %d from %d to %d", r.b.id, r.id.Partition, before, r.log.End())
		}
	default:
		set, bad := partition.CheckFetched(a.records)
		if bad != nil {
			r.b.w.fail("broker %d: %w", r.b.id, bad)
			return
		}
		_, err = r.p.AppendAsFollower(&partition.Fetched{Records: a.records, Offset: q.Offset, LeaderEpoch: q.LeaderEpoch,
			HighWatermark: a.HighWatermark, LogStart: a.LogStart}, set, &e)
	}
	if err != nil {
		r.b.w.fail("broker %d: %w", r.b.id, err)
		return
	}
	if e.SyncUpTo > 0 { // what the next fetch says that it has is on the disk
		e.SyncUpTo = 0
		mine := r.fetch
		r.carryOut(&e)
		r.b.after(r.b.w.syncTime(), func() {
			if r.fetch == mine {
				r.sync()
				r.fetchNext(wait)
			}
		})
		return
	}
	r.carryOut(&e)
	r.fetchNext(wait)
}

package replica

import (
	"math"

	"weir/broker/partition"
	"weir/protocol"
	"weir/protocol/record"
)

// ack is an outcome that comes later.
type ack struct {
	done chan struct{}
	code protocol.Code
}

func newAck() *ack { return &ack{done: make(chan struct{})} }

// Complete implements partition.Completer.
func (a *ack) Complete(code protocol.Code) {
	a.code = code
	close(a.done)
}

// Done implements partition.Ack.
func (a *ack) Done() <-chan struct{} { return a.done }

// Code implements partition.Ack.
func (a *ack) Code() protocol.Code { return a.code }

// Append validates a produce request's record set and appends it. Nothing of q is kept.
func (m *Manager) Append(id partition.ID, q *partition.AppendRequest, res *partition.AppendResult) {
	*res = partition.AppendResult{BaseOffset: -1, AppendTimeMs: -1, LogStart: -1, LeaderID: -1, LeaderEpoch: -1}
	r, code, h := m.lock(id)
	if code != protocol.None {
		res.Code = code
		hintAppend(res, h)
		return
	}
	t := r.topic
	if t.internal && !q.InternalOK && !q.Coordinator {
		r.mu.Unlock()
		res.Code = protocol.InvalidTopicException
		return
	}
	if res.Code = r.p.CheckAppend(q.Acks); res.Code != protocol.None {
		r.refuseAppend(res)
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	now := m.nowMs()
	var a partition.Append
	if early, ok := validate(t, id.Partition, now, q, &a, res); !ok {
		if !early && saysLogStart(res.Code) {
			res.LogStart = r.logStart()
		}
		return
	}
	r.mu.Lock()
	if r.p == nil {
		r.mu.Unlock()
		res.Code = r.whyGone()
		return
	}
	r.append(now, &a, q, res)
}

// validate looks through the records without a lock. early is record.Error's.
func validate(t *topic, id int32, now int64, q *partition.AppendRequest, a *partition.Append, res *partition.AppendResult) (early, ok bool) {
	out, set, verr := record.Validate(q.Records, record.Options{
		ProduceVersion: q.Version, Internal: q.Coordinator, Compacted: t.cfg.CleanupCompact, Topic: t.name, Partition: id, LogAppendTime: t.cfg.LogAppendTime, NowMs: now,
		BeforeMaxMs: t.cfg.MessageTimestampBeforeMaxMs, AfterMaxMs: t.cfg.MessageTimestampAfterMaxMs,
		MaxMessageBytes: t.cfg.MaxMessageBytes, MaxRecordBytes: t.cfg.MaxDecompressedMessageBytes, Target: t.target,
	})
	if verr != nil {
		res.Code, res.Message = verr.Code, verr.Message
		for _, e := range verr.Records {
			res.RecordErrors = append(res.RecordErrors, partition.RecordError{Index: e.Index, Message: e.Message})
		}
		return verr.Early, false
	}
	if int64(len(out)) > t.cfg.SegmentBytes {
		res.Code = protocol.RecordListTooLarge
		return false, false
	}
	a.Records, a.Set, a.Acks = out, set, q.Acks
	a.Coordinator, a.TxnVersion, a.Guard = q.Coordinator, q.TxnVersion, q.Guard
	a.InEpoch, a.LeaderEpoch = q.InEpoch, q.LeaderEpoch
	return false, true
}

// append appends under r's lock, and lets go of it.
func (r *replica) append(now int64, a *partition.Append, q *partition.AppendRequest, res *partition.AppendResult) {
	e := takeEffects()
	var out partition.Appended
	r.p.AppendAsLeader(now, a, &out, e)
	res.Code = out.Code
	if out.WaitHW || out.WaitSync {
		k := newAck()
		r.p.Await(&out, k)
		res.Ack = k
	}
	switch {
	case out.Code == protocol.None:
		res.BaseOffset, res.LogStart = out.Base, out.LogStart
		if out.Duplicate {
			res.AppendTimeMs = out.DuplicateMs
		} else {
			if r.topic.cfg.LogAppendTime {
				res.AppendTimeMs = now
			}
			r.retainAtMs = math.MinInt64
			r.armFlush()
		}
	case out.Code == protocol.NotLeaderOrFollower:
		r.refuseAppend(res)
	default:
		res.LogStart = out.LogStart
	}
	r.unlock(e)
	putEffects(e)
	if out.Err != nil {
		r.logError("append failed", out.Err)
	}
}

// refuseAppend fills in what goes with a code that the partition itself gives. r is locked.
func (r *replica) refuseAppend(res *partition.AppendResult) {
	switch res.Code {
	case protocol.NotLeaderOrFollower:
		res.LeaderID, res.LeaderEpoch = r.p.Leader()
	case protocol.NotEnoughReplicas:
		res.LogStart = r.log.Start()
	}
}

func hintAppend(res *partition.AppendResult, h hint) {
	if res.Code == protocol.NotLeaderOrFollower {
		res.LeaderID, res.LeaderEpoch = h.leader, h.epoch
	}
}

// saysLogStart says whether Kafka gives the log start offset with this refusal of records: not with the errors that
// ReplicaManager.appendToLocalLog knows by name.
func saysLogStart(c protocol.Code) bool {
	switch c {
	case protocol.CorruptMessage, protocol.MessageTooLarge, protocol.RecordListTooLarge, protocol.KafkaStorageError:
		return false
	}
	return true
}

func (r *replica) logStart() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p == nil {
		return -1
	}
	return r.log.Start()
}

// whyGone says why a partition that was there a moment ago is not.
func (r *replica) whyGone() protocol.Code {
	x, code, _ := r.m.lock(r.id)
	if code != protocol.None {
		return code
	}
	x.mu.Unlock()
	return protocol.NotLeaderOrFollower // a new one: the client shall send it again
}

package partition

import (
	"weir/protocol"
	"weir/protocol/record"
)

// Append is a record set for the leader to append. record.Validate has let it through, outside of any lock: Set is what that said, with
// offsets from any base.
type Append struct {
	Records []byte // changed in place: offsets and leader epoch
	Set     record.Set
	Acks    int16
	Guard   Guard // that of a batch which StartVerification wanted to be verified, and which was
	// Coordinator says that the broker itself appends: producers' sequence numbers are not looked at, their epochs are. TxnVersion is that
	// of a marker's transaction.
	Coordinator bool
	TxnVersion  int8
	InEpoch     bool // only in LeaderEpoch
	LeaderEpoch int32
}

// Appended is what became of an Append.
type Appended struct {
	Code      protocol.Code
	Err       error // with KAFKA_STORAGE_ERROR: why, for the log
	Base      int64 // the first offset, -1 with an error
	Next      int64 // the offset after the last
	LogStart  int64 // -1 where Kafka does not say it
	Duplicate bool  // it is in the log already, at Base; nothing was appended
	// DuplicateMs is the largest timestamp of the batch that is repeated: Kafka gives it as append time. -1 else.
	DuplicateMs int64
	// WaitHW and WaitSync say what must reach Next before the answer may go out. Where either is set, call Await.
	WaitHW, WaitSync bool
}

// CheckAppend says whether the partition takes produce requests at all; acks as in the request.
func (p *Partition) CheckAppend(acks int16) protocol.Code {
	switch {
	case p.failed != protocol.None:
		return p.failed
	case !p.leader:
		return protocol.NotLeaderOrFollower
	case acks == -1 && len(p.isr.isr) < p.minISR():
		return protocol.NotEnoughReplicas
	}
	return protocol.None
}

// AppendAsLeader appends a validated record set. After an error nothing has changed.
func (p *Partition) AppendAsLeader(nowMs int64, a *Append, r *Appended, e *Effects) {
	*r = Appended{Base: -1, Next: -1, LogStart: -1, DuplicateMs: -1}
	if r.Code = p.CheckAppend(a.Acks); r.Code != protocol.None {
		if r.Code == protocol.NotEnoughReplicas {
			r.LogStart = p.log.Start()
		}
		return
	}
	if a.InEpoch && a.LeaderEpoch != p.leaderEpoch {
		r.Code = protocol.FencedLeaderEpoch
		return
	}
	var dup *seqBatch
	var code protocol.Code
	if a.Coordinator {
		code = p.producers.checkCoordinator(record.Batch(a.Records), a.Guard, a.TxnVersion)
	} else {
		dup, code = p.producers.checkSet(a.Records, a.Guard)
	}
	if code != protocol.None {
		r.Code, r.LogStart = code, p.log.Start()
		return
	}
	if dup != nil {
		r.Duplicate, r.DuplicateMs = true, dup.timestampMs
		r.Base, r.Next = dup.baseOffset(), dup.lastOffset+1
	} else if !p.write(a, r, e) {
		return
	}
	r.LogStart = p.log.Start()
	p.acknowledge(nowMs, a, r, e)
}

// write gives the records their offsets and appends them.
func (p *Partition) write(a *Append, r *Appended, e *Effects) bool {
	base := p.log.End()
	set := a.Set
	shift := base - set.Base
	set.Base, set.LeaderEpoch = base, p.leaderEpoch
	set.Next = record.Assign(a.Records, base, p.leaderEpoch)
	set.MaxTimestampOffset += shift
	if err := p.log.Append(a.Records, set); err != nil {
		r.Code, r.Err = protocol.KafkaStorageError, err
		return false
	}
	r.Base, r.Next = base, set.Next
	if p.appended(a.Records, p.settings.SnapshotBytes) {
		e.Snapshot = true
	}
	p.wakeFollowers(set.Next, e)
	return true
}

// acknowledge finds out whether the answer has to wait. A duplicate waits like the batch that it repeats.
func (p *Partition) acknowledge(nowMs int64, a *Append, r *Appended, e *Effects) {
	mustSync := p.wantSync(e)
	p.advance(nowMs, e)
	r.WaitSync = mustSync && a.Acks != 0 && p.log.Synced() < r.Next
	r.WaitHW = a.Acks == -1 && p.hw < r.Next
	if a.Acks == -1 && !r.WaitHW && p.isr.maximal() < p.minISR() {
		r.Code = protocol.NotEnoughReplicasAfterAppend
	}
}

// Await has to completed when what r waits for has come, or can come no more. r is what AppendAsLeader has just said; nothing may have
// happened since.
func (p *Partition) Await(r *Appended, to Completer) {
	p.produces = append(p.produces, produceWaiter{to: to, required: r.Next, hw: r.WaitHW, sync: r.WaitSync})
}

// DeleteUpTo is DeleteRecords: it moves the log start to offset, -1 being the high watermark. wait says that followers have not moved
// theirs yet: call AwaitDelete with target. low is the low watermark, -1 with an error.
func (p *Partition) DeleteUpTo(offset int64, e *Effects) (target, low int64, wait bool, code protocol.Code, err error) {
	if code = p.CheckAppend(0); code != protocol.None {
		return -1, -1, false, code, nil
	}
	if !p.topic.CleanupDelete {
		return -1, -1, false, protocol.PolicyViolation, nil
	}
	if target = offset; offset == -1 {
		target = p.hw
	}
	if target < 0 || target > p.hw {
		return -1, -1, false, protocol.OffsetOutOfRange, nil
	}
	if target > p.log.Start() {
		if err = p.log.SetStart(target); err != nil {
			return -1, -1, false, protocol.KafkaStorageError, err
		}
		p.Retained(e)
	}
	low = p.lowest(p.log.Start())
	return target, low, low < target, protocol.None, nil
}

// AwaitDelete has to completed when the low watermark has reached target.
func (p *Partition) AwaitDelete(target int64, to Completer) {
	p.deletes = append(p.deletes, deleteWaiter{to: to, offset: target})
}

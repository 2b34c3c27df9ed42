package replica

import (
	"errors"
	"io"
	"syscall"

	"weir/broker/partition"
	"weir/protocol"
	"weir/protocol/record"
	"weir/wal"
)

// Read reads whole batches from the log. It never waits for data.
func (m *Manager) Read(id partition.ID, q *partition.ReadRequest, res *partition.ReadResult) {
	recs, aborted := res.Records, res.Aborted
	recs.Pieces, recs.Size = recs.Pieces[:0], 0
	*res = partition.ReadResult{
		HighWatermark: -1, LastStable: -1, LogStart: -1, PreferredReplica: -1, LeaderID: -1, LeaderEpoch: -1,
		Diverging: partition.EpochEnd{Epoch: -1, End: -1}, Records: recs,
	}
	r, code, h := m.lock(id)
	if code != protocol.None {
		if res.Code = code; code == protocol.NotLeaderOrFollower {
			res.LeaderID, res.LeaderEpoch = h.leader, h.epoch
		}
		return
	}
	e := takeEffects()
	var plan partition.ReadPlan
	r.p.PlanRead(m.nowMs(), q, &plan, e)
	log, topic := r.log, r.topic
	r.unlock(e)
	putEffects(e)
	limit := &m.throttles.leader
	limited := q.ReplicaID >= 0 && limit.limited() && topic.leading.has(id.Partition)
	res.Code, res.LeaderID, res.LeaderEpoch, res.PreferredReplica = plan.Code, plan.LeaderID, plan.LeaderEpoch, plan.Preferred
	res.HighWatermark, res.LastStable, res.LogStart, res.Diverging = plan.HighWatermark, plan.LastStable, plan.LogStart, plan.Diverging
	if plan.Code != protocol.None {
		return
	}
	if limited && !plan.InSync && plan.From < plan.Limit && limit.exceeded(m.nowMs()) {
		res.Throttled = true
		return
	}
	committed := q.Isolation == partition.ReadCommitted && q.ReplicaID < 0
	if committed {
		if res.Aborted = aborted[:0]; res.Aborted == nil {
			res.Aborted = []record.AbortedTxn{}
		}
	}
	if plan.Diverging.Epoch >= 0 || plan.Preferred >= 0 || plan.From >= plan.Limit || (q.MaxBytes == 0 && !q.AtLeastOne) {
		return
	}
	if q.MaxBytes < 0 { // Kafka finds out where it reads, by an exception without a code
		refuseRead(protocol.UnknownServerError, res)
		return
	}
	err := log.Read(&res.Records, plan.From, plan.Limit, int(q.MaxBytes), q.AtLeastOne)
	if limited {
		limit.carried(m.nowMs(), res.Records.Size)
	}
	if err == nil && committed && res.Records.Size > 0 {
		res.Aborted, err = log.Aborted(res.Aborted, plan.From, plan.Limit, res.Records.Size)
	}
	if err != nil {
		r.readFailed(err, res)
	}
}

// readFailed says what a reader is told of an error of the log.
func (r *replica) readFailed(err error, res *partition.ReadResult) {
	refuseRead(r.codeOf("read failed", err), res)
}

func refuseRead(code protocol.Code, res *partition.ReadResult) {
	res.Records.Release()
	recs := res.Records
	*res = partition.ReadResult{
		Code: code, HighWatermark: -1, LastStable: -1, LogStart: -1, PreferredReplica: -1, LeaderID: -1, LeaderEpoch: -1,
		Diverging: partition.EpochEnd{Epoch: -1, End: -1}, Records: recs,
	}
}

// codeOf logs an error of the log where it is news, and says what the client is told.
func (r *replica) codeOf(what string, err error) protocol.Code {
	switch {
	case errors.Is(err, wal.ErrOffsetOutOfRange): // retention or truncation came between
		return protocol.OffsetOutOfRange
	case errors.Is(err, wal.ErrClosed): // removed meanwhile
		return protocol.NotLeaderOrFollower
	case errors.Is(err, wal.ErrCorrupt), errors.Is(err, protocol.ErrMalformed):
		r.logError(what, err)
		return protocol.CorruptMessage
	}
	r.logError(what, err)
	return protocol.KafkaStorageError
}

// Available estimates the bytes from offset to where the isolation level ends; -1 where Read would say that something is wrong.
func (m *Manager) Available(id partition.ID, offset int64, i partition.Isolation) int64 {
	r, code, _ := m.lock(id)
	if code != protocol.None {
		return -1
	}
	limit, ok := r.p.Readable(offset, i)
	log := r.log
	r.mu.Unlock()
	switch {
	case !ok:
		return -1
	case limit <= offset:
		return 0
	}
	return log.Bytes(offset, limit)
}

// Watch has w woken when there is something beyond offset, or when something is wrong; at once if there is already.
func (m *Manager) Watch(id partition.ID, offset int64, i partition.Isolation, w partition.Waiter) {
	r, code, _ := m.lock(id)
	if code != protocol.None {
		w.Wake()
		return
	}
	ready := r.p.Watch(offset, i, w)
	r.mu.Unlock()
	if ready {
		w.Wake()
	}
}

// Unwatch ends what Watch began.
func (m *Manager) Unwatch(id partition.ID, w partition.Waiter) {
	r := m.get(id)
	if r == nil {
		return
	}
	r.mu.Lock()
	if r.p != nil {
		r.p.Unwatch(w)
	}
	r.mu.Unlock()
}

// EpochEnd answers OffsetForLeaderEpoch.
func (m *Manager) EpochEnd(id partition.ID, currentLeaderEpoch, epoch int32) (partition.EpochEnd, protocol.Code) {
	r, code, _ := m.lock(id)
	if code != protocol.None {
		return partition.EpochEnd{Epoch: -1, End: -1}, code
	}
	defer r.mu.Unlock()
	return r.p.EpochEnd(currentLeaderEpoch, epoch)
}

// The special timestamps of ListOffsets.
const (
	latest        = -1
	earliest      = -2
	maxTimestamp  = -3
	earliestLocal = -4
	latestTiered  = -5
	pendingUpload = -6 // the earliest that is to go to another tier
)

func noOffset(code protocol.Code) partition.OffsetResult {
	return partition.OffsetResult{Code: code, Offset: -1, TimestampMs: -1, LeaderEpoch: -1}
}

// ListOffset finds an offset by timestamp or by one of Kafka's special timestamps.
func (m *Manager) ListOffset(id partition.ID, ms int64, i partition.Isolation, leaderEpoch int32, onlyLeader bool) partition.OffsetResult {
	r, code, _ := m.lock(id)
	if code != protocol.None {
		return noOffset(code)
	}
	b := r.p.ListBound(i, leaderEpoch, onlyLeader)
	log := r.log
	r.mu.Unlock()
	switch {
	case b.Code != protocol.None:
		return noOffset(b.Code)
	case ms == latest:
		return b.Latest()
	case ms == earliest || ms == earliestLocal:
		return b.Earliest()
	}
	found := noOffset(protocol.None)
	var err error
	switch {
	case ms == latestTiered, ms == pendingUpload: // there is no other tier
	case ms == maxTimestamp:
		if max, offset := log.MaxTimestamp(); offset >= 0 {
			found, err = find(log, offset, max, b.LogStart)
		}
	default:
		found, err = seek(log, ms, b.LogStart)
	}
	if err != nil {
		return noOffset(r.codeOf("timestamp lookup failed", err))
	}
	if found.Offset < 0 || found.Offset >= b.Limit {
		if b.Lagging {
			return noOffset(protocol.OffsetNotAvailable)
		}
		return noOffset(protocol.None)
	}
	return found
}

// seek finds the first record from offset from on whose timestamp is at least ms.
func seek(log Log, ms, from int64) (partition.OffsetResult, error) {
	at, ok, err := log.SeekTimestamp(ms, log.End())
	if err != nil || !ok {
		return noOffset(protocol.None), err
	}
	for at = max(at, from); ; {
		// The batch with the largest timestamp may have it in a record that is below from, so the next one may be it.
		batch, next := int64(-1), int64(-1)
		err := log.Scan(at, func(h record.Batch) bool {
			if h.MaxTimestamp() < ms || h.LastOffset() < from {
				return true
			}
			batch, next = h.BaseOffset(), h.NextOffset()
			return false
		})
		if err != nil || batch < 0 {
			return noOffset(protocol.None), err
		}
		found, err := find(log, max(batch, at), ms, from)
		if err != nil || found.Offset >= 0 {
			return found, err
		}
		at = next
	}
}

// find looks through the batch that holds offset for the first record from offset from on whose timestamp is at least ms.
func find(log Log, offset, ms, from int64) (partition.OffsetResult, error) {
	var data record.Data
	defer data.Release()
	if err := log.Read(&data, offset, log.End(), 1, true); err != nil {
		return noOffset(protocol.None), err
	}
	recs, err := bytesOf(&data)
	if err != nil || len(recs) == 0 {
		return noOffset(protocol.None), err
	}
	b, _, err := record.Next(recs)
	if err != nil {
		return noOffset(protocol.None), err
	}
	at, ts, ok, err := record.FindTimestamp(b, ms, from)
	if err != nil || !ok {
		return noOffset(protocol.None), err
	}
	return partition.OffsetResult{Offset: at, TimestampMs: ts, LeaderEpoch: b.LeaderEpoch()}, nil
}

// bytesOf returns the bytes of d, those of a file read into memory.
func bytesOf(d *record.Data) ([]byte, error) {
	if len(d.Pieces) == 1 && d.Pieces[0].Bytes != nil {
		return d.Pieces[0].Bytes, nil
	}
	out := make([]byte, 0, d.Size)
	for _, p := range d.Pieces {
		if p.Bytes != nil {
			out = append(out, p.Bytes...)
			continue
		}
		for pos, left := p.Pos, p.N; left > 0; {
			n, err := syscall.Pread(p.FD, out[len(out):min(len(out)+left, cap(out))], pos)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				return nil, err
			}
			if n <= 0 {
				return nil, io.ErrUnexpectedEOF
			}
			out, pos, left = out[:len(out)+n], pos+int64(n), left-n
		}
	}
	return out, nil
}

package broker

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"

	"weir/broker/partition"
	"weir/broker/replica"
	"weir/coordinator"
	"weir/protocol"
	"weir/protocol/record"
)

// coordLog is coordinator.Log on a topic of this broker's replicas.
type coordLog struct {
	replicas  *replica.Manager
	codec     record.Codec // of what the coordinator writes
	loadBytes int32        // how much is read at a time
	topic     atomic.Pointer[coordTopic]
	builders  sync.Pool // of *coordBatch
}

// coordTopic is what there is to know of the topic as long as it is there.
type coordTopic struct {
	id       protocol.UUID
	maxBytes int // max.message.bytes
}

// coordBatch is the memory that a batch is made in.
type coordBatch struct {
	record.Builder
	bytes []byte
}

// maxBatchKept is how large a buffer may be to be kept for the next batch.
const maxBatchKept = 64 << 10

// id names a partition of the topic; of no topic where there is none.
func (l *coordLog) id(partitionID int32) partition.ID {
	if t := l.topic.Load(); t != nil {
		return partition.ID{Topic: t.id, Partition: partitionID}
	}
	return partition.ID{Partition: partitionID}
}

// MaxBatchBytes implements coordinator.Log.
func (l *coordLog) MaxBatchBytes(int32) int {
	if t := l.topic.Load(); t != nil {
		return t.maxBytes
	}
	return 0
}

// Append implements coordinator.Log. It does not ask for min.insync.replicas first: as in Kafka, a write that they keep from being committed
// times out.
func (l *coordLog) Append(partitionID int32, b *coordinator.Batch) (int64, error) {
	q := partition.AppendRequest{Version: 12, Acks: 1, Coordinator: true, InEpoch: true, LeaderEpoch: b.LeaderEpoch}
	if b.Marker != nil {
		control := record.ControlAbort
		if b.Marker.Commit {
			control = record.ControlCommit
		}
		q.TxnVersion = b.Marker.Version
		q.Records = record.Marker(control, b.Producer.ID, b.Producer.Epoch, b.Marker.CoordinatorEpoch, b.TimestampMs)
	} else {
		m, _ := l.builders.Get().(*coordBatch)
		if m == nil {
			m = new(coordBatch)
		}
		defer l.keep(m)
		q.Records = l.build(m, b)
	}
	var res partition.AppendResult
	l.replicas.Append(l.id(partitionID), &q, &res)
	if res.Code != protocol.None {
		return -1, res.Code
	}
	return res.BaseOffset, nil
}

func (l *coordLog) build(m *coordBatch, b *coordinator.Batch) []byte {
	m.Reset()
	m.Codec, m.BaseSequence = l.codec, -1
	m.HasProducer = b.Producer != nil
	m.Transactional = m.HasProducer
	if m.HasProducer {
		m.ProducerID, m.ProducerEpoch = b.Producer.ID, b.Producer.Epoch
	}
	for i := range b.Records {
		m.Add(b.TimestampMs, b.Records[i].Key, b.Records[i].Value)
	}
	m.bytes = m.AppendTo(m.bytes[:0])
	return m.bytes
}

func (l *coordLog) keep(m *coordBatch) {
	if cap(m.bytes) <= maxBatchKept && m.Size() <= maxBatchKept {
		l.builders.Put(m)
	}
}

// Committed implements coordinator.Log.
func (l *coordLog) Committed(partitionID int32) int64 {
	r := l.replicas.ListOffset(l.id(partitionID), latestOffset, partition.ReadUncommitted, -1, true)
	if r.Code != protocol.None { // also while a new leader does not know it yet
		return -1
	}
	return r.Offset
}

// coordWaiter has a shard woken by the high watermark.
type coordWaiter struct{ wake func() }

// Wake implements partition.Waiter.
func (w *coordWaiter) Wake() { w.wake() }

// Watch implements coordinator.Log.
func (l *coordLog) Watch(partitionID int32, offset int64, wake func()) func() {
	id, w := l.id(partitionID), &coordWaiter{wake}
	l.replicas.Watch(id, offset-1, partition.ReadUncommitted, w)
	return func() { l.replicas.Unwatch(id, w) }
}

// Load implements coordinator.Log.
func (l *coordLog) Load(ctx context.Context, partitionID, epoch int32, into coordinator.Replayer) (int64, error) {
	id := l.id(partitionID)
	bounds := l.replicas.ListOffset(id, earliestOffset, partition.ReadToEnd, epoch, true)
	if bounds.Code != protocol.None {
		return -1, bounds.Code
	}
	x := loading{into: into}
	defer x.data.Records.Release()
	for offset := bounds.Offset; ; {
		if err := ctx.Err(); err != nil {
			return -1, err
		}
		q := partition.ReadRequest{Offset: offset, MaxBytes: l.loadBytes, AtLeastOne: true, Isolation: partition.ReadToEnd, OnlyLeader: true,
			LeaderEpoch: epoch, LastFetchedEpoch: -1, ReplicaID: -1, ReplicaEpoch: -1}
		x.data.Records.Release()
		l.replicas.Read(id, &q, &x.data)
		if x.data.Code != protocol.None {
			return -1, x.data.Code
		}
		next, err := x.replay(offset)
		if err != nil {
			return -1, err
		}
		if next <= offset { // nobody else appends while this broker leads, so this is the end; compaction may have taken what was before it
			end := l.replicas.ListOffset(id, latestOffset, partition.ReadToEnd, epoch, true)
			if end.Code != protocol.None {
				return -1, end.Code
			}
			return end.Offset, nil
		}
		offset = next
	}
}

// The special timestamps of the log's end and start.
const (
	latestOffset   = -1
	earliestOffset = -2
)

// loading is a load under way.
type loading struct {
	into coordinator.Replayer
	data partition.ReadResult
	buf  []byte
}

// replay hands over what was read, from offset from on, and returns the offset after it.
func (x *loading) replay(from int64) (next int64, err error) {
	run, err := x.bytes()
	if err != nil {
		return -1, fmt.Errorf("reading at offset %d: %w", from, err)
	}
	next = from
	for len(run) > 0 {
		var b record.Batch
		if b, run, err = record.Next(run); err != nil {
			return -1, fmt.Errorf("a batch at offset %d: %w", next, err)
		}
		if b.NextOffset() > from {
			x.batch(b, from)
		}
		next = max(next, b.NextOffset())
	}
	return next, nil
}

// batch hands over a batch. What cannot be read of it is skipped.
func (x *loading) batch(b record.Batch, from int64) {
	at := coordinator.At{Offset: b.BaseOffset(), ProducerID: -1, ProducerEpoch: -1}
	if b.Transactional() || b.Control() {
		at.ProducerID, at.ProducerEpoch = b.ProducerID(), b.ProducerEpoch()
	}
	if !b.CheckCRC() {
		x.into.Skipped(at.Offset, fmt.Errorf("%w: the CRC of %d records", protocol.ErrMalformed, b.Count()))
		return
	}
	err := record.Records(b, func(r *record.Record) bool {
		if at.Offset = r.Offset; at.Offset < from {
			return true
		}
		if !b.Control() {
			x.into.Record(at, coordinator.Record{Key: r.Key, Value: r.Value})
		} else if control, _, ok := record.ParseMarker(r); ok {
			x.into.Marker(at, control == record.ControlCommit)
		}
		return true
	})
	if err != nil {
		x.into.Skipped(at.Offset, err)
	}
}

// bytes returns what was read as one run, what is in a file read into the load's own buffer.
func (x *loading) bytes() ([]byte, error) {
	d := &x.data.Records
	if len(d.Pieces) == 1 && d.Pieces[0].Bytes != nil {
		return d.Pieces[0].Bytes, nil
	}
	if cap(x.buf) < d.Size {
		x.buf = make([]byte, 0, d.Size)
	}
	out := x.buf[:0]
	for _, p := range d.Pieces {
		if p.Bytes != nil {
			out = append(out, p.Bytes...)
			continue
		}
		for pos, left := p.Pos, p.N; left > 0; {
			n, err := syscall.Pread(p.FD, out[len(out):len(out)+left], pos)
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

package coordinator

import "context"

// Batch is what one Append appends: records of one or more operations, or a marker.
type Batch struct {
	Records     []Record
	TimestampMs int64
	Producer    *Producer // nil: not transactional
	Marker      *Marker   // instead of Records
	LeaderEpoch int32     // that the partition must be led in: who was loaded earlier may not know all that is in it
}

// records is how many offsets the batch takes.
func (b *Batch) records() int64 {
	if b.Marker != nil {
		return 1
	}
	return int64(len(b.Records))
}

// Log is the topic: a log for each partition. Several goroutines call it, but for one partition no two at a time append.
type Log interface {
	// Append appends b as one batch and returns the offset of its first record. Nothing of b is kept. It does not wait for other
	// replicas. After an error the caller does not know whether the batch is there.
	Append(partition int32, b *Batch) (base int64, err error)
	// Committed returns the high watermark; -1 where it is not known, because the partition is not here.
	Committed(partition int32) int64
	// Watch calls wake, without locks, from any goroutine and maybe more than once, when the high watermark has reached offset, or when
	// something is wrong. stop ends it.
	Watch(partition int32, offset int64, wake func()) (stop func())
	// MaxBatchBytes returns how large a batch may be.
	MaxBatchBytes(partition int32) int
	// Load hands everything in the partition to a machine, committed or not, in order, and returns the offset after the last. It fails when
	// this broker does not lead the partition in that epoch.
	Load(ctx context.Context, partition, epoch int32, into Replayer) (end int64, err error)
}

// Replayer takes what Load reads.
type Replayer interface {
	Record(at At, r Record)
	Marker(at At, commit bool)
	// Skipped is told of what cannot even be read as records.
	Skipped(offset int64, err error)
}

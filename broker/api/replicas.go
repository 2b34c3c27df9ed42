package api

import (
	"weir/broker/partition"
	"weir/protocol"
)

// Replicas are the partitions that live on this broker. Results are written into what the caller hands in, so that a hot path can
// reuse it; Records in a ReadResult are the caller's to release. A partition that is not here gives
// UNKNOWN_TOPIC_OR_PARTITION, NOT_LEADER_OR_FOLLOWER or KAFKA_STORAGE_ERROR in the result.
type Replicas interface {
	// Append validates a produce request's record set and appends it. Nothing of q is kept when it returns.
	Append(id partition.ID, q *partition.AppendRequest, r *partition.AppendResult)
	// Read reads whole batches from the log. It never waits for data.
	Read(id partition.ID, q *partition.ReadRequest, r *partition.ReadResult)
	// Available estimates the bytes from offset to where the isolation level ends, without I/O where that is possible. It is -1 when
	// Read would say at once that something is wrong or has changed.
	Available(id partition.ID, offset int64, i partition.Isolation) int64
	// Watch has w woken when there is something beyond offset for the isolation level, or when something is wrong; at once if there
	// is already. Unwatch ends it.
	Watch(id partition.ID, offset int64, i partition.Isolation, w partition.Waiter)
	Unwatch(id partition.ID, w partition.Waiter)
	// ListOffset finds an offset by timestamp in milliseconds or by one of Kafka's special timestamps (-1 latest, -2 earliest, -3
	// maximum timestamp, -4 earliest local, -5 latest tiered). leaderEpoch is -1 where the client does not know it.
	ListOffset(id partition.ID, timestampMs int64, i partition.Isolation, leaderEpoch int32, onlyLeader bool) partition.OffsetResult
	// EpochEnd answers OffsetForLeaderEpoch.
	EpochEnd(id partition.ID, currentLeaderEpoch, epoch int32) (partition.EpochEnd, protocol.Code)
	// StartVerification begins the verification of a producer in a partition (KIP-890). Where the guard says so the transaction coordinator
	// must be asked, and the guard goes with the append.
	StartVerification(id partition.ID, producerID int64, epoch int16, seq int32, bumpsEpochs bool) (partition.Guard, protocol.Code)
	// CheckVerified says what an append of a transactional batch with that guard would say: for a coordinator, whose append comes later.
	CheckVerified(id partition.ID, producerID int64, epoch int16, g partition.Guard) protocol.Code
	// Producers describes the producers of a partition, by id.
	Producers(id partition.ID) ([]partition.ProducerState, protocol.Code)
	// DeleteRecords moves the log start to offset (-1: the high watermark).
	DeleteRecords(id partition.ID, offset int64) partition.DeleteResult
	// Dirs describes the log directories; logs only where withLogs.
	Dirs(withLogs bool) []partition.DirInfo
}

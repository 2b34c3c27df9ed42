package partition

import (
	"strconv"

	"weir/protocol"
	"weir/protocol/record"
)

// ID names a partition for good: a topic that is created again has another id.
type ID struct {
	Topic     protocol.UUID
	Partition int32
}

// String is for messages.
func (id ID) String() string { return id.Topic.String() + "-" + strconv.Itoa(int(id.Partition)) }

// Isolation is up to where a reader may see.
type Isolation int8

// The isolation levels.
const (
	ReadUncommitted Isolation = 0 // up to the high watermark
	ReadCommitted   Isolation = 1 // up to the last stable offset
	ReadToEnd       Isolation = 2 // up to the log end offset: followers
)

// AppendRequest is one partition's part of a Produce request. Records alias the frame: one or more batches, changed in place.
type AppendRequest struct {
	Version       int16 // of the Produce request
	Acks          int16 // 0, 1, -1
	Transactional bool  // the request names a transactional id
	InternalOK    bool  // the client may write to internal topics: its client id is __admin_client
	Coordinator   bool  // the broker itself appends: to internal topics too, markers, and producer ids without sequence numbers
	TxnVersion    int8  // of a marker: the transaction version
	InEpoch       bool  // only in LeaderEpoch, else FENCED_LEADER_EPOCH
	LeaderEpoch   int32
	Guard         Guard // with a transactional batch that StartVerification wanted to be verified, and which was
	Records       []byte
}

// AppendResult is what became of it. Where Ack is not nil the other fields hold if Ack ends without a code.
type AppendResult struct {
	Code         protocol.Code
	Message      string // for the client, "" is none
	BaseOffset   int64  // -1 with an error
	AppendTimeMs int64  // -1 with CreateTime
	LogStart     int64
	RecordErrors []RecordError
	LeaderID     int32 // with NOT_LEADER_OR_FOLLOWER: the leader known here, else -1
	LeaderEpoch  int32
	Ack          Ack // nil: final
}

// RecordError says which record of a batch was refused and why (KIP-467).
type RecordError struct {
	Index   int32
	Message string
}

// Ack is an outcome that comes later: replicated and, where the topic asks for it, on the disk.
type Ack interface {
	// Done is closed when the outcome is known; Code is valid then.
	Done() <-chan struct{}
	Code() protocol.Code
}

// ReadRequest is one partition's part of a Fetch request.
type ReadRequest struct {
	Offset           int64
	MaxBytes         int32
	AtLeastOne       bool // the first batch comes even when it is larger than MaxBytes
	Isolation        Isolation
	OnlyLeader       bool  // a follower must not answer
	LeaderEpoch      int32 // -1: the client does not know
	LastFetchedEpoch int32 // -1: none
	ReplicaID        int32 // -1: a consumer
	ReplicaEpoch     int64 // the follower's broker epoch, -1 unknown
	ReplicaLogStart  int64
	// Near are the brokers in the consumer's rack that it can reach: where this leader is not one of them and a replica in sync is, the consumer
	// is sent there (KIP-392). nil: it reads here.
	Near     []int32
	FromWait bool // a long poll reads again: the follower's state is not updated twice
}

// ReadResult answers it. The caller releases Records.
type ReadResult struct {
	Code             protocol.Code
	HighWatermark    int64 // -1 with most errors
	LastStable       int64
	LogStart         int64
	Diverging        EpochEnd            // Epoch -1: none
	Aborted          []record.AbortedTxn // nil where the isolation level is another than ReadCommitted, and with errors
	PreferredReplica int32               // -1: none
	LeaderID         int32               // with NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH: the leader known here, else -1
	LeaderEpoch      int32
	Records          record.Data
	Throttled        bool // there is more for this follower, but not now
}

// EpochEnd is where a leader epoch ends.
type EpochEnd struct {
	Epoch int32 // -1: undefined
	End   int64 // -1: undefined
}

// ProducerState is what is known of a producer id in a partition, for DescribeProducers.
type ProducerState struct {
	ID               int64
	Epoch            int16
	LastSequence     int32 // -1: none
	LastTimestampMs  int64 // -1: none
	CoordinatorEpoch int32 // -1: none
	TxnFirst         int64 // first offset of the ongoing transaction, -1: none
}

// Waiter is somebody who waits for more to read. Wake is called without locks, from any goroutine, maybe more than once; it must
// not block.
type Waiter interface{ Wake() }

// OffsetResult answers one partition of ListOffsets.
type OffsetResult struct {
	Code        protocol.Code
	Offset      int64 // -1: none
	TimestampMs int64 // -1: none
	LeaderEpoch int32 // -1: none
}

// DeleteResult answers one partition of DeleteRecords.
type DeleteResult struct {
	Code         protocol.Code
	LowWatermark int64 // -1 with an error
	Ack          Ack   // nil: final
}

// DirInfo is one log directory for DescribeLogDirs.
type DirInfo struct {
	Path        string
	Code        protocol.Code // KAFKA_STORAGE_ERROR: offline
	Full        bool          // offline until there is space
	TotalBytes  int64
	UsableBytes int64
	Logs        []LogInfo
}

// LogInfo is one partition's log in a DirInfo.
type LogInfo struct {
	ID        ID
	Size      int64
	OffsetLag int64
}

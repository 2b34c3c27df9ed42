package replica

import (
	"time"

	"weir/broker/partition"
	"weir/protocol"
)

// Leader is a connection to a broker that leads partitions. One goroutine uses it; any may Close it, which ends what is under way.
type Leader interface {
	// Fetch sends a Fetch request and calls each with every partition of the answer. What each gets is valid during the call. After an
	// error the connection is of no more use.
	Fetch(q *FetchRequest, each func(p *protocol.FetchedPartition)) (protocol.FetchedHead, error)
	// ListOffset asks for the offset of a special timestamp, as a replica does.
	ListOffset(topic string, partition int32, timestamp int64, leaderEpoch int32) (partition.OffsetResult, error)
	Close() error
}

// FetchRequest is what a follower asks of a leader.
type FetchRequest struct {
	ReplicaID    int32
	BrokerEpoch  int64
	MaxWait      time.Duration
	MinBytes     int32
	MaxBytes     int32
	SessionID    int32 // of the fetch session (KIP-227), 0: none
	SessionEpoch int32
	Want         []FetchWant
	Forget       []partition.ID
}

// FetchWant is one partition of it.
type FetchWant struct {
	ID          partition.ID
	Offset      int64
	LogStart    int64
	LeaderEpoch int32
	LastEpoch   int32 // of the newest batch, -1: none
	MaxBytes    int32
}

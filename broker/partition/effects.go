package partition

import "weir/protocol"

// Effects is all that a step wants done, for the caller to carry out after it has let go of the partition's lock. Steps add to it;
// the caller reuses it with Reset, so that produce and fetch do not allocate.
type Effects struct {
	Wake     []Waiter     // call Wake on each
	Done     []Completion // call Complete on each
	Alter    *Proposal    // send it to the controller, unless nil; the answer is a step (AlterAnswered)
	SyncUpTo int64        // sync the log at least up to this offset, then call Synced; 0: no need
	Snapshot bool         // call SaveSnapshot soon
	Policy   bool         // the log's policy follows from the configuration and has changed
	HWMoved  bool         // the high watermark is another one
}

// Reset empties e and keeps its memory.
func (e *Effects) Reset() {
	clear(e.Wake)
	clear(e.Done)
	*e = Effects{Wake: e.Wake[:0], Done: e.Done[:0]}
}

// Completer is told the outcome of a produce or delete request that had to wait. It is called without locks, exactly once.
type Completer interface{ Complete(code protocol.Code) }

// Completion is an outcome for a Completer.
type Completion struct {
	To   Completer
	Code protocol.Code
}

// Proposal is a change of the in-sync replicas for the controller to decide: an AlterPartition request's part.
type Proposal struct {
	ID             ID
	LeaderEpoch    int32
	PartitionEpoch int32
	ISR            []Member
	Recovering     bool // the leader recovery state that goes with it
}

// Member is a proposed in-sync replica.
type Member struct {
	ID    int32
	Epoch int64 // the broker epoch that it fetched with, -1: unknown
}

// Answer is the controller's answer to a Proposal, or the error it failed with.
type Answer struct {
	Code           protocol.Code
	LeaderEpoch    int32
	PartitionEpoch int32
	ISR            []int32
	Recovering     bool
}

// Brokers is what a leader has to know of the other brokers, from the newest metadata.
type Brokers interface {
	// Broker returns the epoch of a registered broker. alive says that it is not fenced, eligible that it may join in-sync
	// replicas: neither fenced nor shutting down. epoch is -1 for a broker that is not registered.
	Broker(id int32) (epoch int64, alive, eligible bool)
}

package txn

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// state is TransactionStatus of a record.
type state int8

const (
	empty state = iota
	ongoing
	prepareCommit
	prepareAbort
	completeCommit
	completeAbort
)

// stateNames has two more, which are never written: clients may filter by them.
var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

func (s state) String() string { return stateNames[s] }

// preparing says that the outcome is decided and the markers are being written.
func (s state) preparing() bool { return s == prepareCommit || s == prepareAbort }

// partition is a partition of a transaction.
type partition struct {
	topic string
	n     int32
}

func (p partition) compare(q partition) int {
	if c := strings.Compare(p.topic, q.topic); c != 0 {
		return c
	}
	return cmp.Compare(p.n, q.n)
}

// value is what the log says of a transactional id: TransactionLogValue. It is replaced as a whole.
type value struct {
	producerID int64
	prevID     int64 // the producer id before the last change; -1: not known
	nextID     int64 // the producer id after this transaction, whose end takes the last epoch; -1: the same
	updated    int64 // when, in milliseconds
	start      int64 // of the transaction; -1: there was none since the producer came
	parts      []partition
	timeoutMs  int32
	epoch      int16
	client     int16 // the transaction.version by which the client works
	state      state
}

func (v *value) has(p partition) bool {
	_, ok := slices.BinarySearchFunc(v.parts, p, partition.compare)
	return ok
}

// exhausted says that no epoch of the producer id may be given to a client any more: the last is for fencing.
func (v *value) exhausted() bool { return v.epoch >= lastEpoch }

const lastEpoch = math.MaxInt16 - 1

// timedOut says that the coordinator has to end the transaction. Kafka's two-phase commit has the largest time-out, and none.
func (v *value) timedOut(now int64) bool {
	return v.state == ongoing && v.timeoutMs != math.MaxInt32 && v.start+int64(v.timeoutMs) < now
}

// expired says that nobody has used the transactional id for too long.
func (v *value) expired(now, after int64) bool {
	return v.state != ongoing && !v.state.preparing() && v.updated <= now-after
}

// txn is a transactional id.
type txn struct {
	id string
	value

	// All below is soft.

	lastEpoch int16  // the epoch before the last bump: a producer that has it asks again. -1: not known
	queued    bool   // it is among Machine.again
	fenced    bool   // a partition has refused the marker for good: the transaction cannot be completed by this coordinator
	round     uint64 // the round of markers; another one for each transaction
	marks     []mark // in the order of parts
	unmarked  int    // how many of them are not done
}

// mark is what became of the marker of one partition.
type mark struct {
	partition
	by      *markers // the request that it is under way with
	done    bool     // it is written, or the partition is gone
	refused bool     // it will never be written
}

// keepParts is how many partitions a transactional id keeps memory for between its transactions.
const keepParts = 8

// change is a value that an operation wants to write, and the epoch before its own.
type change struct {
	value
	lastEpoch int16
}

// next begins a change of t. Whatever happens, Kafka notes the producer id of before.
func (t *txn) next(now int64, to state) change {
	c := change{t.value, t.lastEpoch}
	c.prevID, c.updated, c.state = t.producerID, now, to
	return c
}

// reset is a change of t that brings a new producer: no transaction is open.
func (t *txn) reset(now int64, timeoutMs int32) change {
	c := t.next(now, empty)
	c.timeoutMs, c.start, c.parts = timeoutMs, -1, nil
	return c
}

// end is a change of t that ends its transaction by version 2: the end takes the next epoch, so that nothing that was sent before it can
// arrive in the transaction after it (KIP-890). next is the producer id to go on with, -1 unless this epoch was the last.
func (t *txn) end(now int64, to state, next int64) change {
	c := t.next(now, to)
	if c.lastEpoch = t.epoch; t.epoch < math.MaxInt16 {
		c.epoch++
	}
	c.nextID, c.client = next, 2
	return c
}

// endFirst is a change of t that ends its transaction by version 1: the epoch stays.
func (t *txn) endFirst(now int64, to state) change {
	c := t.next(now, to)
	c.nextID, c.client = -1, 0
	return c
}

// fence is a change of t that aborts its transaction by version 1 against its producer, whose epoch ends.
func (t *txn) fence(now int64) change {
	c := t.endFirst(now, prepareAbort)
	if c.lastEpoch = -1; t.epoch < math.MaxInt16 {
		c.epoch++
	}
	return c
}

// complete is what v becomes when all markers are written.
func (v *value) complete(now int64) value {
	c := *v
	c.prevID, c.updated, c.parts = v.producerID, now, nil
	if c.state = completeAbort; v.state == prepareCommit {
		c.state = completeCommit
	}
	if v.nextID != -1 && v.client >= 2 {
		c.producerID, c.epoch = v.nextID, 0
	}
	c.nextID = -1
	return c
}

package coordinator

// Token names a request that waits for its Reply. The runtime hands tokens out; none is zero.
type Token uint64

// Record is one record of the topic. A nil Value is a tombstone.
type Record struct {
	Key, Value []byte
}

// Reply ends the wait of the request that Token names. It leaves when the Records of its Effects, and all that were appended before,
// are committed. A request may be answered by a later operation than its own.
type Reply struct {
	To       Token
	Response any
}

// TimerKey names a timer of a machine. What the fields mean is the machine's affair; it is a plain value, so that a timer that is
// set anew with each heartbeat costs no allocation.
type TimerKey struct {
	Kind       uint8
	Name, Part string // "group", "member"
}

// Timer sets the timer Key to fire At, in milliseconds since the epoch, in place of what it was set to; Cancel ends it. Timers are
// soft: a load forgets them, and Machine.Elected sets those that the state asks for.
type Timer struct {
	Key    TimerKey
	At     int64
	Cancel bool
}

// Send is a request to another broker. Its answer comes back as the operation Machine.Answered.
type Send struct {
	Key     any   // the machine's name for it, handed back with the answer
	Node    int32 // the broker
	Request any
}

// Producer marks the records of an operation as part of a producer's transaction (TxnOffsetCommit): they get a batch of their own with
// that producer id and epoch, and count when ReplayMarker says so.
type Producer struct {
	ID    int64
	Epoch int16
	// Sequence numbers are not used: the coordinator is the only one who appends.
	TransactionalID string
}

// Marker ends the transaction of a Producer: it becomes a control batch, and ReplayMarker.
type Marker struct {
	Commit           bool
	CoordinatorEpoch int32 // of the transaction coordinator that asks for it
	Version          int8  // of transactions: what the log checks the epoch by
}

// Effects is all that an operation may cause. Its slices, and the bytes of the records, are the machine's: they are valid until the next
// operation (Replay is none), so that an operation that happens a hundred thousand times a second need not allocate them.
type Effects struct {
	Records  []Record  // appended first, atomically, in one batch, and replayed at once
	Producer *Producer // of all Records; nil: not transactional
	Marker   *Marker   // instead of Records: ends the Producer's transaction
	Replies  []Reply
	Timers   []Timer // set at once
	Sends    []Send  // leave when Replies do
}

// At is where a record stands when it is replayed: live it is the offset that it will have.
type At struct {
	Offset        int64
	ProducerID    int64 // -1: not part of a transaction
	ProducerEpoch int16
}

// Machine is a state machine in one partition. Its methods are called by one goroutine at a time. now is in milliseconds
// since the epoch and never falls.
//
// Hard state (what must survive) is changed by Replay and ReplayMarker alone, live and at a load; soft state (who waits, timers) by the
// other methods. Live and loaded, hard state is the same function of the log.
type Machine interface {
	// Replay takes over one record. An error says that the record cannot be understood: it is logged and skipped, and the
	// state is unchanged. The record's slices are not the machine's to keep.
	Replay(at At, r Record) error
	// ReplayMarker ends a producer's transaction.
	ReplayMarker(at At, commit bool)
	// Elected is called once after the load, before any operation.
	Elected(now int64) Effects
	// Resigned is called when the partition is lost. What it returns is sent at once, all other requests that wait are failed by the
	// runtime. The machine is not used again.
	Resigned(now int64) []Reply
	// Expired is called when a timer fires.
	Expired(now int64, k TimerKey) Effects
	// Answered brings the answer of a Send; err says that there is none.
	Answered(now int64, key any, answer any, err error) Effects
}

package partition

import (
	"maps"
	"slices"

	"weir/protocol"
	"weir/protocol/record"
)

// retainedBatches is how many batches of a producer are remembered to recognize a retry: a client has at most five in flight.
const retainedBatches = 5

// seqBatch is what is remembered of one batch of a producer.
type seqBatch struct {
	lastSeq     int32
	delta       int32 // last offset less base offset
	lastOffset  int64
	timestampMs int64 // the batch's maximum
}

func (b *seqBatch) firstSeq() int32 {
	if b.lastSeq >= b.delta {
		return b.lastSeq - b.delta
	}
	return int32(int64(b.lastSeq) - int64(b.delta) + (1 << 31)) // it wrapped from MaxInt32 to 0 within the batch
}

func (b *seqBatch) baseOffset() int64 { return b.lastOffset - int64(b.delta) }

// producer is the state of one producer id in one partition.
type producer struct {
	id               int64
	epoch            int16 // -1: none known
	coordinatorEpoch int32 // of the newest transaction marker, -1: none
	timestampMs      int64 // of the newest batch, what expiry goes by
	txnFirst         int64 // first offset of the ongoing transaction, -1: none
	n                uint8
	first            uint8
	ring             [retainedBatches]seqBatch

	older, newer *producer // the neighbours among those with an ongoing transaction, by txnFirst
}

func (p *producer) at(i int) *seqBatch { return &p.ring[(int(p.first)+i)%retainedBatches] }

// lastSeq is -1 where no batch is known.
func (p *producer) lastSeq() int32 {
	if p.n == 0 {
		return -1
	}
	return p.at(int(p.n) - 1).lastSeq
}

func (p *producer) setEpoch(epoch int16) {
	if p.epoch != epoch {
		p.epoch, p.n, p.first = epoch, 0, 0
	}
}

func (p *producer) add(b seqBatch) {
	if p.n == retainedBatches {
		p.first = (p.first + 1) % retainedBatches
		p.n--
	}
	p.n++
	*p.at(int(p.n) - 1) = b
}

// duplicate finds the retained batch with exactly this epoch and sequence range.
func (p *producer) duplicate(epoch int16, firstSeq, lastSeq int32) *seqBatch {
	if p.epoch != epoch {
		return nil
	}
	for i := range int(p.n) {
		if b := p.at(i); b.lastSeq == lastSeq && b.firstSeq() == firstSeq {
			return b
		}
	}
	return nil
}

// producers is the producer state of a partition. It is hard state, a function of the log alone, but for what is being verified and for
// which ended transactions count no more.
type producers struct {
	byID map[int64]*producer
	// oldest and newest are the ends of the list of producers with an ongoing transaction. Transactions begin in the order of the log,
	// so a new one is the newest.
	oldest, newest *producer
	ended          endedTxns
	// lastAborted is the offset of the newest marker that aborted a transaction, -1: none. The log's index has to reach so far.
	lastAborted int64
	verifying   map[int64]*verification
}

func (t *producers) clear() {
	t.byID, t.oldest, t.newest, t.lastAborted = nil, nil, nil, -1
	t.ended = t.ended[:0]
}

// replay merges a batch that is in the log: on the leader after the append, on a follower, and at load. It checks nothing, as the
// leader that wrote the batch did. Only the header is read, and a control batch's record. aborted says that txn has been aborted.
func (t *producers) replay(b record.Batch) (txn record.AbortedTxn, aborted bool) {
	id := b.ProducerID()
	if id < 0 {
		return txn, false
	}
	p := t.byID[id]
	if p == nil {
		p = &producer{id: id, epoch: -1, coordinatorEpoch: -1, timestampMs: -1, txnFirst: -1}
		if t.byID == nil {
			t.byID = make(map[int64]*producer)
		}
		t.byID[id] = p
	}
	p.setEpoch(b.ProducerEpoch())
	p.timestampMs = b.MaxTimestamp()
	transactional := b.Transactional()
	if transactional && len(t.verifying) > 0 {
		t.verified(b)
	}
	if b.Control() {
		return t.end(p, b)
	}
	p.add(seqBatch{lastSeq: b.LastSequence(), delta: b.LastOffsetDelta(), lastOffset: b.LastOffset(), timestampMs: b.MaxTimestamp()})
	if transactional && p.txnFirst < 0 {
		p.txnFirst = b.BaseOffset()
		t.begin(p)
	}
	return txn, false
}

// check says whether the leader may append a client's batch (Kafka's ProducerAppendInfo). dup is the retained batch that it repeats,
// and then nothing must be appended.
func (t *producers) check(b record.Batch, g Guard) (dup *seqBatch, code protocol.Code) {
	id := b.ProducerID()
	if id < 0 {
		return nil, protocol.None
	}
	p, epoch, first := t.byID[id], b.ProducerEpoch(), b.BaseSequence()
	if p != nil {
		if dup = p.duplicate(epoch, first, b.LastSequence()); dup != nil {
			return dup, protocol.None
		}
	}
	if b.Transactional() {
		if code = t.mayWrite(p, id, epoch, g); code != protocol.None {
			return nil, code
		}
	}
	if p != nil && epoch < p.epoch {
		return nil, protocol.InvalidProducerEpoch
	}
	if v := t.verifying[id]; v != nil && !v.inOrder(first, p) {
		return nil, protocol.OutOfOrderSequenceNumber
	}
	if p == nil || p.epoch < 0 {
		if epoch < -1 { // -1 is the epoch of a producer of which nothing is known
			return nil, protocol.InvalidProducerEpoch
		}
		return nil, protocol.None // nothing is known any more (expired, deleted): any sequence goes
	}
	if epoch > p.epoch {
		if first != 0 {
			return nil, protocol.OutOfOrderSequenceNumber
		}
	} else if !follows(p.lastSeq(), first) {
		return nil, protocol.OutOfOrderSequenceNumber
	}
	if p.txnFirst >= 0 && !b.Transactional() {
		return nil, protocol.InvalidTxnState
	}
	return nil, protocol.None
}

// checkSet is check for a record set. A client's one with a producer id is one batch; record.Validate sees to it.
func (t *producers) checkSet(recs []byte, g Guard) (*seqBatch, protocol.Code) {
	first := record.Batch(recs)
	if len(first) < record.HeaderSize {
		return nil, protocol.CorruptMessage
	}
	if first.Size() == len(recs) {
		return t.check(first, g)
	}
	for len(recs) > 0 {
		b, rest, err := record.Next(recs)
		if err != nil {
			return nil, protocol.CorruptMessage
		}
		if b.ProducerID() >= 0 {
			return nil, protocol.InvalidRecord
		}
		recs = rest
	}
	return nil, protocol.None
}

// follows says whether next is the sequence number after last.
func follows(last, next int32) bool {
	return int64(next) == int64(last)+1 || (next == 0 && last == 1<<31-1)
}

// expire forgets producers without a batch for maxIdleMs and without an ongoing transaction. Kafka goes by the timestamps of the batches,
// not by when they came.
func (t *producers) expire(nowMs, maxIdleMs int64) {
	maps.DeleteFunc(t.byID, func(_ int64, p *producer) bool {
		return p.txnFirst < 0 && nowMs-p.timestampMs >= maxIdleMs
	})
	maps.DeleteFunc(t.verifying, func(_ int64, v *verification) bool { return nowMs-v.sinceMs >= maxIdleMs })
}

// ids are the known producer ids, sorted.
func (t *producers) ids() []int64 {
	ids := make([]int64, 0, len(t.byID))
	for id := range t.byID {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

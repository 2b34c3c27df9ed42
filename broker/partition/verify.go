package partition

import (
	"weir/protocol"
	"weir/protocol/record"
)

// verification says that the transaction coordinator is being asked whether this partition is in a producer's ongoing transaction
// (KIP-890). It begins with a producer's first batch and lasts until a batch or a marker of the transaction is in the log: an answer that
// was given before the transaction ended has another one, or none, to fit then.
type verification struct {
	sinceMs     int64
	lowestSeq   int32 // the lowest first sequence number of a batch that waits: a higher one must not come before it
	epoch       int16
	bumpsEpochs bool // the client's transactions are of version 2
}

// Guard goes with an append and shows that its verification is still the one that was begun for it. The zero Guard shows nothing.
type Guard struct{ v *verification }

// Needed says that the coordinator has to be asked.
func (g Guard) Needed() bool { return g.v != nil }

// StartVerification begins, or goes on with, the verification of a producer whose batch with the first sequence number seq is to be
// appended. Where the guard that it returns says so the transaction coordinator must be asked; then the guard goes with the append.
// bumpsEpochs says that the request is of a version that goes with transactions of version 2. CheckAppend must have let it through.
func (h *hard) StartVerification(nowMs, producerID int64, epoch int16, seq int32, bumpsEpochs bool) (Guard, protocol.Code) {
	t := &h.producers
	if x := t.byID[producerID]; x != nil {
		switch {
		case epoch < x.epoch:
			return Guard{}, protocol.InvalidProducerEpoch
		case epoch == x.epoch && x.txnFirst >= 0:
			return Guard{}, protocol.None
		}
	}
	v := t.verifying[producerID]
	if v == nil {
		v = &verification{sinceMs: nowMs, lowestSeq: seq, epoch: epoch, bumpsEpochs: bumpsEpochs}
		if t.verifying == nil {
			t.verifying = make(map[int64]*verification)
		}
		t.verifying[producerID] = v
	}
	if epoch > v.epoch || epoch == v.epoch && seq < v.lowestSeq {
		v.epoch, v.lowestSeq = epoch, seq
	}
	return Guard{v}, protocol.None
}

// CheckVerified says what an append of a transactional batch with that guard would say, if CheckAppend lets it through.
func (h *hard) CheckVerified(producerID int64, epoch int16, g Guard) protocol.Code {
	return h.producers.mayWrite(h.producers.byID[producerID], producerID, epoch, g)
}

// mayWrite says whether a transactional batch may be written: its transaction is ongoing here, or it has been verified.
func (t *producers) mayWrite(p *producer, id int64, epoch int16, g Guard) protocol.Code {
	switch {
	case p != nil && p.txnFirst >= 0 && p.epoch == epoch:
		return protocol.None
	case p != nil && epoch < p.epoch:
		return protocol.InvalidProducerEpoch
	case g.v == nil || t.verifying[id] != g.v:
		return protocol.InvalidTxnState
	}
	return protocol.None
}

// verified ends the verification of a producer of which a transactional batch is in the log now. A marker that has bumped the epoch leaves
// that of the next transaction alone, which may have begun already.
func (t *producers) verified(b record.Batch) {
	id := b.ProducerID()
	if v := t.verifying[id]; v != nil && !(v.bumpsEpochs && b.Control() && b.ProducerEpoch() == v.epoch) {
		delete(t.verifying, id)
	}
}

// inOrder says whether a batch may come before those that wait; p is the producer, or nil.
func (v *verification) inOrder(first int32, p *producer) bool {
	if v.bumpsEpochs && first != 0 && (p == nil || p.n == 0) {
		return false // a transaction of version 2 begins with 0, and nothing of it is here
	}
	return first <= v.lowestSeq
}

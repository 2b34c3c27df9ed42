package partition

import (
	"cmp"
	"slices"

	"weir/protocol"
	"weir/protocol/record"
)

// begin makes p's transaction the newest of the ongoing ones.
func (t *producers) begin(p *producer) {
	p.older, p.newer = t.newest, nil
	if t.newest != nil {
		t.newest.newer = p
	} else {
		t.oldest = p
	}
	t.newest = p
}

// end merges the control batch b of p.
func (t *producers) end(p *producer, b record.Batch) (txn record.AbortedTxn, aborted bool) {
	control, coordinatorEpoch, ok := record.ReadMarker(b)
	if ok {
		p.coordinatorEpoch = coordinatorEpoch
	}
	if p.txnFirst < 0 {
		return txn, false // nothing of the transaction was written here
	}
	txn = record.AbortedTxn{ProducerID: p.id, FirstOffset: p.txnFirst, LastOffset: b.LastOffset()}
	t.ended.add(endedTxn{first: p.txnFirst, marker: b.LastOffset()})
	p.txnFirst = -1
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		t.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		t.newest = p.older
	}
	p.older, p.newer = nil, nil
	if aborted = ok && control == record.ControlAbort; aborted {
		t.lastAborted = txn.LastOffset
	}
	return txn, aborted
}

// findOngoing makes the list of ongoing transactions anew.
func (t *producers) findOngoing() {
	t.oldest, t.newest = nil, nil
	var all []*producer
	for _, p := range t.byID {
		if p.txnFirst >= 0 {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *producer) int { return cmp.Compare(a.txnFirst, b.txnFirst) })
	for _, p := range all {
		t.begin(p)
	}
}

// firstUnstable is the first offset of the oldest transaction that is ongoing, or has ended by a marker that is not below the high
// watermark; -1: none.
func (t *producers) firstUnstable() int64 {
	first := int64(-1)
	if t.oldest != nil {
		first = t.oldest.txnFirst
	}
	if len(t.ended) > 0 && (first < 0 || t.ended[0].first < first) {
		first = t.ended[0].first
	}
	return first
}

// endedTxn is a transaction whose marker may not be replicated yet.
type endedTxn struct {
	first, marker int64 // offsets
}

// endedTxns are those that still count for the last stable offset. Each ends after the one before it and also begins after it: one that
// began later than another and ended earlier says nothing that the other does not.
type endedTxns []endedTxn

func (q *endedTxns) add(e endedTxn) {
	n := len(*q)
	for n > 0 && (*q)[n-1].first >= e.first {
		n--
	}
	*q = append((*q)[:n], e)
}

// maxEndedKept is how much memory for ended transactions is kept: a load may have seen many.
const maxEndedKept = 256

// replicated drops those whose marker is below the high watermark.
func (q *endedTxns) replicated(hw int64) {
	all := *q
	n := 0
	for n < len(all) && all[n].marker < hw {
		n++
	}
	if n == 0 {
		return
	}
	if kept := all[n:]; cap(all) > maxEndedKept && len(kept) <= maxEndedKept {
		*q = append(endedTxns(nil), kept...)
	} else {
		*q = all[:copy(all, kept)]
	}
}

// checkCoordinator is check for a batch of a coordinator, which has no sequence number. version is the transaction version of a marker.
func (t *producers) checkCoordinator(b record.Batch, g Guard, version int8) protocol.Code {
	id := b.ProducerID()
	if id < 0 {
		return protocol.None
	}
	p, epoch := t.byID[id], b.ProducerEpoch()
	if b.Control() {
		_, coordinatorEpoch, ok := record.ReadMarker(b)
		if !ok {
			return protocol.InvalidRecord
		}
		return p.mayEnd(epoch, coordinatorEpoch, version)
	}
	switch {
	case p != nil && epoch < p.epoch:
		return protocol.InvalidProducerEpoch
	case !b.Transactional() && p != nil && p.txnFirst >= 0:
		return protocol.InvalidTxnState
	case b.Transactional() && g.v != nil:
		return t.mayWrite(p, id, epoch, g)
	}
	return protocol.None
}

// mayEnd says whether a marker may end the transaction of p, which is nil where nothing is known of the producer. From version 2 on
// (KIP-890) each transaction ends with a higher epoch than its records had (KIP-1228); the same one again is a repetition.
func (p *producer) mayEnd(epoch int16, coordinatorEpoch int32, version int8) protocol.Code {
	if p == nil {
		p = &unknownProducer
	}
	switch {
	case version < 2 && epoch < p.epoch,
		version >= 2 && epoch <= p.epoch && !(epoch == p.epoch && (p.txnFirst < 0 || epoch == 1<<15-1)):
		return protocol.InvalidProducerEpoch
	case coordinatorEpoch < p.coordinatorEpoch:
		return protocol.TransactionCoordinatorFenced
	}
	return protocol.None
}

// unknownProducer is one of which nothing was written.
var unknownProducer = producer{epoch: -1, coordinatorEpoch: -1, txnFirst: -1}

// CheckMarker says what an append of a marker would say, if CheckAppend lets it through.
func (h *hard) CheckMarker(producerID int64, epoch int16, coordinatorEpoch int32, version int8) protocol.Code {
	return h.producers.byID[producerID].mayEnd(epoch, coordinatorEpoch, version)
}

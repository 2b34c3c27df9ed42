package wal

import (
	"cmp"
	"slices"

	"weir/protocol/record"
)

// LastRecord is what a producer that is still known did last: its batch must stay, at least as a header, for the log to say so.
type LastRecord struct {
	Offset int64 // the last of its newest batch of data; -1: there is none, its marker of Epoch is what has to stay
	Epoch  int16
}

// cleanedTxns follows transactions while a log is walked through in order, below its last stable offset, where the outcome of each is
// known (Kafka's CleanedTransactionMetadata).
type cleanedTxns struct {
	aborted   []record.AbortedTxn // still ahead, by first offset
	ongoing   map[int64]*bool     // aborted ones, by producer: whether a batch was seen
	committed map[int64]bool      // producers with a batch of a transaction that is not aborted
}

// newCleanedTxns takes aborted over.
func newCleanedTxns(aborted []record.AbortedTxn) *cleanedTxns {
	slices.SortFunc(aborted, func(a, b record.AbortedTxn) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return &cleanedTxns{aborted: aborted}
}

func (t *cleanedTxns) upTo(offset int64) {
	for len(t.aborted) > 0 && t.aborted[0].FirstOffset <= offset {
		id := t.aborted[0].ProducerID
		if t.ongoing == nil {
			t.ongoing = make(map[int64]*bool)
		}
		if t.ongoing[id] == nil {
			t.ongoing[id] = new(bool)
		}
		t.aborted = t.aborted[1:]
	}
}

// batch says whether the records of a batch of data were aborted.
func (t *cleanedTxns) batch(b record.Batch) bool {
	t.upTo(b.LastOffset())
	if !b.Transactional() {
		return false
	}
	id := b.ProducerID()
	if seen := t.ongoing[id]; seen != nil {
		*seen = true
		return true
	}
	if t.committed == nil {
		t.committed = make(map[int64]bool)
	}
	t.committed[id] = true
	return false
}

// marker says whether a control batch has done its duty: nothing of its transaction is left in the log.
func (t *cleanedTxns) marker(b record.Batch) (done bool, err error) {
	t.upTo(b.LastOffset())
	done = true // one without a record was emptied before
	err = record.Records(b, func(r *record.Record) bool {
		control, _, ok := record.ParseMarker(r)
		id := b.ProducerID()
		switch {
		case !ok:
			done = false
		case control == record.ControlAbort:
			seen := t.ongoing[id]
			done = seen == nil || !*seen
			delete(t.ongoing, id)
		default:
			done = !t.committed[id]
			delete(t.committed, id)
		}
		return false
	})
	return done, err
}

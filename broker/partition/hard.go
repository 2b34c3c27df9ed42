package partition

import "weir/protocol/record"

// hard is the hard state and the log that it is a function of.
type hard struct {
	log       Log
	epochs    epochCache
	producers producers

	unsaved int64 // bytes appended since the newest snapshot
	dirty   bool  // something was appended, truncated or removed since then
	scratch []byte
}

// rebuild makes the state what the log says: from the newest snapshot and the batch headers after it.
func (h *hard) rebuild() error {
	start, end := h.log.Start(), h.log.End()
	h.clear()
	from := start
	for max := end; ; {
		at, state, ok, err := h.log.Snapshot(max)
		if err != nil {
			return err
		}
		// A snapshot below the log start is no use: what the removed batches in between did to producers is not known.
		if !ok || at < start || at > max {
			break
		}
		// Neither is one that knows of an aborted transaction which the index has lost: only the log can give it back.
		if decodeState(state, &h.epochs, &h.producers) == nil &&
			(h.producers.lastAborted < start || h.producers.lastAborted <= h.log.AbortedThrough()) {
			from = at
			break
		}
		h.clear()
		max = at - 1
	}
	replayed := int64(0)
	err := h.log.Scan(from, func(b record.Batch) bool {
		if b.BaseOffset() >= from || from == start {
			h.replay(b)
			replayed += int64(b.Size())
		}
		return true
	})
	if err != nil {
		return err
	}
	h.epochs.truncateFromEnd(end)
	h.epochs.truncateFromStart(start)
	h.unsaved, h.dirty = replayed, replayed > 0
	return nil
}

func (h *hard) clear() {
	h.epochs.entries = h.epochs.entries[:0]
	h.producers.clear()
}

// replay merges a batch that is in the log.
func (h *hard) replay(b record.Batch) {
	h.epochs.assign(b.LeaderEpoch(), b.BaseOffset())
	if txn, aborted := h.producers.replay(b); aborted {
		h.log.AddAborted(txn)
	}
}

// appended merges batches that were just written. due says that a snapshot should be saved, which is so every limit bytes.
func (h *hard) appended(recs []byte, limit int64) (due bool) {
	h.dirty = true
	h.unsaved += int64(len(recs))
	for len(recs) >= record.HeaderSize {
		b := record.Batch(recs)
		h.replay(b)
		recs = recs[b.Size():]
	}
	if limit <= 0 {
		limit = defaultSnapshotBytes
	}
	return h.unsaved >= limit
}

// Unsaved is how many bytes a Load now would have to look through.
func (h *hard) Unsaved() int64 { return h.unsaved }

// Producers is how many producer ids are known.
func (h *hard) Producers() int { return len(h.producers.byID) }

// DescribeProducers returns what is known of all producers, by id.
func (h *hard) DescribeProducers() []ProducerState {
	out := make([]ProducerState, 0, len(h.producers.byID))
	for _, id := range h.producers.ids() {
		p := h.producers.byID[id]
		out = append(out, ProducerState{ID: id, Epoch: p.epoch, LastSequence: p.lastSeq(), LastTimestampMs: p.timestampMs,
			CoordinatorEpoch: p.coordinatorEpoch, TxnFirst: p.txnFirst})
	}
	return out
}

// EachProducer calls fn with what is known last of each producer id; lastOffset is that of its newest batch of data, -1 where none is known.
func (h *hard) EachProducer(fn func(id int64, epoch int16, lastOffset int64)) {
	for id, p := range h.producers.byID {
		last := int64(-1)
		if p.n > 0 {
			last = p.at(int(p.n) - 1).lastOffset
		}
		fn(id, p.epoch, last)
	}
}

// SaveSnapshot keeps the hard state in the log, so that the next Load is short. It does nothing when nothing has changed since.
func (h *hard) SaveSnapshot() error {
	h.unsaved = 0
	if !h.dirty {
		return nil
	}
	h.scratch = encodeState(h.scratch[:0], &h.epochs, &h.producers)
	if err := h.log.SaveSnapshot(h.log.End(), h.scratch); err != nil {
		return err
	}
	h.dirty = false
	if cap(h.scratch) > 4<<10 {
		h.scratch = nil
	}
	return nil
}

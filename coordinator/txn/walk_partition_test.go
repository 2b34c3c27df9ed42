package txn

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// walkPartition is a partition, as far as transactions go.
type walkPartition struct {
	n         int32
	producers map[int64]*walkState
}

type walkState struct {
	epoch       int16
	coordinator int32
	seq         int32
	open        []*walkTxn // one for each record
}

// mark is a marker at the leader of the partition (KIP-1228), and holds that a transaction has one outcome, and that which it was told.
func (p *walkPartition) mark(w *walker, m *kmsg.WriteTxnMarkersRequestMarker) protocol.Code {
	st := p.producers[m.ProducerID]
	if st == nil {
		st = &walkState{epoch: -1, seq: -1}
		p.producers[m.ProducerID] = st
	}
	switch {
	case m.TransactionVersion >= 2 && m.ProducerEpoch == st.epoch && (len(st.open) == 0 || m.ProducerEpoch == lastEpoch+1): // once more
	case m.TransactionVersion >= 2 && m.ProducerEpoch <= st.epoch, m.ProducerEpoch < st.epoch:
		return protocol.InvalidProducerEpoch
	}
	if m.CoordinatorEpoch < st.coordinator {
		return protocol.TransactionCoordinatorFenced
	}
	outcome := "abort"
	if m.Committed {
		outcome = "commit"
	}
	for _, x := range st.open {
		switch {
		case x.outcome != "" && x.outcome != outcome:
			w.t.Fatalf("transaction %d is torn: %s in partition %d, %s before", x.n, outcome, p.n, x.outcome)
		case x.told != "" && x.told != outcome:
			w.t.Fatalf("transaction %d: its producer was told %s, partition %d %s", x.n, x.told, p.n, outcome)
		case m.Committed && !x.commit:
			w.t.Fatalf("transaction %d is committed, and nobody wanted it", x.n)
		}
		x.outcome = outcome
		x.closed++
		x.ended[p.n] = true
		w.count["marked "+outcome]++
	}
	if m.ProducerEpoch > st.epoch {
		st.seq = -1
	}
	st.open, st.epoch, st.coordinator = nil, m.ProducerEpoch, m.CoordinatorEpoch
	return protocol.None
}

package replica

import (
	"weir/broker/partition"
	"weir/protocol"
)

// txns is what the Manager does for transactions.
type txns struct{ m *Manager }

// StartVerification begins the verification of a producer in a partition (KIP-890). Where the guard that it returns says so the transaction
// coordinator must be asked, and the guard goes with the append. bumpsEpochs is that of transactions of version 2.
func (t *txns) StartVerification(id partition.ID, producerID int64, epoch int16, seq int32, bumpsEpochs bool) (partition.Guard, protocol.Code) {
	r, code, _ := t.m.lock(id)
	if code != protocol.None {
		return partition.Guard{}, code
	}
	defer r.mu.Unlock()
	if code := r.p.CheckAppend(1); code != protocol.None {
		return partition.Guard{}, code
	}
	return r.p.StartVerification(t.m.nowMs(), producerID, epoch, seq, bumpsEpochs)
}

// CheckVerified says what an append of a transactional batch with that guard would say: for a coordinator that appends later.
func (t *txns) CheckVerified(id partition.ID, producerID int64, epoch int16, g partition.Guard) protocol.Code {
	r, code, _ := t.m.lock(id)
	if code != protocol.None {
		return code
	}
	defer r.mu.Unlock()
	if code := r.p.CheckAppend(1); code != protocol.None {
		return code
	}
	return r.p.CheckVerified(producerID, epoch, g)
}

// CheckMarker says what an append of a marker would say: for a coordinator that writes the markers of its own topic.
func (t *txns) CheckMarker(id partition.ID, producerID int64, epoch int16, coordinatorEpoch int32, version int8) protocol.Code {
	r, code, _ := t.m.lock(id)
	if code != protocol.None {
		return code
	}
	defer r.mu.Unlock()
	if code := r.p.CheckAppend(1); code != protocol.None {
		return code
	}
	return r.p.CheckMarker(producerID, epoch, coordinatorEpoch, version)
}

// Producers describes the producers of a partition, by id. A follower knows them too.
func (t *txns) Producers(id partition.ID) ([]partition.ProducerState, protocol.Code) {
	r, code, _ := t.m.lock(id)
	if code != protocol.None {
		return nil, code
	}
	defer r.mu.Unlock()
	return r.p.DescribeProducers(), protocol.None
}

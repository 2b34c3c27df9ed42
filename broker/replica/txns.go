package replica

import (
	"weir/broker/partition"
	"weir/protocol"
)

// StartVerification begins the verification of a producer in a partition (KIP-890). Where the guard that it returns says so the transaction
// coordinator must be asked, and the guard goes with the append. bumpsEpochs is that of transactions of version 2.
func (m *Manager) StartVerification(id partition.ID, producerID int64, epoch int16, seq int32, bumpsEpochs bool) (partition.Guard, protocol.Code) {
	r, code, _ := m.lock(id)
	if code != protocol.None {
		return partition.Guard{}, code
	}
	defer r.mu.Unlock()
	return r.p.StartVerification(m.nowMs(), producerID, epoch, seq, bumpsEpochs)
}

// CheckVerified says what an append of a transactional batch with that guard would say: for a coordinator that appends later.
func (m *Manager) CheckVerified(id partition.ID, producerID int64, epoch int16, g partition.Guard) protocol.Code {
	r, code, _ := m.lock(id)
	if code != protocol.None {
		return code
	}
	defer r.mu.Unlock()
	return r.p.CheckVerified(producerID, epoch, g)
}

// CheckMarker says what an append of a marker would say: for a coordinator that writes the markers of its own topic.
func (m *Manager) CheckMarker(id partition.ID, producerID int64, epoch int16, coordinatorEpoch int32, version int8) protocol.Code {
	r, code, _ := m.lock(id)
	if code != protocol.None {
		return code
	}
	defer r.mu.Unlock()
	return r.p.CheckMarker(producerID, epoch, coordinatorEpoch, version)
}

// Producers describes the producers of a partition, by id. A follower knows them too.
func (m *Manager) Producers(id partition.ID) ([]partition.ProducerState, protocol.Code) {
	r, code, _ := m.lock(id)
	if code != protocol.None {
		return nil, code
	}
	defer r.mu.Unlock()
	return r.p.DescribeProducers(), protocol.None
}

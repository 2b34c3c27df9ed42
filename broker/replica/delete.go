package replica

import (
	"weir/broker/partition"
	"weir/protocol"
)

// DeleteRecords moves the log start to offset (-1: the high watermark).
func (m *Manager) DeleteRecords(id partition.ID, offset int64) partition.DeleteResult {
	r, code, _ := m.lock(id)
	if code != protocol.None {
		return partition.DeleteResult{Code: code, LowWatermark: -1}
	}
	if r.topic.internal {
		r.mu.Unlock()
		return partition.DeleteResult{Code: protocol.InvalidTopicException, LowWatermark: -1}
	}
	e := takeEffects()
	target, low, wait, code, err := r.p.DeleteUpTo(offset, e)
	res := partition.DeleteResult{Code: code, LowWatermark: low}
	if wait {
		k := newAck()
		r.p.AwaitDelete(target, k)
		res.LowWatermark, res.Ack = target, k
	}
	r.unlock(e)
	putEffects(e)
	if err != nil {
		r.logError("log start could not be moved", err)
	}
	return res
}

package controller

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// heartbeat decides BrokerHeartbeat (KIP-631): only a change of state makes records, plain heartbeats cost nothing.
func (c *Controller) heartbeat(in Input, q *kmsg.BrokerHeartbeatRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.BrokerHeartbeatResponse)
	r.IsFenced = true
	b, code := checkBrokerEpoch(in.Image, q.BrokerID, q.BrokerEpoch)
	if code != protocol.None {
		r.ErrorCode = int16(code)
		return r, nil
	}
	s := c.sessions[b.ID]
	next := c.nextState(in.Image, b, s, q)
	var records []Record
	if next != b.state() {
		switch next {
		case stateFenced, stateShutDown:
			if !b.Fenced {
				records = c.fence(in.Image, b, nil)
			}
		case stateUnfenced:
			records = c.unfence(in.Image, b, nil)
		case stateShuttingDown:
			records = c.shutDown(in.Image, b, nil)
		}
	}
	s.lastMs, s.metadataOffset, s.gone = in.NowMs, q.CurrentMetadataOffset, false
	fenced := next == stateFenced || next == stateShutDown
	if fenced {
		s.shutdownOffset = -1
	}
	if len(q.OfflineLogDirs) > 0 {
		records = c.offlineDirs(in.Image, b, records, q.OfflineLogDirs)
	}
	r.IsCaughtUp = q.CurrentMetadataOffset >= b.Epoch
	r.IsFenced = fenced
	r.ShouldShutdown = next == stateShutDown
	return r, records
}

func checkBrokerEpoch(m *Image, id int32, epoch int64) (*Broker, protocol.Code) {
	b := m.Broker(id)
	if b == nil || b.Epoch != epoch {
		return nil, protocol.StaleBrokerEpoch
	}
	return b, protocol.None
}

// nextState is Kafka's BrokerHeartbeatManager.calculateNextBrokerState. A broker is caught up when it has published its own
// registration, whose offset is its epoch.
func (c *Controller) nextState(m *Image, b *Broker, s *session, q *kmsg.BrokerHeartbeatRequest) brokerState {
	switch b.state() {
	case stateFenced:
		switch {
		case q.WantShutdown:
			return stateShutDown
		case !q.WantFence && q.CurrentMetadataOffset >= b.Epoch && !b.ShuttingDown:
			// One that was shutting down and then fenced does not come back but as a new incarnation.
			return stateUnfenced
		}
		return stateFenced
	case stateUnfenced:
		switch {
		case q.WantFence && q.WantShutdown:
			return stateShutDown
		case q.WantFence:
			return stateFenced
		case q.WantShutdown && leads(m, b.ID):
			return stateShuttingDown
		case q.WantShutdown:
			return stateShutDown
		}
		return stateUnfenced
	}
	if leads(m, b.ID) || s.shutdownOffset > c.lowestActiveOffset(m) {
		return stateShuttingDown
	}
	return stateShutDown
}

// offlineDirs moves leaderships away from directories that a broker lost (KIP-858). Partitions that the earlier records of the batch
// change are left to the next heartbeat, which says the same again.
func (c *Controller) offlineDirs(m *Image, b *Broker, records []Record, offline [][16]byte) []Record {
	if len(records) > 0 {
		return records
	}
	var gone, online []protocol.UUID
	for _, d := range b.LogDirs {
		if slices.Contains(offline, [16]byte(d)) {
			gone = append(gone, d)
		} else {
			online = append(online, d)
		}
	}
	if len(gone) == 0 || len(online) == 0 {
		// A broker without any directory stops itself.
		return records
	}
	inGone := func(p *Partition) bool {
		return slices.Contains(p.ISR, b.ID) && slices.Contains(gone, p.directory(b.ID))
	}
	records = c.follow(m, activity{remove: b.ID, add: noLeader, unclean: noLeader}, inGone, records)
	return append(records, &BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, LogDirs: online})
}

package controller

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// PendingEpoch stands in a BrokerRegistrationResponse for the epoch that the batch will get: its Raft index. Who commits the batch
// calls Complete.
const PendingEpoch int64 = -1

// Complete fills in what a response could not say before its records were committed at an offset.
func Complete(resp kmsg.Response, offset int64) {
	if r, ok := resp.(*kmsg.BrokerRegistrationResponse); ok && r.ErrorCode == 0 && r.BrokerEpoch == PendingEpoch {
		r.BrokerEpoch = offset
	}
}

// register decides BrokerRegistration (KIP-631). A new incarnation starts fenced and gets a new epoch; the same one amends what it said.
func (c *Controller) register(in Input, q *kmsg.BrokerRegistrationRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.BrokerRegistrationResponse)
	r.BrokerEpoch = PendingEpoch
	old := in.Image.Broker(q.BrokerID)
	if code := c.checkRegistration(in, q, old); code != protocol.None {
		r.ErrorCode = int16(code)
		return r, nil
	}
	rec := &RegisterBrokerRecord{
		BrokerID: q.BrokerID, Incarnation: q.IncarnationID, BrokerEpoch: PendingEpoch, Endpoints: endpoints(q), Fenced: true,
	}
	if q.Rack != nil {
		rec.Rack = clone(*q.Rack)
	}
	for _, f := range q.Features {
		rec.Features = append(rec.Features, FeatureRange{clone(f.Name), f.MinSupportedVersion, f.MaxSupportedVersion})
	}
	for _, d := range q.LogDirs {
		rec.LogDirs = append(rec.LogDirs, d)
	}
	var records []Record
	switch {
	case old == nil:
	case old.Incarnation == rec.Incarnation:
		rec.BrokerEpoch, rec.Fenced, rec.ShuttingDown = old.Epoch, old.Fenced, old.ShuttingDown
		r.BrokerEpoch = old.Epoch
	default:
		// Kafka leaves the old incarnation's leaderships to the broker that comes back, which may have lost its log.
		records = c.cleanUp(in.Image, old, q.PreviousBrokerEpoch == old.Epoch, nil)
		delete(c.sessions, q.BrokerID)
	}
	if c.sessions[q.BrokerID] == nil {
		c.sessions[q.BrokerID] = &session{metadataOffset: -1, shutdownOffset: -1}
	}
	c.sessions[q.BrokerID].lastMs, c.sessions[q.BrokerID].gone = in.NowMs, false
	return r, append(records, rec)
}

func endpoints(q *kmsg.BrokerRegistrationRequest) []Endpoint {
	var e []Endpoint
	for _, l := range q.Listeners {
		e = append(e, Endpoint{clone(l.Name), clone(l.Host), int32(l.Port), l.SecurityProtocol})
	}
	return e
}

func (c *Controller) checkRegistration(in Input, q *kmsg.BrokerRegistrationRequest, old *Broker) protocol.Code {
	m := in.Image
	if q.ClusterID != m.ClusterID {
		return protocol.InconsistentClusterID
	}
	if old != nil && old.Incarnation != protocol.UUID(q.IncarnationID) && c.alive(old, in.NowMs) && !c.replaces(q, old) {
		return protocol.DuplicateBrokerRegistration
	}
	if q.IsMigratingZkBroker {
		return protocol.BrokerIDNotRegistered
	}
	if !featuresFit(m, q) {
		return protocol.UnsupportedVersion
	}
	if len(q.LogDirs) == 0 {
		return protocol.InvalidRegistration
	}
	for i, d := range q.LogDirs {
		if reservedDir(d) || slices.Contains(q.LogDirs[:i], d) {
			return protocol.InvalidRegistration
		}
		for _, b := range m.brokers {
			if b.ID != q.BrokerID && slices.Contains(b.LogDirs, protocol.UUID(d)) {
				return protocol.InvalidRegistration
			}
		}
	}
	return protocol.None
}

// replaces says whether the old incarnation of a broker is provably gone although its session has not run out, so that a killed broker
// need not wait that out, as it must in Kafka: this node held its data directory before, or the new one knows what the old one was told. What
// others have proved comes by Gone.
func (c *Controller) replaces(q *kmsg.BrokerRegistrationRequest, old *Broker) bool {
	return q.BrokerID == c.cfg.NodeID || q.PreviousBrokerEpoch == old.Epoch
}

// featuresFit says whether every finalized feature is within what the broker serves.
func featuresFit(m *Image, q *kmsg.BrokerRegistrationRequest) bool {
	for name, level := range m.features {
		i := slices.IndexFunc(q.Features, func(f kmsg.BrokerRegistrationRequestFeature) bool { return f.Name == name })
		if i < 0 || level < q.Features[i].MinSupportedVersion || level > q.Features[i].MaxSupportedVersion {
			return false
		}
	}
	return true
}

// unregister decides UnregisterBroker: the cluster forgets a broker; replica lists keep its id.
func (c *Controller) unregister(in Input, q *kmsg.UnregisterBrokerRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.UnregisterBrokerResponse)
	b := in.Image.Broker(q.BrokerID)
	if b == nil {
		r.ErrorCode = int16(protocol.BrokerIDNotRegistered)
		message := "Broker ID " + strconv.Itoa(int(q.BrokerID)) + " is not currently registered"
		r.ErrorMessage = &message
		return r, nil
	}
	a := activity{remove: b.ID, add: noLeader, unclean: b.ID}
	records := c.follow(in.Image, a, func(p *Partition) bool {
		return slices.Contains(p.ISR, b.ID) || slices.Contains(p.ELR, b.ID)
	}, nil)
	return r, append(records, &UnregisterBrokerRecord{b.ID, b.Epoch})
}

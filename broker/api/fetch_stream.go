package api

import (
	"slices"

	"weir/protocol"
)

// Stream implements Streamed: the envelope is made in one go and cut where the records of a partition belong, which go from the log
// to the socket without passing through here.
func (o *fetchOp) Stream(correlationID int32, w Sink) error {
	o.sent = o.sent[:0]
	e := &o.encoder
	e.Start(o.version, correlationID, 0, o.code, o.sessionID, o.topicRuns())
	for i := 0; i < len(o.parts); {
		i = o.encodeTopic(i)
	}
	e.Finish(o.leaderEndpoints())
	envelope, at := e.Envelope(), 0
	for _, c := range e.Cuts() {
		w.Bytes(envelope[at:c.At])
		at = c.At
		if err := w.Data(&o.parts[o.sent[c.Partition]].res.Records); err != nil {
			return err
		}
	}
	w.Bytes(envelope[at:])
	return nil
}

// topicRuns counts the topics of the response: Kafka groups neighbours of the same topic, and no more.
func (o *fetchOp) topicRuns() int {
	n, last := 0, -1
	for i := range o.parts {
		if !o.send[i] {
			continue
		}
		if last < 0 || !o.sameTopic(last, i) {
			n++
		}
		last = i
	}
	return n
}

func (o *fetchOp) sameTopic(i, j int) bool {
	a, b := &o.fetch.Parts[i], &o.fetch.Parts[j]
	return a.ID == b.ID && a.Name == b.Name
}

// encodeTopic writes the run of partitions of one topic that starts at i, and returns where the next may start.
func (o *fetchOp) encodeTopic(i int) int {
	for i < len(o.parts) && !o.send[i] {
		i++
	}
	if i == len(o.parts) {
		return i
	}
	end, n := i, 0
	for ; end < len(o.parts); end++ {
		if !o.send[end] {
			continue
		}
		if !o.sameTopic(i, end) {
			break
		}
		n++
	}
	o.encoder.Topic(o.fetch.Parts[i].Name, o.fetch.Parts[i].ID, n)
	for ; i < end; i++ {
		if o.send[i] {
			o.encodePartition(i)
		}
	}
	return end
}

func (o *fetchOp) encodePartition(i int) {
	r := &o.parts[i].res
	p := protocol.FetchPartition{
		Index: o.fetch.Parts[i].Index, Code: r.Code, HighWatermark: r.HighWatermark, LastStable: r.LastStable, LogStart: r.LogStart,
		DivergingEpoch: r.Diverging.Epoch, DivergingEnd: r.Diverging.End, LeaderID: -1, LeaderEpoch: -1,
		PreferredReplica: r.PreferredReplica, RecordBytes: r.Records.Size,
	}
	if p.DivergingEpoch < 0 {
		p.DivergingEnd = -1
	}
	if o.version >= 16 && (r.Code == protocol.NotLeaderOrFollower || r.Code == protocol.FencedLeaderEpoch) {
		p.LeaderID, p.LeaderEpoch = r.LeaderID, r.LeaderEpoch
	}
	o.aborted = o.aborted[:0]
	for _, a := range r.Aborted {
		o.aborted = append(o.aborted, protocol.AbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset})
	}
	if p.Aborted = o.aborted; r.Aborted == nil {
		p.Aborted = nil
	} else if p.Aborted == nil {
		p.Aborted = []protocol.AbortedTransaction{}
	}
	o.encoder.Partition(&p)
	o.sent = append(o.sent, i)
}

// leaderEndpoints names the brokers of the leader hints (KIP-951).
func (o *fetchOp) leaderEndpoints() []protocol.NodeEndpoint {
	if o.version < 16 || o.follower || o.code != protocol.None {
		return nil
	}
	var out []protocol.NodeEndpoint
	for i := range o.parts {
		r := &o.parts[i].res
		if !o.send[i] || r.LeaderID < 0 || r.Code != protocol.NotLeaderOrFollower && r.Code != protocol.FencedLeaderEpoch {
			continue
		}
		if slices.ContainsFunc(out, func(n protocol.NodeEndpoint) bool { return n.ID == r.LeaderID }) {
			continue
		}
		if host, port, rack, ok := endpoint(o.s.Image(), r.LeaderID, o.listener); ok {
			n := protocol.NodeEndpoint{ID: r.LeaderID, Host: host, Port: port}
			if rack != nil {
				n.Rack = *rack
			}
			out = append(out, n)
		}
	}
	return out
}

package protocol

import "encoding/binary"

// FetchEncoder writes a Fetch response, v4 to v18, frame size and response header included, without its record bytes: it leaves
// out where they go, and the caller sends envelope and records in turn, straight from the log. The calls are Start, then for each
// topic Topic and so many times Partition, then Finish. The zero value is ready; its buffers are used again by the next Start. It
// is for one goroutine.
type FetchEncoder struct {
	buf        []byte
	cuts       []FetchCut
	partitions int // calls of Partition so far
	records    int // bytes of records so far
	version    int16
	flexible   bool
	inTopic    bool
}

// FetchCut is a place in the envelope where the record bytes of a partition go.
type FetchCut struct {
	At        int // so many bytes of the envelope come before them
	Partition int // which call of Partition it was, from 0
	Bytes     int // how many they are, never 0
}

// FetchPartition is one partition of a Fetch response.
type FetchPartition struct {
	Index            int32
	Code             Code
	HighWatermark    int64
	LastStable       int64
	LogStart         int64
	DivergingEpoch   int32 // with DivergingEnd: where the follower's log parts from the leader's (KIP-595); both -1: it does not
	DivergingEnd     int64
	LeaderID         int32 // with LeaderEpoch: the leader known here, where the client asked another (KIP-951); both -1: none
	LeaderEpoch      int32
	Aborted          []AbortedTransaction // nil: null, for readers that are not read-committed
	PreferredReplica int32                // -1: none (KIP-392)
	RecordBytes      int                  // how many record bytes there are; 0 is an empty set, never null
}

// AbortedTransaction is one that a read-committed reader has to skip.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
}

// NodeEndpoint says where a broker of a leader hint is (KIP-951).
type NodeEndpoint struct {
	ID   int32
	Host string
	Port int32
	Rack string // "": null
}

// Start begins the response to a request of version. code and sessionID are those of the fetch session (KIP-227), topics is how
// many topics follow.
func (e *FetchEncoder) Start(version int16, correlationID, throttleMs int32, code Code, sessionID int32, topics int) {
	e.version, e.flexible, e.inTopic = version, version >= 12, false
	e.cuts, e.partitions, e.records = e.cuts[:0], 0, 0
	b := append(e.buf[:0], 0, 0, 0, 0) // the frame size
	b = append32(b, correlationID)
	if e.flexible {
		b = append(b, 0)
	}
	b = append32(b, throttleMs)
	if version >= 7 {
		b = append16(b, int16(code))
		b = append32(b, sessionID)
	}
	e.buf = appendCount(b, topics, e.flexible)
}

// Topic begins a topic of so many partitions. Up to v12 it goes by its name, from v13 by its id.
func (e *FetchEncoder) Topic(name string, id UUID, partitions int) {
	e.endTopic()
	e.inTopic = true
	if e.version >= 13 {
		e.buf = append(e.buf, id[:]...)
	} else {
		e.buf = appendString(e.buf, name, e.flexible)
	}
	e.buf = appendCount(e.buf, partitions, e.flexible)
}

func (e *FetchEncoder) endTopic() {
	if e.inTopic && e.flexible {
		e.buf = append(e.buf, 0)
	}
}

// Partition adds a partition to the topic. Nothing of p is kept.
func (e *FetchEncoder) Partition(p *FetchPartition) {
	b := append32(e.buf, p.Index)
	b = append16(b, int16(p.Code))
	b = append64(b, p.HighWatermark)
	b = append64(b, p.LastStable)
	if e.version >= 5 {
		b = append64(b, p.LogStart)
	}
	if p.Aborted == nil {
		b = appendCount(b, -1, e.flexible)
	} else {
		b = appendCount(b, len(p.Aborted), e.flexible)
	}
	for _, a := range p.Aborted {
		b = append64(b, a.ProducerID)
		b = append64(b, a.FirstOffset)
		if e.flexible {
			b = append(b, 0)
		}
	}
	if e.version >= 11 {
		b = append32(b, p.PreferredReplica)
	}
	b = appendCount(b, p.RecordBytes, e.flexible)
	if p.RecordBytes > 0 {
		e.cuts = append(e.cuts, FetchCut{At: len(b), Partition: e.partitions, Bytes: p.RecordBytes})
		e.records += p.RecordBytes
	}
	e.partitions++
	if e.flexible {
		b = p.appendTags(b)
	}
	e.buf = b
}

// appendTags appends the tagged fields of a partition; those with their default are left out.
func (p *FetchPartition) appendTags(b []byte) []byte {
	at := len(b)
	b = append(b, 0)
	if p.DivergingEpoch != -1 || p.DivergingEnd != -1 {
		b[at]++
		b = append(b, 0, 4+8+1)
		b = append32(b, p.DivergingEpoch)
		b = append64(b, p.DivergingEnd)
		b = append(b, 0)
	}
	if p.LeaderID != -1 || p.LeaderEpoch != -1 {
		b[at]++
		b = append(b, 1)
		b = appendLeader(b, p.LeaderID, p.LeaderEpoch)
	}
	return b
}

// appendLeader appends a CurrentLeader with its size.
func appendLeader(b []byte, id, epoch int32) []byte {
	b = append(b, 4+4+1)
	b = append32(b, id)
	b = append32(b, epoch)
	return append(b, 0)
}

// Finish ends the response and returns the size of all of it in bytes, records and frame size included. endpoints are the brokers
// of the leader hints; they go out from v16 on.
func (e *FetchEncoder) Finish(endpoints []NodeEndpoint) int {
	e.endTopic()
	if e.flexible {
		if len(endpoints) > 0 && e.version >= 16 {
			e.buf = appendEndpoints(append(e.buf, 1), endpoints)
		} else {
			e.buf = append(e.buf, 0)
		}
	}
	size := len(e.buf) + e.records
	binary.BigEndian.PutUint32(e.buf, uint32(size-4))
	return size
}

// Envelope is all but the records, after Finish. It is valid until the next Start.
func (e *FetchEncoder) Envelope() []byte { return e.buf }

// Cuts are the places of the records in the envelope, in order. They are valid until the next Start.
func (e *FetchEncoder) Cuts() []FetchCut { return e.cuts }

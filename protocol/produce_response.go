package protocol

import "encoding/binary"

// ProduceEncoder writes a Produce response, v3 to v13, frame size and response header included. The calls are Start, then for each
// topic Topic and so many times Partition, then Finish. The zero value is ready; its buffer is used again by the next Start. It is
// for one goroutine.
type ProduceEncoder struct {
	buf      []byte
	version  int16
	flexible bool
	inTopic  bool
}

// ProducePartition is one partition of a Produce response.
type ProducePartition struct {
	Index           int32
	Code            Code
	BaseOffset      int64 // -1 with an error
	LogAppendTimeMs int64 // -1 with CreateTime
	LogStart        int64
	RecordErrors    []RecordError
	Message         string // "": null
	LeaderID        int32  // with LeaderEpoch: the leader known here, where the client asked another (KIP-951); both -1: none
	LeaderEpoch     int32
}

// RecordError says which record of a batch was refused, by its index in the batch, and why (KIP-467).
type RecordError struct {
	Index   int32
	Message string // "": null
}

// Start begins the response to a request of version; topics is how many topics follow.
func (e *ProduceEncoder) Start(version int16, correlationID int32, topics int) {
	e.version, e.flexible, e.inTopic = version, version >= 9, false
	b := append(e.buf[:0], 0, 0, 0, 0) // the frame size
	b = append32(b, correlationID)
	if e.flexible {
		b = append(b, 0)
	}
	e.buf = appendCount(b, topics, e.flexible)
}

// Topic begins a topic of so many partitions. Up to v12 it goes by its name, from v13 by its id.
func (e *ProduceEncoder) Topic(name string, id UUID, partitions int) {
	e.endTopic()
	e.inTopic = true
	if e.version >= 13 {
		e.buf = append(e.buf, id[:]...)
	} else {
		e.buf = appendString(e.buf, name, e.flexible)
	}
	e.buf = appendCount(e.buf, partitions, e.flexible)
}

func (e *ProduceEncoder) endTopic() {
	if e.inTopic && e.flexible {
		e.buf = append(e.buf, 0)
	}
}

// Partition adds a partition to the topic and returns its place, for Fail. Nothing of p is kept. The leader goes out from v10 on.
func (e *ProduceEncoder) Partition(p *ProducePartition) (place int) {
	place = len(e.buf)
	b := append32(e.buf, p.Index)
	b = append16(b, int16(p.Code))
	b = append64(b, p.BaseOffset)
	b = append64(b, p.LogAppendTimeMs)
	if e.version >= 5 {
		b = append64(b, p.LogStart)
	}
	if e.version >= 8 {
		b = appendCount(b, len(p.RecordErrors), e.flexible)
		for i := range p.RecordErrors {
			b = append32(b, p.RecordErrors[i].Index)
			b = appendNullable(b, p.RecordErrors[i].Message, e.flexible)
			if e.flexible {
				b = append(b, 0)
			}
		}
		b = appendNullable(b, p.Message, e.flexible)
	}
	if e.flexible {
		if e.version >= 10 && (p.LeaderID != -1 || p.LeaderEpoch != -1) {
			b = append(b, 1, 0)
			b = appendLeader(b, p.LeaderID, p.LeaderEpoch)
		} else {
			b = append(b, 0)
		}
	}
	e.buf = b
	return place
}

// Fail makes an error of the partition at place, which was none, also after Finish: what is acknowledged late need not be encoded
// late.
func (e *ProduceEncoder) Fail(place int, code Code) {
	b := append16(e.buf[:place+4], int16(code)) // in place: what is written is as long as what was there
	b = append64(append64(b, -1), -1)
	if e.version >= 5 {
		append64(b, -1)
	}
}

// Finish ends the response and returns the whole frame, which is valid until the next Start. endpoints are the brokers of the
// leader hints; they go out from v10 on.
func (e *ProduceEncoder) Finish(throttleMs int32, endpoints []NodeEndpoint) []byte {
	e.endTopic()
	b := append32(e.buf, throttleMs)
	if e.flexible {
		if len(endpoints) > 0 && e.version >= 10 {
			b = appendEndpoints(append(b, 1), endpoints)
		} else {
			b = append(b, 0)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	e.buf = b
	return b
}

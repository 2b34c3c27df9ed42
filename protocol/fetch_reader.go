package protocol

import (
	"encoding/binary"
	"fmt"
)

// FetchedPartition is one partition of a Fetch response as a follower gets it. Records aliases the frame.
type FetchedPartition struct {
	Topic UUID
	FetchPartition
	Records []byte
}

// FetchedHead is what a Fetch response says of itself.
type FetchedHead struct {
	ThrottleMs int32
	Code       Code
	SessionID  int32
}

// ReadFetchResponse reads the body of a Fetch response of version 13 to 18 and calls each with its partitions, in order; what that is handed
// is valid during the call, and Records as long as the body. Aborted transactions are not read: followers get none. Nothing is allocated for a partition.
// Errors wrap ErrMalformed; partitions before what is wrong were handed over then.
func ReadFetchResponse(body []byte, each func(p *FetchedPartition)) (FetchedHead, error) {
	r := reader{b: body}
	h := FetchedHead{ThrottleMs: r.int32(), Code: Code(r.int16()), SessionID: r.int32()}
	var p FetchedPartition
	for topics := r.count(); topics > 0 && !r.bad; topics-- {
		r.uuid(&p.Topic)
		for n := r.count(); n > 0 && !r.bad; n-- {
			r.fetchedPartition(&p)
			if !r.bad {
				each(&p)
			}
		}
		r.tags(nil)
	}
	r.tags(nil)
	if r.bad || len(r.b) > 0 {
		return h, fmt.Errorf("%w: a Fetch response of %d bytes", ErrMalformed, len(body))
	}
	return h, nil
}

func (r *reader) fetchedPartition(p *FetchedPartition) {
	p.Index, p.Code = r.int32(), Code(r.int16())
	p.HighWatermark, p.LastStable, p.LogStart = r.int64(), r.int64(), r.int64()
	for n := r.count(); n > 0 && !r.bad; n-- {
		r.skip(8 + 8)
		r.tags(nil)
	}
	p.PreferredReplica = r.int32()
	p.Records = r.bytes(r.count())
	p.RecordBytes = len(p.Records)
	p.DivergingEpoch, p.DivergingEnd, p.LeaderID, p.LeaderEpoch = -1, -1, -1, -1
	r.tags(func(tag uint32, b *reader) {
		switch tag {
		case 0:
			p.DivergingEpoch, p.DivergingEnd = b.int32(), b.int64()
		case 1:
			p.LeaderID, p.LeaderEpoch = b.int32(), b.int32()
		}
	})
}

func (r *reader) int64() int64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := int64(binary.BigEndian.Uint64(r.b))
	r.b = r.b[8:]
	return v
}

func (r *reader) uuid(u *UUID) {
	if len(r.b) < len(u) {
		r.fail()
		return
	}
	r.b = r.b[copy(u[:], r.b):]
}

// count reads the compact length of an array or of bytes; null counts as none. It is never more than there are bytes left.
func (r *reader) count() int {
	n := r.uvarint()
	if n == 0 {
		return 0
	}
	if n--; uint64(n) > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// tags reads tagged fields; those that known does not look at are skipped.
func (r *reader) tags(known func(tag uint32, b *reader)) {
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		tag, size := r.uvarint(), r.uvarint()
		if uint64(size) > uint64(len(r.b)) {
			r.fail()
			return
		}
		b := reader{b: r.bytes(int(size))}
		if known != nil {
			if known(tag, &b); b.bad {
				r.fail()
			}
		}
	}
}

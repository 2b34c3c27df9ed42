package controller

import (
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// producerIDBlock is how many producer ids a broker is given at once (KIP-730).
const producerIDBlock = 1000

// allocateProducerIDs decides AllocateProducerIds. No id is ever given twice.
func (c *Controller) allocateProducerIDs(in Input, q *kmsg.AllocateProducerIDsRequest) (kmsg.Response, []Record) {
	r := q.ResponseKind().(*kmsg.AllocateProducerIDsResponse)
	if _, code := checkBrokerEpoch(in.Image, q.BrokerID, q.BrokerEpoch); code != protocol.None {
		r.ErrorCode = int16(code)
		return r, nil
	}
	first := in.Image.nextProducerID
	if first > math.MaxInt64-producerIDBlock {
		r.ErrorCode = int16(protocol.UnknownServerError)
		return r, nil
	}
	r.ProducerIDStart, r.ProducerIDLen = first, producerIDBlock
	return r, []Record{&ProducerIDsRecord{q.BrokerID, q.BrokerEpoch, first + producerIDBlock}}
}

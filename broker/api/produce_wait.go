package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/protocol"
)

// produceWait is what is left to wait for: the partition's place in the response, and its outcome.
type produceWait struct {
	topic, part int
	ack         partition.Ack
}

// awaitProduce waits for all outcomes, but not beyond the deadline: what is not there then has timed out, though it is in the log.
func awaitProduce(ctx context.Context, s *Server, resp *kmsg.ProduceResponse, waits []produceWait, deadline time.Time) (Response, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline.Sub(s.Now()))
	defer cancel()
	for _, w := range waits {
		rp := &resp.Topics[w.topic].Partitions[w.part]
		code := protocol.RequestTimedOut
		select {
		case <-w.ack.Done():
			code = w.ack.Code()
		default:
			select {
			case <-w.ack.Done():
				code = w.ack.Code()
			case <-ctx.Done():
			}
		}
		if code != protocol.None {
			rp.ErrorCode, rp.BaseOffset, rp.LogAppendTime, rp.LogStartOffset = int16(code), -1, -1, -1
		}
	}
	return resp, nil
}

package api

import (
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// producerIDs hands out producer ids from blocks that the controller allocates to this broker, and asks for the next block in time.
// What is left of a block is lost with the process: an id is never given out twice. The zero value has none.
type producerIDs struct {
	mu       sync.Mutex
	use      idBlock     // where ids come from
	size     int64       // how many it had
	next     idBlock     // what comes after it
	fetching *blockFetch // nil: no request for a block is under way
}

// idBlock is the ids from first to end, end excluded.
type idBlock struct{ first, end int64 }

func (b *idBlock) left() int64 { return b.end - b.first }

// blockFetch is a request for a block. failed is valid when done is closed.
type blockFetch struct {
	done   chan struct{}
	failed bool
}

// take gives out up to n ids, and has the next block fetched when nine tenths are used up. Where there is none it returns what to wait for.
func (p *producerIDs) take(s *Server, n int64) (ids idBlock, coming *blockFetch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.use.left() == 0 && p.next.left() > 0 {
		p.use, p.size, p.next = p.next, p.next.left(), idBlock{}
	}
	if p.next.left() == 0 && p.use.left() <= p.size/10 && p.fetching == nil {
		f := &blockFetch{done: make(chan struct{})}
		p.fetching = f
		later(s.Log, func() Response {
			p.fetch(s, f)
			return nil
		})
	}
	ids = idBlock{p.use.first, p.use.first + min(n, p.use.left())}
	p.use.first = ids.end
	return ids, p.fetching
}

// wait gives out ids as soon as there are any, for at most the given time and unless the controller refuses.
func (p *producerIDs) wait(s *Server, n int64, coming *blockFetch, limit time.Duration) (ids idBlock) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for {
		select {
		case <-coming.done:
			if coming.failed {
				return idBlock{}
			}
		case <-timeout.C:
			return idBlock{}
		}
		if ids, coming = p.take(s, n); ids.left() > 0 { // others may have been faster: then the next block is coming
			return ids
		}
	}
}

// ProducerIDs gives out up to n producer ids, that nobody else has: first and those after it. It may wait for the controller.
func (s *Server) ProducerIDs(n int64) (first, count int64, err error) {
	ids, coming := s.producers.take(s, n)
	if ids.left() == 0 {
		ids = s.producers.wait(s, n, coming, producerIDWait)
	}
	if ids.left() == 0 {
		return 0, 0, protocol.CoordinatorLoadInProgress
	}
	return ids.first, ids.left(), nil
}

// fetch gets a block from the controller.
func (p *producerIDs) fetch(s *Server, f *blockFetch) {
	b, err := s.allocateProducerIDs()
	if err != nil {
		s.Log.Warn("no producer ids from the controller", "error", err.Error())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next, p.fetching, f.failed = b, nil, err != nil
	close(f.done)
}

// allocateProducerIDs asks the controller for a block.
func (s *Server) allocateProducerIDs() (idBlock, error) {
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID, req.BrokerEpoch = s.NodeID, -1
	if b := s.Image().Broker(s.NodeID); b != nil {
		req.BrokerEpoch = b.Epoch
	}
	resp, err := submit[*kmsg.AllocateProducerIDsResponse](s, s.forwardTimeout(), req)
	switch {
	case err != nil:
		return idBlock{}, err
	case resp.ErrorCode != 0:
		return idBlock{}, protocol.Code(resp.ErrorCode)
	case resp.ProducerIDLen <= 0:
		return idBlock{}, errors.New("the controller gave an empty block of producer ids")
	}
	return idBlock{resp.ProducerIDStart, resp.ProducerIDStart + int64(resp.ProducerIDLen)}, nil
}

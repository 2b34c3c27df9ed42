package raft

import (
	"context"
	"sync"
	"sync/atomic"

	"weir/controller"
)

// publication is one step from an image to the next.
type publication struct {
	old, new *controller.Image
	delta    *controller.Delta
}

// Subscriber sees every image in order, one call at a time: old is what it saw last, d what changed. It must not call Submit or
// Subscribe, and should be quick: requests are answered after it.
type Subscriber func(old, new *controller.Image, d *controller.Delta)

// publisher carries images to the subscribers, in order, on one goroutine, so that applying them never waits.
type publisher struct {
	current atomic.Pointer[controller.Image]

	mu          sync.Mutex
	wake        *sync.Cond // queue or published changed, or closed
	queue       []publication
	published   int64 // the offset of current
	closed      bool
	subscribing sync.Mutex // held while subscribers are called
	subscribers []Subscriber
}

func newPublisher() *publisher {
	p := &publisher{}
	p.wake = sync.NewCond(&p.mu)
	p.current.Store(controller.NewImage())
	return p
}

// add queues a step. It never waits.
func (p *publisher) add(s publication) {
	p.mu.Lock()
	p.queue = append(p.queue, s)
	p.mu.Unlock()
	p.wake.Broadcast()
}

// run publishes until close.
func (p *publisher) run() {
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && !p.closed {
			p.wake.Wait()
		}
		if p.closed {
			p.mu.Unlock()
			return
		}
		steps := p.queue
		p.queue = nil
		p.mu.Unlock()
		for _, s := range steps {
			p.step(s)
		}
	}
}

func (p *publisher) step(s publication) {
	p.subscribing.Lock()
	for _, f := range p.subscribers {
		f(s.old, s.new, s.delta)
	}
	p.current.Store(s.new)
	p.subscribing.Unlock()
	p.mu.Lock()
	p.published = s.new.Offset
	p.mu.Unlock()
	p.wake.Broadcast()
}

// subscribe adds f and calls it with everything so far.
func (p *publisher) subscribe(f Subscriber) {
	p.subscribing.Lock()
	defer p.subscribing.Unlock()
	img := p.current.Load()
	f(controller.NewImage(), img, controller.FullDelta(img))
	p.subscribers = append(p.subscribers, f)
}

// wait returns when an offset is published; false if the publisher closed before.
func (p *publisher) wait(offset int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.published < offset && !p.closed {
		p.wake.Wait()
	}
	return p.published >= offset
}

// waitFor is wait that ends with ctx, if that wakes it. An offset of a cluster without an id is not enough.
func (p *publisher) waitFor(ctx context.Context, offset int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for (p.published < offset || p.current.Load().ClusterID == "") && !p.closed && ctx.Err() == nil {
		p.wake.Wait()
	}
	return p.published >= offset && !p.closed && ctx.Err() == nil
}

func (p *publisher) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.wake.Broadcast()
}

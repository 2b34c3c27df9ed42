package broker

import (
	"context"
	"time"

	"weir/controller"
)

// How a broker leaves: Kafka's controlled shutdown.
const (
	leaveEvery   = 10 * time.Millisecond // between two heartbeats that ask whether it may
	leaveAnswer  = time.Second           // how long each waits for the controller
	leaveAtMost  = 30 * time.Second      // then it ends whether others lead or not
	leaveRefused = 2                     // so many heartbeats in a row without an answer say that there is no controller any more
)

// leave has the controller move what this broker leads to others, and returns when it has, and they know: clients then find the new leaders
// without a gap. It does nothing where there is nobody to take over.
func (b *Broker) leave(epoch int64) {
	end := time.Now().Add(leaveAtMost)
	for failed := 0; failed < leaveRefused && time.Now().Before(end) && b.hasOthers(); {
		ctx, cancel := context.WithTimeout(context.Background(), leaveAnswer)
		r, err := b.heartbeat(ctx, epoch, true)
		cancel()
		switch {
		case err != nil:
			failed++
		case r.ShouldShutdown:
			return
		default:
			failed = 0
		}
		select {
		case <-time.After(leaveEvery):
		case <-b.node.Done():
			return
		}
	}
}

// hasOthers says whether another broker serves, as far as this one knows.
func (b *Broker) hasOthers() bool {
	img := b.node.Image()
	for _, o := range img.Brokers() {
		if o.ID != b.nodeID && img.Active(o.ID) {
			return true
		}
	}
	return false
}

// hurry is a Subscriber: where a broker leaves, the controller waits until all others know, so they tell it at once.
func (b *Broker) hurry(_, img *controller.Image, d *controller.Delta) {
	for _, id := range d.Brokers {
		if o := img.Broker(id); o != nil && o.ShuttingDown && id != b.nodeID {
			b.tasks.Go(func() {
				if b.node.WaitImage(b.ctx, img.Offset) == nil {
					b.placed.kick()
				}
			})
		}
	}
}

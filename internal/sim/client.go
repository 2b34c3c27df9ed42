package sim

import (
	"fmt"

	"weir/protocol"
)

// client produces one value after another, with acks=all.
type client struct {
	w       *World
	id      int
	n       int
	stopped bool
	leader  [64]int32 // what it thinks who leads each partition, 0: it does not know
}

// next produces the next value. What comes of it may never be known.
func (c *client) next() {
	if c.stopped {
		return
	}
	w := c.w
	ids := w.all()
	id := ids[w.rng.IntN(len(ids))]
	at := &c.leader[id.Partition%64]
	if *at == 0 {
		b := w.brokers[w.rng.IntN(len(w.brokers))] // whatever broker it asks
		if p := b.img.Partition(id.Topic, id.Partition); b.up && p != nil && p.Leader > 0 {
			*at = p.Leader
		} else {
			w.after(20, c.next)
			return
		}
	}
	value := fmt.Sprintf("client %d value %d", c.id, c.n)
	c.n++
	over := false
	to := w.broker(*at)
	// A client's node is not cut off from any broker but loses messages as others do; 100 and above are clients.
	self := int32(100 + c.id)
	w.send(self, to.id, func() {
		if !to.up {
			return
		}
		to.produce(id, value, func(code protocol.Code) {
			w.send(to.id, self, func() {
				if code == protocol.None {
					w.check.acknowledged(id, value) // also where the client has given up
				}
				if !over {
					over = true
					if code != protocol.None {
						*at = 0
					}
					w.after(w.between(0, 10), c.next)
				}
			})
		})
	})
	w.after(800, func() {
		if !over {
			over = true
			*at = 0
			c.next()
		}
	})
}

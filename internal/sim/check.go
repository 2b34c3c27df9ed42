package sim

import (
	"bytes"
	"math"

	"weir/broker/partition"
	"weir/protocol/record"
)

// checker holds what must be true.
type checker struct {
	w       *World
	acked   map[partition.ID][]string
	leaders map[led]int32
	hws     map[led]int64 // the high watermark of a leader in its epoch
	count   int
}

type led struct {
	id    partition.ID
	epoch int32
}

func (c *checker) init(w *World) {
	c.w, c.acked, c.leaders, c.hws = w, map[partition.ID][]string{}, map[led]int32{}, map[led]int64{}
}

func (c *checker) acknowledged(id partition.ID, value string) {
	c.acked[id] = append(c.acked[id], value)
	c.count++
}

// led: in a leader epoch one broker takes records.
func (c *checker) led(id partition.ID, epoch, broker int32) {
	k := led{id, epoch}
	if first, ok := c.leaders[k]; ok && first != broker {
		c.w.fail("brokers %d and %d both took records of partition %d in leader epoch %d", first, broker, id.Partition, epoch)
	}
	c.leaders[k] = broker
}

// moved: the high watermark of a leader never goes back, and what is below it is the same wherever it is known.
func (c *checker) moved(r *replica) {
	leader, epoch := r.p.Leader()
	hw := r.p.HighWatermark()
	if leader == r.b.id {
		k := led{r.id, epoch}
		if last, ok := c.hws[k]; ok && hw < last {
			c.w.fail("partition %d, epoch %d: the high watermark went back from %d to %d", r.id.Partition, epoch, last, hw)
		}
		c.hws[k] = hw
	}
	if hw > r.log.End() || hw < r.log.Start() {
		c.w.fail("broker %d, partition %d: high watermark %d of a log %d..%d", r.b.id, r.id.Partition, hw, r.log.Start(), r.log.End())
	}
}

// equalBelow: two replicas are the same below what both know to be replicated, in the last so many offsets.
func (c *checker) equalBelow(id partition.ID, last int64) {
	var first *replica
	for _, b := range c.w.brokers {
		r := b.parts[id]
		if !b.up || r == nil {
			continue
		}
		if first == nil {
			first = r
			continue
		}
		limit := min(first.p.HighWatermark(), r.p.HighWatermark())
		start := max(first.log.Start(), r.log.Start(), limit-last)
		if start < limit && !bytes.Equal(bytesOf(first, start, limit, 1<<30), bytesOf(r, start, limit, 1<<30)) {
			c.w.fail("partition %d of brokers %d and %d differs below %d", id.Partition, first.b.id, b.id, limit)
		}
	}
}

// often compares replicas now and then.
func (c *checker) often() {
	c.w.after(250, c.often)
	for _, id := range c.w.all() {
		c.equalBelow(id, 50)
	}
}

// atEnd: when all has been well for a while all replicas are in sync and the same, and have all that was acknowledged.
func (c *checker) atEnd() {
	if c.w.failed != nil {
		return
	}
	for _, id := range c.w.all() {
		p := c.w.quorum.committed.Partition(id.Topic, id.Partition)
		if len(p.ISR) != len(p.Replicas) || p.Leader < 0 {
			c.w.fail("partition %d does not come back: %+v", id.Partition, p)
			return
		}
		c.equalBelow(id, math.MaxInt64)
		leader := c.w.broker(p.Leader).parts[id]
		for _, b := range c.w.brokers {
			r := b.parts[id]
			if r == nil {
				continue
			}
			if r.log.End() != leader.log.End() || r.p.HighWatermark() != leader.p.HighWatermark() || leader.p.HighWatermark() != leader.log.End() {
				c.w.fail("partition %d: broker %d has %v, the leader %v", id.Partition, b.id, r.p, leader.p)
			}
		}
		have := map[string]bool{}
		for rest := bytesOf(leader, leader.log.Start(), leader.log.End(), 1<<30); len(rest) > 0; {
			b, next, err := record.Next(rest)
			if err != nil {
				c.w.fail("partition %d: %w", id.Partition, err)
				return
			}
			_ = record.Records(b, func(x *record.Record) bool { have[string(x.Value)] = true; return true })
			rest = next
		}
		for _, v := range c.acked[id] {
			if !have[v] {
				c.w.fail("partition %d: %q was acknowledged and is lost", id.Partition, v)
				return
			}
		}
	}
	if c.count == 0 {
		c.w.fail("nothing was ever acknowledged")
	}
}

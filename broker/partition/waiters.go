package partition

import "weir/protocol"

// watcher is somebody who waits for data, a long poll. It stays until Unwatch, as one poll may need several appends.
type watcher struct {
	w         Waiter
	offset    int64
	isolation Isolation
}

// produceWaiter is a produce request that is in the log and waits to be acknowledged.
type produceWaiter struct {
	to       Completer
	required int64 // the offset after its last record
	hw, sync bool  // what has to reach it
}

// deleteWaiter is a DeleteRecords request that waits for the followers.
type deleteWaiter struct {
	to     Completer
	offset int64
}

// limit is where readers of an isolation level have to stop.
func (p *Partition) limit(i Isolation) int64 {
	switch i {
	case ReadToEnd:
		return p.log.End()
	case ReadCommitted:
		return p.LastStable()
	}
	return p.hw
}

// Watch has w woken when there is something to read at offset, or something changes that a reader has to know. ready says that it is
// so already; w is kept all the same.
func (p *Partition) Watch(offset int64, i Isolation, w Waiter) (ready bool) {
	p.watchers = append(p.watchers, watcher{w: w, offset: offset, isolation: i})
	return p.failed != protocol.None || p.limit(i) > offset || offset < p.log.Start() || offset > p.log.End()
}

// Unwatch forgets all that w waits for in this partition.
func (p *Partition) Unwatch(w Waiter) {
	kept := p.watchers[:0]
	for _, x := range p.watchers {
		if x.w != w {
			kept = append(kept, x)
		}
	}
	clear(p.watchers[len(kept):])
	p.watchers = kept
}

// Watchers returns how many wait.
func (p *Partition) Watchers() int { return len(p.watchers) }

// wakeReaders wakes those for whom there is something below their limit.
func (p *Partition) wakeReaders(e *Effects) {
	for i := range p.watchers {
		if x := &p.watchers[i]; p.limit(x.isolation) > x.offset {
			e.Wake = append(e.Wake, x.w)
		}
	}
}

// wakeFollowers wakes those who wait for the log's end to move.
func (p *Partition) wakeFollowers(e *Effects) {
	for i := range p.watchers {
		if x := &p.watchers[i]; x.isolation == ReadToEnd && p.log.End() > x.offset {
			e.Wake = append(e.Wake, x.w)
		}
	}
}

func (p *Partition) wakeAll(e *Effects) {
	for _, x := range p.watchers {
		e.Wake = append(e.Wake, x.w)
	}
}

// completeProduces answers the produce requests that have waited long enough.
func (p *Partition) completeProduces(e *Effects) {
	if len(p.produces) == 0 {
		return
	}
	synced, kept := p.log.Synced(), p.produces[:0]
	for _, w := range p.produces {
		switch {
		case w.hw && p.hw < w.required, w.sync && synced < w.required:
			kept = append(kept, w)
		case w.hw && p.isr.maximal() < p.minISR():
			e.Done = append(e.Done, Completion{w.to, protocol.NotEnoughReplicasAfterAppend})
		default:
			e.Done = append(e.Done, Completion{w.to, protocol.None})
		}
	}
	clear(p.produces[len(kept):])
	p.produces = kept
}

func (p *Partition) completeDeletes(e *Effects) {
	if len(p.deletes) == 0 {
		return
	}
	low, kept := p.lowWatermark(), p.deletes[:0]
	for _, w := range p.deletes {
		if low < w.offset {
			kept = append(kept, w)
		} else {
			e.Done = append(e.Done, Completion{w.to, protocol.None})
		}
	}
	clear(p.deletes[len(kept):])
	p.deletes = kept
}

// failWaiters answers all produce and delete requests that wait.
func (p *Partition) failWaiters(code protocol.Code, e *Effects) {
	for _, w := range p.produces {
		e.Done = append(e.Done, Completion{w.to, code})
	}
	for _, w := range p.deletes {
		e.Done = append(e.Done, Completion{w.to, code})
	}
	p.produces, p.deletes = nil, nil
}

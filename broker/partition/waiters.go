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

// waiters are those who wait for a partition. They are told through Effects.
type waiters struct {
	watchers []watcher
	produces []produceWaiter
	deletes  []deleteWaiter
}

// wakeReaders wakes those for whom there is something below their limit.
func (x *waiters) wakeReaders(to limits, e *Effects) {
	for i := range x.watchers {
		if w := &x.watchers[i]; to.at(w.isolation) > w.offset {
			e.Wake = append(e.Wake, w.w)
		}
	}
}

// wakeFollowers wakes those who wait for the log's end to move.
func (x *waiters) wakeFollowers(end int64, e *Effects) {
	for i := range x.watchers {
		if w := &x.watchers[i]; w.isolation == ReadToEnd && end > w.offset {
			e.Wake = append(e.Wake, w.w)
		}
	}
}

func (x *waiters) wakeAll(e *Effects) {
	for _, w := range x.watchers {
		e.Wake = append(e.Wake, w.w)
	}
}

// completeProduces answers the produce requests that have waited long enough. enough says that there are min.insync.replicas.
func (x *waiters) completeProduces(hw, synced int64, enough bool, e *Effects) {
	if len(x.produces) == 0 {
		return
	}
	kept := x.produces[:0]
	for _, w := range x.produces {
		switch {
		case w.hw && hw < w.required, w.sync && synced < w.required:
			kept = append(kept, w)
		case w.hw && !enough:
			e.Done = append(e.Done, Completion{w.to, protocol.NotEnoughReplicasAfterAppend})
		default:
			e.Done = append(e.Done, Completion{w.to, protocol.None})
		}
	}
	clear(x.produces[len(kept):])
	x.produces = kept
}

// completeDeletes answers the DeleteRecords requests that the low watermark has reached.
func (x *waiters) completeDeletes(low int64, e *Effects) {
	if len(x.deletes) == 0 {
		return
	}
	kept := x.deletes[:0]
	for _, w := range x.deletes {
		if low < w.offset {
			kept = append(kept, w)
		} else {
			e.Done = append(e.Done, Completion{w.to, protocol.None})
		}
	}
	clear(x.deletes[len(kept):])
	x.deletes = kept
}

// failAll answers all produce and delete requests that wait.
func (x *waiters) failAll(code protocol.Code, e *Effects) {
	for _, w := range x.produces {
		e.Done = append(e.Done, Completion{w.to, code})
	}
	for _, w := range x.deletes {
		e.Done = append(e.Done, Completion{w.to, code})
	}
	x.produces, x.deletes = nil, nil
}

// Unwatch forgets all that w waits for in this partition.
func (x *waiters) Unwatch(w Waiter) {
	kept := x.watchers[:0]
	for _, y := range x.watchers {
		if y.w != w {
			kept = append(kept, y)
		}
	}
	clear(x.watchers[len(kept):])
	x.watchers = kept
}

// Watch has w woken when there is something to read at offset, or something changes that a reader has to know. ready says that it is
// so already; w is kept all the same.
func (p *Partition) Watch(offset int64, i Isolation, w Waiter) (ready bool) {
	p.watchers = append(p.watchers, watcher{w: w, offset: offset, isolation: i})
	limit, ok := p.Readable(offset, i)
	return !ok || limit > offset
}

package replica

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker/partition"
	"weir/controller"
)

// fetchers are the goroutines that fetch what other brokers lead: for each of those num.replica.fetchers, each with a connection of its
// own. They start when the broker is registered, as leaders ask for its epoch.
//
// Lock order: fetchers.mu, then fetcher.mu. Neither is held while a partition is locked.
type fetchers struct {
	m     *Manager
	set   fetchSettings
	epoch atomic.Int64 // of this broker's registration, -1: not yet

	mu      sync.Mutex
	all     map[fetcherKey]*fetcher
	of      map[partition.ID]*fetcher // who fetches a partition
	perPeer int                       // num.replica.fetchers
	closed  bool
	wg      sync.WaitGroup
}

type fetcherKey struct {
	leader int32
	index  int
}

func (x *fetchers) init(m *Manager) {
	s := m.cfg.Static
	x.set = fetchSettings{
		waitMs: s.Int64("replica.fetch.wait.max.ms"), minBytes: int32(s.Int("replica.fetch.min.bytes")),
		maxBytes: int32(s.Int("replica.fetch.response.max.bytes")), partBytes: int32(s.Int("replica.fetch.max.bytes")),
		backoffMs: max(s.Int64("replica.fetch.backoff.ms"), 1),
	}
	x.m, x.all, x.of, x.perPeer = m, map[fetcherKey]*fetcher{}, map[partition.ID]*fetcher{}, 1
	x.epoch.Store(-1)
}

// Registered tells with which epoch the broker was registered: from now on it fetches from leaders.
func (x *fetchers) Registered(epoch int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if first := x.epoch.Swap(epoch) < 0; !first || x.closed {
		return
	}
	for _, f := range x.all {
		x.start(f)
	}
}

func (x *fetchers) start(f *fetcher) {
	x.wg.Add(1)
	go func() {
		defer x.wg.Done()
		f.run()
	}()
}

// apply takes what the metadata says of a partition: who leads it is who it is fetched from.
func (x *fetchers) apply(t *controller.Topic, n int32) {
	if x.m.cfg.Dial == nil {
		return
	}
	id := partition.ID{Topic: t.ID, Partition: n}
	p := t.Partition(n)
	if self := x.m.cfg.NodeID; p != nil && p.Leader >= 0 && p.Leader != self && slices.Contains(p.Replicas, self) {
		x.follow(id, p.Leader, p.LeaderEpoch)
	} else {
		x.unfollow(id)
	}
}

// applyAll is apply for all partitions that there are, with the settings of an image.
func (x *fetchers) applyAll(img *controller.Image) {
	if x.m.cfg.Dial == nil {
		return
	}
	l := x.m.layers(img)
	n := max(int(l.Int64("num.replica.fetchers")), 1)
	x.mu.Lock()
	x.perPeer = n
	x.mu.Unlock()
	for t := range img.Topics() {
		for n := range t.Partitions {
			x.apply(t, int32(n))
		}
	}
}

func (x *fetchers) follow(id partition.ID, leader, epoch int32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	h := uint32(id.Topic[2])<<8 ^ uint32(id.Topic[7]) ^ uint32(id.Partition)*31
	k := fetcherKey{leader, int(h % uint32(x.perPeer))}
	f := x.all[k]
	if f == nil {
		f = newFetcher(x.m, k)
		x.all[k] = f
		if x.epoch.Load() >= 0 {
			x.start(f)
		}
	}
	if old := x.of[id]; old != nil && old != f {
		old.remove(id)
	}
	x.of[id] = f
	f.add(id, epoch)
}

func (x *fetchers) unfollow(id partition.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if f := x.of[id]; f != nil {
		delete(x.of, id)
		f.remove(id)
	}
}

// retire ends a fetcher that has nothing to fetch. It says whether it has ended: one that was given a partition meanwhile goes on.
func (x *fetchers) retire(f *fetcher) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.want) > 0 && !x.closed {
		return false
	}
	if x.all[f.key] == f {
		delete(x.all, f.key)
	}
	return true
}

// forget drops a fetcher that was stopped.
func (x *fetchers) forget(f *fetcher) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.all[f.key] == f {
		delete(x.all, f.key)
	}
}

// kick has the fetchers of brokers that changed try at once: one that was away may be back, and elsewhere.
func (x *fetchers) kick(brokers []int32) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for k, f := range x.all {
		if slices.Contains(brokers, k.leader) {
			f.poke()
		}
	}
}

// close ends all fetchers and waits for them.
func (x *fetchers) close() {
	x.mu.Lock()
	x.closed = true
	for _, f := range x.all {
		f.stop()
	}
	x.mu.Unlock()
	x.wg.Wait()
}

// The least time between two interruptions of a fetch that waits at the leader, for partitions that are to be fetched now.
const nudgeEvery = 20 * time.Millisecond

// add has a partition fetched, in a leader epoch.
func (f *fetcher) add(id partition.ID, epoch int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, ok := f.want[id]; ok && old == epoch {
		return
	}
	f.want[id] = epoch
	f.changed = append(f.changed, id)
	f.nudge()
}

// remove ends the fetching of a partition. What is under way is refused by the partition itself.
func (f *fetcher) remove(id partition.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.want, id)
	f.changed = append(f.changed, id)
	if len(f.want) == 0 {
		f.nudge()
	}
}

// nudge wakes the fetcher. Where its fetch waits at the leader, for up to replica.fetch.wait.max.ms, the connection is closed: else nothing
// could be acknowledged by all replicas of a new partition for so long. f.mu is held.
func (f *fetcher) nudge() {
	f.poke()
	if !f.parked || f.nudging {
		return
	}
	f.nudging = true
	now := f.m.nowMs()
	wait := time.Duration(max(f.nudgedMs+nudgeEvery.Milliseconds()-now, 0)) * time.Millisecond
	f.m.cfg.AfterFunc(wait, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.nudging = false
		if f.parked && len(f.changed) > 0 {
			f.nudgedMs, f.interrupted = f.m.nowMs(), true
			f.conn.Close()
		}
	})
}

// poke ends a pause.
func (f *fetcher) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// stop ends the fetcher.
func (f *fetcher) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		return
	}
	f.stopped = true
	close(f.stopping)
	if f.conn != nil {
		f.conn.Close()
	}
}

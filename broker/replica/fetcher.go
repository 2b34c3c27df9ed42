package replica

import (
	"sync"
	"time"

	"weir/broker/partition"
	"weir/protocol"
)

// fetcher fetches the partitions of one leader, one request at a time: what it asks for next says what it has.
type fetcher struct {
	m        *Manager
	key      fetcherKey
	wake     chan struct{}
	stopping chan struct{}

	mu          sync.Mutex
	want        map[partition.ID]int32 // to the leader epoch
	changed     []partition.ID         // what of want was added, changed or removed
	conn        Leader                 // nil: none
	parked      bool                   // a fetch is at the leader
	nudging     bool                   // a timer will interrupt it
	nudgedMs    int64
	interrupted bool // the connection was closed for the sake of new partitions
	stopped     bool

	// These are the goroutine's own.
	taking   []partition.ID
	parts    map[partition.ID]*followed
	active   int                    // parts that are fetched
	fresh    []*followed            // active ones that the session does not know as they are
	resting  map[*followed]struct{} // parts that had an error and are tried again
	strayed  []*followed            // parts whose offset the leader does not have
	forget   []partition.ID         // what the session is to forget
	unsynced []unsynced             // what must be on the disk before it is asked for more
	session  int32                  // 0: none
	last     int32                  // the session before, which a full request closes
	epoch    int32                  // of the next request
	failures int                    // in a row, of the whole connection
	req      FetchRequest
}

// unsynced is what was appended where flush.messages asks for a sync: the next request says that it is there, so it waits for that.
type unsynced struct {
	log  Log
	upTo int64
}

// followed is a partition that a fetcher fetches.
type followed struct {
	id        partition.ID
	epoch     int32 // the leader epoch that it is fetched in
	offset    int64
	lastEpoch int32
	logStart  int64
	lag       int64 // to the leader's high watermark, as it was last said
	state     fetchState
	inSession bool
	fresh     bool // it is in fetcher.fresh
	failures  int
	retryMs   int64
}

type fetchState int8

const (
	fetchNone    fetchState = iota // not to be fetched until the metadata says something else
	fetchActive                    // fetched
	fetchResting                   // tried again after retryMs
)

func newFetcher(m *Manager, k fetcherKey) *fetcher {
	return &fetcher{m: m, key: k, wake: make(chan struct{}, 1), stopping: make(chan struct{}), want: map[partition.ID]int32{},
		parts: map[partition.ID]*followed{}, resting: map[*followed]struct{}{}}
}

// run fetches until there is nothing to fetch from the leader.
func (f *fetcher) run() {
	defer f.disconnect()
	for f.take() {
		f.revive()
		switch {
		case len(f.parts) == 0 && f.m.fetchers.retire(f):
			return
		case f.active == 0:
			f.pause(f.restMs())
		case !f.connect():
			f.failures++
			f.pause(backoff(f.failures, f.m.fetchers.set.backoffMs))
		default:
			f.round()
		}
	}
}

// take takes over what was added and removed; false: the fetcher is to end.
func (f *fetcher) take() bool {
	f.mu.Lock()
	if f.stopped {
		f.mu.Unlock()
		f.m.fetchers.forget(f)
		return false
	}
	f.taking = append(f.taking[:0], f.changed...)
	f.changed = f.changed[:0]
	f.mu.Unlock()
	for _, id := range f.taking {
		f.mu.Lock()
		_, wanted := f.want[id]
		f.mu.Unlock()
		p := f.parts[id]
		switch {
		case wanted && p == nil:
			p = &followed{id: id}
			f.parts[id] = p
			fallthrough
		case wanted:
			p.failures = 0
			f.prepare(p)
		case p != nil:
			f.leave(p, fetchNone)
			delete(f.parts, id)
		}
	}
	return true
}

// prepare has a partition fetched from where its log ends.
func (f *fetcher) prepare(p *followed) {
	r, code, _ := f.m.lock(p.id)
	if code != protocol.None {
		f.rest(p, code)
		return
	}
	leader, epoch := r.p.Leader()
	p.epoch, p.logStart = epoch, r.log.Start()
	p.offset, p.lastEpoch = r.p.FetchFrom()
	r.mu.Unlock()
	if leader != f.key.leader { // the metadata is about to say so here too
		f.leave(p, fetchNone)
		return
	}
	if p.state != fetchActive {
		p.state = fetchActive
		f.active++
	}
	f.refresh(p)
}

// refresh has the next request name a partition.
func (f *fetcher) refresh(p *followed) {
	if !p.fresh {
		p.fresh = true
		f.fresh = append(f.fresh, p)
	}
}

// leave takes a partition out of the fetches.
func (f *fetcher) leave(p *followed, to fetchState) {
	if p.state == fetchActive {
		f.active--
		if p.inSession {
			p.inSession = false
			f.forget = append(f.forget, p.id)
		}
	}
	p.state = to
}

// firstBackoff is how long a partition, or a leader, rests after its first failure: a leader has often just not heard yet that it leads.
const firstBackoff = 10

// backoff is the milliseconds of rest after so many failures in a row.
func backoff(failures int, most int64) int64 {
	return min(firstBackoff<<min(failures-1, 20), most)
}

// rest leaves a partition alone for a while.
func (f *fetcher) rest(p *followed, code protocol.Code) {
	p.failures++
	f.restFor(p, backoff(p.failures, f.m.fetchers.set.backoffMs))
	if p.failures == 8 { // by then it is not for want of metadata
		f.m.log.Warn("a replica cannot be fetched", "partition", p.id.String(), "leader", f.key.leader, "error", code.String())
	}
}

func (f *fetcher) restFor(p *followed, ms int64) {
	f.leave(p, fetchResting)
	p.retryMs = f.m.nowMs() + ms
	f.resting[p] = struct{}{}
}

// revive has partitions fetched again that have rested.
func (f *fetcher) revive() {
	if len(f.resting) == 0 {
		return
	}
	now := f.m.nowMs()
	for p := range f.resting {
		gone := p.state != fetchResting || f.parts[p.id] != p // it was added anew, or removed
		if !gone && p.retryMs > now {
			continue
		}
		delete(f.resting, p)
		if !gone && (p.failures > 0 || !f.holdBack(p)) {
			f.prepare(p)
		}
	}
}

// restMs is how long nothing is to be done.
func (f *fetcher) restMs() int64 {
	now, wait := f.m.nowMs(), int64(time.Minute/time.Millisecond)
	for p := range f.resting {
		wait = min(wait, p.retryMs-now)
	}
	return max(wait, 1)
}

// pause waits, until something changes at the longest.
func (f *fetcher) pause(ms int64) {
	due := make(chan struct{})
	t := f.m.cfg.AfterFunc(time.Duration(ms)*time.Millisecond, func() { close(due) })
	defer t.Stop()
	select {
	case <-due:
	case <-f.wake:
	case <-f.stopping:
	}
}

func (f *fetcher) connect() bool {
	f.mu.Lock()
	have := f.conn != nil
	f.mu.Unlock()
	if have {
		return true
	}
	c, err := f.m.cfg.Dial(f.key.leader)
	if err != nil {
		f.m.log.Debug("leader cannot be reached", "leader", f.key.leader, "err", err)
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopped {
		c.Close()
		return false
	}
	f.conn = c
	return true
}

// disconnect ends the connection, and the session with it.
func (f *fetcher) disconnect() {
	f.mu.Lock()
	if f.conn != nil {
		f.conn.Close()
		f.conn = nil
	}
	f.mu.Unlock()
	f.endSession()
}

// endSession has the next request name all partitions.
func (f *fetcher) endSession() {
	if f.session != 0 {
		f.last = f.session
	}
	f.session, f.epoch = 0, 0
	for _, p := range f.parts {
		p.inSession = false
	}
}

package replica

import (
	"math"
	"time"

	"weir/broker/partition"
	"weir/protocol"
)

// fetchSettings are what a follower's requests are made with.
type fetchSettings struct {
	waitMs    int64 // replica.fetch.wait.max.ms
	minBytes  int32 // replica.fetch.min.bytes
	maxBytes  int32 // replica.fetch.response.max.bytes
	partBytes int32 // replica.fetch.max.bytes
	backoffMs int64 // replica.fetch.backoff.ms
}

// round sends one request and takes its answer.
func (f *fetcher) round() {
	f.build()
	f.mu.Lock()
	conn := f.conn
	f.parked = len(f.changed) == 0 // else it is better to be quick
	if !f.parked {
		f.req.MaxWait = 0
	}
	f.mu.Unlock()
	head, err := conn.Fetch(&f.req, f.got)
	f.sync()
	f.mu.Lock()
	f.parked = false
	interrupted := f.interrupted
	f.interrupted = false
	f.mu.Unlock()
	switch {
	case err != nil:
		f.disconnect()
		if !interrupted {
			f.failed("fetch from a leader failed", err)
		}
		return
	case head.Code == protocol.FetchSessionIDNotFound, head.Code == protocol.InvalidFetchSessionEpoch, head.Code == protocol.FetchSessionTopicIDError:
		f.endSession() // the leader has dropped it
		if f.failures++; f.failures > 1 {
			f.pause(backoff(f.failures, f.m.fetchers.set.backoffMs))
		}
		return
	case head.Code != protocol.None:
		f.endSession()
		f.failed("fetch from a leader was refused", head.Code)
		return
	}
	f.failures = 0
	f.last = 0
	if f.req.SessionEpoch == 0 {
		f.session = head.SessionID
	}
	if f.session == 0 { // the leader has no room for a session
		f.endSession()
	} else {
		f.epoch = nextSessionEpoch(f.req.SessionEpoch)
	}
	f.findStrayed(conn)
}

// sync waits until what was appended is on the disk, where that was asked for. Who could not sync has failed by itself.
func (f *fetcher) sync() {
	for _, u := range f.unsynced {
		_ = u.log.Sync(u.upTo)
	}
	clear(f.unsynced)
	f.unsynced = f.unsynced[:0]
}

// failed rests after an error of the whole connection.
func (f *fetcher) failed(what string, err error) {
	if f.failures++; f.failures == 1 {
		f.m.log.Debug(what, "leader", f.key.leader, "err", err)
	}
	f.pause(backoff(f.failures, f.m.fetchers.set.backoffMs))
}

func nextSessionEpoch(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}

// build makes the next request: of all partitions, or of those that the session does not know as they are.
func (f *fetcher) build() {
	s, q := &f.m.fetchers.set, &f.req
	q.ReplicaID, q.BrokerEpoch = f.m.cfg.NodeID, f.m.fetchers.epoch.Load()
	q.MaxWait, q.MinBytes, q.MaxBytes = time.Duration(s.waitMs)*time.Millisecond, s.minBytes, s.maxBytes
	q.SessionID, q.SessionEpoch = f.session, f.epoch
	q.Want, q.Forget = q.Want[:0], q.Forget[:0]
	for _, id := range f.forget {
		if p := f.parts[id]; f.session != 0 && (p == nil || p.state != fetchActive) {
			q.Forget = append(q.Forget, id)
		}
	}
	f.forget = f.forget[:0]
	if f.session == 0 {
		q.SessionID, q.SessionEpoch = f.last, 0
		for _, p := range f.parts {
			if p.state == fetchActive {
				f.ask(p)
			}
		}
	}
	for _, p := range f.fresh {
		p.fresh = false
		if f.session != 0 && p.state == fetchActive && f.parts[p.id] == p {
			f.ask(p)
		}
	}
	clear(f.fresh)
	f.fresh = f.fresh[:0]
}

func (f *fetcher) ask(p *followed) {
	p.inSession = true
	f.req.Want = append(f.req.Want, FetchWant{ID: p.id, Offset: p.offset, LogStart: p.logStart, LeaderEpoch: p.epoch, LastEpoch: p.lastEpoch,
		MaxBytes: f.m.fetchers.set.partBytes})
}

// got takes one partition of an answer.
func (f *fetcher) got(a *protocol.FetchedPartition) {
	p := f.parts[partition.ID{Topic: a.Topic, Partition: a.Index}]
	if p == nil || p.state != fetchActive {
		return
	}
	switch a.Code {
	case protocol.None:
		f.fetched(p, a)
	case protocol.OffsetOutOfRange:
		f.strayed = append(f.strayed, p)
	case protocol.FencedLeaderEpoch:
		f.fenced(p)
	default:
		f.rest(p, a.Code)
	}
}

// fenced leaves a partition alone until the metadata has a newer leader epoch, which there is somewhere.
func (f *fetcher) fenced(p *followed) {
	r, code, _ := f.m.lock(p.id)
	if code != protocol.None {
		f.rest(p, code)
		return
	}
	_, epoch := r.p.Leader()
	r.mu.Unlock()
	if epoch != p.epoch {
		f.prepare(p)
		return
	}
	f.leave(p, fetchNone)
}

// fetched appends what came, or truncates where the leader's log is another one.
func (f *fetcher) fetched(p *followed, a *protocol.FetchedPartition) {
	set, err := partition.CheckFetched(a.Records)
	if err != nil {
		f.m.log.Error("a leader sent what cannot be appended", "partition", p.id.String(), "leader", f.key.leader, "err", err)
		f.rest(p, protocol.CorruptMessage)
		return
	}
	r, code, _ := f.m.lock(p.id)
	if code != protocol.None {
		f.rest(p, code)
		return
	}
	e := takeEffects()
	before := p.offset
	if a.DivergingEpoch >= 0 {
		if _, epoch := r.p.Leader(); epoch == p.epoch {
			err = r.p.Diverged(partition.EpochEnd{Epoch: a.DivergingEpoch, End: a.DivergingEnd}, e)
			if err == nil {
				f.m.log.Info("a replica was truncated to where its leader's log is another one", "partition", r.name, "leader", f.key.leader, "from", before, "to", r.log.End())
			}
		}
	} else {
		x := partition.Fetched{Records: a.Records, Offset: p.offset, LeaderEpoch: p.epoch, HighWatermark: a.HighWatermark, LogStart: a.LogStart}
		code, err = r.p.AppendAsFollower(&x, set, e)
	}
	if len(a.Records) > 0 && err == nil && code == protocol.None {
		r.retainAtMs = math.MinInt64
		r.armFlush()
	}
	f.advanced(p, r)
	p.lag = a.HighWatermark - p.offset
	limited := r.topic.following.has(p.id.Partition)
	if e.SyncUpTo > 0 {
		f.unsynced = append(f.unsynced, unsynced{r.log, e.SyncUpTo})
	}
	r.unlock(e)
	putEffects(e)
	if limited {
		f.m.throttles.follower.carried(f.m.nowMs(), len(a.Records))
	}
	switch {
	case err != nil:
		r.logError("append to a replica failed", err)
		f.rest(p, protocol.KafkaStorageError)
	case code == protocol.FencedLeaderEpoch, code == protocol.NotLeaderOrFollower, code == protocol.OffsetOutOfRange:
		f.prepare(p) // the metadata has changed meanwhile
	case code != protocol.None:
		f.rest(p, code)
	default:
		p.failures = 0
		if limited {
			f.holdBack(p)
		}
	}
}

// throttleMs is how long a replica rests that has taken in more than it may, until it is looked at again.
const throttleMs = 100

// holdBack lets a throttled replica rest that lags, where more was taken in than is allowed: Kafka's shouldFollowerThrottle.
func (f *fetcher) holdBack(p *followed) bool {
	if p.lag <= 0 || !f.m.throttles.follower.exceeded(f.m.nowMs()) {
		return false
	}
	f.restFor(p, throttleMs)
	return true
}

// advanced notes where the next fetch begins. r is locked.
func (f *fetcher) advanced(p *followed, r *replica) {
	offset, epoch := r.p.FetchFrom()
	start := r.log.Start()
	if offset != p.offset || epoch != p.lastEpoch || start != p.logStart {
		p.offset, p.lastEpoch, p.logStart = offset, epoch, start
		f.refresh(p)
	}
}

// findStrayed finds a place for partitions whose offset the leader does not have: Kafka's fetchOffsetAndTruncate.
func (f *fetcher) findStrayed(conn Leader) {
	for _, p := range f.strayed {
		if p.state != fetchActive {
			continue
		}
		code, err := f.findPlace(conn, p)
		if err != nil {
			f.m.log.Debug("offsets of a leader could not be found", "partition", p.id.String(), "leader", f.key.leader, "err", err)
			code = protocol.NetworkException
		}
		if code != protocol.None {
			f.rest(p, code)
		}
	}
	clear(f.strayed)
	f.strayed = f.strayed[:0]
}

func (f *fetcher) findPlace(conn Leader, p *followed) (protocol.Code, error) {
	t := f.m.image.Load().TopicByID(p.id.Topic)
	if t == nil {
		return protocol.UnknownTopicID, nil
	}
	end, err := conn.ListOffset(t.Name, p.id.Partition, latest, p.epoch)
	if err != nil || end.Code != protocol.None {
		return end.Code, err
	}
	start, err := conn.ListOffset(t.Name, p.id.Partition, earliestLocal, p.epoch)
	if err != nil || start.Code != protocol.None {
		return start.Code, err
	}
	r, code, _ := f.m.lock(p.id)
	if code != protocol.None {
		return code, nil
	}
	if _, epoch := r.p.Leader(); epoch != p.epoch {
		r.mu.Unlock()
		f.prepare(p)
		return protocol.None, nil
	}
	e := takeEffects()
	from := r.log.End()
	code = protocol.None
	switch {
	case end.Offset < from:
		err = r.p.TruncateTo(end.Offset, e)
	case start.Offset > from:
		err = r.p.TruncateFullyAt(start.Offset, e)
	default: // it is there: try again, but not at once
		code = protocol.OffsetOutOfRange
	}
	to := r.log.End()
	f.advanced(p, r)
	r.unlock(e)
	putEffects(e)
	if err != nil {
		r.logError("a replica could not be truncated", err)
		return protocol.KafkaStorageError, nil
	}
	if from != to {
		f.m.log.Warn("a replica begins elsewhere, its leader does not have the offset", "partition", r.name, "leader", f.key.leader, "from", from, "to", to)
	}
	return code, nil
}

package partition

import (
	"fmt"

	"weir/protocol"
	"weir/protocol/record"
)

// Fetched is what a follower got from its leader for one partition.
type Fetched struct {
	Records       []byte // whole batches, their CRC checked; may be empty
	Offset        int64  // that was asked for
	LeaderEpoch   int32  // in which it was asked
	HighWatermark int64  // the leader's
	LogStart      int64  // the leader's
}

// CheckFetched looks through batches that came from a leader, without a lock: sizes, CRC, offsets that rise. Errors wrap
// ErrMalformed.
func CheckFetched(recs []byte) (record.Set, error) {
	s := record.Set{Base: -1, MaxTimestamp: -1, MaxTimestampOffset: -1, LeaderEpoch: -1}
	for len(recs) > 0 {
		b, rest, err := record.Next(recs)
		if err != nil {
			return s, err
		}
		if !b.CheckCRC() {
			return s, fmt.Errorf("%w: batch at offset %d has a wrong CRC", protocol.ErrMalformed, b.BaseOffset())
		}
		if s.Base < 0 {
			s.Base = b.BaseOffset()
		} else if b.BaseOffset() < s.Next {
			return s, fmt.Errorf("%w: batch at offset %d after one that ends at %d", protocol.ErrMalformed, b.BaseOffset(), s.Next)
		}
		if ts := b.MaxTimestamp(); ts > s.MaxTimestamp {
			s.MaxTimestamp, s.MaxTimestampOffset = ts, b.LastOffset()
		}
		s.Next, s.LeaderEpoch = b.NextOffset(), b.LeaderEpoch()
		s.Records += b.Count()
		recs = rest
	}
	return s, nil
}

// AppendAsFollower takes what was fetched; set is what CheckFetched said of f.Records. A code other than None says that it does not
// fit: the fetch is from another epoch or offset, and the follower has to ask again. An error is the log's.
func (p *Partition) AppendAsFollower(f *Fetched, set record.Set, e *Effects) (protocol.Code, error) {
	switch {
	case p.failed != protocol.None:
		return p.failed, nil
	case p.leader:
		return protocol.NotLeaderOrFollower, nil
	case f.LeaderEpoch != p.leaderEpoch:
		return protocol.FencedLeaderEpoch, nil
	case f.Offset != p.log.End():
		return protocol.OffsetOutOfRange, nil
	}
	if len(f.Records) > 0 {
		if code, err := p.appendFetched(f.Records, set, e); code != protocol.None || err != nil {
			return code, err
		}
	}
	if f.LogStart > p.log.Start() && f.LogStart <= p.log.End() {
		if err := p.log.SetStart(f.LogStart); err != nil {
			return protocol.None, err
		}
		p.Retained(e)
	}
	p.setHW(min(max(f.HighWatermark, p.log.Start()), p.log.End()), e)
	p.wantSync(e)
	return protocol.None, nil
}

func (p *Partition) appendFetched(recs []byte, set record.Set, e *Effects) (protocol.Code, error) {
	start, end := p.log.Start(), p.log.End()
	if set.Base < end {
		if start != end || set.Next <= end {
			return protocol.OffsetOutOfRange, nil
		}
		// DeleteRecords on the leader ended within a batch, and this log has nothing yet: it begins with that whole batch, and the
		// leader's log start follows.
		if err := p.TruncateFullyAt(set.Base, e); err != nil {
			return protocol.None, err
		}
	}
	set.Base = p.log.End() // compaction leaves gaps before batches
	if err := p.log.Append(recs, set); err != nil {
		return protocol.None, err
	}
	if p.appended(recs, p.settings.SnapshotBytes) {
		e.Snapshot = true
	}
	return protocol.None, nil
}

// FetchFrom is where a follower's next Fetch begins, and the epoch of its newest batch (-1: none).
func (p *Partition) FetchFrom() (offset int64, lastFetchedEpoch int32) {
	return p.log.End(), p.epochs.latest()
}

// Diverged truncates to where this log and the leader's part, which said that its largest epoch not above ours ends at d. The next Fetch
// asks again.
func (p *Partition) Diverged(d EpochEnd, e *Effects) error {
	if p.leader || p.failed != protocol.None {
		return nil
	}
	end := p.log.End()
	to := p.hw
	if d.End >= 0 {
		own := p.epochs.endOffsetFor(d.Epoch, end)
		switch {
		case own.End < 0:
			to = min(d.End, end)
		case own.Epoch != d.Epoch:
			to = min(own.End, end)
		default:
			to = min(own.End, d.End, end)
		}
	}
	return p.TruncateTo(to, e)
}

// TruncateTo removes all at and above offset.
func (p *Partition) TruncateTo(offset int64, e *Effects) error {
	switch end := p.log.End(); {
	case p.leader || p.failed != protocol.None:
		return nil
	case offset >= end:
		p.epochs.truncateFromEnd(end) // a former leader that wrote nothing has an entry there
		return nil
	case offset < p.log.Start():
		return p.TruncateFullyAt(offset, e)
	}
	if err := p.log.TruncateTo(offset); err != nil {
		return err
	}
	if err := p.rebuild(); err != nil {
		return err
	}
	p.dirty = true
	p.producers.ended.replicated(min(p.hw, p.log.End()))
	p.setHW(min(p.hw, p.log.End()), e)
	p.wakeAll(e)
	return nil
}

// TruncateFullyAt drops everything and begins again, empty, at offset: the leader's log starts after the end of this one.
func (p *Partition) TruncateFullyAt(offset int64, e *Effects) error {
	if p.leader || p.failed != protocol.None {
		return nil
	}
	if err := p.log.Reset(offset); err != nil {
		return err
	}
	p.clear()
	p.unsaved, p.dirty = 0, true
	p.setHW(offset, e)
	p.wakeAll(e)
	return nil
}

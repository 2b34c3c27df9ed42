package record

// Set is what the log and the partition need to know of a run of whole batches, without looking at them again: the record set of
// one produce request, or one chunk that a follower fetched.
type Set struct {
	Base, Next         int64 // first offset, and the one after the last
	MaxTimestamp       int64 // milliseconds; -1 when there is none
	MaxTimestampOffset int64 // the offset of the record (or of the last of the batch) that has it
	LeaderEpoch        int32 // of the last batch
	Records            int32 // how many records there are
}

// At returns the set as it is when Assign has put the batches at base.
func (s Set) At(base int64, leaderEpoch int32) Set {
	d := base - s.Base
	s.Base, s.Next, s.LeaderEpoch = base, s.Next+d, leaderEpoch
	if s.MaxTimestampOffset >= 0 {
		s.MaxTimestampOffset += d
	}
	return s
}

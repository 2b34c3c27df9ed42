package partition

// epochStart says that a leader epoch's first batch has the offset start.
type epochStart struct {
	epoch int32
	start int64
}

// epochCache is where each leader epoch starts in the log, strictly increasing in epoch and in start (invariant B5). Kafka keeps it
// in leader-epoch-checkpoint; here it is rebuilt from the epochs in the batch headers, and snapshots only shorten that. An epoch
// that a leader began but wrote nothing in is therefore forgotten by a restart. That is safe: no follower can have a batch of it.
type epochCache struct {
	entries []epochStart
}

// assign notes that a batch of epoch starts at start. It drops what contradicts it: entries with a higher epoch or start, the same ones
// included.
func (c *epochCache) assign(epoch int32, start int64) {
	if epoch < 0 || start < 0 {
		return
	}
	n := len(c.entries)
	if n > 0 && c.entries[n-1].epoch == epoch && start >= c.entries[n-1].start {
		return
	}
	for n > 0 && (c.entries[n-1].epoch >= epoch || c.entries[n-1].start >= start) {
		n--
	}
	c.entries = append(c.entries[:n], epochStart{epoch, start})
}

// latest is the newest epoch, or -1.
func (c *epochCache) latest() int32 {
	if n := len(c.entries); n > 0 {
		return c.entries[n-1].epoch
	}
	return -1
}

// endOffsetFor finds where the largest epoch that is not above epoch ends, end being the log's end. Both fields are -1 where that cannot be
// said.
func (c *epochCache) endOffsetFor(epoch int32, end int64) EpochEnd {
	if epoch == -1 || len(c.entries) == 0 { // other negative epochs are old ones, to Kafka too
		return undefinedEnd
	}
	if epoch == c.latest() {
		return EpochEnd{Epoch: epoch, End: end}
	}
	higher := 0
	for higher < len(c.entries) && c.entries[higher].epoch <= epoch {
		higher++
	}
	switch higher {
	case len(c.entries): // newer than all that is known here
		return undefinedEnd
	case 0: // older than all: the requester's data ended before the first entry
		return EpochEnd{Epoch: epoch, End: c.entries[0].start}
	}
	return EpochEnd{Epoch: c.entries[higher-1].epoch, End: c.entries[higher].start}
}

// epochOf is the epoch of the batch that holds offset, or -1.
func (c *epochCache) epochOf(offset int64) int32 {
	e := int32(-1)
	for _, x := range c.entries {
		if x.start > offset {
			break
		}
		e = x.epoch
	}
	return e
}

// truncateFromEnd forgets the epochs that start at or above end.
func (c *epochCache) truncateFromEnd(end int64) {
	n := len(c.entries)
	for n > 0 && c.entries[n-1].start >= end {
		n--
	}
	c.entries = c.entries[:n]
}

// truncateFromStart forgets the epochs that end at or below start. The one that holds start is made to begin there.
func (c *epochCache) truncateFromStart(start int64) {
	n := 0
	for n < len(c.entries) && c.entries[n].start <= start {
		n++
	}
	if n == 0 {
		return
	}
	c.entries[n-1].start = start
	c.entries = append(c.entries[:0], c.entries[n-1:]...)
}

var undefinedEnd = EpochEnd{Epoch: -1, End: -1}

package coordinator

import (
	"fmt"
	"time"
)

// writes is a shard's end of the log: what is not appended, not committed, and who waits for that.
type writes struct {
	batch     Batch
	text      []byte // the keys and values of the batch: an operation's own are its machine's
	bytes     int    // at most so large
	openedMs  int64  // when the first of the batch came
	next      int64  // the offset of the next record: what is in the batch counts
	committed int64  // the high watermark, as it was seen last
	parked    []parked
	sends     []parkedSend
	stop      func() // ends the watch of the high watermark; nil: there is none
	watchAtMs int64  // when it is watched again; 0: as soon as there is need
	lingerMs  int64
}

// parked is a reply that waits for the high watermark.
type parked struct {
	at       int64 // what the high watermark must reach
	until    int64 // when the wait ends in vain
	to       Done
	response any
}

type parkedSend struct {
	at int64
	Send
}

// park sends a reply as soon as all that was written so far is committed.
func (w *writes) park(to Done, response any, until int64) {
	if w.committed >= w.next && len(w.parked) == 0 {
		to(response, nil)
		return
	}
	w.parked = append(w.parked, parked{at: w.next, until: until, to: to, response: response})
}

func (w *writes) parkSend(s Send) { w.sends = append(w.sends, parkedSend{w.next, s}) }

// timeOut fails the replies that have waited too long. They may be committed all the same, later.
func (w *writes) timeOut(now int64) {
	n := 0
	for n < len(w.parked) && w.parked[n].until <= now {
		w.parked[n].to(nil, ErrTimeout)
		n++
	}
	w.parked = shift(w.parked, n)
}

// nextMs says when something has to be done though nothing comes.
func (w *writes) nextMs() (at int64, ok bool) {
	soonest := func(t int64) {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	if len(w.parked) > 0 {
		soonest(w.parked[0].until)
	}
	if w.watchAtMs > 0 {
		soonest(w.watchAtMs)
	}
	if w.batch.records() > 0 {
		soonest(w.openedMs + w.lingerMs)
	}
	return at, ok
}

// fail fails all replies.
func (w *writes) fail(err error) {
	if w.stop != nil {
		w.stop()
	}
	for i := range w.parked {
		w.parked[i].to(nil, err)
	}
}

// shift drops the first n of a queue and keeps its memory.
func shift[T any](q []T, n int) []T {
	if n == 0 {
		return q
	}
	left := copy(q, q[n:])
	clear(q[left:])
	return q[:left]
}

// The most that a batch has beside the keys and values: its header, and of each record the length, attributes, timestamp, offset and the
// lengths of key, value and headers.
const (
	batchOverhead  = 61
	recordOverhead = 5 + 1 + 1 + 5 + 5 + 5 + 1
)

func sizeOf(records []Record) int {
	n := 0
	for i := range records {
		n += recordOverhead + len(records[i].Key) + len(records[i].Value)
	}
	return n
}

// stage takes an operation's records: into the batch, and into the machine, as if they were in the log already. ErrTooLarge leaves
// everything as it was; after any other error the shard has failed.
func (s *shard[M]) stage(fx *Effects) error {
	w, limit, size := &s.log, s.rt.cfg.Log.MaxBatchBytes(s.partition), sizeOf(fx.Records)
	if batchOverhead+size > limit {
		return fmt.Errorf("%w: %d bytes in %d records, the most is %d", ErrTooLarge, size, len(fx.Records), limit)
	}
	alone := fx.Producer != nil || fx.Marker != nil
	if w.batch.records() > 0 && (alone || w.bytes+size > limit) {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if w.batch.records() == 0 {
		w.bytes, w.openedMs = batchOverhead, s.now
	}
	at := w.next
	w.take(fx.Records)
	w.batch.Producer, w.batch.Marker = fx.Producer, fx.Marker
	w.bytes += size
	w.next = at + int64(len(fx.Records))
	if fx.Marker != nil {
		w.next++
	}
	if err := s.replay(at, fx); err != nil {
		s.fail(err)
		return err
	}
	if alone {
		return s.flush()
	}
	return nil
}

// maxText is how much memory for keys and values a shard keeps between its batches.
const maxText = 16 << 10

// take copies records into the batch.
func (w *writes) take(records []Record) {
	copied := func(b []byte) []byte {
		if len(b) == 0 {
			return b // nil is a tombstone, empty is not
		}
		from := len(w.text)
		w.text = append(w.text, b...)
		return w.text[from:len(w.text):len(w.text)]
	}
	for i := range records {
		w.batch.Records = append(w.batch.Records, Record{Key: copied(records[i].Key), Value: copied(records[i].Value)})
	}
}

// replay changes the machine's hard state by an operation's own records.
func (s *shard[M]) replay(offset int64, fx *Effects) (err error) {
	defer s.recovered(&err)
	at := At{Offset: offset, ProducerID: -1, ProducerEpoch: -1}
	if fx.Producer != nil {
		at.ProducerID, at.ProducerEpoch = fx.Producer.ID, fx.Producer.Epoch
	}
	if fx.Marker != nil {
		s.machine.ReplayMarker(at, fx.Marker.Commit)
		return nil
	}
	for i := range fx.Records {
		if err := s.machine.Replay(at, fx.Records[i]); err != nil {
			s.rt.log.Error("a coordinator cannot read its own record", "partition", s.partition, "error", err.Error())
			return fmt.Errorf("%w: its own record: %w", ErrFailed, err)
		}
		at.Offset++
	}
	return nil
}

// flush appends the batch. After an error the shard has failed.
func (s *shard[M]) flush() error {
	w := &s.log
	n := w.batch.records()
	if n == 0 {
		return nil
	}
	w.batch.TimestampMs, w.batch.LeaderEpoch = s.now, s.epoch
	base, err := s.append(&w.batch)
	if want := w.next - n; err == nil && base != want {
		err = fmt.Errorf("%w: records that were to be at offset %d are at %d", ErrFailed, want, base)
	}
	if err != nil {
		s.fail(err)
		return err
	}
	clear(w.batch.Records)
	w.batch = Batch{Records: w.batch.Records[:0]}
	if w.text = w.text[:0]; cap(w.text) > maxText {
		w.text = nil
	}
	w.committed = max(w.committed, s.rt.cfg.Log.Committed(s.partition))
	return nil
}

func (s *shard[M]) append(b *Batch) (base int64, err error) {
	defer s.recovered(&err)
	return s.rt.cfg.Log.Append(s.partition, b)
}

// lingered appends the batch if it has waited long enough for more.
func (s *shard[M]) lingered() {
	if w := &s.log; w.batch.records() > 0 && s.now >= w.openedMs+w.lingerMs {
		s.flush()
	}
}

// release sends what is committed, and has the high watermark watched for the rest.
func (s *shard[M]) release() {
	w := &s.log
	n := 0
	for n < len(w.parked) && w.parked[n].at <= w.committed {
		p := &w.parked[n]
		p.to(p.response, nil)
		n++
	}
	w.parked = shift(w.parked, n)
	for n = 0; n < len(w.sends) && w.sends[n].at <= w.committed; n++ {
		s.send(w.sends[n].Send)
	}
	w.sends = shift(w.sends, n)
	s.watch()
}

// watch has the shard woken when the first that waits for the high watermark is committed. What is not appended yet is not watched for.
func (s *shard[M]) watch() {
	w := &s.log
	if s.state != active || w.stop != nil || w.watchAtMs > 0 {
		return
	}
	var at int64
	switch {
	case len(w.parked) > 0:
		at = w.parked[0].at
	case len(w.sends) > 0:
		at = w.sends[0].at
	default:
		return
	}
	if at > w.next-w.batch.records() {
		return
	}
	gen := s.gen
	w.stop = s.rt.cfg.Log.Watch(s.partition, at, func() {
		s.submit(event[M]{control: func() {
			if s.gen == gen {
				s.moved()
			}
		}})
	})
}

// rewatchMs is the pause after a watch that has ended without any progress: something is wrong, and the metadata will say what.
const rewatchMs = 100

// moved is the event that the high watermark has moved.
func (s *shard[M]) moved() {
	w := &s.log
	if w.stop == nil {
		return
	}
	w.stop()
	w.stop = nil
	if hw := s.rt.cfg.Log.Committed(s.partition); hw > w.committed {
		w.committed = hw
	} else {
		w.watchAtMs = s.now + rewatchMs
	}
}

// rewatch looks at the high watermark after a pause.
func (s *shard[M]) rewatch() {
	if w := &s.log; w.watchAtMs > 0 && w.watchAtMs <= s.now && s.state == active {
		w.watchAtMs = 0
		w.committed = max(w.committed, s.rt.cfg.Log.Committed(s.partition))
	}
}

// send carries out a Send; its answer is an operation of the machine that sent it.
func (s *shard[M]) send(q Send) {
	gen := s.gen
	answered := func(answer any, err error) {
		s.submit(event[M]{control: func() {
			if s.gen == gen {
				s.run(func(m M, now int64, _ Token) Effects { return m.Answered(now, q.Key, answer, err) }, nil)
			}
		}})
	}
	if s.rt.cfg.Send == nil {
		answered(nil, ErrNotCoordinator)
		return
	}
	s.rt.cfg.Send(q, answered)
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

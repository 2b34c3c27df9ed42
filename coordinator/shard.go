package coordinator

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// state is what a shard is.
type state int8

const (
	resigned state = iota // this broker does not lead the partition
	loading               // it does, and the machine is not there yet
	active
)

// event is one thing for a shard to do: an operation, with the request behind it where there is one, or something of the runtime's own.
type event[M Machine] struct {
	op      Operation[M]
	done    Done
	control func()
}

// shard is one partition's machine with what belongs to it. Events run one at a time, in the order in which they came. There is no
// goroutine for that: who brings an event to an idle shard runs it, so that a commit on a quiet shard costs no switch; what comes meanwhile
// queues, and is run as one turn, with one append, by a goroutine that ends when nothing is left.
type shard[M Machine] struct {
	rt        *Runtime[M]
	partition int32
	elected   atomic.Bool

	mu      sync.Mutex
	queue   []event[M]
	spare   []event[M]
	running bool

	// All below belongs to whoever runs the shard.

	state   state
	epoch   int32 // the newest that was heard of, -1: none
	closed  bool
	machine M
	now     int64 // never falls
	timers  timers
	alarm   Alarm
	alarmAt int64 // when it goes off; 0: it is not set

	token   Token
	waiting map[Token]Done // requests that the machine has not answered

	log writes

	gen     int // counts machines: what belongs to an earlier one is ignored
	tries   int // of loading, in vain
	cancel  context.CancelFunc
	waiters []chan struct{} // for the end of the load
}

func newShard[M Machine](r *Runtime[M], partition int32) *shard[M] {
	return &shard[M]{rt: r, partition: partition, epoch: -1, waiting: make(map[Token]Done)}
}

// submit runs e, now or as soon as the shard is free.
func (s *shard[M]) submit(e event[M]) {
	s.mu.Lock()
	if s.running {
		s.queue = append(s.queue, e)
		s.mu.Unlock()
		return
	}
	s.running = true
	s.mu.Unlock()
	one := [1]event[M]{e}
	s.turn(one[:])
	s.mu.Lock()
	if len(s.queue) == 0 {
		s.running = false
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	go s.drain() // the caller has its answer: what others want is not its business
}

// drain runs what has queued up until nothing is left.
func (s *shard[M]) drain() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.running = false
			s.mu.Unlock()
			return
		}
		events := s.queue
		s.queue = s.spare[:0]
		s.spare = nil
		s.mu.Unlock()
		s.turn(events)
		if clear(events); cap(events) <= maxSpare {
			s.spare = events
		}
	}
}

// maxSpare is how long a queue may be to be kept for the next turn.
const maxSpare = 1024

// turn runs events, appends what they want appended, and sends what is committed.
func (s *shard[M]) turn(events []event[M]) {
	s.tick()
	for i := range events {
		e := &events[i]
		if e.control != nil {
			e.control()
			continue
		}
		s.run(e.op, e.done)
	}
	s.lingered()
	s.release()
	s.arm()
}

// tick takes the time.
func (s *shard[M]) tick() { s.now = max(s.now, s.rt.cfg.Now().UnixMilli()) }

// run runs one operation. done is nil where nobody asks.
func (s *shard[M]) run(op Operation[M], done Done) {
	if s.state != active {
		switch {
		case done == nil:
		case s.state == loading:
			done(nil, ErrLoading)
		default:
			done(nil, ErrNotCoordinator)
		}
		return
	}
	t := Token(0)
	if done != nil {
		s.token++
		t = s.token
	}
	fx, err := s.call(op, t)
	if err != nil {
		if done != nil {
			done(nil, err)
		}
		s.fail(err)
		return
	}
	s.apply(&fx, t, done)
}

// call runs an operation and catches its panic.
func (s *shard[M]) call(op Operation[M], t Token) (fx Effects, err error) {
	defer s.recovered(&err)
	return op(s.machine, s.now, t), nil
}

// recovered turns a panic of the machine into an error: one group's bug must not take the others' broker down.
func (s *shard[M]) recovered(err *error) {
	if p := recover(); p != nil {
		s.rt.log.Error("a coordinator's state machine panicked", "partition", s.partition, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*err = ErrFailed
	}
}

// apply carries out what an operation wants. t and done are those of the request behind it, if any.
func (s *shard[M]) apply(fx *Effects, t Token, done Done) {
	if len(fx.Records) > 0 || fx.Marker != nil {
		gen := s.gen
		err := s.stage(fx)
		if s.gen != gen { // the shard has failed: those who waited know
			if done != nil {
				done(nil, err)
			}
			return
		}
		if err != nil {
			s.refuse(fx, t, done, err)
			return
		}
	}
	for i := range fx.Timers {
		s.timers.set(&fx.Timers[i])
	}
	answered := false
	for i := range fx.Replies {
		r := &fx.Replies[i]
		to := done
		if r.To == t && t != 0 {
			answered = true
		} else if to = s.take(r.To); to == nil {
			continue // it was failed, or answered before
		}
		s.log.park(to, r.Response, s.now+s.rt.cfg.Timeout.Milliseconds())
	}
	for _, send := range fx.Sends {
		s.log.parkSend(send)
	}
	if done != nil && !answered {
		s.waiting[t] = done
	}
}

// take ends the wait of a request.
func (s *shard[M]) take(t Token) Done {
	d := s.waiting[t]
	delete(s.waiting, t)
	return d
}

// refuse fails the requests that an operation would have answered: its records cannot be appended, and nothing has changed.
func (s *shard[M]) refuse(fx *Effects, t Token, done Done, err error) {
	for i := range fx.Timers {
		s.timers.set(&fx.Timers[i])
	}
	for i := range fx.Replies {
		if to := s.take(fx.Replies[i].To); to != nil && fx.Replies[i].To != t {
			to(nil, err)
		}
	}
	if done != nil {
		done(nil, err)
	}
}

// expire fires the timers that are due. What they set anew waits for the next turn, or a machine could keep the shard for ever.
func (s *shard[M]) expire() {
	for n := len(s.timers.heap); n > 0 && s.state == active; n-- {
		key, ok := s.timers.pop(s.now)
		if !ok {
			return
		}
		s.run(func(m M, now int64, _ Token) Effects { return m.Expired(now, key) }, nil)
	}
}

// arm sets the alarm for what comes next. An alarm that goes off too early does no harm, so it is not put off.
func (s *shard[M]) arm() {
	if s.state != active {
		return
	}
	at, ok := s.timers.next()
	if t, set := s.log.nextMs(); set && (!ok || t < at) {
		at, ok = t, true
	}
	if !ok || s.alarmAt != 0 && s.alarmAt <= at {
		return
	}
	s.alarmAt = max(at, s.now+1)
	d := millis(s.alarmAt - s.now)
	if s.alarm == nil {
		s.alarm = s.rt.cfg.AfterFunc(d, func() { s.submit(event[M]{control: s.alarmed}) })
	} else {
		s.alarm.Reset(d)
	}
}

// alarmed is the alarm's event.
func (s *shard[M]) alarmed() {
	s.alarmAt = 0
	s.expire()
	s.log.timeOut(s.now)
	s.rewatch()
}

// elect begins to lead.
func (s *shard[M]) elect(epoch int32) {
	if s.closed || epoch < s.epoch || epoch == s.epoch && s.state != resigned {
		return
	}
	s.unload()
	s.epoch = epoch
	s.elected.Store(true)
	s.state, s.tries = loading, 0
	s.load()
}

// resign ends to lead.
func (s *shard[M]) resign(epoch int32) {
	if epoch < s.epoch {
		return
	}
	s.unload()
	s.epoch = epoch
}

// unload gives up the machine and everybody who waits for it.
func (s *shard[M]) unload() {
	s.elected.Store(false)
	if s.state == active {
		replies, err := s.lastWords()
		for i := range replies {
			if to := s.take(replies[i].To); to != nil && err == nil {
				to(replies[i].Response, nil)
			}
		}
	}
	s.drop(ErrNotCoordinator)
	s.state = resigned
	s.loaded()
}

func (s *shard[M]) lastWords() (replies []Reply, err error) {
	defer s.recovered(&err)
	return s.machine.Resigned(s.now), nil
}

// fail throws the machine away and loads the shard again.
func (s *shard[M]) fail(err error) {
	if s.state != active {
		return
	}
	s.rt.log.Warn("a coordinator is loaded again", "partition", s.partition, "epoch", s.epoch, "error", err.Error())
	s.drop(err)
	s.state = loading
	s.again()
}

// drop forgets the machine, and fails all who wait.
func (s *shard[M]) drop(err error) {
	s.gen++
	if s.cancel != nil {
		s.cancel()
		s.cancel = nil
	}
	if s.alarm != nil {
		s.alarm.Stop()
		s.alarm, s.alarmAt = nil, 0
	}
	s.timers.clear()
	var none M
	s.machine = none
	waiting, log := s.waiting, s.log
	s.waiting, s.log = make(map[Token]Done), writes{}
	log.fail(err)
	for _, to := range waiting {
		to(nil, err)
	}
}

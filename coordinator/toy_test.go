package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
)

// toy is a machine that keeps what is written to it. Its hard state is a list of words with their offsets.
type toy struct {
	words   []string
	parked  []Token
	elected int
	step    Effects // used again, as real machines do
}

func (m *toy) begin() *Effects {
	m.step = Effects{Records: m.step.Records[:0], Replies: m.step.Replies[:0], Timers: m.step.Timers[:0]}
	return &m.step
}

var errGibberish = errors.New("gibberish")

func (m *toy) Replay(at At, r Record) error {
	switch word := string(r.Value); {
	case word == "gibberish":
		return errGibberish
	case word == "poison":
		panic("poison")
	case r.Value == nil:
		m.words = append(m.words, fmt.Sprintf("%d -%s", at.Offset, r.Key))
	case at.ProducerID >= 0:
		m.words = append(m.words, fmt.Sprintf("%d %s by %d/%d", at.Offset, word, at.ProducerID, at.ProducerEpoch))
	default:
		m.words = append(m.words, fmt.Sprintf("%d %s", at.Offset, word))
	}
	return nil
}

func (m *toy) ReplayMarker(at At, commit bool) {
	m.words = append(m.words, fmt.Sprintf("%d marker of %d/%d %v", at.Offset, at.ProducerID, at.ProducerEpoch, commit))
}

func (m *toy) Elected(now int64) Effects {
	m.elected++
	return *m.begin()
}

func (m *toy) Resigned(now int64) []Reply {
	e := m.begin()
	for _, t := range m.parked {
		e.Replies = append(e.Replies, Reply{t, "resigned"})
	}
	return e.Replies
}

func (m *toy) Expired(now int64, k TimerKey) Effects {
	e := m.begin()
	switch k.Name {
	case "again":
		e.Timers = append(e.Timers, Timer{Key: k, At: now})
		e.Records = append(e.Records, Record{Value: []byte("again")})
	case "wake":
		return m.wakeAll(now, "woken")
	default:
		e.Records = append(e.Records, Record{Value: fmt.Appendf(nil, "%s at %d", k.Name, now)})
	}
	return *e
}

func (m *toy) Answered(now int64, key, answer any, err error) Effects {
	e := m.begin()
	e.Records = append(e.Records, Record{Value: fmt.Appendf(nil, "%v answered %v, %v", key, answer, err)})
	return *e
}

// write writes words in one operation.
func write(words ...string) Operation[*toy] {
	return func(m *toy, now int64, t Token) Effects {
		e := m.begin()
		for _, w := range words {
			e.Records = append(e.Records, Record{Key: []byte("k"), Value: []byte(w)})
		}
		e.Replies = append(e.Replies, Reply{t, fmt.Sprint("wrote ", words)})
		return *e
	}
}

// read answers with how many words there are.
func read(m *toy, now int64, t Token) Effects {
	e := m.begin()
	e.Replies = append(e.Replies, Reply{t, len(m.words)})
	return *e
}

// wait leaves the request to a later operation.
func wait(m *toy, now int64, t Token) Effects {
	m.parked = append(m.parked, t)
	return *m.begin()
}

func (m *toy) wakeAll(now int64, word string) Effects {
	e := m.begin()
	for _, t := range m.parked {
		e.Replies = append(e.Replies, Reply{t, word})
	}
	m.parked = nil
	return *e
}

func setTimer(name string, after int64) Operation[*toy] {
	return func(m *toy, now int64, t Token) Effects {
		e := m.begin()
		e.Timers = append(e.Timers, Timer{Key: TimerKey{Name: name}, At: now + after, Cancel: after < 0})
		e.Replies = append(e.Replies, Reply{t, "set"})
		return *e
	}
}

// topic is a log in memory whose high watermark follows at once, unless it is held.
type topic struct {
	mu       sync.Mutex
	batches  []stored
	end, hw  int64
	held     bool  // the high watermark stays where it is
	fail     error // of the next appends
	failLoad error
	shift    int64         // what the next append is off by
	block    chan struct{} // an append waits for it
	entered  chan struct{} // told when an append has come
	limit    int
	watchers map[int]func()
	epochs   []int32 // of the appends
	loads    int
	loading  int
	most     int // loads at a time
	gate     chan struct{}
}

type stored struct {
	base     int64
	words    []Record
	producer *Producer
	marker   *Marker
}

func newTopic() *topic { return &topic{limit: 1 << 20, watchers: map[int]func(){}} }

func (l *topic) Append(partition int32, b *Batch) (int64, error) {
	if l.entered != nil {
		l.entered <- struct{}{}
	}
	if l.block != nil {
		<-l.block
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return -1, l.fail
	}
	l.epochs = append(l.epochs, b.LeaderEpoch)
	base := l.end + l.shift
	s := stored{base: base, producer: b.Producer, marker: b.Marker}
	for _, r := range b.Records {
		s.words = append(s.words, Record{bytes.Clone(r.Key), bytes.Clone(r.Value)})
	}
	l.batches = append(l.batches, s)
	l.end = base + b.records()
	if !l.held {
		l.hw = l.end
	}
	return base, nil
}

func (l *topic) Committed(int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hw
}

func (l *topic) Watch(_ int32, offset int64, wake func()) func() {
	l.mu.Lock()
	id := len(l.watchers)
	for l.watchers[id] != nil {
		id++
	}
	l.watchers[id] = wake
	now := l.hw >= offset
	l.mu.Unlock()
	if now {
		wake()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, id)
	}
}

// commit moves the high watermark.
func (l *topic) commit(hw int64) {
	l.mu.Lock()
	l.hw = hw
	var all []func()
	for _, w := range l.watchers {
		all = append(all, w)
	}
	l.mu.Unlock()
	for _, w := range all {
		w()
	}
}

func (l *topic) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *topic) MaxBatchBytes(int32) int { return l.limit }

func (l *topic) Load(ctx context.Context, partition, epoch int32, into Replayer) (int64, error) {
	l.mu.Lock()
	l.loads++
	l.loading++
	l.most = max(l.most, l.loading)
	err, gate := l.failLoad, l.gate
	l.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loading--
	if err != nil {
		return -1, err
	}
	for _, b := range l.batches {
		at := At{b.base, -1, -1}
		if b.producer != nil {
			at.ProducerID, at.ProducerEpoch = b.producer.ID, b.producer.Epoch
		}
		if b.marker != nil {
			into.Marker(at, b.marker.Commit)
			continue
		}
		for _, r := range b.words {
			into.Record(at, r)
			at.Offset++
		}
	}
	return l.end, nil
}

// bed is a runtime over one topic.
type bed struct {
	t   *testing.T
	log *topic
	rt  *Runtime[*toy]
}

func newBed(t *testing.T, change func(c *Config[*toy])) *bed {
	b := &bed{t: t, log: newTopic()}
	c := Config[*toy]{New: func(int32, int32) *toy { return &toy{} }, Log: b.log}
	if change != nil {
		change(&c)
	}
	b.rt = New(c)
	t.Cleanup(func() {
		b.log.set(func() { b.log.gate = nil })
		b.rt.Close()
	})
	return b
}

// lead makes partition 0 active.
func (b *bed) lead() *bed {
	b.rt.Elected(0, 1)
	b.rt.Wait(b.t.Context(), 0)
	synctest.Wait() // the turn that has loaded it may not be over, and would be given what is asked now
	return b
}

// ask is a request under way.
type ask struct {
	done     chan struct{}
	response any
	err      error
}

func (b *bed) ask(op Operation[*toy]) *ask {
	a := &ask{done: make(chan struct{})}
	b.rt.Do(0, op, func(response any, err error) {
		a.response, a.err = response, err
		close(a.done) // a second answer panics
	})
	return a
}

// now is the outcome of a request, "" while there is none.
func (a *ask) now() string {
	select {
	case <-a.done:
	default:
		return ""
	}
	if a.err != nil {
		return "error: " + a.err.Error()
	}
	return fmt.Sprint(a.response)
}

func (a *ask) want(t *testing.T, what, want string) {
	t.Helper()
	synctest.Wait() // whoever runs the shard has run it
	if got := a.now(); got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// words are what the machine of partition 0 knows.
func (b *bed) words() (out []string) {
	done := make(chan struct{})
	b.rt.Do(0, func(m *toy, _ int64, t Token) Effects {
		out = append(out, m.words...)
		return Effects{Replies: []Reply{{t, nil}}}
	}, func(any, error) { close(done) })
	<-done
	return out
}

package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"

	"weir/broker/partition"
)

// Options are how hard a seed is.
type Options struct {
	Seed       uint64
	Brokers    int
	Partitions int
	ChaosMs    int64 // how long things go wrong
	PowerLoss  bool  // crashes lose what was not synced, and topics have flush.messages=1
}

// World is one run.
type World struct {
	Options
	rng     *rand.Rand
	now     int64 // milliseconds
	events  queue
	seq     int64
	calm    bool
	cuts    map[[2]int32]int // directed links that carry nothing, from and to; node 0 is the quorum
	quorum  *quorum
	brokers []*broker
	clients []*client
	check   checker
	trace   []string
	failed  error
}

// event is something that happens at a time. Events of the same time happen in the order in which they were planned.
type event struct {
	at, seq int64
	do      func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return x
}

// runWorld runs a seed to its end. The error says what does not hold, and what led to it.
func runWorld(o Options) (*World, error) {
	w := &World{Options: o, rng: rand.New(rand.NewPCG(o.Seed, 7)), now: 1_700_000_000_000, cuts: map[[2]int32]int{}}
	w.check.init(w)
	w.quorum = newQuorum(w)
	for id := range int32(o.Brokers) {
		w.brokers = append(w.brokers, newBroker(w, id+1))
	}
	for _, b := range w.brokers {
		b.start()
	}
	w.runFor(500)
	w.quorum.createTopics()
	for i := range 3 {
		c := &client{w: w, id: i}
		w.clients = append(w.clients, c)
		c.next()
	}
	w.runFor(500)
	w.check.often()
	w.chaos(w.now + o.ChaosMs)
	w.runFor(o.ChaosMs)
	w.heal()
	w.runFor(6000)
	for _, c := range w.clients {
		c.stopped = true
	}
	w.runFor(3000)
	w.check.atEnd()
	if w.failed != nil {
		return w, fmt.Errorf("seed %d: %w", o.Seed, w.failed)
	}
	return w, nil
}

// fail ends the run with what does not hold.
func (w *World) fail(format string, a ...any) {
	if w.failed == nil {
		w.failed = fmt.Errorf(format, a...)
	}
}

// note keeps a line of what happens, for who looks into a failed seed.
func (w *World) note(format string, a ...any) {
	if len(w.trace) >= maxTrace {
		w.trace = append(w.trace[:0], w.trace[maxTrace/2:]...)
	}
	w.trace = append(w.trace, fmt.Sprintf("%8d ", w.now-1_700_000_000_000)+fmt.Sprintf(format, a...))
}

const maxTrace = 400

// after plans something.
func (w *World) after(ms int64, do func()) {
	w.seq++
	heap.Push(&w.events, event{w.now + ms, w.seq, do})
}

// runFor lets so much time pass.
func (w *World) runFor(ms int64) {
	for end := w.now + ms; w.failed == nil; {
		if len(w.events) == 0 || w.events[0].at > end {
			w.now = end
			return
		}
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
}

// chance is true so many times in a thousand.
func (w *World) chance(perMille int) bool { return w.rng.IntN(1000) < perMille }

// between is a number from low to high, both included.
func (w *World) between(low, high int64) int64 { return low + w.rng.Int64N(high-low+1) }

// send carries a message, which may be lost, late, or overtake others. It is received if the link is there when it arrives, too.
func (w *World) send(from, to int32, receive func()) {
	if w.cuts[[2]int32{from, to}] > 0 || !w.calm && w.chance(10) {
		return
	}
	delay := w.between(0, 3)
	if !w.calm && w.chance(20) {
		delay = w.between(3, 400)
	}
	w.after(delay, func() {
		if w.cuts[[2]int32{from, to}] == 0 {
			receive()
		}
	})
}

// chaos lets things go wrong until a time.
func (w *World) chaos(until int64) {
	if w.now >= until || w.calm {
		return
	}
	w.after(w.between(50, 500), func() { w.chaos(until) })
	b := w.brokers[w.rng.IntN(len(w.brokers))]
	if p := w.quorum.committed.Partition(w.quorum.topic, 0); w.chance(400) && p.Leader > 0 {
		b = w.broker(p.Leader) // where it hurts most
	}
	switch w.rng.IntN(8) {
	case 0, 1:
		b.crash()
		w.after(w.between(20, 3000), b.start)
	case 2: // one way, between any two, the quorum among them
		x, y := w.rng.Int32N(int32(len(w.brokers)+1)), w.rng.Int32N(int32(len(w.brokers)+1))
		w.cut(x, y, w.between(100, 3000))
	case 3: // a broker alone
		ms := w.between(100, 3000)
		for other := range int32(len(w.brokers) + 1) {
			w.cut(b.id, other, ms)
			w.cut(other, b.id, ms)
		}
		w.note("broker %d is alone for %d ms", b.id, ms)
	case 4:
		w.quorum.elect()
	case 7: // all at once
		for _, b := range w.brokers {
			b.crash()
			w.after(w.between(20, 2500), b.start)
		}
	case 5, 6: // a broker that the quorum does not hear
		w.cut(b.id, 0, w.between(500, 2500))
	}
}

// cut closes a link for a while.
func (w *World) cut(from, to int32, ms int64) {
	if from == to {
		return
	}
	k := [2]int32{from, to}
	w.cuts[k]++
	w.after(ms, func() {
		if w.cuts[k] > 0 {
			w.cuts[k]--
		}
	})
}

// heal ends all that went wrong.
func (w *World) heal() {
	w.note("all is well from here")
	w.calm = true
	clear(w.cuts)
	for _, b := range w.brokers {
		if !b.up {
			b.start()
		}
	}
}

func (w *World) broker(id int32) *broker { return w.brokers[id-1] }

// all are the partitions that clients write to.
func (w *World) all() []partition.ID {
	var out []partition.ID
	for n := range w.Partitions {
		out = append(out, partition.ID{Topic: w.quorum.topic, Partition: int32(n)})
	}
	return out
}

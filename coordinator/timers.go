package coordinator

// timers are the timers of one shard: a heap by time. Most timers are set anew again and again, each time a little later (a session, with
// every heartbeat), and hardly ever fire. So a timer that moves to later stays where it is in the heap, and finds its place when its old
// time comes: setting it anew is one look-up and allocates nothing.
type timers struct {
	byKey map[TimerKey]*timer
	heap  []*timer // by due
}

type timer struct {
	key   TimerKey
	at    int64 // when it fires
	due   int64 // where it is in the heap: at most at
	index int
}

// set sets or cancels a timer.
func (x *timers) set(t *Timer) {
	old := x.byKey[t.Key]
	switch {
	case old == nil && t.Cancel:
	case old == nil:
		if x.byKey == nil {
			x.byKey = make(map[TimerKey]*timer)
		}
		n := &timer{key: t.Key, at: t.At, due: t.At, index: len(x.heap)}
		x.byKey[t.Key] = n
		x.heap = append(x.heap, n)
		x.up(n.index)
	case t.Cancel:
		x.remove(old)
	default:
		old.at = t.At
		if t.At < old.due {
			old.due = t.At
			x.up(old.index)
		}
	}
}

// next says when something may be due, at the earliest; ok is false where there is no timer.
func (x *timers) next() (at int64, ok bool) {
	if len(x.heap) == 0 {
		return 0, false
	}
	return x.heap[0].due, true
}

// pop removes and returns a timer that is due.
func (x *timers) pop(now int64) (TimerKey, bool) {
	for len(x.heap) > 0 && x.heap[0].due <= now {
		t := x.heap[0]
		if t.at <= now {
			x.remove(t)
			return t.key, true
		}
		t.due = t.at
		x.down(0)
	}
	return TimerKey{}, false
}

func (x *timers) clear() { x.byKey, x.heap = nil, nil }

func (x *timers) remove(t *timer) {
	delete(x.byKey, t.key)
	i, last := t.index, len(x.heap)-1
	moved := x.heap[last]
	x.heap[last] = nil
	x.heap = x.heap[:last]
	if i == last {
		return
	}
	x.heap[i], moved.index = moved, i
	x.up(i)
	x.down(moved.index)
}

func (x *timers) up(i int) {
	t := x.heap[i]
	for i > 0 {
		parent := (i - 1) / 2
		p := x.heap[parent]
		if p.due <= t.due {
			break
		}
		x.heap[i], p.index = p, i
		i = parent
	}
	x.heap[i], t.index = t, i
}

func (x *timers) down(i int) {
	t := x.heap[i]
	for {
		child := 2*i + 1
		if child >= len(x.heap) {
			break
		}
		if right := child + 1; right < len(x.heap) && x.heap[right].due < x.heap[child].due {
			child = right
		}
		c := x.heap[child]
		if t.due <= c.due {
			break
		}
		x.heap[i], c.index = c, i
		i = child
	}
	x.heap[i], t.index = t, i
}

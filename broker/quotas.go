package broker

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/config"
)

// limits are the bounds on connections. They are made anew when a setting changes.
type limits struct {
	total     int
	rate      int // new connections a second
	perIP     int
	overrides map[string]int // perIP of single addresses
	listeners map[string]listenerLimits
}

type listenerLimits struct{ max, rate int }

// limitsOf reads the limits in force for the listeners of these names.
//
// Differs from Kafka: max.connections.per.ip.overrides takes addresses and localhost; other host names are left out, for nobody looks them
// up while connections wait.
func limitsOf(l *config.Layers, listeners []string) *limits {
	m := &limits{
		total: l.Int("max.connections"), rate: l.Int("max.connection.creation.rate"), perIP: l.Int("max.connections.per.ip"),
		overrides: map[string]int{}, listeners: map[string]listenerLimits{},
	}
	for _, item := range config.SplitList(l.String("max.connections.per.ip.overrides")) {
		colon := strings.LastIndexByte(item, ':')
		n, err := strconv.Atoi(strings.TrimSpace(item[colon+1:]))
		if colon < 0 || err != nil {
			continue // the table's check lets none through
		}
		host := strings.Trim(item[:colon], "[] ")
		if host == "localhost" {
			m.overrides["127.0.0.1"], m.overrides["::1"] = n, n
		} else if ip, err := netip.ParseAddr(host); err == nil {
			m.overrides[ip.Unmap().String()] = n
		}
	}
	for _, name := range listeners {
		m.listeners[name] = listenerLimits{l.ListenerInt(name, "max.connections"), l.ListenerInt(name, "max.connection.creation.rate")}
	}
	return m
}

// errTooMany refuses a connection from an address that has as many as it may.
var errTooMany = errors.New("too many connections from this address (max.connections.per.ip)")

// quotas counts connections and holds them against the limits, as Kafka's ConnectionQuotas does: what is beyond max.connections or the
// creation rate waits, and its listener with it; what is beyond max.connections.per.ip is closed.
type quotas struct {
	protected map[string]bool // listeners that what is said for all does not hold back: of brokers, where it is one of several, and of controllers
	burst     time.Duration   // connections of so long may come at once, after a pause
	longest   time.Duration   // that the rate makes one wait
	now       func() time.Time

	mu        sync.Mutex
	limits    *limits
	total     int
	listeners map[string]int
	ips       map[string]int
	rate      bucket
	rates     map[string]*bucket // of listeners
	waiting   bool
	changed   chan struct{} // closed when who waits shall look again
}

func newQuotas(l *limits, now func() time.Time) *quotas {
	return &quotas{
		protected: map[string]bool{}, burst: 10 * time.Second, longest: time.Second, now: now, limits: l, listeners: map[string]int{}, ips: map[string]int{},
		rates: map[string]*bucket{}, changed: make(chan struct{}),
	}
}

// enter counts a connection in. It waits for the rate and for a slot, and fails when ctx is done or the address has too many.
func (q *quotas) enter(ctx context.Context, listener, ip string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	until := q.now().Add(q.throttle(listener))
	for {
		left := until.Sub(q.now())
		if left <= 0 && q.free(listener) {
			break
		}
		if err := q.wait(ctx, left); err != nil {
			return err
		}
	}
	most, ok := q.limits.overrides[ip]
	if !ok {
		most = q.limits.perIP
	}
	if q.ips[ip] >= most {
		return errTooMany
	}
	q.total++
	q.listeners[listener]++
	q.ips[ip]++
	return nil
}

// wait lets go of q.mu until something has changed or d, where it is positive, is over.
func (q *quotas) wait(ctx context.Context, d time.Duration) error {
	q.waiting = true
	changed := q.changed
	q.mu.Unlock()
	defer q.mu.Lock()
	var over <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-over:
	}
	return nil
}

// leave counts a connection out.
func (q *quotas) leave(listener, ip string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	q.listeners[listener]--
	if q.ips[ip]--; q.ips[ip] == 0 {
		delete(q.ips, ip)
	}
	q.wake()
}

// set puts other limits in force.
func (q *quotas) set(l *limits) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limits = l
	q.wake()
}

func (q *quotas) wake() {
	if q.waiting {
		q.waiting = false
		close(q.changed)
		q.changed = make(chan struct{})
	}
}

// excess is how many connections there are beyond max.connections: it was lowered, or the protected listener took slots.
func (q *quotas) excess() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total - q.limits.total
}

func (q *quotas) free(listener string) bool {
	if m, ok := q.limits.listeners[listener]; ok && q.listeners[listener] >= m.max {
		return false
	}
	return q.protected[listener] || q.total < q.limits.total
}

// throttle takes a connection from the rates and says how long it has to wait for them.
func (q *quotas) throttle(listener string) time.Duration {
	now, wait := q.now(), time.Duration(0)
	if !q.protected[listener] {
		wait = q.rate.take(q.limits.rate, q.burst, now)
	}
	if m, ok := q.limits.listeners[listener]; ok {
		b := q.rates[listener]
		if b == nil {
			b = new(bucket)
			q.rates[listener] = b
		}
		wait = max(wait, b.take(m.rate, q.burst, now))
	}
	return min(wait, q.longest)
}

// bucket measures a rate: it fills with rate tokens a second, up to those of burst, and each connection takes one.
type bucket struct {
	tokens float64
	at     time.Time // zero: full
}

func (b *bucket) take(rate int, burst time.Duration, now time.Time) time.Duration {
	if rate == math.MaxInt32 {
		*b = bucket{}
		return 0
	}
	most := float64(rate) * burst.Seconds()
	if b.at.IsZero() {
		b.tokens = most
	} else {
		b.tokens = min(most, b.tokens+float64(rate)*now.Sub(b.at).Seconds())
	}
	b.at = now
	b.tokens = max(b.tokens-1, -float64(rate)-1)
	switch {
	case b.tokens >= 0:
		return 0
	case rate == 0:
		return math.MaxInt64
	}
	return time.Duration(-b.tokens / float64(rate) * float64(time.Second))
}

package replica

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// throttle holds replication of the partitions that a topic names to a rate, as a reassignment wants it: Kafka's ReplicationQuotaManager. What
// goes over the limit is counted, and makes up for it by a rest.
type throttle struct {
	rate     atomic.Int64 // bytes a second; math.MaxInt64: none
	windowMs int64        // replication.quota.window.size.seconds
	mu       sync.Mutex
	samples  []sample // replication.quota.window.num of them
	at       int      // the newest
}

// sample is what was carried in one window.
type sample struct {
	startMs int64
	bytes   int64
}

func (t *throttle) init(windows int, windowMs int64) {
	t.rate.Store(math.MaxInt64)
	t.samples, t.windowMs = make([]sample, max(windows, 1)), max(windowMs, 1)
}

// limited says whether there is a limit at all.
func (t *throttle) limited() bool { return t.rate.Load() != math.MaxInt64 }

// carried counts bytes.
func (t *throttle) carried(nowMs int64, n int) {
	if n == 0 || !t.limited() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.samples[t.at]
	if nowMs-s.startMs >= t.windowMs {
		t.at = (t.at + 1) % len(t.samples)
		s = &t.samples[t.at]
		*s = sample{startMs: nowMs}
	}
	s.bytes += int64(n)
}

// exceeded says whether more was carried than the limit allows, over the windows that are remembered.
func (t *throttle) exceeded(nowMs int64) bool {
	rate := t.rate.Load()
	if rate == math.MaxInt64 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	total, oldest := int64(0), nowMs
	for _, s := range t.samples {
		if s.bytes > 0 && nowMs-s.startMs < t.windowMs*int64(len(t.samples)) {
			total += s.bytes
			oldest = min(oldest, s.startMs)
		}
	}
	return float64(total)*1000/float64(max(nowMs-oldest, t.windowMs)) > float64(rate)
}

// throttled are the partitions of a topic whose replicas on one broker are throttled.
type throttled struct {
	all  bool
	some map[int32]bool
}

// throttledOn reads *.replication.throttled.replicas: *, or pairs of a partition and a broker.
func throttledOn(value string, broker int32) (t throttled) {
	for _, pair := range strings.Split(value, ",") {
		pair = strings.TrimSpace(pair)
		if pair == "*" {
			t.all = true
			continue
		}
		p, b, _ := strings.Cut(pair, ":")
		n, err := strconv.ParseInt(p, 10, 32)
		if err != nil || b != strconv.Itoa(int(broker)) {
			continue
		}
		if t.some == nil {
			t.some = map[int32]bool{}
		}
		t.some[int32(n)] = true
	}
	return t
}

func (t *throttled) has(partition int32) bool { return t.all || t.some[partition] }

// throttles are those of this broker: for what it sends to followers, and for what it fetches.
type throttles struct {
	leader, follower throttle
}

// setRate takes a limit of the settings, where an empty one is none.
func (t *throttle) setRate(value string) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	t.rate.Store(n)
}

package ratelimit

import (
	"errors"
	"sync"
	"time"

	"weir/proxy/filter"
)

// maxClients bounds the clients that are remembered. Beyond it those that have nothing to wait for are forgotten.
const maxClients = 10_000

// maxWait bounds one wait, so that a single large request is late and not lost.
const maxWait = 30 * time.Second

// Config is what the filter is made of. 0 is no limit.
type Config struct {
	Requests float64 `yaml:"requests-per-second"`
	Bytes    float64 `yaml:"bytes-per-second"`
	Burst    float64 `yaml:"burst-seconds"` // how long a client that was quiet may go faster; 0 is one second
}

// Filter holds back.
type Filter struct {
	cfg Config
	now func() time.Time

	mu      sync.Mutex
	clients map[string]*bucket
}

// bucket is what a client may still do now, below zero what it has done too much.
type bucket struct {
	requests, bytes float64
	at              time.Time
}

// New makes the filter; now nil is the clock.
func New(c Config, now func() time.Time) (*Filter, error) {
	if c.Requests < 0 || c.Bytes < 0 || c.Burst < 0 || c.Requests == 0 && c.Bytes == 0 {
		return nil, errors.New("allowed are requests or bytes a second above zero")
	}
	if c.Burst == 0 {
		c.Burst = 1
	}
	if now == nil {
		now = time.Now
	}
	return &Filter{cfg: c, now: now, clients: map[string]*bucket{}}, nil
}

// Hooks implements filter.Filter.
func (f *Filter) Hooks() []filter.Hook {
	return []filter.Hook{{
		Key:    filter.EveryKey,
		Before: func(x *filter.Exchange) error { return x.Wait(f.take(x.ClientID, 1, float64(x.Bytes))) },
		After:  func(x *filter.Exchange) { f.take(x.ClientID, 0, float64(x.Answered)) },
	}}
}

// take notes what a client does and returns how long it has to wait first.
func (f *Filter) take(client string, requests, bytes float64) time.Duration {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.clients[client]
	if b == nil {
		f.forget(now)
		b = &bucket{requests: f.cfg.Requests * f.cfg.Burst, bytes: f.cfg.Bytes * f.cfg.Burst, at: now}
		f.clients[client] = b
	}
	f.fill(b, now)
	b.requests -= requests
	b.bytes -= bytes
	wait := max(owed(b.requests, f.cfg.Requests), owed(b.bytes, f.cfg.Bytes))
	return min(time.Duration(wait*float64(time.Second)), maxWait)
}

// fill adds what the time since gave.
func (f *Filter) fill(b *bucket, now time.Time) {
	d := max(now.Sub(b.at).Seconds(), 0)
	b.at = now
	b.requests = min(b.requests+d*f.cfg.Requests, f.cfg.Requests*f.cfg.Burst)
	b.bytes = min(b.bytes+d*f.cfg.Bytes, f.cfg.Bytes*f.cfg.Burst)
}

func owed(have, rate float64) float64 {
	if have >= 0 || rate == 0 {
		return 0
	}
	return -have / rate
}

// forget drops clients that owe nothing when there are many, and all where that does not help.
func (f *Filter) forget(now time.Time) {
	if len(f.clients) < maxClients {
		return
	}
	for name, b := range f.clients {
		if f.fill(b, now); b.requests >= 0 && b.bytes >= 0 {
			delete(f.clients, name)
		}
	}
	if len(f.clients) >= maxClients {
		clear(f.clients)
	}
}

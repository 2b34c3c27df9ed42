package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker/partition"
	"weir/config"
	"weir/controller"
	"weir/protocol"
	"weir/wal"
	"weir/wal/vfs"
)

// Timer is a timer that AfterFunc has set, as *time.Timer is.
type Timer interface{ Stop() bool }

// Config is what a Manager stands on. The zero value of every field but NodeID, Dirs and Log is usable.
type Config struct {
	NodeID int32
	Static *config.Static // nil: all defaults
	Dirs   []DirConfig    // log.dirs; at least one
	FS     vfs.FS         // nil: the real one
	Log    *slog.Logger   // nil: discard
	Now    func() time.Time
	// AfterFunc sets a timer; nil is time.AfterFunc.
	AfterFunc func(d time.Duration, f func()) Timer
	// OpenStore opens a log directory; nil is OpenWAL.
	OpenStore func(d DirConfig, o wal.Options) (Store, error)
	// AlterISR sends a proposal to the controller and calls answered once, from any goroutine. It must not block. nil: there is
	// no other broker.
	AlterISR func(p *partition.Proposal, answered func(*partition.Answer))
	// Dial connects to a broker that leads partitions, within a bounded time. nil: there is no other broker.
	Dial func(broker int32) (Leader, error)
	// OnDirs is called, from any goroutine and without locks, when a log directory goes offline or comes back.
	OnDirs func()
	// OnPlaced is called with a partition that the metadata gives to no directory yet, and where it is. It must not block. It is not
	// called where there is only one directory.
	OnPlaced func(id partition.ID, dir protocol.UUID)
}

// DirConfig is one log directory.
type DirConfig struct {
	Path string
	ID   protocol.UUID // directory.id of its meta.properties
}

// Manager is the partitions of this broker: broker/api's Replicas. Any number of goroutines may use it. A partition costs nothing
// until it is first used: then its object is made from the newest image and its log is loaded.
type Manager struct {
	txns
	fetchers
	cfg       Config
	log       *slog.Logger
	settings  atomic.Pointer[partition.Settings]
	dirs      []*dir
	shards    [shardCount]shard
	topics    topicCache
	timers    timers
	throttles throttles
	cleaner   cleaner
	// unvisited are the partitions with data that were not looked at since the start; the timers' lock guards it.
	unvisited []partition.ID
	started   bool // by Apply
	swept     bool // logs without a partition were removed; by Apply
	closed    atomic.Bool
	busy      sync.WaitGroup // syncs, snapshots and timers that run
	image     atomic.Pointer[controller.Image]
}

const shardCount = 64

type shard struct {
	mu sync.RWMutex
	m  map[partition.ID]*replica
}

// Open opens the log directories. A directory that another process has, or that all of them fail to open, is an error; one of several that
// fails is offline, and its partitions with it. Nothing is served until the first Apply.
func Open(cfg Config) (*Manager, error) {
	fill(&cfg)
	m := &Manager{cfg: cfg, log: cfg.Log}
	m.txns.m = m
	for i := range m.shards {
		m.shards[i].m = make(map[partition.ID]*replica)
	}
	m.cleaner.m, m.cleaner.stop = m, make(chan struct{})
	m.fetchers.init(m)
	for _, t := range []*throttle{&m.throttles.leader, &m.throttles.follower} {
		t.init(cfg.Static.Int("replication.quota.window.num"), cfg.Static.Int64("replication.quota.window.size.seconds")*1000)
	}
	m.image.Store(controller.NewImage())
	m.readSettings(controller.NewImage())
	m.topics.m = make(map[protocol.UUID]*topic)
	if err := m.openDirs(); err != nil {
		return nil, err
	}
	return m, nil
}

func fill(cfg *Config) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.AfterFunc == nil {
		cfg.AfterFunc = func(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
	}
	if cfg.OpenStore == nil {
		cfg.OpenStore = OpenWAL
	}
}

func (m *Manager) openDirs() error {
	var failed []error
	open := 0
	for _, c := range m.cfg.Dirs {
		c.Path = filepath.Clean(c.Path)
		d := &dir{m: m, DirConfig: c}
		m.dirs = append(m.dirs, d)
		o := wal.Options{FS: m.cfg.FS, Now: m.cfg.Now, Logger: m.log, OnOffline: d.wentOffline, OnOnline: d.cameBack}
		var err error
		if d.store, err = m.cfg.OpenStore(c, o); err == nil {
			open++
			continue
		}
		d.store = nil
		d.offline.Store(true)
		if errors.Is(err, wal.ErrLocked) {
			m.closeDirs()
			return fmt.Errorf("log directory %s: %w", c.Path, err)
		}
		failed = append(failed, fmt.Errorf("log directory %s: %w", c.Path, err))
	}
	switch {
	case open > 0:
		for _, err := range failed {
			m.log.Error("offline", "err", err)
		}
	case len(failed) == 0:
		return errors.New("no log directory is configured")
	case len(failed) > 1:
		return fmt.Errorf("%w, and none of the other %d log directories can be used either", failed[0], len(failed)-1)
	default:
		return failed[0]
	}
	return nil
}

// closeDirs closes the log directories. That one is offline was said when it went.
func (m *Manager) closeDirs() error {
	var errs []error
	for _, d := range m.dirs {
		if d.store == nil {
			continue
		}
		if err := d.store.Close(); err != nil && !errors.Is(err, wal.ErrOffline) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// worthSaving is how much of a log the next start may look through rather than read a snapshot that Close would write.
const worthSaving = 64 << 10

// Close saves what makes the next start short and closes the log directories. Requests that wait are answered NOT_LEADER_OR_FOLLOWER, so
// that clients look for the partition elsewhere.
func (m *Manager) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	m.fetchers.close()
	m.timers.stop()
	close(m.cleaner.stop)
	m.each(func(r *replica) { // who saw closed unset has added to busy after this
		r.mu.Lock()
		defer r.mu.Unlock()
	})
	m.busy.Wait()
	m.each(func(r *replica) {
		e := takeEffects()
		r.mu.Lock()
		if r.p != nil {
			if r.p.Unsaved() >= worthSaving && !r.dir.Load().offline.Load() {
				if err := r.p.SaveSnapshot(); err != nil {
					m.log.Warn("producer state was not saved", "partition", r.name, "err", err)
				}
			}
			r.p.Fail(protocol.NotLeaderOrFollower, e)
		}
		r.mu.Unlock()
		finish(e)
		putEffects(e)
	})
	m.noteHighWatermarks()
	return m.closeDirs()
}

func (m *Manager) nowMs() int64 { return m.cfg.Now().UnixMilli() }

func (m *Manager) shard(id partition.ID) *shard {
	h := uint32(id.Topic[3]) ^ uint32(id.Topic[9])<<1 ^ uint32(id.Topic[13])<<2 ^ uint32(id.Partition)*0x9e3779b1>>16
	return &m.shards[h%shardCount]
}

func (m *Manager) get(id partition.ID) *replica {
	s := m.shard(id)
	s.mu.RLock()
	r := s.m[id]
	s.mu.RUnlock()
	return r
}

// each calls fn with every partition that has an object.
func (m *Manager) each(fn func(r *replica)) {
	var all []*replica
	for i := range m.shards {
		s := &m.shards[i]
		all = all[:0]
		s.mu.RLock()
		for _, r := range s.m {
			all = append(all, r)
		}
		s.mu.RUnlock()
		for _, r := range all {
			fn(r)
		}
	}
}

// hint is the leader that the metadata names, for a client that asked the wrong broker.
type hint struct {
	leader, epoch int32
}

var noHint = hint{-1, -1}

// lock returns the partition locked and ready, or says why it cannot be used.
func (m *Manager) lock(id partition.ID) (*replica, protocol.Code, hint) {
	for {
		r := m.get(id)
		if r == nil {
			var code protocol.Code
			var h hint
			if r, code, h = m.make(id); r == nil {
				return nil, code, h
			}
		}
		r.mu.Lock()
		if r.p != nil {
			return r, protocol.None, noHint
		}
		if r.gone {
			r.mu.Unlock()
			continue // another image may have another one
		}
		code := r.load()
		if code == protocol.None {
			return r, protocol.None, noHint
		}
		gone := r.gone
		r.mu.Unlock()
		if gone {
			continue
		}
		return nil, code, noHint
	}
}

// make makes the object of a partition that the metadata gives to this broker.
func (m *Manager) make(id partition.ID) (*replica, protocol.Code, hint) {
	img := m.image.Load()
	t := img.TopicByID(id.Topic)
	p := t.Partition(id.Partition)
	if p == nil || m.closed.Load() {
		return nil, protocol.UnknownTopicOrPartition, noHint
	}
	if !slices.Contains(p.Replicas, m.cfg.NodeID) {
		return nil, protocol.NotLeaderOrFollower, hint{p.Leader, p.LeaderEpoch}
	}
	s := m.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.m[id]
	if r == nil {
		r = &replica{m: m, id: id, name: logName(t.Name, id), retainAtMs: math.MinInt64}
		s.m[id] = r
	}
	return r, protocol.None, noHint
}

// forget removes the object of a partition. r is locked.
func (m *Manager) forget(r *replica) {
	r.gone = true
	s := m.shard(r.id)
	s.mu.Lock()
	if s.m[r.id] == r {
		delete(s.m, r.id)
	}
	s.mu.Unlock()
}

// effectsPool keeps what produce and fetch would allocate each time.
var effectsPool = sync.Pool{New: func() any { return new(partition.Effects) }}

func takeEffects() *partition.Effects { return effectsPool.Get().(*partition.Effects) }

func putEffects(e *partition.Effects) {
	e.Reset()
	effectsPool.Put(e)
}

// Broker implements partition.Brokers by the newest image.
func (m *Manager) Broker(id int32) (epoch int64, alive, eligible bool) {
	b := m.image.Load().Broker(id)
	if b == nil {
		return -1, false, false
	}
	return b.Epoch, !b.Fenced, !b.Fenced && !b.ShuttingDown
}

package wal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/wal/vfs"
)

const (
	lockName     = ".lock"
	tmpSuffix    = ".tmp"
	deleteSuffix = "-delete" // of a log directory that is on its way out
	maxNameLen   = 255       // of a file

	defaultMaxOpen  = 800
	indexCacheBytes = 16 << 20 // points of sealed segments that are kept in memory
	tailBudgetBytes = 256 << 20
	workers         = 8 // files that are synced side by side
)

// Dir is one log directory: its lock, its checkpoint, the handles that are open, and the logs in it. Its methods may be called by
// many goroutines.
type Dir struct {
	path string
	fs   vfs.FS
	opts Options
	log  *slog.Logger
	lock io.Closer

	journal *journal
	health  health
	space   space

	mu     sync.Mutex
	logs   map[string]*Log
	closed bool

	writers   clock[*Log]     // open write handles
	readers   clock[*segment] // open read descriptors
	indexes   clock[*segment] // loaded points of sealed segments, by bytes
	tailBytes atomic.Int64    // way A: what the library holds of tails

	work workQueue
}

// OpenDir opens a log directory, making it if need be, and locks it. It reads the checkpoint and nothing of any log.
func OpenDir(path string, opts Options) (*Dir, error) {
	if opts.FS == nil {
		opts.FS = vfs.OS
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.MaxOpen <= 0 {
		opts.MaxOpen = defaultMaxOpen
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("log directory %s: %w", path, err)
	}
	d := &Dir{path: path, fs: opts.FS, opts: opts, log: opts.Logger.With("dir", path), logs: make(map[string]*Log)}
	if !lendable() {
		d.log.Warn("tidwall/wal has another layout, appends are copied more often", "why", peekErr)
		d.opts.publicOnly = true
	}
	d.initClocks()
	if err := d.open(); err != nil {
		if d.lock != nil {
			d.lock.Close()
		}
		return nil, err
	}
	return d, nil
}

func (d *Dir) open() error {
	lock, err := d.fs.Lock(d.path + "/" + lockName)
	if notExist(err) {
		if err := makeDurable(d.fs, d.path); err != nil {
			return err
		}
		lock, err = d.fs.Lock(d.path + "/" + lockName)
	}
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("%s: %w", d.path, ErrLocked)
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	d.lock = lock
	if err := d.checkWritable(); err != nil {
		return fmt.Errorf("not writable: %w", err)
	}
	journal, damaged, err := openJournal(d.fs, d.path)
	if err != nil {
		return err
	}
	d.journal = journal
	if damaged {
		d.log.Warn("checkpoint is damaged, every log will be scanned")
	}
	if err := d.space.init(d); err != nil {
		return err
	}
	return d.finishDeletes()
}

// makeDurable makes a directory and those above it where they are not there, so that a crash cannot take them with all that is in them.
func makeDurable(fsys vfs.FS, path string) error {
	if _, err := fsys.Stat(path); !notExist(err) {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeDurable(fsys, parent); err != nil {
		return err
	}
	if err := fsys.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// checkWritable makes and removes a file.
func (d *Dir) checkWritable() error {
	name := d.path + "/.probe" + tmpSuffix
	f, err := d.fs.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), d.fs.Remove(name))
}

// finishDeletes removes in the background what a crash left half deleted, and temporary files at once.
func (d *Dir) finishDeletes() error {
	entries, err := d.fs.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("log directory: %w", err)
	}
	for _, e := range entries {
		name := d.path + "/" + e.Name()
		switch {
		case e.IsDir() && strings.HasSuffix(e.Name(), deleteSuffix):
			d.unlinkLater(name)
		case !e.IsDir() && strings.HasSuffix(e.Name(), tmpSuffix):
			if err := d.fs.Remove(name); err != nil {
				return fmt.Errorf("remove leftover: %w", err)
			}
		}
	}
	return nil
}

func (d *Dir) unlinkLater(path string) {
	d.work.add(func() {
		if err := d.fs.RemoveAll(path); err != nil {
			d.log.Warn("deleted log stays until the next start", "path", path, "err", err)
		}
	})
}

func (d *Dir) initClocks() {
	half := int64(max(1, d.opts.MaxOpen/2))
	d.writers = clock[*Log]{max: half, hot: func(l *Log) *atomic.Bool { return &l.hot }, evict: (*Log).evictHandle}
	d.readers = clock[*segment]{max: half, hot: func(s *segment) *atomic.Bool { return &s.hot }, evict: (*segment).evictFD}
	d.indexes = clock[*segment]{max: indexCacheBytes, hot: func(s *segment) *atomic.Bool { return &s.hot }, evict: (*segment).evictPoints}
	d.work.max = workers
	if d.opts.tailBudget <= 0 {
		d.opts.tailBudget = tailBudgetBytes
	}
}

// Path returns the absolute path of the directory.
func (d *Dir) Path() string { return d.path }

func (d *Dir) nowMs() int64 { return d.opts.Now().UnixMilli() }

// Log returns the log of that name, which is one path component, and makes the object where there is none. It touches no file:
// a log has a directory from its first append on.
func (d *Dir) Log(name string) (*Log, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	if l := d.logs[name]; l != nil {
		return l, nil
	}
	l := newLog(d, name)
	d.logs[name] = l
	return l, nil
}

func checkName(name string) error {
	// Deleting a log makes its name longer by a suffix of 18 bytes, cutting it if need be.
	switch {
	case name == "" || name[0] == '.' || len(name) > maxNameLen || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("log name %q: not a file name", name)
	case strings.HasSuffix(name, deleteSuffix) || strings.HasSuffix(name, tmpSuffix) || name == journalName:
		return fmt.Errorf("log name %q: reserved", name)
	}
	return nil
}

// Names returns the names of the logs that have something on the disk, in no order.
func (d *Dir) Names() ([]string, error) {
	if err := d.Offline(); err != nil {
		return nil, err
	}
	entries, err := d.fs.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	known := d.journal.names()
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || checkName(name) != nil {
			continue
		}
		if _, ok := known[name]; !ok {
			if _, err := d.fs.Stat(d.path + "/" + name + "/" + dataDir); err != nil {
				continue // a directory of somebody else
			}
		}
		names = append(names, name)
	}
	return names, nil
}

// Remove deletes a log: it is gone for callers at once, its files are unlinked in the background. A name without a log is no error.
func (d *Dir) Remove(name string) error {
	l, err := d.Log(name)
	if err != nil {
		return err
	}
	if err := d.Offline(); err != nil {
		return err
	}
	release := l.flush.hold()
	defer release()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone.Load() {
		return nil
	}
	// The record first: a directory that comes back after a crash is scanned, a state that comes back would hide records of a new
	// log of the same name.
	if err := d.journal.remove(name); err != nil {
		return d.fail("remove "+name, err)
	}
	suffix := fmt.Sprintf(".%010x%s", rand.Uint64()&(1<<40-1), deleteSuffix)
	to := d.path + "/" + name[:min(len(name), maxNameLen-len(suffix))] + suffix
	switch err := d.fs.Rename(l.path, to); {
	case err == nil:
		d.unlinkLater(to)
	case !errors.Is(err, os.ErrNotExist):
		return d.fail("remove "+name, err)
	}
	l.shut()
	d.mu.Lock()
	delete(d.logs, name)
	d.mu.Unlock()
	return nil
}

// Usage returns what the logs hold and what room the file system has. Logs that were not used yet count as the checkpoint saw them.
func (d *Dir) Usage() (Space, error) {
	st, err := d.fs.Statfs(d.path)
	if err != nil {
		return Space{}, fmt.Errorf("log directory: %w", err)
	}
	sizes := d.journal.names()
	d.mu.Lock()
	for name, l := range d.logs {
		if l.loaded.Load() {
			sizes[name] = l.size.Load()
		}
	}
	d.mu.Unlock()
	sp := Space{Total: st.Total, Usable: st.Usable}
	for _, n := range sizes {
		sp.Size += n
	}
	return sp, nil
}

// Checkpoint writes the hints and log starts that changed since the last call, all in one write. A process that dies loses none of
// them, a machine may.
func (d *Dir) Checkpoint() error {
	if err := d.Offline(); err != nil {
		return err
	}
	changed := make(map[string]state)
	for _, l := range d.all() {
		if l.hintsDirty.Swap(false) {
			changed[l.name] = l.flush.state()
		}
	}
	if err := d.journal.put(changed); err != nil {
		for name := range changed {
			if l, err := d.Log(name); err == nil {
				l.hintsDirty.Store(true)
			}
		}
		return d.fail("checkpoint", err)
	}
	return nil
}

func (d *Dir) all() []*Log {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*Log, 0, len(d.logs))
	for _, l := range d.logs {
		all = append(all, l)
	}
	return all
}

// Close stops cleanly: all logs are synced, eight at a time, the checkpoint moves to their ends, and the lock is released. The next
// start then scans nothing. The directory and its logs are unusable afterwards, whatever the error.
func (d *Dir) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	d.health.stop()
	d.work.wait()
	err := d.Offline()
	if err == nil {
		err = d.closeLogs()
	}
	for _, l := range d.all() {
		l.mu.Lock()
		l.shut()
		l.mu.Unlock()
	}
	d.work.wait()
	d.journal.close()
	return errors.Join(err, d.lock.Close())
}

func (d *Dir) closeLogs() error {
	var mu sync.Mutex
	var errs []error
	states := make(map[string]state)
	for _, l := range d.all() {
		if !l.flush.dirty() {
			continue
		}
		d.work.add(func() {
			err := l.flush.finish()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			states[l.name] = l.flush.state()
		})
	}
	d.work.wait()
	if err := d.journal.put(states); err != nil {
		errs = append(errs, err)
	}
	if err := d.journal.sync(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

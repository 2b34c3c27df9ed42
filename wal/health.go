package wal

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	defaultProbeInterval = time.Second
	probeBytes           = 64 << 10
)

// fsyncError marks an error of fsync: what the kernel could not write it has dropped, and the next fsync would say that all is well.
type fsyncError struct{ err error }

func (e *fsyncError) Error() string { return e.err.Error() }
func (e *fsyncError) Unwrap() error { return e.err }

func syncError(err error) error { return &fsyncError{err} }

// isSpace says whether an error goes away when somebody makes room. EFBIG is what a file size limit gives.
func isSpace(err error) bool {
	var fsync *fsyncError
	return !errors.As(err, &fsync) &&
		(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG))
}

// isTransient says whether an error is of the process, not of the disk: nothing is wrong with the directory.
func isTransient(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM) ||
		errors.Is(err, ErrClosed)
}

// health is whether a directory is online.
type health struct {
	err atomic.Pointer[offlineError] // nil: online

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	notices []func()
	telling bool
}

// offlineError says why a directory is offline; curable is true where it comes back by itself.
type offlineError struct {
	dir     string
	cause   error
	curable bool
}

func (e *offlineError) Error() string { return fmt.Sprintf("%s: %v: %v", e.dir, ErrOffline, e.cause) }

func (e *offlineError) Unwrap() []error {
	if e.curable {
		return []error{ErrOffline, ErrNoSpace, e.cause}
	}
	return []error{ErrOffline, e.cause}
}

// Offline returns nil, or an error wrapping ErrOffline and what took the directory offline.
func (d *Dir) Offline() error {
	if err := d.health.err.Load(); err != nil {
		return err
	}
	return nil
}

// offlineForGood returns the error of a directory that will not come back.
func (d *Dir) offlineForGood() error {
	if err := d.health.err.Load(); err != nil && !err.curable {
		return err
	}
	return nil
}

// fail takes the directory offline for an error of the disk and returns the error to hand on.
func (d *Dir) fail(op string, err error) error {
	if err == nil || errors.Is(err, ErrOffline) {
		return err
	}
	err = fmt.Errorf("%s: %w", op, err)
	if isTransient(err) || errors.Is(err, ErrCorrupt) {
		return err
	}
	off := &offlineError{dir: d.path, cause: err, curable: isSpace(err)}
	h := &d.health
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.err.Load()
	if old != nil && !(old.curable && !off.curable) {
		return off
	}
	h.err.Store(off)
	d.log.Error("log directory goes offline", "err", err, "comes back", off.curable)
	if d.opts.OnOffline != nil {
		h.tell(func() { d.opts.OnOffline(d.path, off) })
	}
	if off.curable && h.timer == nil && !h.stopped {
		h.timer = time.AfterFunc(d.probeInterval(), d.probe)
	}
	return off
}

func (d *Dir) probeInterval() time.Duration {
	if d.opts.probeInterval > 0 {
		return d.opts.probeInterval
	}
	return defaultProbeInterval
}

// probe brings the directory back when there is room and a file can be written.
func (d *Dir) probe() {
	full := !d.space.refresh(d, probeBytes) || d.tryWrite() != nil
	h := &d.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = nil
	err := h.err.Load()
	if h.stopped || err == nil || !err.curable {
		return
	}
	if full {
		h.timer = time.AfterFunc(d.probeInterval(), d.probe)
		return
	}
	h.err.Store(nil)
	d.log.Info("log directory is back online")
	if d.opts.OnOnline != nil {
		h.tell(func() { d.opts.OnOnline(d.path) })
	}
}

// tryWrite writes and removes a small file.
func (d *Dir) tryWrite() error {
	name := d.path + "/.probe" + tmpSuffix
	f, err := d.fs.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeBytes))
	return errors.Join(err, f.Close(), d.fs.Remove(name))
}

// tell runs the callbacks in order on a goroutine of their own: whoever fails holds locks. The mutex is held.
func (h *health) tell(f func()) {
	h.notices = append(h.notices, f)
	if h.telling {
		return
	}
	h.telling = true
	go func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for len(h.notices) > 0 {
			f := h.notices[0]
			h.notices = h.notices[1:]
			h.mu.Unlock()
			f()
			h.mu.Lock()
		}
		h.telling = false
	}()
}

func (h *health) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
}

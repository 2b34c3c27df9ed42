package wal

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

const (
	maxReserve   = 64 << 20
	maxAllowance = 256 << 20
)

// space keeps appends from filling the last bytes of a file system, which the checkpoint, sidecars and truncation need. It asks the
// file system only now and then: half of what is free above the reserve may be written before it asks again.
type space struct {
	reserve   int64
	allowance atomic.Int64
}

func (s *space) init(d *Dir) error {
	s.reserve = d.opts.ReserveBytes
	if s.reserve < 0 {
		s.reserve = 0
		s.allowance.Store(1 << 62)
		return nil
	}
	st, err := d.fs.Statfs(d.path)
	if err != nil {
		return fmt.Errorf("log directory: %w", err)
	}
	if s.reserve == 0 {
		s.reserve = min(maxReserve, st.Total/100)
	}
	return nil
}

// take asks for n bytes. Its error wraps ENOSPC; nothing is poisoned by it.
func (s *space) take(d *Dir, n int64) error {
	if s.allowance.Add(-n) >= 0 {
		return nil
	}
	if s.refresh(d, n) {
		return nil
	}
	return fmt.Errorf("%s: less than %d bytes would stay free: %w", d.path, s.reserve, syscall.ENOSPC)
}

// refresh asks the file system for n bytes above the reserve.
func (s *space) refresh(d *Dir, n int64) bool {
	if d.opts.ReserveBytes < 0 {
		return true
	}
	st, err := d.fs.Statfs(d.path)
	free := st.Usable - s.reserve
	if err != nil || free <= 0 || free < n {
		s.allowance.Store(0)
		return false
	}
	s.allowance.Store(min((free-n)/2, maxAllowance))
	return true
}

package wal

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// files are the names of one log on the disk:
//
//	NAME/wal/NNN             data, the library's
//	NAME/NNN.idx             sidecars (sidecar.go)
//	NAME/OFFSET.snapshot     snapshots (snapshot.go)
//	NAME/OFFSET.aborted      aborted transactions (aborted.go)
//	NAME/NNN-OFFSET.base     base markers, NAME/truncate an unfinished truncation (truncate.go)
type files struct {
	dir  *Dir
	name string
	path string

	exists   atomic.Bool // the log has its directories
	dirDirty atomic.Bool // names in the data directory changed since it was synced
	dirNew   atomic.Bool // the directories themselves are new

	marker atomic.Pointer[baseMarker] // nil: the first segment tells where the log begins

	names sync.Mutex // held while the data directory is listed or files are removed from it: listing fails when a name vanishes
}

func (f *files) walPath() string { return f.path + "/" + dataDir }

// makeDirs makes the directories and the first file of a log that has none, so that no name is left to the library to make.
func (f *files) makeDirs(first uint64) error {
	if f.exists.Load() {
		return nil
	}
	d := f.dir
	if err := d.journal.syncRemovals(); err != nil {
		return err
	}
	if err := d.fs.MkdirAll(f.walPath(), 0o755); err != nil {
		return err
	}
	f.dirNew.Store(true)
	if err := f.createFile(first); err != nil {
		return err
	}
	f.exists.Store(true)
	return nil
}

// createFile makes an empty data file, or takes the one that is there.
func (fl *files) createFile(index uint64) error {
	f, err := fl.dir.fs.OpenFile(fl.walPath()+"/"+segmentName(index), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	fl.dirDirty.Store(true)
	return f.Close()
}

// filesAfter lists the data files behind index, in order.
func (f *files) filesAfter(index uint64) ([]uint64, error) {
	entries, err := f.dir.fs.ReadDir(f.walPath())
	if err != nil {
		return nil, err
	}
	var after []uint64
	for _, e := range entries {
		if i, ok := parseSegment(e.Name()); ok && i > index {
			after = append(after, i)
		}
	}
	return after, nil
}

// cutFiles unlinks the files of all but the first segment and cuts that.
func (fl *files) cutFiles(segs []*segment, pos int64) error {
	fl.dirDirty.Store(true)
	for i := len(segs) - 1; i >= 0; i-- {
		s := segs[i]
		s.forget()
		if err := fl.dir.fs.Remove(fl.sidecarPath(s.index)); err != nil && !notExist(err) {
			return err
		}
		if i > 0 {
			if err := fl.unlink(s.index); err != nil {
				return err
			}
		}
	}
	if len(segs) > 1 {
		if err := fl.syncNames(); err != nil {
			return err
		}
	}
	f, err := fl.dir.fs.OpenFile(segs[0].path(), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(pos); err != nil {
		return err
	}
	return syncOrNil(f.Sync())
}

func (f *files) unlink(index uint64) error {
	f.names.Lock()
	defer f.names.Unlock()
	err := f.dir.fs.Remove(f.walPath() + "/" + segmentName(index))
	if notExist(err) {
		return nil
	}
	return err
}

// unlinkSegments removes segments that are in no view any more, the oldest first.
func (f *files) unlinkSegments(segs []*segment) error {
	f.dirDirty.Store(true)
	for _, s := range segs {
		s.forget()
		if err := f.unlink(s.index); err != nil {
			return err
		}
		if err := f.dir.fs.Remove(f.sidecarPath(s.index)); err != nil && !notExist(err) {
			return err
		}
	}
	return nil
}

// syncNames makes the names of new and removed files durable.
func (f *files) syncNames() error {
	d := f.dir
	if f.dirDirty.Swap(false) {
		if err := d.fs.SyncDir(f.walPath()); err != nil {
			f.dirDirty.Store(true)
			return syncError(err)
		}
	}
	if f.dirNew.Swap(false) {
		if err := errors.Join(d.fs.SyncDir(f.path), d.fs.SyncDir(d.path)); err != nil {
			f.dirNew.Store(true)
			return syncError(err)
		}
	}
	return nil
}

// quiet is for files that can be rebuilt: only what says that the disk is ill takes the directory offline.
func (f *files) quiet(op string, err error) error {
	var fsync *fsyncError
	if errors.As(err, &fsync) {
		return f.dir.fail(op+" of "+f.path, err)
	}
	return fmt.Errorf("%s of %s: %w", op, f.path, err)
}

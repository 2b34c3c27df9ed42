package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// A snapshot is a file NNN.snapshot, NNN being the offset it is of: CRC-32C of the state (4 bytes, little endian) and the state. It is
// not synced: one that a crash tore is not believed, and the one before it is.
const (
	snapshotSuffix = ".snapshot"
	keptSnapshots  = 2
)

func (f *files) snapshotPath(at int64) string {
	return fmt.Sprintf("%s/%020d%s", f.path, at, snapshotSuffix)
}

// SaveSnapshot keeps state as that of the log at offset at. All but the newest two are dropped.
func (l *Log) SaveSnapshot(at int64, state []byte) error {
	if err := l.ready(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if at < 0 || at > l.end.Load() {
		return fmt.Errorf("%s: snapshot at %d, the end is %d", l.path, at, l.end.Load())
	}
	if err := l.makeDirs(l.tail().index); err != nil {
		return l.dir.fail("snapshot of "+l.path, err)
	}
	// A snapshot says that all before it need not be looked at again, so what was found there has to be kept.
	if err := l.saveAborted(false); err != nil {
		return l.dir.fail("snapshot of "+l.path, err)
	}
	data := append(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(state, castagnoli)), state...)
	if err := writeWhole(l.dir.fs, l.snapshotPath(at), data, false); err != nil {
		return l.dir.fail("snapshot of "+l.path, err)
	}
	all, err := l.snapshots()
	if err != nil {
		return l.dir.fail("snapshot of "+l.path, err)
	}
	return l.removeSnapshots(all[:max(0, len(all)-keptSnapshots)])
}

// Snapshot returns the newest state that was saved at or below max and is whole; ok is false when there is none.
func (l *Log) Snapshot(max int64) (at int64, state []byte, ok bool, err error) {
	if err := l.ready(); err != nil {
		return 0, nil, false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all, err := l.snapshots()
	if err != nil {
		return 0, nil, false, fmt.Errorf("snapshots of %s: %w", l.path, err)
	}
	for _, at := range slices.Backward(all) {
		if at > max {
			continue
		}
		data, err := readAll(l.dir.fs, l.snapshotPath(at))
		if err != nil {
			return 0, nil, false, fmt.Errorf("snapshots of %s: %w", l.path, err)
		}
		if len(data) >= 4 && crc32.Checksum(data[4:], castagnoli) == binary.LittleEndian.Uint32(data) {
			return at, data[4:], true, nil
		}
		l.dir.log.Warn("snapshot is damaged", "log", l.name, "offset", at)
	}
	return 0, nil, false, nil
}

// snapshots lists the offsets, in order.
func (f *files) snapshots() ([]int64, error) {
	if !f.exists.Load() {
		return nil, nil
	}
	entries, err := f.dir.fs.ReadDir(f.path)
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), snapshotSuffix); ok {
			if at, ok := parseOffset(name); ok {
				all = append(all, at)
			}
		}
	}
	return all, nil
}

func (f *files) removeSnapshots(offsets []int64) error {
	for _, at := range offsets {
		if err := f.dir.fs.Remove(f.snapshotPath(at)); err != nil {
			return f.dir.fail("drop snapshot of "+f.path, err)
		}
	}
	return nil
}

// dropSideAbove removes snapshots and aborted transactions of offsets that are no more.
func dropSideAbove(l *Log, end int64) error {
	if err := l.cutAborted(end, nil); err != nil {
		return l.dir.fail("drop aborted transactions of "+l.path, err)
	}
	l.trimAborted()
	all, err := l.snapshots()
	if err != nil {
		return l.dir.fail("drop snapshots of "+l.path, err)
	}
	return l.dropSnapshotsAbove(end, all)
}

// dropSnapshotsAbove removes those of all that are of offsets that are no more, durably: one that came back after a crash would be taken
// for the state of what was appended instead.
func (f *files) dropSnapshotsAbove(end int64, all []int64) error {
	i, found := slices.BinarySearch(all, end)
	if found {
		i++
	}
	if i == len(all) {
		return nil
	}
	if err := f.removeSnapshots(all[i:]); err != nil {
		return err
	}
	return f.dir.fail("drop snapshots of "+f.path, syncOrNil(f.dir.fs.SyncDir(f.path)))
}

package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/tidwall/wal"
)

// repair makes a log directory one that the library can open: a write that a crash cut short is removed. That write was never
// acknowledged. Damage before it is an error instead: those entries count.
func repair(dir string) (cut int64, err error) {
	if err := finishTruncation(dir); err != nil {
		return 0, err
	}
	index, path, err := lastSegment(dir)
	if err != nil || path == "" {
		return 0, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	good, err := scanSegment(index, b)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	if good == len(b) {
		return 0, nil
	}
	return int64(len(b) - good), cutFile(path, int64(good))
}

// cutFile shortens a file, durably.
func cutFile(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// noSpace says whether a write failed because the disk, a quota or the limit of a process leaves no space. An error of fsync never is one of
// those: what it lost is not known.
func noSpace(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && (p.Op == "write" || p.Op == "open") &&
		(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG))
}

// scanSegment returns how many bytes of a file are whole entries. What follows a bad entry can be torn only as far as the same write
// went: an entry of a later write proves that the bad one was on the disk once.
func scanSegment(index uint64, b []byte) (good int, err error) {
	bad := uint64(0)
	for pos := 0; pos < len(b); index++ {
		n, size := binary.Uvarint(b[pos:])
		if size <= 0 || n > uint64(len(b)-pos-size) {
			break
		}
		entry := b[pos+size : pos+size+int(n)]
		first, err := decodeEntry(index, entry, nil)
		switch {
		case err == nil && bad == 0:
			good = pos + size + int(n)
		case err == nil && first > bad:
			return 0, fmt.Errorf("entry %d: %w", bad, errCorrupt)
		case err != nil && err != errCorrupt:
			return 0, fmt.Errorf("entry %d: %w", index, err)
		case err != nil && bad == 0:
			bad = index
		}
		pos += size + int(n)
	}
	return good, nil
}

// finishTruncation lets the library end a truncation that a crash interrupted: until then it is not clear which file is the last.
// Its entries were all on the disk before it began.
func finishTruncation(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	interrupted := false
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasSuffix(name, ".START") || strings.HasSuffix(name, ".END"):
			interrupted = true
		case strings.HasPrefix(name, "TEMP") || strings.HasSuffix(name, ".TEMP"):
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	if !interrupted {
		return nil
	}
	log, err := wal.Open(dir, &wal.Options{SegmentSize: 1 << 40, SegmentCacheSize: 1, AllowEmpty: true})
	if err != nil {
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	return syncDir(dir)
}

// lastSegment returns the last file of a log and the index that it begins with; path is "" if there is none.
func lastSegment(dir string) (index uint64, path string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, "", err
	}
	for _, e := range entries { // in the order of their names
		if len(e.Name()) != 20 || e.IsDir() {
			continue
		}
		if i, err := strconv.ParseUint(e.Name(), 10, 64); err == nil && i > 0 {
			index, path = i, filepath.Join(dir, e.Name())
		}
	}
	return index, path, nil
}

package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"weir/protocol"
)

// The stable file: magic, version, uvarint count, for each key in order uvarint length, key, uvarint length, value; CRC-32C of all that.
// It is replaced as a whole, so it is either the old or the new one after a crash.
const (
	stableName    = "stable"
	stableMagic   = "WEIRSTAB"
	stableVersion = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stableStore keeps the few values that Raft must not forget: its term and its vote. It implements raft.StableStore.
type stableStore struct {
	dir    string
	failed func(error) // told of the first write that failed; nothing is written after it
	full   func(error) // told of a write that found no space, and may be tried again
	// running is set once Raft's goroutines are the callers. They panic when the term cannot be saved; instead the goroutine ends.
	running atomic.Bool
	// electing is set while a sole voter makes itself the leader: each new term is then followed by its vote, and takes that write. Of a
	// vote that cannot be saved Raft makes another attempt.
	electing atomic.Bool

	mu     sync.Mutex
	values map[string][]byte
	dirty  bool // values has what the file does not
	broken error
}

// errNotFound is how Raft wants to hear that a key is not there.
var errNotFound = errors.New("not found")

// openStable reads the file, if there is one. exists is false for a directory that never had one.
func openStable(dir string, failed, full func(error)) (s *stableStore, exists bool, err error) {
	s = &stableStore{dir: dir, failed: failed, full: full, values: map[string][]byte{}}
	b, err := os.ReadFile(filepath.Join(dir, stableName))
	if errors.Is(err, os.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if s.values, err = decodeStable(b); err != nil {
		return nil, true, fmt.Errorf("%s: %w", filepath.Join(dir, stableName), err)
	}
	return s, true, nil
}

func decodeStable(b []byte) (map[string][]byte, error) {
	damaged := fmt.Errorf("%w: the file is damaged", protocol.ErrMalformed)
	if len(b) < len(stableMagic)+1+4 || string(b[:len(stableMagic)]) != stableMagic {
		return nil, damaged
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, damaged
	}
	if v := body[len(stableMagic)]; v != stableVersion {
		return nil, newerFormat(v)
	}
	r := body[len(stableMagic)+1:]
	field := func() ([]byte, bool) {
		n, size := binary.Uvarint(r)
		if size <= 0 || n > uint64(len(r)-size) {
			return nil, false
		}
		v := r[size : size+int(n)]
		r = r[size+int(n):]
		return v, true
	}
	n, size := binary.Uvarint(r)
	if size <= 0 {
		return nil, damaged
	}
	r = r[size:]
	values := map[string][]byte{}
	for ; n > 0; n-- {
		k, ok1 := field()
		v, ok2 := field()
		if !ok1 || !ok2 {
			return nil, damaged
		}
		values[string(k)] = slices.Clone(v)
	}
	if len(r) > 0 {
		return nil, damaged
	}
	return values, nil
}

func encodeStable(values map[string][]byte) []byte {
	b := append([]byte(stableMagic), stableVersion)
	b = binary.AppendUvarint(b, uint64(len(values)))
	for _, k := range slices.Sorted(maps.Keys(values)) {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
		b = binary.AppendUvarint(b, uint64(len(values[k])))
		b = append(b, values[k]...)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Raft's keys of its term and of the term of its vote. Raft always sets the latter right before the vote itself, and acts when both
// are set.
const (
	keyCurrentTerm  = "CurrentTerm"
	keyLastVoteTerm = "LastVoteTerm"
)

// Set writes a value and returns when it is on the disk; only the term of a vote waits for the vote, and takes its write.
func (s *stableStore) Set(key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.stop(s.broken)
	}
	if old, ok := s.values[string(key)]; ok && slices.Equal(old, value) && !s.dirty {
		return nil
	}
	values := maps.Clone(s.values)
	values[string(key)] = slices.Clone(value)
	if string(key) == keyLastVoteTerm || string(key) == keyCurrentTerm && s.electing.Load() {
		s.values, s.dirty = values, true
		return nil
	}
	if err := replaceFile(s.dir, stableName, encodeStable(values)); err != nil {
		if noSpace(err) && string(key) != keyCurrentTerm {
			s.full(err)
			return err // Raft does not vote then, and asks again; without its term it would panic
		}
		s.broken = err
		s.failed(err)
		return s.stop(err)
	}
	s.values, s.dirty = values, false
	return nil
}

// stop returns the error, or ends Raft's goroutine: the node is stopping, and what it would do next rests on what was not saved.
func (s *stableStore) stop(err error) error {
	if s.running.Load() {
		runtime.Goexit()
	}
	return err
}

// Get returns a value.
func (s *stableStore) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return slices.Clone(v), nil
}

// SetUint64 writes a number as Set does.
func (s *stableStore) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 returns a number.
func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%w: %s is no number", protocol.ErrMalformed, key)
	}
	return binary.BigEndian.Uint64(v), nil
}

// forget empties the store, in memory only: the next Set replaces the file.
func (s *stableStore) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = map[string][]byte{}
}

// replaceFile puts a file in place of an older one so that a crash leaves one of the two, whole.
func replaceFile(dir, name string, b []byte) error {
	tmp := filepath.Join(dir, name+".tmp")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, name))
	}
	if err != nil {
		os.Remove(tmp) // on a full disk it would take what is left
		return err
	}
	return syncDir(dir)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

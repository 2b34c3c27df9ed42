package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"sort"
	"sync"

	"weir/wal/vfs"
)

// The checkpoint of a log directory is a journal: one file to which the state of a log is appended whenever it moves. The last
// record of a name counts. When the file has grown to several times what is live it is written anew beside itself and renamed.
//
//	0 magic "Wck1" 4   4 length of the body 4   8 CRC-32C of the body 4   12 body      (little endian)
//
//	body: kind 1 (state 1, removal 2), name, and for a state: log start, segment, position, entry index, next offset, bytes,
//	the number of hints and each of them as key and value. Strings are a varint length and bytes, numbers are varints.
//
// A torn end is cut. A bad record before a good one is damage: then every position is forgotten, which costs a scan of each log.
const (
	journalName   = "wal-checkpoint"
	journalMagic  = 0x316b6357
	journalHead   = 12
	journalMaxLen = 1 << 20
	journalSlack  = 1 << 20 // the file may be so much larger than twice what is live

	recordState   = 1
	recordRemoved = 2
)

// position is up to where a log is known to be whole and durable: bytes of the file segment, which is the entry that index counts
// next and the offset that follows. A zero segment is no position.
type position struct {
	segment uint64
	bytes   int64
	index   uint64
	next    int64
}

// state is what the checkpoint keeps of one log.
type state struct {
	start int64
	pos   position
	size  int64 // bytes of the log at pos, for the directory's usage before the log is loaded
	hints map[string]int64
}

// journal is the open checkpoint file. Records are written with one write(2) each; sync makes all of them durable.
type journal struct {
	fs  vfs.FS
	dir string

	mu      sync.Mutex
	file    vfs.File // nil: to be written anew before the next record
	size    int64
	states  map[string]*state
	live    int64 // bytes of the records in states
	written uint64

	syncMu   sync.Mutex
	synced   uint64
	unlinked bool // a removal was written since the last sync
}

func (j *journal) path() string { return j.dir + "/" + journalName }

// openJournal reads the checkpoint. damaged says that positions were given up.
func openJournal(fsys vfs.FS, dir string) (j *journal, damaged bool, err error) {
	j = &journal{fs: fsys, dir: dir, states: make(map[string]*state)}
	data, err := readAll(fsys, j.path())
	if errors.Is(err, fs.ErrNotExist) {
		return j, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read checkpoint: %w", err)
	}
	good := 0
	for {
		body, n := nextRecord(data[good:])
		if n == 0 {
			break
		}
		if !j.replay(body) {
			break
		}
		good += n
	}
	if rest := data[good:]; len(rest) > 0 {
		if damaged = findRecord(rest); damaged {
			for _, st := range j.states {
				st.pos = position{}
			}
		}
		return j, damaged, nil // written anew with the next record: j.file is nil
	}
	j.file, err = fsys.OpenFile(j.path(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, false, fmt.Errorf("open checkpoint: %w", err)
	}
	j.size = int64(len(data))
	return j, false, nil
}

func nextRecord(data []byte) (body []byte, n int) {
	if len(data) < journalHead || binary.LittleEndian.Uint32(data) != journalMagic {
		return nil, 0
	}
	size := int(binary.LittleEndian.Uint32(data[4:]))
	if size > journalMaxLen || size > len(data)-journalHead {
		return nil, 0
	}
	body = data[journalHead : journalHead+size]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(data[8:]) {
		return nil, 0
	}
	return body, journalHead + size
}

// findRecord says whether a good record lies anywhere in data.
func findRecord(data []byte) bool {
	magic := binary.LittleEndian.AppendUint32(nil, journalMagic)
	for {
		at := bytes.Index(data, magic)
		if at < 0 {
			return false
		}
		if _, n := nextRecord(data[at:]); n > 0 {
			return true
		}
		data = data[at+1:]
	}
}

// replay takes one record in; false if it makes no sense.
func (j *journal) replay(body []byte) bool {
	d := decoder{b: body}
	kind, name := d.byte(), d.string()
	if d.bad {
		return false
	}
	if kind == recordRemoved {
		j.forget(name)
		return true
	}
	st := &state{start: d.int(), pos: position{segment: uint64(d.int()), bytes: d.int(), index: uint64(d.int()), next: d.int()}}
	st.size = d.int()
	for n := d.int(); n > 0 && !d.bad; n-- {
		if st.hints == nil {
			st.hints = make(map[string]int64)
		}
		key := d.string()
		st.hints[key] = d.int()
	}
	if d.bad || kind != recordState {
		return false
	}
	j.forget(name)
	j.states[name] = st
	j.live += int64(journalHead + len(body))
	return true
}

func (j *journal) forget(name string) {
	if old := j.states[name]; old != nil {
		j.live -= int64(len(appendState(nil, name, old)))
		delete(j.states, name)
	}
}

func appendState(dst []byte, name string, st *state) []byte {
	head := len(dst)
	dst = append(dst, make([]byte, journalHead)...)
	dst = append(dst, recordState)
	dst = appendString(dst, name)
	for _, v := range [...]int64{st.start, int64(st.pos.segment), st.pos.bytes, int64(st.pos.index), st.pos.next, st.size} {
		dst = binary.AppendVarint(dst, v)
	}
	dst = binary.AppendVarint(dst, int64(len(st.hints)))
	for _, key := range sortedKeys(st.hints) {
		dst = binary.AppendVarint(appendString(dst, key), st.hints[key])
	}
	return seal(dst, head)
}

func appendRemoved(dst []byte, name string) []byte {
	head := len(dst)
	dst = append(dst, make([]byte, journalHead)...)
	return seal(appendString(append(dst, recordRemoved), name), head)
}

func seal(dst []byte, head int) []byte {
	body := dst[head+journalHead:]
	binary.LittleEndian.PutUint32(dst[head:], journalMagic)
	binary.LittleEndian.PutUint32(dst[head+4:], uint32(len(body)))
	binary.LittleEndian.PutUint32(dst[head+8:], crc32.Checksum(body, castagnoli))
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendVarint(dst, int64(len(s))), s...)
}

func sortedKeys(m map[string]int64) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// decoder reads what appendState wrote; bad is set where the bytes end too early.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string {
	n := d.int()
	if n < 0 || n > min(int64(len(d.b)), math.MaxInt32) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

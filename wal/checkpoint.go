package wal

import (
	"fmt"
	"io"
	"maps"
	"os"

	"weir/wal/vfs"
)

// get returns a copy of the state of a log.
func (j *journal) get(name string) (state, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	st := j.states[name]
	if st == nil {
		return state{}, false
	}
	out := *st
	out.hints = maps.Clone(st.hints)
	return out, true
}

// names returns the names of all logs with a state.
func (j *journal) names() map[string]int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make(map[string]int64, len(j.states))
	for name, st := range j.states {
		out[name] = st.size
	}
	return out
}

// put writes states. A process that dies afterwards has lost none of them; for a machine, see sync.
func (j *journal) put(sts map[string]state) error {
	if len(sts) == 0 {
		return nil
	}
	var rec []byte
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, st := range sts {
		st.hints = maps.Clone(st.hints)
		j.forget(name)
		j.states[name] = &st
		head := len(rec)
		rec = appendState(rec, name, &st)
		j.live += int64(len(rec) - head)
	}
	return j.write(rec)
}

// remove forgets a log. It must be durable before a log of the same name is made: see syncRemovals.
func (j *journal) remove(name string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.states[name] == nil {
		return nil
	}
	j.forget(name)
	j.unlinked = true
	return j.write(appendRemoved(nil, name))
}

// syncRemovals makes removals durable, if there were any since the last sync.
func (j *journal) syncRemovals() error {
	j.mu.Lock()
	unlinked := j.unlinked
	j.mu.Unlock()
	if !unlinked {
		return nil
	}
	return j.sync()
}

// write appends a record, or writes the whole file when there is none that can be appended to. The states hold the record already.
func (j *journal) write(rec []byte) error {
	j.written++
	if j.file == nil || j.size+int64(len(rec)) > 2*j.live+journalSlack {
		return j.rewrite()
	}
	n, err := j.file.Write(rec)
	if err == nil {
		j.size += int64(n)
		return nil
	}
	if n > 0 {
		// A torn record would hide those after it.
		if cut := j.file.Truncate(j.size); cut != nil {
			j.file.Close()
			j.file = nil
		}
	}
	return fmt.Errorf("write checkpoint: %w", err)
}

// rewrite replaces the file by one with the live records only, durably.
func (j *journal) rewrite() error {
	tmp := j.path() + tmpSuffix
	f, err := j.fs.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("rewrite checkpoint: %w", err)
	}
	var all []byte
	for name, st := range j.states {
		all = appendState(all, name, st)
	}
	_, err = f.Write(all)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = j.fs.Rename(tmp, j.path())
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("rewrite checkpoint: %w", err)
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size, j.live = f, int64(len(all)), int64(len(all))
	if err := j.fs.SyncDir(j.dir); err != nil {
		return fmt.Errorf("rewrite checkpoint: %w", syncError(err))
	}
	return nil
}

// sync returns only when all records written before the call are durable. Callers share.
func (j *journal) sync() error {
	j.mu.Lock()
	want := j.written
	j.mu.Unlock()
	j.syncMu.Lock()
	defer j.syncMu.Unlock()
	if j.synced >= want {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	// The mutex is held: a rewrite would close the descriptor below. Appends to logs do not wait for it.
	if j.file == nil {
		if err := j.rewrite(); err != nil {
			return err
		}
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("sync checkpoint: %w", syncError(err))
	}
	j.synced, j.unlinked = j.written, false
	return nil
}

func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil {
		j.file.Close()
		j.file = nil
	}
}

// readAll reads a whole file.
func readAll(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data := make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if err == io.EOF {
		err = nil
	}
	return data[:n], err
}

// writeWhole replaces the file name by data through a temporary file. The bytes are durable if sync is set, the name is not before
// the directory is synced.
func writeWhole(fsys vfs.FS, name string, data []byte, sync bool) error {
	tmp := name + tmpSuffix
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		if err = f.Sync(); err != nil {
			err = syncError(err)
		}
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = fsys.Rename(tmp, name)
	}
	if err != nil {
		fsys.Remove(tmp)
	}
	return err
}

package replica

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
	"weir/wal"
)

// dir is one log directory.
type dir struct {
	m *Manager
	DirConfig
	store   Store // nil: it could not be opened
	offline atomic.Bool
	full    atomic.Bool  // it is offline until there is space
	fullMs  atomic.Int64 // when it was last said that there is no space left

	mu    sync.Mutex
	names map[string]struct{} // where there are several directories: the logs whose place is here
}

// note remembers that a log belongs in this directory.
func (d *dir) note(name string) {
	if len(d.m.dirs) == 1 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names == nil {
		d.names = make(map[string]struct{})
	}
	d.names[name] = struct{}{}
}

// forget takes back what note said.
func (d *dir) forget(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, name)
}

func (d *dir) has(name string) (ok bool, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok = d.names[name]
	return ok, len(d.names)
}

// wentOffline fails the partitions of the directory, and no others. The store has said why. A full directory may be lost later: then it
// is called again.
func (d *dir) wentOffline(_ string, err error) {
	m := d.m
	d.full.Store(errors.Is(err, wal.ErrNoSpace))
	d.offline.Store(true)
	m.each(func(r *replica) {
		e := takeEffects()
		r.mu.Lock()
		if r.p != nil && r.dir.Load() == d {
			r.fail(e)
		}
		r.mu.Unlock()
		finish(e)
		putEffects(e)
	})
	if m.cfg.OnDirs != nil {
		m.cfg.OnDirs()
	}
}

// cameBack lets the directory's partitions be loaded again, from what is on the disk.
func (d *dir) cameBack(string) {
	d.offline.Store(false)
	if d.m.cfg.OnDirs != nil {
		d.m.cfg.OnDirs()
	}
}

// dirOf finds the directory of a partition: the one that the metadata names for the ith replica, else the one that has its log, else the
// one with the fewest. nil is a directory that is not ours.
func (m *Manager) dirOf(name string, ids []protocol.UUID, i int) *dir {
	id := controller.DirUnassigned
	if i < len(ids) {
		id = ids[i]
	}
	switch id {
	case controller.DirLost:
		return nil
	case controller.DirUnassigned, controller.DirMigrating:
	default:
		for _, d := range m.dirs {
			if d.ID == id {
				return d
			}
		}
		return nil
	}
	if len(m.dirs) == 1 {
		return m.dirs[0]
	}
	var best *dir
	fewest := 0
	for _, d := range m.dirs {
		has, n := d.has(name)
		if has {
			return d
		}
		if !d.offline.Load() && (best == nil || n < fewest) {
			best, fewest = d, n
		}
	}
	if best != nil {
		best.note(name)
	}
	return best
}

// place chooses the directory of a partition as soon as the metadata has it, and reports what the metadata does not know.
func place(m *Manager, t *controller.Topic, n int32) {
	p := t.Partition(n)
	i := slices.Index(p.Replicas, m.cfg.NodeID)
	if len(m.dirs) == 1 || i < 0 {
		return
	}
	id := partition.ID{Topic: t.ID, Partition: n}
	name := logName(t.Name, id)
	d := m.dirOf(name, p.Directories, i)
	if d == nil {
		return
	}
	d.note(name)
	if unnamed := i >= len(p.Directories) || unplaced(p.Directories[i]); unnamed && d.store != nil && m.cfg.OnPlaced != nil {
		m.cfg.OnPlaced(id, d.ID)
	}
}

// placeAll places what the metadata has at the start. A log that was not placed and is in none of the directories may be in one that
// could not be opened: it is not begun anew elsewhere.
func placeAll(m *Manager, img *controller.Image) {
	if len(m.dirs) == 1 {
		return
	}
	var closed *dir
	for _, d := range m.dirs {
		if d.store == nil {
			closed = d
		}
	}
	for t := range img.Topics() {
		for n := range t.Partitions {
			if closed != nil {
				closed.suspect(t, int32(n))
			}
			place(m, t, int32(n))
		}
	}
}

// suspect notes that a partition may be in d, where the metadata does not say and no directory has it.
func (d *dir) suspect(t *controller.Topic, n int32) {
	name := logName(t.Name, partition.ID{Topic: t.ID, Partition: n})
	for _, other := range d.m.dirs {
		if has, _ := other.has(name); has {
			return
		}
	}
	p := t.Partition(n)
	if i := slices.Index(p.Replicas, d.m.cfg.NodeID); i >= 0 && (i >= len(p.Directories) || unplaced(p.Directories[i])) {
		d.note(name)
	}
}

func unplaced(id protocol.UUID) bool {
	return id == controller.DirUnassigned || id == controller.DirMigrating
}

// Dirs describes the log directories, in their configured order; their logs only where withLogs.
func (m *Manager) Dirs(withLogs bool) []partition.DirInfo {
	out := make([]partition.DirInfo, len(m.dirs))
	for i, d := range m.dirs {
		out[i] = partition.DirInfo{Path: d.Path, TotalBytes: -1, UsableBytes: -1}
		if d.offline.Load() {
			out[i].Code, out[i].Full = protocol.KafkaStorageError, d.full.Load()
			continue
		}
		if total, usable, err := d.store.Room(); err == nil {
			out[i].TotalBytes, out[i].UsableBytes = total, usable
		}
		if withLogs {
			out[i].Logs = m.logsOf(d)
		}
	}
	return out
}

// logsOf lists the partitions whose log is in d: those with data, and those that the metadata puts there though nothing was written yet.
func (m *Manager) logsOf(d *dir) []partition.LogInfo {
	img := m.image.Load()
	seen := map[partition.ID]bool{}
	var out []partition.LogInfo
	add := func(id partition.ID, name string) {
		if !seen[id] {
			seen[id] = true
			size, _ := d.store.Size(name)
			out = append(out, partition.LogInfo{ID: id, Size: size})
		}
	}
	if names, err := d.store.Names(); err == nil {
		for _, name := range names {
			if id, ok := parseLogName(name); ok && img.Partition(id.Topic, id.Partition) != nil {
				add(id, name)
			}
		}
	}
	for t := range img.Topics() {
		for n, p := range t.Partitions {
			i := slices.Index(p.Replicas, m.cfg.NodeID)
			if i < 0 {
				continue
			}
			id := partition.ID{Topic: t.ID, Partition: int32(n)}
			if named := i < len(p.Directories) && p.Directories[i] == d.ID; named || len(m.dirs) == 1 {
				add(id, logName(t.Name, id))
			}
		}
	}
	return out
}

// logNames are the names of the logs of a topic's partitions on this broker.
func (m *Manager) logNames(t *controller.Topic, fn func(id partition.ID, name string)) {
	for n, p := range t.Partitions {
		if slices.Contains(p.Replicas, m.cfg.NodeID) {
			id := partition.ID{Topic: t.ID, Partition: int32(n)}
			fn(id, logName(t.Name, id))
		}
	}
}

package broker

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"weir/broker/replica"
	"weir/protocol"
	"weir/wal"
)

// dir is one directory of log.dirs, or metadata.log.dir where that is another.
type dir struct {
	path  string
	id    protocol.UUID
	fresh bool      // it has no meta.properties yet
	lock  io.Closer // of a directory for metadata only; others are locked by wal
	err   error     // why it is offline from the start
}

// metadataName is the directory, below metadata.log.dir, that the metadata lives in.
const metadataName = "__cluster_metadata"

// lookDirs finds out whose the log directories are, before anything is changed. The node's id and the cluster's are what they say, or
// what is configured; the cluster's is "" where neither says it.
func (b *Broker) lookDirs() error {
	b.clusterID = b.static.ClusterID()
	metaPath := filepath.Clean(b.static.MetadataLogDir())
	logs := b.static.LogDirs()
	for _, path := range logs {
		if b.dirAt(path) != nil {
			return fmt.Errorf("log.dirs names %s twice", filepath.Clean(path))
		}
		b.dirs = append(b.dirs, &dir{path: filepath.Clean(path)})
	}
	if b.dirAt(metaPath) == nil {
		b.dirs = append(b.dirs, &dir{path: metaPath})
	}
	for _, d := range b.dirs {
		if err := b.peek(d); err != nil {
			return err
		}
	}
	return b.fit(b.dirAt(metaPath))
}

// openDirs opens and locks the directories and claims those that are nobody's. A broken directory goes offline, but not that of the
// metadata, and not the last one.
func (b *Broker) openDirs() error {
	metaPath := filepath.Clean(b.static.MetadataLogDir())
	logs := b.static.LogDirs()
	if len(b.dirs) > len(logs) {
		if err := b.openMetadataDir(b.dirs[len(logs)]); err != nil {
			return err
		}
	}
	rc := replica.Config{NodeID: b.nodeID, Static: b.static, FS: b.cfg.FS, Log: b.loggers.logger(replicaLogger), Now: b.cfg.Now, OpenStore: b.openStore, OnDirs: b.dirsChanged,
		OnPlaced: b.placed.add, AlterISR: b.isr.propose, Dial: interBroker{b}.leader}
	for _, d := range b.dirs[:len(logs)] {
		rc.Dirs = append(rc.Dirs, replica.DirConfig{Path: d.path, ID: d.id})
	}
	var err error
	if b.replicas, err = replica.Open(rc); err != nil {
		return err
	}
	if d := b.dirAt(metaPath); d.err != nil {
		return fmt.Errorf("the directory of the metadata, %s: %w", d.path, d.err)
	}
	return nil
}

func (b *Broker) dirAt(path string) *dir {
	for _, d := range b.dirs {
		if d.path == filepath.Clean(path) {
			return d
		}
	}
	return nil
}

// peek reads whose directory it is, before it is locked. The first that knows the cluster's id settles it for all.
func (b *Broker) peek(d *dir) error {
	m, ok, err := readMeta(b.cfg.FS, d.path)
	if err != nil {
		d.err = err
		return nil
	}
	if !ok {
		d.fresh, d.id = true, b.cfg.random()
		return nil
	}
	if !b.static.IsSet("node.id") { // it was given one when it joined
		b.static, b.nodeID = b.static.WithNodeID(m.NodeID, metaName), m.NodeID
	}
	if err := m.agree(d.path, b.clusterID, b.nodeID); err != nil {
		return err
	}
	b.clusterID, d.id = m.ClusterID, m.DirectoryID
	return nil
}

// fit looks at what the directories hold together, before anything is changed. Where the metadata is not, a broker would found a new
// cluster, and delete every log as one that no topic owns.
func (b *Broker) fit(meta *dir) error {
	for i, d := range b.dirs {
		for _, other := range b.dirs[:i] {
			if !d.fresh && d.err == nil && d.id == other.id {
				return fmt.Errorf("log directories %s and %s have the same directory.id: one is a copy of the other", other.path, d.path)
			}
		}
	}
	if b.hasMetadata(meta) || meta.err != nil {
		return nil
	}
	for _, d := range b.dirs {
		if b.hasMetadata(d) {
			return fmt.Errorf("metadata.log.dir is %s, but the metadata is in %s: set metadata.log.dir=%s", meta.path, d.path, d.path)
		}
	}
	for _, d := range b.dirs {
		entries, err := b.cfg.FS.ReadDir(d.path)
		if err != nil {
			continue // it is not there, or goes offline when it is opened
		}
		for _, e := range entries {
			if replica.IsLog(e.Name()) {
				return fmt.Errorf("metadata.log.dir %s holds no metadata, but log directory %s has the logs of a cluster", meta.path, d.path)
			}
		}
	}
	return nil
}

// hasMetadata says whether a directory holds metadata, of whatever cluster: an entry or a snapshot. A crash while a cluster is founded may
// leave files without any.
func (b *Broker) hasMetadata(d *dir) bool {
	for _, sub := range []string{"log", "snapshots"} {
		entries, _ := b.cfg.FS.ReadDir(filepath.Join(d.path, metadataName, sub)) // an error is told by who opens it
		for _, e := range entries {
			if info, err := e.Info(); err == nil && (e.IsDir() || info.Size() > 0) {
				return true
			}
		}
	}
	return false
}

// openStore opens a log directory for the replica manager.
func (b *Broker) openStore(c replica.DirConfig, o wal.Options) (replica.Store, error) {
	d := b.dirAt(c.Path)
	if d.err != nil {
		return nil, d.err
	}
	o.Logger = b.loggers.logger(walLogger)
	s, err := replica.OpenWAL(c, o)
	if err == nil {
		if err = b.claim(d); err != nil {
			s.Close()
		}
	}
	if err != nil {
		d.err = err
		return nil, err
	}
	return s, nil
}

// claimAll claims what could not be claimed before the cluster had an id.
func (b *Broker) claimAll() error {
	for _, d := range b.dirs {
		if d.err != nil {
			continue
		}
		if err := b.claim(d); err != nil {
			return fmt.Errorf("log directory %s: %w", d.path, err)
		}
	}
	return nil
}

// claim writes meta.properties into a locked directory that has none. Another broker may have done so before the lock was ours. Whoever
// founds a cluster with others does not know its id yet.
func (b *Broker) claim(d *dir) error {
	if !d.fresh || b.clusterID == "" {
		return nil
	}
	if _, ok, err := readMeta(b.cfg.FS, d.path); ok || err != nil {
		return errors.New("it was claimed by another broker just now")
	}
	d.fresh = false
	return writeMeta(b.cfg.FS, d.path, meta{ClusterID: b.clusterID, NodeID: b.nodeID, DirectoryID: d.id})
}

// openMetadataDir opens and locks a directory that holds nothing but the metadata.
func (b *Broker) openMetadataDir(d *dir) error {
	if d.err != nil {
		return fmt.Errorf("the directory of the metadata, %s: %w", d.path, d.err)
	}
	if err := b.cfg.FS.MkdirAll(d.path, 0o755); err != nil {
		return fmt.Errorf("the directory of the metadata, %s: %w", d.path, rootCause(err))
	}
	var err error
	if d.lock, err = b.cfg.FS.Lock(filepath.Join(d.path, ".lock")); err != nil {
		return fmt.Errorf("the directory of the metadata, %s: %w", d.path, err)
	}
	return b.claim(d)
}

// dirsChanged is called when a log directory went offline or came back. The controller hears of it at once. The loss of the metadata's
// directory ends the broker, as it ends Kafka, and so does that of the last one; a full disk does not, for it may have space again.
func (b *Broker) dirsChanged() {
	metaPath := filepath.Clean(b.static.MetadataLogDir())
	left := 0
	for _, info := range b.replicas.Dirs(false) {
		switch lost := info.Code != protocol.None && !info.Full; {
		case !lost:
			left++
		case filepath.Clean(info.Path) == metaPath:
			b.fail(fmt.Errorf("the directory of the metadata, %s, failed", metaPath))
		}
	}
	if left == 0 {
		b.fail(errors.New("all log directories failed"))
	}
	b.placed.kick()
}

// fail ends the broker for the first such reason.
func (b *Broker) fail(err error) {
	select {
	case b.failed <- err:
	default:
	}
}

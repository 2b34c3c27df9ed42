package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"weir/config"
	"weir/protocol"
	"weir/wal/vfs"
)

// metaName is the file that says whose a log directory is: Kafka's own name and keys.
const metaName = "meta.properties"

// meta is the content of meta.properties, version 1.
type meta struct {
	ClusterID   string
	NodeID      int32
	DirectoryID protocol.UUID
}

// readMeta reads a directory's meta.properties; ok is false where there is none.
func readMeta(f vfs.FS, dir string) (m meta, ok bool, err error) {
	name := filepath.Join(dir, metaName)
	text, err := readFile(f, name)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	src, err := config.FromProperties(name, text)
	if err != nil {
		return m, false, fmt.Errorf("%s: %w", metaName, err)
	}
	m.ClusterID = src.Values["cluster.id"]
	id, err := strconv.ParseInt(src.Values["node.id"], 10, 32)
	if err != nil || m.ClusterID == "" || src.Values["version"] != "1" {
		return m, false, fmt.Errorf("%s is not one of version 1 with cluster.id and node.id", metaName)
	}
	m.NodeID = int32(id)
	if m.DirectoryID, err = protocol.ParseUUID(src.Values["directory.id"]); err != nil {
		return m, false, fmt.Errorf("%s: directory.id: %w", metaName, err)
	}
	return m, true, nil
}

// writeMeta makes a directory's meta.properties, durably.
func writeMeta(f vfs.FS, dir string, m meta) error {
	text := fmt.Sprintf("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=%s\n", m.ClusterID, m.NodeID, m.DirectoryID)
	return writeFile(f, dir, metaName, []byte(text))
}

// agree says why a directory with meta m cannot be used by this broker; nil where it can. An unknown cluster id agrees with any.
func (m meta) agree(dir, clusterID string, nodeID int32) error {
	if m.NodeID != nodeID {
		return fmt.Errorf("log directory %s belongs to broker %d, this one is %d (node.id)", dir, m.NodeID, nodeID)
	}
	if clusterID != "" && m.ClusterID != clusterID {
		return fmt.Errorf("log directory %s belongs to cluster %s, this broker to %s", dir, m.ClusterID, clusterID)
	}
	return nil
}

func readFile(f vfs.FS, name string) ([]byte, error) {
	file, err := f.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, st.Size())
	if n, err := file.ReadAt(b, 0); n < len(b) {
		return nil, err
	}
	return b, nil
}

// writeFile replaces a file as a whole: after a crash there is the old one or the new one.
func writeFile(f vfs.FS, dir, name string, text []byte) error {
	tmp := filepath.Join(dir, name+".tmp")
	file, err := f.Create(tmp)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = f.Rename(tmp, filepath.Join(dir, name))
	}
	if err == nil {
		err = f.SyncDir(dir)
	}
	return err
}

package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"weir/controller"
)

// files returns everything under a directory.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// founded returns the directory of a stopped node with a broker and a topic.
func founded(t testing.TB) string {
	dir := t.TempDir()
	n := start(t, testConfig(dir))
	join(t, n, 1)
	create(t, n, "kept", 2)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A crash while the cluster is founded leaves one of these. The next start founds it, or goes on.
func TestCrashWhileFounding(t *testing.T) {
	whole := founded(t)
	logFile := lastFile(t, filepath.Join(whole, "log"))
	b, _ := os.ReadFile(logFile)
	size, n := binary.Uvarint(b)
	first := b[:uint64(n)+size]
	stable := encodeStable(map[string][]byte{"CurrentTerm": binary.BigEndian.AppendUint64(nil, 1)})
	for name, make := range map[string]func(dir string){
		"nothing but the directory": func(dir string) {},
		"a temporary stable file":   func(dir string) { os.WriteFile(filepath.Join(dir, "stable.tmp"), stable[:5], 0o644) },
		"the stable file": func(dir string) {
			os.WriteFile(filepath.Join(dir, "stable"), stable, 0o644)
		},
		"an empty log": func(dir string) {
			os.WriteFile(filepath.Join(dir, "stable"), stable, 0o644)
			os.MkdirAll(filepath.Join(dir, "log"), 0o755)
			os.WriteFile(filepath.Join(dir, "log", "00000000000000000001"), nil, 0o644)
		},
		"half the first entry": func(dir string) {
			os.WriteFile(filepath.Join(dir, "stable"), stable, 0o644)
			os.MkdirAll(filepath.Join(dir, "log"), 0o755)
			os.WriteFile(filepath.Join(dir, "log", "00000000000000000001"), first[:len(first)/2], 0o644)
		},
		"the first entry alone": func(dir string) {
			os.MkdirAll(filepath.Join(dir, "log"), 0o755)
			os.WriteFile(filepath.Join(dir, "log", "00000000000000000001"), first, 0o644)
		},
		"the first entry": func(dir string) {
			os.WriteFile(filepath.Join(dir, "stable"), stable, 0o644)
			os.MkdirAll(filepath.Join(dir, "log"), 0o755)
			os.WriteFile(filepath.Join(dir, "log", "00000000000000000001"), first, 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			make(dir)
			n := start(t, testConfig(dir))
			if m := n.Image(); m.ClusterID != testCluster || len(controller.MissingFeatures(m)) > 0 {
				t.Fatalf("%+v", m)
			}
			join(t, n, 1)
			create(t, n, "t", 1)
			n.Close()
			n = start(t, testConfig(dir))
			if n.Image().Topic("t") == nil {
				t.Fatal("lost")
			}
		})
	}
}

// Whatever of the last write a crash leaves, everything before it is there.
func TestCrashCutsLastWrite(t *testing.T) {
	dir := t.TempDir()
	n := start(t, testConfig(dir))
	join(t, n, 1)
	create(t, n, "kept", 2)
	path := lastFile(t, filepath.Join(dir, "log"))
	before, _ := os.ReadFile(path)
	create(t, n, "last", 1)
	after, _ := os.ReadFile(path)
	n.Close()
	closed, _ := os.ReadFile(path)
	if !bytes.HasPrefix(closed, after) || len(after) <= len(before) {
		t.Fatal("the log is not what it was")
	}
	for size := len(before); size <= len(after); size += 7 {
		where := copyDir(t, dir, path, after[:size])
		n := start(t, testConfig(where))
		m := n.Image()
		if m.Topic("kept") == nil || (m.Topic("last") != nil) != (size == len(after)) {
			t.Fatalf("cut at %d of %d to %d", size, len(before), len(after))
		}
		join(t, n, 2)
		create(t, n, "more", 1)
		n.Close()
	}
}

func TestLostStableFile(t *testing.T) {
	dir := founded(t)
	if err := os.Remove(filepath.Join(dir, "stable")); err != nil {
		t.Fatal(err)
	}
	n := start(t, testConfig(dir))
	if n.Image().Topic("kept") == nil {
		t.Fatal("lost")
	}
	_, term, _ := n.Leader()
	if term < 3 {
		t.Fatalf("term %d goes back", term)
	}
	join(t, n, 2)
	n.Close()
	// Where others vote it cannot be made up.
	dir = t.TempDir()
	stable, _, _ := openStable(dir, func(error) {}, func(error) {})
	log := testLog(t, filepath.Join(dir, "log"))
	snaps := raft.NewInmemSnapshotStore()
	_, transport := raft.NewInmemTransport("")
	c := raft.DefaultConfig()
	c.LocalID = "1"
	err := raft.BootstrapCluster(c, log, stable, snaps, transport, raft.Configuration{Servers: []raft.Server{{ID: "1", Address: "a"}, {ID: "2", Address: "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	log.close()
	os.Remove(filepath.Join(dir, "stable"))
	if _, err := Start(testConfig(dir)); err == nil || !strings.Contains(err.Error(), "stable") {
		t.Fatal(err)
	}
}

// refused holds that a directory is refused and not changed.
func refused(t *testing.T, dir string, c Config, want error) {
	t.Helper()
	before := files(t, dir)
	n, err := Start(c)
	if err == nil {
		n.Close()
	}
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
	t.Log(err)
	after := files(t, dir)
	for name, b := range before {
		if after[name] != b {
			t.Errorf("%s was changed", name)
		}
		delete(after, name)
	}
	for name := range after {
		t.Errorf("%s was written", name)
	}
}

func TestNewerMetadataIsRefused(t *testing.T) {
	// A record, an entry format, a feature, a stable file that a newer program wrote.
	appendRaw := func(dir string, data []byte) {
		log := testLog(t, filepath.Join(dir, "log"))
		last, _ := log.LastIndex()
		if err := log.StoreLog(&raft.Log{Index: last + 1, Term: 9, Type: raft.LogCommand, Data: data}); err != nil {
			t.Fatal(err)
		}
		log.close()
	}
	t.Run("record", func(t *testing.T) {
		dir := founded(t)
		appendRaw(dir, append(controller.AppendBatch(nil, 9, nil)[:2], 1, 4, 1, 200, 1, 0))
		refused(t, dir, testConfig(dir), ErrTooNew)
	})
	t.Run("feature", func(t *testing.T) {
		dir := founded(t)
		appendRaw(dir, controller.AppendBatch(nil, 9, []controller.Record{&controller.FeatureLevelRecord{Name: controller.MetadataVersion, Level: 34}}))
		refused(t, dir, testConfig(dir), ErrTooNew)
	})
	t.Run("unknown feature", func(t *testing.T) {
		dir := founded(t)
		appendRaw(dir, controller.AppendBatch(nil, 9, []controller.Record{&controller.FeatureLevelRecord{Name: "flying", Level: 1}}))
		refused(t, dir, testConfig(dir), ErrTooNew)
	})
	t.Run("batch", func(t *testing.T) {
		dir := founded(t)
		appendRaw(dir, []byte{2, 0, 0})
		refused(t, dir, testConfig(dir), ErrTooNew)
	})
	t.Run("stable", func(t *testing.T) {
		dir := founded(t)
		b, _ := os.ReadFile(filepath.Join(dir, "stable"))
		b = b[:len(b)-4]
		b[len(stableMagic)]++
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
		os.WriteFile(filepath.Join(dir, "stable"), b, 0o644)
		refused(t, dir, testConfig(dir), ErrTooNew)
	})
	t.Run("entry", func(t *testing.T) {
		dir := founded(t)
		path := lastFile(t, filepath.Join(dir, "log"))
		b, _ := os.ReadFile(path)
		size, n := binary.Uvarint(b)
		e := b[n : n+int(size)]
		e[4]++
		binary.BigEndian.PutUint32(e, entrySum(1, e[4:]))
		os.WriteFile(path, b, 0o644)
		refused(t, dir, testConfig(dir), ErrTooNew)
	})
}

func TestForeignMetadataIsRefused(t *testing.T) {
	dir := founded(t)
	c := testConfig(dir)
	c.ClusterID = "AAAAAAAAAAAAAAAAAAAAAA"
	refused(t, dir, c, ErrForeign)
	c = testConfig(dir)
	c.NodeID = 2
	refused(t, dir, c, ErrForeign)
	c = testConfig(t.TempDir())
	c.ClusterID = ""
	if _, err := Start(c); !errors.Is(err, ErrNoCluster) {
		t.Fatal(err)
	}
	c = testConfig(dir)
	c.ClusterID = ""
	n := start(t, c)
	if n.Image().ClusterID != testCluster {
		t.Fatal("the directory's own cluster id is not taken")
	}
}

// Any damaged byte of the log before the last write is refused, or is where nothing can tell (the length of an entry).
func TestDamagedMetadataIsRefused(t *testing.T) {
	dir := founded(t)
	path := lastFile(t, filepath.Join(dir, "log"))
	b, _ := os.ReadFile(path)
	_, n := binary.Uvarint(b)
	for i := n; i < n+40; i += 3 {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		where := copyDir(t, dir, path, bad)
		refused(t, where, testConfig(where), errCorrupt)
	}
	stable := filepath.Join(dir, "stable")
	b, _ = os.ReadFile(stable)
	b[20] ^= 1
	where := copyDir(t, dir, stable, b)
	if n, err := Start(testConfig(where)); err == nil {
		n.Close()
		t.Fatal("a damaged stable file is taken")
	}
}

// The metadata directory goes away under a running node: it stops, says why, and nothing is answered with success.
func TestFailedWriteStopsTheNode(t *testing.T) {
	for name, ruin := range map[string]func(n *Node){
		"log": func(n *Node) {
			n.log.mu.Lock()
			n.log.log.Close()
			n.log.mu.Unlock()
		},
		"directory": func(n *Node) { os.RemoveAll(n.log.dir); n.log.tail = segmentBytes + 1 },
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t, testConfig(t.TempDir()))
			join(t, n, 1)
			ruin(n)
			err := n.Propose(t.Context(), &controller.NoOpRecord{})
			if err == nil {
				t.Fatal("answered as if it were written")
			}
			<-n.Done()
			if n.Err() == nil {
				t.Fatal("no reason")
			}
			n.Close()
		})
	}
}

// The term cannot be saved when an election begins: Raft would panic.
func TestFailedVoteEndsTheGoroutine(t *testing.T) {
	dir := t.TempDir()
	told := make(chan error, 1)
	s, _, err := openStable(dir, func(err error) { told <- err }, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	s.running.Store(true)
	os.RemoveAll(dir)
	ended := make(chan bool)
	go func() {
		defer close(ended)
		_ = s.SetUint64([]byte(keyCurrentTerm), 3)
		ended <- true // not reached
	}()
	if <-ended {
		t.Fatal("Raft went on without its term")
	}
	if <-told == nil {
		t.Fatal("nobody was told")
	}
}

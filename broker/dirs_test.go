package broker_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"weir/protocol"
	"weir/wal/vfs"
)

// Partitions are spread over the directories, are found again whatever the order of log.dirs, and the metadata knows where they are.
func TestSeveralDirectories(t *testing.T) {
	d := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	meta := "metadata.log.dir=" + d[0]
	f := startFaulty(t, vfs.OS, "log.dirs="+d[0]+","+d[1]+","+d[2], meta)
	f.mustCreate("t", 9, nil)
	for p := range int32(9) {
		f.mustProduce("t", p, fmt.Append(nil, "first ", p))
	}
	_, before := f.logDirs()
	count := map[int]int{}
	for _, i := range before {
		count[i]++
	}
	if len(before) != 9 || count[0] != 3 || count[1] != 3 || count[2] != 3 {
		t.Fatalf("partitions in directories: %v", before)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	f = startFaulty(t, vfs.OS, "log.dirs="+d[2]+","+d[0]+","+d[1], meta)
	_, after := f.logDirs()
	for name, i := range before {
		if d[i] != []string{d[2], d[0], d[1]}[after[name]] {
			t.Errorf("%s was in %s and is in directory %d now", name, d[i], after[name])
		}
	}
	for p := range int32(9) {
		if at := f.mustProduce("t", p, []byte("second")); at != 1 {
			t.Errorf("partition %d goes on at %d", p, at)
		}
		if got := f.all("t", p, 0); got[0] != fmt.Sprint("first ", p) || got[1] != "second" {
			t.Errorf("partition %d has %v", p, got)
		}
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
}

// startsNot demands that a broker does not start, and says so in one line with all of want in it.
func startsNot(t *testing.T, what, setting string, want ...string) {
	t.Helper()
	f, err := tryFaulty(t, vfs.OS, setting)
	if err == nil {
		f.stop()
		t.Errorf("%s: the broker starts", what)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: no %q in %q", what, w, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: more than one line: %q", what, err)
	}
}

// copyTree copies what a broker that is stopped has left.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// A broker refuses directories that do not fit together before it changes anything, and each of them still serves as before afterwards.
func TestForeignDirectories(t *testing.T) {
	a, b, other := t.TempDir(), t.TempDir(), t.TempDir()
	both := "log.dirs=" + a + "," + b
	f := startFaulty(t, vfs.OS, both)
	f.mustCreate("t", 4, nil)
	for p := range int32(4) {
		f.mustProduce("t", p, []byte("kept"))
	}
	startsNot(t, "locked", both, a, "locked by another process")
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	lock, err := vfs.OS.Lock(b + "/.lock")
	if err != nil {
		t.Fatal(err)
	}
	startsNot(t, "one of two is locked", both, b, "locked by another process")
	lock.Close()
	g := startFaulty(t, vfs.OS, "log.dirs="+other+"/x")
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	copyTree(t, b, other+"/copy")
	startsNot(t, "another cluster's", both+","+other+"/x", other+"/x", "belongs to cluster")
	startsNot(t, "a copy", both+","+other+"/copy", other+"/copy", b, "directory.id")
	startsNot(t, "named twice", "log.dirs="+a+","+b+","+a+"/.", a, "twice")
	// Without metadata every log would be a stray, and strays are deleted.
	startsNot(t, "the other order", "log.dirs="+b+","+a, b, "metadata.log.dir", a)
	startsNot(t, "without the metadata", "log.dirs="+b+","+other+"/new", "metadata.log.dir", b)
	startsNot(t, "metadata elsewhere", "log.dirs="+b, b, "metadata.log.dir")
	f = startFaulty(t, vfs.OS, both)
	for p := range int32(4) {
		if got := f.all("t", p, 0); got[0] != "kept" {
			t.Errorf("partition %d has %v", p, got)
		}
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
}

// A directory that is missing or broken at the start takes its partitions with it and no others, also those that were not placed when it
// was lost; they are back when it is. That of the metadata ends the start.
func TestMissingDirectory(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"missing": func(path string) error { return nil },
		"empty":   func(path string) error { return os.Mkdir(path, 0o755) },
		"a file":  func(path string) error { return os.WriteFile(path, []byte("x"), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			a, b := root+"/a", root+"/b"
			both := "log.dirs=" + a + "," + b
			f := startFaulty(t, vfs.OS, both)
			f.mustCreate("t", 4, nil)
			for p := range int32(4) {
				f.mustProduce("t", p, []byte("kept"))
			}
			_, where := f.logDirs()
			if err := f.stop(); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Rename(b, root+"/away"), put(b)); err != nil {
				t.Fatal(err)
			}
			f = startFaulty(t, vfs.OS, both)
			var lost []int32
			for p := range int32(4) {
				_, code := f.produce("t", p, []byte("more"))
				if _, _, read := f.fetch("t", p, 0); read != code {
					t.Errorf("partition %d: produce %v, fetch %v", p, code, read)
				}
				if where[fmt.Sprint("t-", p)] == 1 {
					lost = append(lost, p)
				} else if code != protocol.None {
					t.Errorf("partition %d: %v", p, code)
				}
			}
			eventually(t, "the partitions of the lost directory are offline", func() bool { return slices.Equal(f.offlinePartitions("t"), lost) })
			f.mustCreate("u", 2, nil)
			for p := range int32(2) {
				f.mustProduce("u", p, []byte("new"))
			}
			if codes, _ := f.logDirs(); name == "a file" && codes[1] != protocol.KafkaStorageError {
				t.Errorf("log directories: %v", codes)
			}
			if err := f.stop(); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.RemoveAll(b), os.Rename(root+"/away", b)); err != nil {
				t.Fatal(err)
			}
			f = startFaulty(t, vfs.OS, both)
			for p := range int32(4) {
				if got := f.all("t", p, 0); got[0] != "kept" {
					t.Errorf("partition %d has %v", p, got)
				}
			}
			if err := f.stop(); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Rename(a, root+"/away"), put(a)); err != nil {
				t.Fatal(err)
			}
			startsNot(t, "without the metadata's", both, a)
		})
	}
}

package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	tidwall "github.com/tidwall/wal"

	"weir/protocol/record"
	"weir/wal/vfs"
)

// tornLog makes a log of several files, lets it be killed and returns its batches, and how many bytes of batches are in all files
// before the last one.
func tornLog(t *testing.T) (path string, batches [][]byte, last string) {
	t.Helper()
	path = t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 20000})
	for i := range 20 {
		batches = append(batches, appendBatch(t, l, 2, 1000+300*i, int64(i)))
	}
	crash(t, d)
	return path, batches, tailFile(t, l)
}

// checkPrefix opens the log and says of how many whole batches it is a prefix; anything else fails.
func checkPrefix(t *testing.T, path string, batches [][]byte) (n int) {
	t.Helper()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	if l.End() > 0 {
		got := readAllOf(t, l, 1<<20)
		for n < len(batches) && bytes.HasPrefix(got, batches[n]) {
			got = got[len(batches[n]):]
			n++
		}
		if len(got) > 0 || l.End() != int64(2*n) {
			t.Fatalf("%d strange bytes after %d batches, the end is %d", len(got), n, l.End())
		}
	}
	b := appendBatch(t, l, 2, 5000, 1)
	if got := read(t, l, int64(2*n), l.End(), 1<<20, true); !bytes.Equal(got, b) {
		t.Fatalf("the batch after the cut reads as %d bytes", len(got))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	plain, err := tidwall.Open(path+"/t-0/wal", libraryOptions())
	if err != nil {
		t.Fatalf("the library cannot open what recovery made: %v", err)
	}
	plain.Close()
	return n
}

// sizeAfter returns the size of a log's files after a start.
func sizeAfter(t *testing.T, path string) int64 {
	t.Helper()
	d := open(t, path, Options{})
	defer d.Close()
	return logOf(t, d, "t-0").Size()
}

func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// A torn tail makes the library's Open fail, and zeros are entries for it.
func TestTornTail(t *testing.T) {
	rnd := rand.New(rand.NewPCG(newSeed(t), 5))
	path, batches, last := tornLog(t)
	data, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	size := sizeAfter(t, copyTree(t, path))
	whole, total := 0, len(batches)
	for sum := 0; sum < len(data); whole++ {
		n := len(batches[total-1-whole])
		sum += n + prefixLen(n)
	}
	damage := map[string]func(b []byte) []byte{
		"cut":            func(b []byte) []byte { return b[:rnd.IntN(len(b))] },
		"zeros":          func(b []byte) []byte { clear(b[rnd.IntN(len(b)):]); return b },
		"appended zeros": func(b []byte) []byte { return append(b, make([]byte, 1+rnd.IntN(10000))...) },
		"garbage": func(b []byte) []byte {
			for i := rnd.IntN(len(b)); i < len(b); i++ {
				b[i] = byte(rnd.Uint32())
			}
			return b
		},
		"bit flip":       func(b []byte) []byte { b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8); return b },
		"page of zeros":  func(b []byte) []byte { at := rnd.IntN(len(b)); clear(b[at:min(len(b), at+4096)]); return b },
		"empty":          func(b []byte) []byte { return nil },
		"one byte":       func(b []byte) []byte { return b[:1] },
		"nothing at all": func(b []byte) []byte { return b },
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				image := copyTree(t, path)
				if err := os.WriteFile(image+"/t-0/wal/"+filepath.Base(last), f(slices.Clone(data)), 0o644); err != nil {
					t.Fatal(err)
				}
				if n := sizeAfter(t, image); name == "appended zeros" && n != size {
					t.Fatalf("%d bytes, of which %d are zeros, were kept", n, n-size)
				}
				n := checkPrefix(t, image, batches)
				if n < total-whole || (name == "appended zeros" || name == "nothing at all") && n != total {
					t.Fatalf("%d batches of %d are left, %d are in other files", n, total, total-whole)
				}
			}
		})
	}
}

// A bad byte in an earlier file that was not durable yet, or a missing one: nothing after it may be read.
func TestTornMiddle(t *testing.T) {
	path, batches, _ := tornLog(t)
	files, _ := filepath.Glob(path + "/t-0/wal/*")
	for i, file := range files[:len(files)-1] {
		for _, what := range []string{"hole", "missing", "short"} {
			for _, checkpoint := range []bool{false, true} {
				image := copyTree(t, path)
				name := image + "/t-0/wal/" + filepath.Base(file)
				data, _ := os.ReadFile(name)
				switch what {
				case "hole":
					clear(data[len(data)/2:])
					os.WriteFile(name, data, 0o644)
				case "short":
					os.Truncate(name, int64(len(data))-1)
				case "missing":
					os.Remove(name)
				}
				if !checkpoint {
					os.Remove(image + "/" + journalName)
					if what == "missing" && i == 0 {
						continue // nobody can know that it was there
					}
					if n := checkPrefix(t, image, batches); n > len(batches)-2 {
						t.Errorf("%s of file %d: %d batches", what, i, n)
					}
					continue
				}
				// Below the checkpoint the rest is not given up for it, and nothing panics.
				l := logOf(t, open(t, image, Options{}), "t-0")
				if l.End() != int64(2*len(batches)) {
					t.Errorf("%s of file %d below the checkpoint: end %d", what, i, l.End())
				}
				for from := l.Start(); from < l.End(); from++ {
					var d record.Data
					if err := l.Read(&d, from, l.End(), 1000, true); err != nil && !errors.Is(err, ErrCorrupt) {
						t.Fatal(err)
					}
					d.Release()
				}
			}
		}
	}
}

// A damaged or missing checkpoint or sidecar costs a scan, nothing else.
func TestDamagedSideFiles(t *testing.T) {
	rnd := rand.New(rand.NewPCG(newSeed(t), 6))
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 100000})
	for i := range 40 {
		appendBatch(t, l, 2, 1000+500*i, int64(i))
	}
	appendBatch(t, logOf(t, d, "t-1"), 1, 100, 1)
	if err := l.SetStart(11); err != nil {
		t.Fatal(err)
	}
	want := readAllOf(t, l, 1<<20)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	side, _ := filepath.Glob(path + "/t-0/*" + sidecarSuffix)
	side = append(side, path+"/"+journalName)
	for _, name := range side {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			image := copyTree(t, path)
			rel, _ := filepath.Rel(path, name)
			bad := slices.Clone(data)
			switch i % 4 {
			case 0:
				bad[rnd.IntN(len(bad))] ^= 1 << rnd.IntN(8)
			case 1:
				bad = bad[:rnd.IntN(len(bad))]
			case 2:
				clear(bad[rnd.IntN(len(bad)):])
			case 3:
				os.Remove(image + "/" + rel)
			}
			if i%4 != 3 {
				os.WriteFile(image+"/"+rel, bad, 0o644)
			}
			l := logOf(t, open(t, image, Options{}), "t-0")
			if rel == journalName {
				if l.Start() > 11 || l.End() != 80 {
					t.Fatalf("[%d, %d)", l.Start(), l.End())
				}
				if l.Start() < 11 {
					if err := l.SetStart(11); err != nil { // the start is the one thing that only the checkpoint knows
						t.Fatal(err)
					}
				}
			}
			if got := readAllOf(t, l, 1<<20); !bytes.Equal(got, want) || l.Start() != 11 || l.End() != 80 {
				t.Fatalf("%s: %d bytes in [%d, %d)", rel, len(got), l.Start(), l.End())
			}
			if off, ok, err := l.SeekTimestamp(30, 80); err != nil || !ok || off != 60 {
				t.Fatalf("%s: seek: %d, %v, %v", rel, off, ok, err)
			}
		}
	}
}

// Nothing but the end is read at a start: after a clean stop none of the data, after a kill only what is behind the checkpoint.
func TestStartReadsLittle(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 1 << 20})
	for range 200 {
		appendBatch(t, l, 1, 100<<10, 1)
	}
	d.work.wait()
	killed := copyTree(t, path)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		most int
	}{{path, 8 << 10}, {killed, 1<<20 + 256<<10}} {
		fs := &countingFS{FS: vfs.OS, count: map[string]int{}}
		d := open(t, c.path, Options{FS: fs})
		if l := logOf(t, d, "t-0"); l.End() != 200 {
			t.Fatalf("end %d", l.End())
		}
		if n := fs.count["read bytes"]; n > c.most {
			t.Errorf("%d bytes were read, at most %d are needed", n, c.most)
		}
		d.Close()
	}
}

// Opening a directory touches no log, however many there are.
func TestOpenDirIsCheap(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{MaxOpen: 20})
	for i := range 300 {
		appendBatch(t, logOf(t, d, fmt.Sprintf("t-%d", i)), 1, 100, 1)
	}
	if n := d.writers.len(); n > 10 {
		t.Errorf("%d write handles are open", n)
	}
	for i := range 300 {
		l := logOf(t, d, fmt.Sprintf("t-%d", i))
		read(t, l, 0, 1, 100, true)
		appendBatch(t, l, 1, 100, 1)
	}
	if n, m := d.writers.len(), d.readers.len(); n > 10 || m > 10 {
		t.Errorf("%d write handles, %d read descriptors are open", n, m)
	}
	links, _ := filepath.Glob("/proc/self/fd/*")
	ours := 0
	for _, link := range links {
		if to, _ := os.Readlink(link); len(to) > len(path) && to[:len(path)] == path {
			ours++
		}
	}
	if ours > 25 {
		t.Errorf("%d descriptors are open", ours)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	fs := &countingFS{FS: vfs.OS, count: map[string]int{}}
	d = open(t, path, Options{FS: fs})
	if fs.count["stat"] > 0 || fs.count["readdir"] > 1 || fs.count["open"] > 5 {
		t.Errorf("%v", fs.count)
	}
	names, err := d.Names()
	if err != nil || len(names) != 300 {
		t.Errorf("%d names, %v", len(names), err)
	}
	if u, err := d.Usage(); err != nil || u.Size < 300*200 || u.Total <= 0 || u.Usable <= 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

// The journal is written anew now and then, and holds the same.
func TestJournalCompaction(t *testing.T) {
	dir := t.TempDir()
	j, _, err := openJournal(vfs.OS, dir)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(newSeed(t), 7))
	want := map[string]state{}
	for i := range 60000 {
		name := fmt.Sprintf("t-%d", rnd.IntN(50))
		if rnd.IntN(20) == 0 {
			delete(want, name)
			err = j.remove(name)
		} else {
			st := state{start: rnd.Int64(), pos: position{rnd.Uint64(), rnd.Int64(), rnd.Uint64(), rnd.Int64()}, size: int64(i)}
			if rnd.IntN(2) == 0 {
				st.hints = map[string]int64{"hw": rnd.Int64(), "x": -1}
			}
			want[name] = st
			err = j.put(map[string]state{name: st})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(j.path())
	if err != nil || info.Size() > journalSlack+100000 {
		t.Fatalf("%d bytes, %v", info.Size(), err)
	}
	j.close()
	j, damaged, err := openJournal(vfs.OS, dir)
	if err != nil || damaged || len(j.states) != len(want) {
		t.Fatalf("%v, damaged %v, %d states, want %d", err, damaged, len(j.states), len(want))
	}
	live := int64(0)
	for name, st := range want {
		got, _ := j.get(name)
		if fmt.Sprint(got) != fmt.Sprint(st) {
			t.Fatalf("%s: %+v, want %+v", name, got, st)
		}
		live += int64(len(appendState(nil, name, &st)))
	}
	if j.live != live {
		t.Fatalf("%d live bytes, want %d", j.live, live)
	}
	j.close()
}

// A write that failed half way is cut off, so that what follows is found; a bad record before good ones costs all positions.
func TestJournalDamage(t *testing.T) {
	dir := t.TempDir()
	f := vfs.NewFault(vfs.OS, "")
	j, _, err := openJournal(f, dir)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]state{}
	for i := range 10 {
		name := fmt.Sprint("t-", i)
		states[name] = state{start: int64(i), pos: position{1, 2, 3, 4}}
		if i == 5 {
			f.Fail(1, syscall.ENOSPC, vfs.Only(vfs.Write))
			if err := j.put(map[string]state{"t-5": {start: 99}}); !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
		}
		if err := j.put(map[string]state{name: states[name]}); err != nil {
			t.Fatal(err)
		}
	}
	j.close()
	check := func(want int, positions bool) {
		t.Helper()
		j, damaged, err := openJournal(vfs.OS, dir)
		if err != nil || damaged == positions || len(j.states) != want {
			t.Fatalf("%v, damaged %v, %d states", err, damaged, len(j.states))
		}
		for name, st := range j.states {
			if st.start != states[name].start || (st.pos == states[name].pos) != positions {
				t.Fatalf("%s: %+v", name, st)
			}
		}
		j.close()
	}
	check(10, true)
	data, err := os.ReadFile(j.path())
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(j.path(), data, 0o644); err != nil {
		t.Fatal(err)
	}
	check(5, false)
}

func FuzzJournal(f *testing.F) {
	st := state{start: 5, pos: position{1, 2, 3, 4}, size: 9, hints: map[string]int64{"hw": 7}}
	f.Add(appendState(nil, "t-0", &st))
	f.Add(appendRemoved(appendState(nil, "t-0", &st), "t-0"))
	f.Add([]byte("Wck1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/"+journalName, data, 0o644); err != nil {
			t.Fatal(err)
		}
		j, _, err := openJournal(vfs.OS, dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.put(map[string]state{"x": st}); err != nil {
			t.Fatal(err)
		}
		j.close()
		j, damaged, err := openJournal(vfs.OS, dir)
		if err != nil || damaged {
			t.Fatal(err, damaged)
		}
		if got, ok := j.get("x"); !ok || fmt.Sprint(got) != fmt.Sprint(st) {
			t.Fatalf("%+v", got)
		}
		j.close()
	})
}

// FuzzRecovery gives a log any bytes as its only data file.
func FuzzRecovery(f *testing.F) {
	b := testBatch(0, 2, 100, 1)
	entry := append([]byte{100}, b...)
	f.Add(entry)
	f.Add(append(slices.Clone(entry), 0, 0, 0))
	f.Add(bytes.Repeat([]byte{0xff}, 20))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := t.TempDir()
		if err := os.MkdirAll(path+"/t-0/wal", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+"/t-0/wal/"+segmentName(1), data, 0o644); err != nil {
			t.Fatal(err)
		}
		l := logOf(t, open(t, path, Options{}), "t-0")
		if l.Start() < l.End() {
			readAllOf(t, l, 100)
		}
		if l.End() < 1<<62 {
			appendBatch(t, l, 1, 100, 1)
		}
	})
}

// Records are deleted that were never synced, and a crash takes them: the log goes on where they ended.
func TestStartBeyondTheEnd(t *testing.T) {
	for _, whole := range []bool{false, true} {
		startBeyondTheEnd(t, whole)
	}
}

func startBeyondTheEnd(t *testing.T, whole bool) {
	f := vfs.NewFault(vfs.OS, t.TempDir())
	path := t.TempDir() + "/logs"
	d := open(t, path, Options{FS: f})
	l := logOf(t, d, "t-0")
	appendBatch(t, l, 5, 1000, 1)
	if !whole {
		if err := l.Sync(5); err != nil {
			t.Fatal(err)
		}
	}
	appendBatch(t, l, 5, 1000, 1)
	if err := l.SetStart(9); err != nil {
		t.Fatal(err)
	}
	file := l.tail().path()
	size := l.tail().syncedTo.Load()
	crash(t, d)
	lose := os.Truncate(file, size)
	if whole {
		lose = os.RemoveAll(l.path)
	}
	if lose != nil {
		t.Fatal(lose)
	}
	for range 2 {
		d = open(t, path, Options{})
		l = logOf(t, d, "t-0")
		if l.Start() != 9 || l.End() < 9 || l.Size() > 3000 {
			t.Fatalf("[%d, %d), %d bytes", l.Start(), l.End(), l.Size())
		}
		appendBatch(t, l, 5, 1000, 1)
		if got := readAllOf(t, l, 1<<20); int64(record.Batch(got).BaseOffset()) != 9 {
			t.Fatalf("the first batch is at %d", record.Batch(got).BaseOffset())
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

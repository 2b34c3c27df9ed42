package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/protocol/record"
	"weir/wal/vfs"
)

// numbered appends records [from, to), each a batch, over so many keys.
func numbered(t testing.TB, l *Log, from, to, keys int) (all []kv) {
	t.Helper()
	for i := from; i < to; i++ {
		r := kv{l.End(), int64(i), fmt.Sprint("key ", i%keys), fmt.Sprint("value ", i)}
		appendKV(t, l, record.Uncompressed, r)
		all = append(all, r)
	}
	return all
}

// Files that a crash left of those that were replaced are known without any side file, and removed.
func TestReplacedFilesComeBack(t *testing.T) {
	path := t.TempDir()
	d := open(t, path, Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 10 << 10})
	all := Cleaning{CleanBounds: CleanBounds{Upto: 1 << 40}}
	numbered(t, l, 0, 1000, 900)
	numbered(t, l, 0, 1000, 900)
	clean(t, l, all) // little is left of the first files
	numbered(t, l, 0, 1000, 900)
	before := copyTree(t, path)
	stats := clean(t, l, all)
	want := recordsOf(t, l)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var gone []string
	for _, name := range glob(t, before+"/t-0/wal/*") {
		if _, err := os.Stat(path + "/t-0/wal/" + filepath.Base(name)); err != nil {
			gone = append(gone, name)
		}
	}
	if len(gone) < 3 || stats.Files == 0 {
		t.Fatalf("%d files are gone, %+v", len(gone), stats)
	}
	for _, back := range [][]string{gone, gone[:1], gone[len(gone)-1:], gone[1:2]} {
		for _, lost := range []string{"none", "/t-0/*.idx", "/" + journalName, "/*"} {
			image := copyTree(t, path)
			for _, name := range back {
				copyFile(t, name, image+"/t-0/wal/"+filepath.Base(name))
			}
			for _, pattern := range []string{"/t-0/*.idx", "/" + journalName} {
				if lost == pattern || lost == "/*" {
					removeAll(t, image+pattern)
				}
			}
			d := open(t, image, Options{})
			l := logOf(t, d, "t-0")
			if got := recordsOf(t, l); !slices.Equal(got, want) || l.Start() != 0 || l.End() != 3000 {
				t.Fatalf("%v back, %s lost: %d records in [%d, %d), want %d", back, lost, len(got), l.Start(), l.End(), len(want))
			}
			for _, name := range back {
				if _, err := os.Stat(image + "/t-0/wal/" + filepath.Base(name)); err == nil {
					t.Fatalf("%s is still there", name)
				}
			}
		}
	}
}

// What a truncation takes back is not newer than anything: a round whose map has it replaces no file.
func TestTruncationEndsRound(t *testing.T) {
	d := open(t, t.TempDir(), Options{})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 10 << 10})
	all := numbered(t, l, 0, 1000, 37)
	cut := false
	_, err := l.Clean(NewCleaner(1<<20, 0.9, 1), Cleaning{CleanBounds: CleanBounds{Upto: 1 << 40}, Step: func(int) error {
		if !cut && len(glob(t, l.path+"/*"+cleanSuffix)) > 0 { // the map is done, the first file begun
			cut = true
			return l.TruncateTo(500)
		}
		return nil
	}})
	if !cut || !errors.Is(err, ErrCleanedAway) {
		t.Fatalf("%v, %v", cut, err)
	}
	if got := recordsOf(t, l); !slices.Equal(got, all[:500]) {
		t.Fatalf("%d records are left", len(got))
	}
}

// renames calls back before each rename.
type renames struct {
	vfs.FS
	before func(from, to string)
}

func (f renames) Rename(from, to string) error {
	f.before(from, to)
	return f.FS.Rename(from, to)
}

// While a file takes the place of another there is no sidecar that a start could believe of it.
func TestNoSidecarWhileReplaced(t *testing.T) {
	n := 0
	fsys := renames{FS: vfs.OS, before: func(from, to string) {
		if !strings.HasSuffix(from, cleanSuffix) {
			return
		}
		n++
		dir := filepath.Dir(from)
		if _, err := os.Stat(dir + "/" + filepath.Base(to) + sidecarSuffix); err == nil {
			t.Errorf("a sidecar beside %s", to)
		}
	}}
	d := open(t, t.TempDir(), Options{FS: fsys})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 10 << 10})
	numbered(t, l, 0, 1000, 37)
	d.work.wait()
	clean(t, l, Cleaning{CleanBounds: CleanBounds{Upto: 1 << 40}})
	if n < 5 {
		t.Fatalf("%d files were replaced", n)
	}
}

// Batches of transactions that were aborted go, markers when nothing of theirs is left and their time has come, and what the log has to
// say of producers stays.
func TestCleanTransactions(t *testing.T) {
	clock := newTestClock()
	d := open(t, t.TempDir(), Options{Now: clock.now})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 1})
	data := func(id int64, key, value string) {
		b := record.Builder{BaseOffset: l.End(), HasProducer: true, ProducerID: id, Transactional: id < 100, BaseSequence: int32(l.End())}
		b.Add(1, []byte(key), []byte(value))
		recs := b.Bytes()
		if err := l.Append(recs, setOf(recs)); err != nil {
			t.Fatal(err)
		}
	}
	marker := func(id int64, control int16) {
		recs := record.Marker(control, id, 0, 0, 1)
		recs.SetBaseOffset(l.End())
		if err := l.Append(recs, setOf(recs)); err != nil {
			t.Fatal(err)
		}
	}
	data(1, "first", "of its file")
	data(1, "k", "committed")
	data(2, "k", "aborted") // 2
	data(2, "only", "aborted")
	marker(1, record.ControlCommit) // 4
	marker(2, record.ControlAbort)  // 5
	data(101, "seq", "old")         // 6: the last of a producer that is known
	data(102, "seq", "new")
	data(3, "k", "open") // 8: not to be touched
	data(3, "tail", "open")
	l.AddAborted(record.AbortedTxn{ProducerID: 2, FirstOffset: 2, LastOffset: 5})
	o := Cleaning{
		CleanBounds: CleanBounds{Upto: 8}, DeleteRetentionMs: 1000,
		Producers: func() map[int64]LastRecord { return map[int64]LastRecord{101: {Offset: 6}, 1: {Offset: -1}} },
	}
	state := func() (out []string) {
		for rest := readAllOf(t, l, 1<<20); len(rest) > 0; {
			b, more, err := record.Next(rest)
			if err != nil {
				t.Fatal(err)
			}
			_, horizon := b.DeleteHorizonMs()
			if b.Count() > 0 || b.ProducerID() > 100 {
				out = append(out, fmt.Sprintf("%d:%d:%v", b.BaseOffset(), b.Count(), horizon))
			}
			rest = more
		}
		return out
	}
	step := func(what string, want ...string) {
		t.Helper()
		l.SetPolicy(Policy{SegmentBytes: 64 << 10}) // the files become one, whose ends stay
		clean(t, l, o)
		if got := state(); !slices.Equal(got, want) {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
		l.SetPolicy(Policy{SegmentBytes: 1})
	}
	step("first round", "0:1:false", "1:1:false", "4:1:false", "5:1:false", "6:0:false", "7:1:false", "8:1:false", "9:1:false")
	marker(3, record.ControlCommit)
	data(4, "tail", "more")
	o.Upto = 11
	step("nothing is left of the aborted one", "0:1:false", "4:1:false", "5:1:true", "6:0:false", "7:1:false", "8:1:false", "9:1:false", "10:1:false", "11:1:false")
	clock.ms.Add(1000)
	data(4, "tail", "again")
	o.Upto = 12
	step("its marker has had its time", "0:1:false", "4:1:false", "6:0:false", "7:1:false", "8:1:false", "10:1:false", "11:1:false", "12:1:false")
}

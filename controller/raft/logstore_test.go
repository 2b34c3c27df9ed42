package raft

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func testLog(t testing.TB, dir string) *logStore {
	t.Helper()
	s, _, err := openLog(dir, func(err error) { t.Logf("failed: %v", err) }, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

func entry(i uint64, size int) *raft.Log {
	return &raft.Log{Index: i, Term: 1 + i/10, Type: raft.LogCommand, Data: bytes.Repeat([]byte{byte(i)}, size), AppendedAt: time.Unix(int64(i), 5)}
}

func sameLog(t *testing.T, s *logStore, want map[uint64]*raft.Log) {
	t.Helper()
	first, last := uint64(0), uint64(0)
	for i := range want {
		if first == 0 || i < first {
			first = i
		}
		last = max(last, i)
	}
	f, _ := s.FirstIndex()
	l, _ := s.LastIndex()
	if f != first || l != last {
		t.Fatalf("have %d to %d, want %d to %d", f, l, first, last)
	}
	for i, w := range want {
		var got raft.Log
		if err := s.GetLog(i, &got); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if got.Index != i || got.Term != w.Term || got.Type != w.Type || !bytes.Equal(got.Data, w.Data) ||
			!bytes.Equal(got.Extensions, w.Extensions) || !got.AppendedAt.Equal(w.AppendedAt) {
			t.Fatalf("entry %d: %+v", i, got)
		}
	}
	var got raft.Log
	for _, i := range []uint64{0, first - 1, last + 1} {
		if err := s.GetLog(i, &got); !errors.Is(err, raft.ErrLogNotFound) {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
}

// Random operations against a map, with files that end now and then and the store opened anew.
func TestLogStoreAgainstMap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "log")
	s := testLog(t, dir)
	want := map[uint64]*raft.Log{}
	first, last := uint64(1), uint64(0)
	for step := range 150 {
		switch k := r.IntN(10); {
		case k < 6:
			var logs []*raft.Log
			if last == first-1 && step > 0 && r.IntN(2) == 0 { // after a snapshot of another node
				first += 100
				last += 100
			}
			for range 1 + r.IntN(5) {
				last++
				l := entry(last, r.IntN(3000))
				if r.IntN(20) == 0 {
					l = entry(last, segmentBytes)
				}
				if r.IntN(4) == 0 {
					l.Extensions, l.AppendedAt = []byte("ext"), time.Time{}
				}
				want[last] = l
				logs = append(logs, l)
			}
			if err := s.StoreLogs(logs); err != nil {
				t.Fatal(err)
			}
		case last < first:
		case k < 9:
			min, max := first, first+r.Uint64N(last-first+1)
			if k == 7 {
				min, max = max, last
			} else if k == 8 && r.IntN(3) == 0 {
				max = last
			}
			if err := s.DeleteRange(min, max); err != nil {
				t.Fatal(err)
			}
			for i := min; i <= max; i++ {
				delete(want, i)
			}
			if min == first {
				first = max + 1
			} else {
				last = min - 1
			}
		default:
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
			s = testLog(t, dir)
		}
		sameLog(t, s, want)
	}
	if err := s.StoreLog(entry(last+5, 1)); err == nil && len(want) > 0 {
		t.Error("a gap was taken")
	}
	if !s.IsMonotonic() {
		t.Error("not monotonic")
	}
}

// The library's Read of a cold file is a data race: the race detector sees it without our mutex.
func TestLogStoreConcurrent(t *testing.T) {
	s := testLog(t, filepath.Join(t.TempDir(), "log"))
	for i := uint64(1); i <= 8; i++ {
		if err := s.StoreLog(entry(i, segmentBytes/2)); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			var l raft.Log
			for i := range 40 {
				if err := s.GetLog(uint64(1+(i*3+k)%8), &l); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := uint64(9); i < 40; i++ {
		if err := s.StoreLog(entry(i, 100)); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

// lastFile returns the path of the file that is written to.
func lastFile(t testing.TB, dir string) string {
	t.Helper()
	_, path, err := lastSegment(dir)
	if err != nil || path == "" {
		t.Fatalf("no file: %v", err)
	}
	return path
}

// copyDir copies a directory with one file changed.
func copyDir(t testing.TB, from string, change string, b []byte) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if change != "" {
		rel, err := filepath.Rel(from, change)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, rel), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// A crash can cut the last write at every byte, or leave zeros or old bytes in it. What was written before it must be there, and the
// log must go on.
func TestTornTail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	s := testLog(t, dir)
	want := map[uint64]*raft.Log{}
	for i := uint64(1); i <= 3; i++ {
		want[i] = entry(i, 20)
		if err := s.StoreLog(want[i]); err != nil {
			t.Fatal(err)
		}
	}
	path := lastFile(t, dir)
	before, _ := os.ReadFile(path)
	if err := s.StoreLogs([]*raft.Log{entry(4, 20), entry(5, 20), entry(6, 20)}); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(path)
	s.close()
	torn := map[string][]byte{}
	for n := len(before); n < len(after); n++ {
		torn[fmt.Sprint("cut at ", n)] = after[:n]
		zeros := append(bytes.Clone(after[:n]), make([]byte, len(after)-n)...)
		torn[fmt.Sprint("zeros from ", n)] = zeros
		hole := bytes.Clone(after)
		hole[n] ^= 0x55
		torn[fmt.Sprint("flipped at ", n)] = hole
	}
	for name, b := range torn {
		where := copyDir(t, dir, path, b)
		s, cut, err := openLog(where, func(error) {}, func(error) {})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		last, _ := s.LastIndex()
		if last < 3 || last > 5 || cut == 0 && !bytes.Equal(b, before) && len(b) != len(after)-(len(after)-len(before))/3 && len(b) != len(after)-2*(len(after)-len(before))/3 {
			t.Fatalf("%s: last %d, cut %d", name, last, cut)
		}
		now := map[uint64]*raft.Log{}
		for i := uint64(1); i <= last; i++ {
			now[i] = entry(i, 20)
		}
		sameLog(t, s, now)
		now[last+1] = entry(last+1, 7)
		if err := s.StoreLog(now[last+1]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s.close()
		s = testLog(t, where)
		sameLog(t, s, now)
		s.close()
	}
}

// Damage to what was acknowledged is not a torn tail: it must not be cut away in silence.
func TestDamageIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	s := testLog(t, dir)
	for i := uint64(1); i <= 3; i++ {
		if err := s.StoreLog(entry(i, 20)); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	path := lastFile(t, dir)
	whole, _ := os.ReadFile(path)
	for n := range len(whole) / 3 * 2 {
		if n%(len(whole)/3) == 0 {
			continue // a length: where it lies, nothing behind it can be read
		}
		b := bytes.Clone(whole)
		b[n] ^= 1
		if _, _, err := openLog(copyDir(t, dir, path, b), func(error) {}, func(error) {}); !errors.Is(err, errCorrupt) {
			t.Fatalf("byte %d: %v", n, err)
		}
	}
}

// In an older file damage is found when the entry is read.
func TestDamageInOlderFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	s := testLog(t, dir)
	path := lastFile(t, dir)
	for i := uint64(1); i <= 3; i++ {
		if err := s.StoreLog(entry(i, segmentBytes+1)); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	b, _ := os.ReadFile(path)
	b[1000] ^= 1
	s = testLog(t, copyDir(t, dir, path, b))
	var l raft.Log
	if err := s.GetLog(1, &l); !errors.Is(err, errCorrupt) {
		t.Fatal(err)
	}
	if err := s.GetLog(2, &l); err != nil {
		t.Fatal(err)
	}
}

// A truncation that was interrupted is finished first.
func TestInterruptedTruncation(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	s := testLog(t, dir)
	for i := uint64(1); i <= 5; i++ {
		if err := s.StoreLog(entry(i, 20)); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	path := lastFile(t, dir)
	b, _ := os.ReadFile(path)
	size := len(b) / 5
	for name, c := range map[string]struct {
		file        string
		b           []byte
		gone        bool // the old file is
		first, last uint64
	}{
		"back":        {"00000000000000000001.END", b[:2*size], false, 1, 2},
		"back, gone":  {"00000000000000000001.END", b[:2*size], true, 1, 2},
		"front":       {"00000000000000000003.START", b[2*size:], false, 3, 5},
		"front, gone": {"00000000000000000003.START", b[2*size:], true, 3, 5},
		"temporary":   {"00000000000000000003.START.TEMP", b[2*size : 2*size+3], false, 1, 5},
	} {
		where := copyDir(t, dir, "", nil)
		if c.gone {
			os.Remove(filepath.Join(where, filepath.Base(path)))
		}
		if err := os.WriteFile(filepath.Join(where, c.file), c.b, 0o644); err != nil {
			t.Fatal(err)
		}
		s := testLog(t, where)
		first, _ := s.FirstIndex()
		last, _ := s.LastIndex()
		if first != c.first || last != c.last {
			t.Errorf("%s: %d to %d", name, first, last)
		}
		if _, err := os.Stat(filepath.Join(where, c.file)); err == nil {
			t.Errorf("%s: %s is still there", name, c.file)
		}
	}
}

func TestStableStore(t *testing.T) {
	dir := t.TempDir()
	s, exists, err := openStable(dir, func(error) {}, func(error) {})
	if err != nil || exists {
		t.Fatal(err, exists)
	}
	if _, err := s.Get([]byte("k")); err == nil || err.Error() != "not found" {
		t.Fatal(err)
	}
	if err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 7), s.Set([]byte("LastVoteCand"), []byte("1"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, stableName)
	// The term of a vote is written with the vote, not before: it must not get lost where the vote is the same as the last.
	if err := errors.Join(s.SetUint64([]byte(keyLastVoteTerm), 9), s.Set([]byte("LastVoteCand"), []byte("1"))); err != nil {
		t.Fatal(err)
	}
	// A crash between the steps of a write leaves a temporary file.
	if err := os.WriteFile(path+".tmp", []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, exists, err = openStable(dir, func(error) {}, func(error) {})
	if err != nil || !exists {
		t.Fatal(err, exists)
	}
	for k, want := range map[string]uint64{"CurrentTerm": 7, keyLastVoteTerm: 9} {
		if v, err := s.GetUint64([]byte(k)); err != nil || v != want {
			t.Fatalf("%s: %d %v", k, v, err)
		}
	}
	whole, _ := os.ReadFile(path)
	for n := range whole {
		if _, err := decodeStable(whole[:n]); err == nil {
			t.Fatalf("cut to %d bytes", n)
		}
		b := bytes.Clone(whole)
		b[n] ^= 1
		if _, err := decodeStable(b); err == nil {
			t.Fatalf("flipped at %d", n)
		}
	}
}

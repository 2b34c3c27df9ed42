package broker_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"weir/protocol"
	"weir/wal/vfs"
)

// seedEnv takes a seed back that a failed test has printed.
const seedEnv = "WEIR_CRASH_SEED"

func crashSeed(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s=%d", seedEnv, seed)
		}
	})
	return seed
}

// story is what a broker was told and has promised.
type story struct {
	sent    map[string]map[int64]string // by "topic-partition" and offset
	durable map[string]int64            // the end of what a crash of the machine may not take
	start   map[string]int64            // log starts that were promised
}

// live does a bit of everything on two directories and crashes the machine. It returns what must be in an image of the directories.
func live(t *testing.T, root string, disk *vfs.Fault, rnd *rand.Rand) *story {
	t.Helper()
	s := &story{sent: map[string]map[int64]string{}, durable: map[string]int64{}, start: map[string]int64{}}
	f := startFaulty(t, disk, crashDirs(root)...)
	f.mustCreate("synced", 3, map[string]string{"flush.messages": "1"})
	f.mustCreate("lazy", 3, map[string]string{"segment.bytes": "1048576"})
	f.mustCreate("gone", 2, nil)
	restarts := rnd.IntN(2)
	for i := range 150 + rnd.IntN(100) {
		topic, p := []string{"synced", "lazy", "lazy"}[rnd.IntN(3)], rnd.Int32N(3)
		name := fmt.Sprintf("%s-%d", topic, p)
		switch n := rnd.IntN(100); {
		case n < 92:
			value := fmt.Sprintf("%s %d %0*d", name, i, rnd.IntN(60_000), 0)
			offset := f.mustProduce(topic, p, []byte(value))
			if s.sent[name] == nil {
				s.sent[name] = map[int64]string{}
			}
			s.sent[name][offset] = value
			if topic == "synced" {
				s.durable[name] = offset + 1
			}
		case n < 95:
			low := rnd.Int64N(int64(len(s.sent[name])) + 1)
			if low <= s.start[name] {
				continue
			}
			if got, code := f.deleteRecords(topic, p, low); code != protocol.None || got != low {
				t.Fatalf("DeleteRecords: %d, %v", got, code)
			}
			s.start[name] = low
		case n < 98:
			f.mustCreate(fmt.Sprint("more-", i), 1, nil)
			f.mustProduce(fmt.Sprint("more-", i), 0, []byte("x"))
		case restarts > 0:
			restarts--
			if err := f.stop(); err != nil {
				t.Fatal(err)
			}
			for name, sent := range s.sent {
				s.durable[name] = int64(len(sent))
			}
			f = startFaulty(t, disk, crashDirs(root)...)
		}
	}
	// The metadata's files do not go through disk: all that was answered is durable.
	if err := disk.Settle(filepath.Join(root, "a", "__cluster_metadata")); err != nil {
		t.Fatal(err)
	}
	disk.Crash(1, vfs.Any)
	f.nc.Close()
	return s
}

func crashDirs(root string) []string {
	return []string{"log.dirs=" + root + "/a," + root + "/b", "log.segment.bytes=1048576"}
}

// tear puts the beginning of a write that a crash cut short behind the metadata log.
func tear(t *testing.T, root string, rnd *rand.Rand) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "a", "__cluster_metadata", "log", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no metadata log: %v", err)
	}
	slices.Sort(files)
	f, err := os.OpenFile(files[len(files)-1], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	torn := make([]byte, 1+rnd.IntN(200)) // zeros: the size was written, the bytes were not
	if rnd.IntN(2) == 0 {
		torn[0] = 0xff // the length of a longer entry
		for i := range torn[1:] {
			torn[i+1] = byte(rnd.Uint32())
		}
	}
	if _, err := f.Write(torn); err != nil {
		t.Fatal(err)
	}
}

// check starts a broker on an image and holds it against the story.
func (s *story) check(t *testing.T, root string) {
	t.Helper()
	f := startFaulty(t, vfs.OS, crashDirs(root)...)
	defer func() {
		if t.Failed() {
			t.Logf("the broker's warnings: %v", f.log.troubles(0))
		}
	}()
	for _, topic := range []string{"synced", "lazy"} {
		for p := range int32(3) {
			name := fmt.Sprintf("%s-%d", topic, p)
			start, code := f.offset(topic, p, -2)
			if code != protocol.None || start < s.start[name] || start > max(s.start[name], s.durable[name], int64(len(s.sent[name]))) {
				t.Fatalf("%s starts at %d, %v, want %d", name, start, code, s.start[name])
			}
			eventually(t, name+" is readable up to what was durable", func() bool {
				end, code := f.offset(topic, p, -1)
				return code == protocol.None && end >= s.durable[name]
			})
			got := f.all(topic, p, start)
			end := start
			for ; got[end] != ""; end++ {
				if got[end] != s.sent[name][end] {
					t.Fatalf("%s has other bytes at %d", name, end)
				}
			}
			if end < s.durable[name] {
				t.Fatalf("%s ends at %d, %d was durable", name, end, s.durable[name])
			}
			if at := f.mustProduce(topic, p, []byte("again")); at < end {
				t.Fatalf("%s goes on at %d, and had records up to %d", name, at, end)
			}
		}
	}
	f.mustCreate("new", 2, nil)
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
}

// The machine crashes under a broker with all its files: logs, checkpoints, side files, meta.properties, metadata. Of what was not synced it
// keeps what it likes; everything that was synced is there, and the broker goes on.
func TestCrashImages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(crashSeed(t), 1))
	rounds, images := 3, 2
	if testing.Short() {
		rounds, images = 1, 1
	}
	for range rounds {
		root := t.TempDir()
		disk := vfs.NewFault(vfs.OS, t.TempDir())
		s := live(t, root, disk, rnd)
		for range images {
			image := t.TempDir()
			if err := disk.CrashImage(root, image, rnd); err != nil {
				t.Fatal(err)
			}
			tear(t, image, rnd)
			s.check(t, image)
			os.RemoveAll(image)
		}
	}
}

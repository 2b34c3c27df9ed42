package broker_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/wal/vfs"
)

// below matches the operations of some kinds on files in a directory, and counts those after the first.
type below struct {
	dir   string
	kinds []vfs.Kind
	seen  atomic.Int32
}

func (b *below) match(op vfs.Op) bool {
	return strings.HasPrefix(op.Path, b.dir+"/") && slices.Contains(b.kinds, op.Kind)
}

// counter is a file system that counts what below matches.
type counter struct {
	vfs.FS
	below *below
}

func (c counter) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return countedFile{f, name, c.below}, nil
}

type countedFile struct {
	vfs.File
	name  string
	below *below
}

func (f countedFile) Sync() error {
	if f.below.match(vfs.Op{Kind: vfs.Sync, Path: f.name}) {
		f.below.seen.Add(1)
	}
	return f.File.Sync()
}

// byDirectory are the partitions of a topic in each of two directories.
func byDirectory(f *faulty, topic string) (first, second []int32) {
	_, where := f.logDirs()
	for name, i := range where {
		var p int32
		if _, err := fmt.Sscanf(name, topic+"-%d", &p); err != nil {
			continue
		}
		if i == 0 {
			first = append(first, p)
		} else {
			second = append(second, p)
		}
	}
	slices.Sort(first)
	slices.Sort(second)
	return first, second
}

// A failed sync takes its directory offline for good and is never tried again; the other one goes on, and everybody can see it. What was
// acknowledged is there after a restart.
func TestFailedSync(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	both := "log.dirs=" + a + "," + b
	disk := vfs.NewFault(vfs.OS, "")
	syncs := &below{dir: b, kinds: []vfs.Kind{vfs.Sync}}
	f := startFaulty(t, counter{disk, syncs}, both)
	f.mustCreate("synced", 4, map[string]string{"flush.messages": "1"})
	f.mustCreate("t", 4, nil)
	for p := range int32(4) {
		f.mustProduce("synced", p, []byte("kept"))
		f.mustProduce("t", p, []byte("kept"))
	}
	_, lost := byDirectory(f, "synced")
	left, alsoLost := byDirectory(f, "t")
	if len(lost) == 0 || len(left) == 0 || len(alsoLost) == 0 {
		t.Fatal("all partitions are in one directory")
	}
	disk.Fail(1, syscall.EIO, syncs.match)
	syncs.seen.Store(0)
	if _, code := f.produce("synced", lost[0], []byte("unsafe")); code != protocol.KafkaStorageError {
		t.Fatalf("produce with a failed sync: %v", code)
	}
	eventually(t, "the controller knows", func() bool { return slices.Equal(f.offlinePartitions("t"), alsoLost) })
	for _, p := range alsoLost {
		if _, code := f.produce("t", p, []byte("refused")); code != protocol.KafkaStorageError {
			t.Errorf("produce to the lost directory: %v", code)
		}
		if _, _, code := f.fetch("t", p, 0); code != protocol.KafkaStorageError {
			t.Errorf("fetch from the lost directory: %v", code)
		}
		if _, code := f.offset("t", p, -1); code != protocol.KafkaStorageError {
			t.Errorf("offsets of the lost directory: %v", code)
		}
	}
	for _, p := range left {
		f.mustProduce("t", p, []byte("more"))
	}
	f.mustCreate("after", 3, nil)
	for p := range int32(3) {
		f.mustProduce("after", p, []byte("kept"))
	}
	if codes, _ := f.logDirs(); !slices.Equal(codes, []protocol.Code{protocol.None, protocol.KafkaStorageError}) {
		t.Errorf("log directories: %v", codes)
	}
	if err := f.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if n := syncs.seen.Load(); n != 1 {
		t.Errorf("%d syncs in a directory after the first had failed", n)
	}
	f = startFaulty(t, vfs.OS, both)
	for p := range int32(4) {
		for _, topic := range []string{"synced", "t"} {
			// With flush.messages=1 a reader sees what is synced, and the first use after a restart syncs.
			eventually(t, fmt.Sprintf("%s-%d is readable", topic, p), func() bool { return f.all(topic, p, 0)[0] == "kept" })
			f.mustProduce(topic, p, []byte("again"))
		}
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
}

// A failed write of the checkpoint: DeleteRecords is refused, and nothing was deleted.
func TestFailedWrite(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	both := "log.dirs=" + a + "," + b
	disk := vfs.NewFault(vfs.OS, "")
	f := startFaulty(t, disk, both)
	f.mustCreate("t", 2, nil)
	for p := range int32(2) {
		f.mustProduce("t", p, []byte("kept"))
	}
	_, lost := byDirectory(f, "t")
	disk.Fail(1, syscall.EIO, (&below{dir: b, kinds: []vfs.Kind{vfs.Write}}).match)
	if low, code := f.deleteRecords("t", lost[0], 1); code != protocol.KafkaStorageError {
		t.Fatalf("DeleteRecords with a failed write: %d, %v", low, code)
	}
	f.mustProduce("t", 1-lost[0], []byte("more"))
	if _, code := f.produce("t", lost[0], []byte("refused")); code != protocol.KafkaStorageError {
		t.Errorf("produce: %v", code)
	}
	if err := f.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	f = startFaulty(t, vfs.OS, both)
	for p := range int32(2) {
		if got := f.all("t", p, 0); got[0] != "kept" {
			t.Errorf("partition %d after the restart: %v", p, got)
		}
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
}

// The loss of the metadata's directory ends the broker, with one line; the loss of the last one of others as well.
func TestLostMetadataDirectory(t *testing.T) {
	for name, settings := range map[string]func(a, b string) string{
		"the metadata's": func(a, b string) string { return "log.dirs=" + a + "," + b },
		"the last":       func(a, b string) string { return "log.dirs=" + a },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := t.TempDir(), t.TempDir()
			dirs := []string{settings(a, b)}
			if name == "the last" {
				dirs = append(dirs, "metadata.log.dir="+b)
			}
			disk := vfs.NewFault(vfs.OS, "")
			f := startFaulty(t, disk, dirs...)
			f.mustCreate("t", 2, map[string]string{"flush.messages": "1"})
			for p := range int32(2) {
				f.mustProduce("t", p, []byte("kept"))
			}
			first, _ := byDirectory(f, "t")
			disk.Fail(1, syscall.EIO, (&below{dir: a, kinds: []vfs.Kind{vfs.Sync}}).match)
			q := produceRequest(9, "t", goodBatch())
			q.Topics[0].Partitions[0].Partition = first[0]
			resp, err := exchange(f.nc, q, 1000) // the broker may be gone before it has answered
			if err == nil {
				if code := protocol.Code(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode); code != protocol.KafkaStorageError {
					t.Fatalf("produce with a failed sync: %v", code)
				}
			}
			if err := f.b.Wait(); err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "director") {
				t.Errorf("the broker ended with %v", err)
			}
			f.stop()
			f = startFaulty(t, vfs.OS, dirs...)
			for p := range int32(2) {
				eventually(t, fmt.Sprintf("partition %d is readable", p), func() bool { return f.all("t", p, 0)[0] == "kept" })
			}
			if err := f.stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// deleteRecords moves the log start.
func (f *faulty) deleteRecords(topic string, partition int32, offset int64) (low int64, code protocol.Code) {
	f.t.Helper()
	q := kmsg.NewPtrDeleteRecordsRequest()
	q.TimeoutMillis = 10_000
	qt := kmsg.NewDeleteRecordsRequestTopic()
	qt.Topic = topic
	qt.Partitions = append(qt.Partitions, kmsg.DeleteRecordsRequestTopicPartition{Partition: partition, Offset: offset})
	q.Topics = append(q.Topics, qt)
	p := ask[*kmsg.DeleteRecordsResponse](f, q, 2).Topics[0].Partitions[0]
	return p.LowWatermark, protocol.Code(p.ErrorCode)
}

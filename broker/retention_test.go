package broker_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/wal/vfs"
)

// bytesBelow is what the files below a directory take.
func bytesBelow(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // removed meanwhile
		}
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// chunk is a value of 100 KB that names its offset.
func chunk(offset int64) string { return fmt.Sprintf("%08d%s", offset, strings.Repeat("x", 100_000)) }

func (f *faulty) produceChunks(topic string, from, to int64) {
	f.t.Helper()
	for offset := from; offset < to; offset++ {
		if at := f.mustProduce(topic, 0, []byte(chunk(offset))); at != offset {
			f.t.Fatalf("record %d is at %d", offset, at)
		}
	}
}

// setTopic changes one setting of a topic.
func (f *faulty) setTopic(topic, key, value string) {
	f.t.Helper()
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: key, Value: &value})
	q.Resources = append(q.Resources, r)
	if code := protocol.Code(ask[*kmsg.IncrementalAlterConfigsResponse](f, q, 1).Resources[0].ErrorCode); code != protocol.None {
		f.t.Fatalf("%s=%s: %v", key, value, code)
	}
}

// earliest is the log start, as ListOffsets says.
func (f *faulty) earliest(topic string) int64 {
	f.t.Helper()
	offset, code := f.offset(topic, 0, -2)
	if code != protocol.None {
		f.t.Fatalf("earliest offset: %v", code)
	}
	return offset
}

// outOfRange demands that a reader below the log start is told so, and that all above it is there.
func (f *faulty) outOfRange(topic string, start, end int64) {
	f.t.Helper()
	for _, at := range []int64{0, start / 2, start - 1} {
		if values, _, code := f.fetch(topic, 0, at); code != protocol.OffsetOutOfRange || len(values) > 0 {
			f.t.Errorf("fetch at %d below the start %d: %v, %d records", at, start, code, len(values))
		}
	}
	got := f.all(topic, 0, start)
	for at := start; at < end; at++ {
		if got[at] != chunk(at) {
			f.t.Fatalf("record %d is not there", at)
		}
	}
}

// Whole files go by size, by DeleteRecords and by time; the earliest offset moves and the space is given back.
func TestRetention(t *testing.T) {
	dir := t.TempDir()
	settings := []string{"log.dirs=" + dir, "log.retention.check.interval.ms=10", tcp}
	f := startFaulty(t, vfs.OS, settings...)
	f.mustCreate("t", 1, map[string]string{"segment.bytes": "1048576"})
	f.produceChunks("t", 0, 60)
	full := bytesBelow(t, dir)
	if full < 6_000_000 || f.earliest("t") != 0 {
		t.Fatalf("%d bytes, from %d on", full, f.earliest("t"))
	}

	f.setTopic("t", "retention.bytes", "3000000")
	eventually(t, "files go by size", func() bool { return f.earliest("t") > 0 && bytesBelow(t, dir) < 4_500_000 })
	bySize := f.earliest("t")
	if bySize%10 != 0 || bySize > 30 { // ten records fit into a file
		t.Errorf("the start is at %d", bySize)
	}
	f.outOfRange("t", bySize, 60)

	if low, code := f.deleteRecords("t", 0, 45); low != 45 || code != protocol.None {
		t.Errorf("DeleteRecords: %d, %v", low, code)
	}
	if at := f.earliest("t"); at != 45 {
		t.Errorf("the start is at %d after DeleteRecords", at)
	}
	eventually(t, "files below the start go", func() bool { return bytesBelow(t, dir) < 2_500_000 })
	f.outOfRange("t", 45, 60)
	if _, code := f.deleteRecords("t", 0, 61); code != protocol.OffsetOutOfRange {
		t.Errorf("DeleteRecords beyond the end: %v", code)
	}

	f.setTopic("t", "retention.ms", "1")
	eventually(t, "files go by time", func() bool { return f.earliest("t") == 60 && bytesBelow(t, dir) < 500_000 })
	if _, _, code := f.fetch("t", 0, 59); code != protocol.OffsetOutOfRange {
		t.Errorf("fetch of an expired record: %v", code)
	}
	f.setTopic("t", "retention.ms", "-1")
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
	f = startFaulty(t, vfs.OS, settings...)
	if at := f.earliest("t"); at != 60 {
		t.Errorf("the start is at %d after a restart", at)
	}
	f.produceChunks("t", 60, 62)
	f.outOfRange("t", 60, 62)
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
}

// A slow reader meets retention in the middle of files that go: it gets whole records, each the one of its offset, or OFFSET_OUT_OF_RANGE.
func TestRetentionUnderReaders(t *testing.T) {
	f := startFaulty(t, vfs.OS, "log.dirs="+t.TempDir(), "log.retention.check.interval.ms=1", tcp)
	f.mustCreate("t", 1, map[string]string{"segment.bytes": "1048576", "retention.bytes": "300000"})
	reader := &faulty{t: t, b: f.b, log: f.log, nc: (&bed{"tcp", f.b.Addr(), nil}).dial(t)}
	defer reader.nc.Close()
	const end = 150
	lost, read := 0, 0
	for at, next := int64(0), int64(0); at < end; {
		if next < end && next < at+40 {
			f.produceChunks("t", next, next+1)
			next++
			continue
		}
		values, after, code := reader.fetch("t", 0, at)
		switch code {
		case protocol.None:
			for offset, v := range values {
				if read++; v != chunk(offset) {
					t.Fatalf("other bytes at %d", offset)
				}
			}
			at = max(after, at+1)
		case protocol.OffsetOutOfRange:
			lost++
			start := f.earliest("t")
			if start <= at {
				t.Fatalf("out of range at %d, and the start is %d", at, start)
			}
			at = start
		default:
			t.Fatalf("fetch at %d: %v", at, code)
		}
	}
	t.Logf("%d records read, %d times out of range", read, lost)
	if read == 0 || f.earliest("t") == 0 {
		t.Error("nothing was read, or nothing was removed")
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
}

// What counts is the records' own time, not when they were written.
func TestRetentionByRecordTime(t *testing.T) {
	f := startFaulty(t, vfs.OS, "log.dirs="+t.TempDir(), "log.retention.check.interval.ms=10")
	f.mustCreate("old", 1, map[string]string{"retention.ms": "3600000", "message.timestamp.before.max.ms": "9223372036854775807"})
	f.mustCreate("fresh", 1, map[string]string{"retention.ms": "3600000"})
	f.mustProduce("fresh", 0, []byte("kept"))
	if _, code := f.produceTime("old", 0, []byte("old"), time.Now().Add(-2*time.Hour)); code != protocol.None {
		t.Fatalf("an old record: %v", code)
	}
	eventually(t, "an old record goes although it was just written", func() bool { return f.earliest("old") == 1 })
	if got := f.all("fresh", 0, 0); got[0] != "kept" {
		t.Errorf("the fresh record: %v", got)
	}
	if err := f.stop(); err != nil {
		t.Fatal(err)
	}
}

package wal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"
)

// A file system that is really full: nothing acknowledged is lost, retention makes room, and appends go on.
func TestFullFileSystem(t *testing.T) {
	path := t.TempDir()
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a tmpfs cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	online := make(chan string, 100)
	o := Options{ReserveBytes: -1, probeInterval: time.Millisecond, OnOnline: func(string) { online <- "" }}
	ways(t, func(t *testing.T, way Options) {
		o := o
		o.publicOnly = way.publicOnly
		d := open(t, path+"/"+fmt.Sprint(way.publicOnly), o)
		l := logOf(t, d, "t-0")
		l.SetPolicy(Policy{SegmentBytes: 500_000})
		full := 0
		for i := range 600 {
			b := testBatch(l.End(), 1, 30_000+i*10, int64(i))
			err := l.Append(b, setOf(b))
			if err == nil {
				continue
			}
			if full++; !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			d.work.wait()
			if removed, err := l.Retain(Retention{Bytes: 1_500_000, Ms: -1, Upto: l.End()}); err != nil || !removed {
				t.Fatalf("retention on a full disk: %v, %v", removed, err)
			}
			<-online
		}
		if full < 3 {
			t.Fatalf("the disk was full %d times", full)
		}
		start, end := l.Start(), l.End()
		want := readAllOf(t, l, 1<<20)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = open(t, path+"/"+fmt.Sprint(way.publicOnly), o)
		l = logOf(t, d, "t-0")
		if l.Start() != start || l.End() != end || !bytes.Equal(readAllOf(t, l, 1<<20), want) {
			t.Fatalf("[%d, %d) after a restart of [%d, %d)", l.Start(), l.End(), start, end)
		}
		d.Close()
		os.RemoveAll(d.path)
	})
}

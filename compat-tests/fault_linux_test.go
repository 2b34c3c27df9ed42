package compat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fragile is a broker whose disk fails, a client that gives up soon, and what was acknowledged to it.
type fragile struct {
	t      *testing.T
	b      *Broker
	client *kgo.Client
	topic  string
	acked  map[int64]string // values by offset
	sent   int
}

func newFragile(t *testing.T, b *Broker) *fragile {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RetryTimeout(2*time.Second), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &fragile{t: t, b: b, client: client, topic: CreateTopic(t, b, 1, "segment.bytes=1048576"), acked: map[int64]string{}}
}

// produce sends one record of 20 to 100 KB that no disk or client can compress.
func (f *fragile) produce() error {
	f.sent++
	rnd := rand.New(rand.NewPCG(uint64(f.sent), 1))
	value := make([]byte, 20_000+rnd.IntN(80_000))
	for i := range value {
		value[i] = byte(rnd.Uint32())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := f.client.ProduceSync(ctx, &kgo.Record{Topic: f.topic, Value: value}).First()
	if err == nil {
		f.acked[r.Offset] = string(value)
	}
	return err
}

// untilFull produces until that fails, which must be for the storage.
func (f *fragile) untilFull() {
	f.t.Helper()
	for range 2000 {
		err := f.produce()
		if err == nil {
			continue
		}
		if !errors.Is(err, kerr.KafkaStorageError) {
			f.t.Fatalf("produce to a full disk: %v", err)
		}
		return
	}
	f.t.Fatal("the disk is never full")
}

// untilServed produces until that succeeds again.
func (f *fragile) untilServed() {
	f.t.Helper()
	limit := time.Now().Add(30 * time.Second)
	for f.produce() != nil {
		if time.Now().After(limit) {
			f.t.Fatalf("no service although there is space\n%s", f.b.logTail(20))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// create makes a topic.
func (f *fragile) create(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, err := kadm.NewClient(f.client).CreateTopic(ctx, 1, 1, nil, TopicName(f.t))
	return err
}

// createUntilRefused makes topics until that fails: the last page of a file may have room for a few.
func (f *fragile) createUntilRefused() {
	f.t.Helper()
	for range 200 {
		if f.create(time.Second) != nil {
			return
		}
	}
	f.t.Error("topics are made on a full disk")
}

// check reads everything back: each acknowledged record is there with its value.
func (f *fragile) check() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	end := EndOffset(f.t, f.b, f.topic, 0)
	records, err := FranzGo{}.Consume(ctx, f.b.Addr, f.topic, 0, 0, int(end))
	if err != nil {
		f.t.Fatal(err)
	}
	got := map[int64]string{}
	for _, r := range records {
		got[r.Offset] = string(r.Value)
	}
	for offset, value := range f.acked {
		if got[offset] != value {
			f.t.Errorf("the record at %d was acknowledged with %d bytes, and %d other bytes are there", offset, len(value), len(got[offset]))
		}
	}
	f.t.Logf("%d of %d records acknowledged, %d there", len(f.acked), f.sent, len(got))
}

// fillUp writes to a file until the disk has only so many bytes left.
func fillUp(t *testing.T, name string, free int64) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var st syscall.Statfs_t
	for chunk := make([]byte, 4096); ; {
		if err := syscall.Statfs(name, &st); err != nil {
			t.Fatal(err)
		}
		if int64(st.Bavail)*st.Bsize <= free {
			return
		}
		if _, err := file.Write(chunk); err != nil {
			if errors.Is(err, syscall.ENOSPC) && free == 0 {
				return
			}
			t.Fatal(err)
		}
	}
}

// A file system that is really full, first by the broker's own records and then to the last byte: producers and CreateTopics are refused,
// nothing acknowledged is lost, and both work again by themselves when there is space, also after a restart and a kill.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a tmpfs cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := disk + "/filler"
	b := Start(t, "log.dirs="+disk+"/data")
	if b.IsKafka() {
		t.Skip("Kafka ends when its disk is full")
	}
	f := newFragile(t, b)
	again := []func(){func() {}, func() { b.Stop(t); b.Restart(t) }, func() { b.Kill(t); b.Restart(t) }}
	for _, after := range again {
		fillUp(t, filler, 3<<20)
		f.untilFull()
		fillUp(t, filler, 0)
		if err := f.produce(); err == nil {
			t.Error("a record was taken on a full disk")
		}
		f.createUntilRefused()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		after()
		f.untilServed()
		if err := f.create(30 * time.Second); err != nil {
			t.Errorf("create when there is space: %v\n%s", err, b.logTail(20))
		}
		f.check()
	}
	b.Stop(t)
	b.Restart(t)
	f.check()
}

// Writes that the kernel cuts short at a limit of the file size, in the logs and in the metadata.
func TestFileSizeLimit(t *testing.T) {
	b := Start(t)
	if b.IsKafka() {
		t.Skip("Kafka ends when a write fails")
	}
	f := newFragile(t, b)
	for _, limit := range []uint64{300_001, 654_321} {
		limitFiles(t, b.PID, limit)
		f.untilFull()
		if err := f.produce(); err == nil {
			t.Error("a record was taken beyond the limit")
		}
		limitFiles(t, b.PID, 1<<40)
		f.untilServed()
		f.check()
	}
	limitFiles(t, b.PID, 100)
	f.createUntilRefused()
	limitFiles(t, b.PID, 1<<40)
	if err := f.create(30 * time.Second); err != nil {
		t.Errorf("create without a limit: %v", err)
	}
	f.untilServed()
	b.Kill(t)
	b.Restart(t)
	f.check()
	if strings.Contains(b.Log(), "panic") {
		t.Error("the broker panicked")
	}
}

// limitFiles sets RLIMIT_FSIZE of a process.
func limitFiles(t *testing.T, pid int, bytes uint64) {
	t.Helper()
	limit := syscall.Rlimit{Cur: bytes, Max: 1 << 40}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0); errno != 0 {
		t.Fatal(fmt.Errorf("prlimit: %w", errno))
	}
}

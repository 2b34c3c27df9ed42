package raft

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// smallDisk is a file system of its own, and what fills it but for some bytes; -1 empties it again.
func smallDisk(t *testing.T) (dir string, fill func(free int64)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a tmpfs cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func(free int64) {
		t.Helper()
		if free < 0 {
			if err := os.Remove(dir + "/filler"); err != nil {
				t.Fatal(err)
			}
			return
		}
		f, err := os.Create(dir + "/filler")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for chunk := make([]byte, 4096); err == nil; {
			_, err = f.Write(chunk)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err == nil {
			err = f.Truncate(info.Size() - free)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// On a full disk changes are refused with an error, nothing that was answered with success is lost, and a sole voter leads again when there
// is space, wherever in a write the space ended.
func TestFullDisk(t *testing.T) {
	dir, fill := smallDisk(t)
	c := testConfig(dir + "/metadata")
	n := start(t, c)
	join(t, n, 1)
	made := map[string]bool{}
	create := func(name string, partitions int32) error {
		q := kmsg.NewPtrCreateTopicsRequest()
		q.Version = 7
		q.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: partitions, ReplicationFactor: 1}}
		r, err := n.Submit(t.Context(), q)
		if err == nil {
			if code := protocol.Code(r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode); code != protocol.None {
				t.Fatalf("create %s: %v", name, code)
			}
			made[name] = true
		}
		return err
	}
	check := func(img *controller.Image) {
		t.Helper()
		got := 0
		for topic := range img.Topics() {
			if got++; !made[topic.Name] {
				t.Errorf("topic %s was refused and is there", topic.Name)
			}
		}
		if got != len(made) {
			t.Fatalf("%d topics, want %d", got, len(made))
		}
	}
	for round, free := range []int64{0, 3 * 4096} {
		fill(free)
		var err error
		for i := 0; err == nil; i++ {
			err = create(fmt.Sprintf("full-%d-%d", round, i), 200)
		}
		if !errors.Is(err, protocol.KafkaStorageError) {
			t.Fatalf("create on a full disk: %v", err)
		}
		for range 3 {
			if err := create(fmt.Sprint("still-", round), 1); !errors.Is(err, protocol.NotController) && !errors.Is(err, protocol.KafkaStorageError) {
				t.Fatalf("create on a full disk: %v", err)
			}
		}
		if round == 1 { // long enough for attempts to be elected without space
			for term := n.raft.CurrentTerm(); n.raft.CurrentTerm() < term+2; {
				await(t, n)
			}
		}
		fill(-1)
		for limit := time.Now().Add(20 * time.Second); create(fmt.Sprint("back-", round), 1) != nil; await(t, n) {
			if time.Now().After(limit) {
				t.Fatal("no leader although there is space")
			}
		}
		check(n.Image())
	}
	if err := n.Err(); err != nil {
		t.Fatalf("the node stopped: %v", err)
	}
	n.Close()
	n = start(t, c)
	check(n.Image())
}

// await lets a moment pass, or less when the node stops.
func await(t *testing.T, n *Node) {
	t.Helper()
	select {
	case <-n.Done():
		t.Fatalf("the node stopped: %v", n.Err())
	case <-time.After(10 * time.Millisecond):
	}
}

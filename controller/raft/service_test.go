package raft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// Many at once: each sees its own topic when it is answered, subscribers see every image once and in order, and the log says the same.
func TestSubmitTogether(t *testing.T) {
	dir := t.TempDir()
	n := start(t, testConfig(dir))
	join(t, n, 1)
	var last *controller.Image
	created := 0
	n.Subscribe(func(old, new *controller.Image, d *controller.Delta) {
		if last != nil && old != last {
			t.Errorf("from %d to %d, saw %d last", old.Offset, new.Offset, last.Offset)
		}
		if err := controller.CheckInvariants(old, new); err != nil && last != nil {
			t.Error(err)
		}
		for _, x := range d.Topics {
			if x.Old == nil {
				created++
			}
		}
		last = new
	})
	var wg sync.WaitGroup
	twice := make(chan int, 64)
	for i := range 32 {
		wg.Go(func() {
			for k := range 8 {
				create(t, n, fmt.Sprintf("t-%d-%d", i, k), 1)
				if n.Image().Topic(fmt.Sprintf("t-%d-%d", i, k)) == nil {
					t.Error("answered before it was published")
				}
			}
			// All want the same one: exactly one gets it.
			q := kmsg.NewPtrCreateTopicsRequest()
			q.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "same", NumPartitions: 1, ReplicationFactor: 1}}
			r := submit[*kmsg.CreateTopicsResponse](t, n, q)
			if r.Topics[0].ErrorCode == 0 {
				twice <- i
			} else if protocol.Code(r.Topics[0].ErrorCode) != protocol.TopicAlreadyExists || n.Image().Topic("same") == nil {
				t.Errorf("%v", protocol.Code(r.Topics[0].ErrorCode))
			}
		})
	}
	wg.Wait()
	if len(twice) != 1 || created != 32*8+1 || last != n.Image() {
		t.Fatalf("%d created the same topic, subscribers saw %d", len(twice), created)
	}
	n.Close()
	n = start(t, testConfig(dir))
	if d := controller.Diff(last, n.Image()); !d.Empty() {
		t.Fatalf("restart changed %+v", d)
	}
}

// What is decided while others are in flight rests on them.
func TestDecidesOnWhatIsInFlight(t *testing.T) {
	n := start(t, testConfig(t.TempDir()))
	join(t, n, 1)
	block := make(chan struct{})
	first := true
	n.Subscribe(func(old, new *controller.Image, d *controller.Delta) {
		if !first {
			<-block
		}
		first = false
	})
	var all []*submission
	for range 3 {
		q := kmsg.NewPtrCreateTopicsRequest()
		q.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "same", NumPartitions: 1, ReplicationFactor: 1}}
		s := &submission{req: q, done: make(chan struct{})}
		n.submits <- s // taken when the one before is decided
		all = append(all, s)
	}
	select {
	case <-all[1].done:
		t.Error("answered before what it rests on")
	default:
	}
	close(block)
	for i, s := range all {
		<-s.done
		code := protocol.Code(s.resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode)
		if s.err != protocol.None || (code == 0) != (i == 0) || i > 0 && code != protocol.TopicAlreadyExists {
			t.Errorf("%d: %v %v", i, s.err, code)
		}
	}
}

// A restart from a snapshot and the entries after it, with older snapshots and entries gone.
func TestSnapshots(t *testing.T) {
	dir := t.TempDir()
	n := start(t, testConfig(dir))
	join(t, n, 1)
	for i := range 4 {
		for k := range 5 {
			create(t, n, fmt.Sprintf("t-%d-%d", i, k), 50)
		}
		if err := n.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	// Nothing after the snapshot, and then something.
	before := n.Image()
	n.Close()
	n = start(t, testConfig(dir))
	if d := controller.Diff(before, n.Image()); !d.Empty() || n.Image().Offset != before.Offset {
		t.Fatalf("restart changed %+v", d)
	}
	create(t, n, "after", 3)
	before = n.Image()
	n.Close()
	if list, _ := filepath.Glob(filepath.Join(dir, "snapshots", "*")); len(list) != 2 {
		t.Fatalf("%d snapshots are kept", len(list))
	}
	n = start(t, testConfig(dir))
	if d := controller.Diff(before, n.Image()); !d.Empty() {
		t.Fatalf("restart changed %+v", d)
	}
	n.Close()
	// A damaged newest snapshot must not be passed over: entries before it may be gone.
	list, _ := filepath.Glob(filepath.Join(dir, "snapshots", "*", "state.bin"))
	for _, path := range list {
		b, _ := os.ReadFile(path)
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := Start(testConfig(dir)); err == nil {
		n.Close()
		t.Fatal("a damaged snapshot is taken")
	}
}

// So much in the log takes a snapshot by itself.
func TestSnapshotBySize(t *testing.T) {
	dir := t.TempDir()
	n := start(t, testConfig(dir))
	join(t, n, 1)
	for i := range 9 {
		create(t, n, fmt.Sprint("t", i), 9000)
	}
	n.running.Add(-2) // the two goroutines that run until Close
	n.running.Wait()
	n.running.Add(2)
	if list, _ := filepath.Glob(filepath.Join(dir, "snapshots", "*")); len(list) == 0 {
		t.Fatal("no snapshot")
	}
}

func TestSubscribeLate(t *testing.T) {
	n := start(t, testConfig(t.TempDir()))
	join(t, n, 1)
	create(t, n, "t", 3)
	calls := 0
	n.Subscribe(func(old, new *controller.Image, d *controller.Delta) {
		calls++
		if calls == 1 && (old.NumTopics() != 0 || new != n.Image() || len(d.Topics) != 1 || len(d.Topics[0].Partitions) != 3 || len(d.Brokers) != 1 || !d.Features) {
			t.Errorf("%+v", d)
		}
	})
	create(t, n, "u", 1)
	if calls != 2 {
		t.Errorf("%d calls", calls)
	}
}

func TestClosed(t *testing.T) {
	n := start(t, testConfig(t.TempDir()))
	join(t, n, 1)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for k := 0; ; k++ {
				q := kmsg.NewPtrCreateTopicsRequest()
				q.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: fmt.Sprintf("t-%d-%d", i, k), NumPartitions: 1, ReplicationFactor: 1}}
				if _, err := n.Submit(context.Background(), q); err != nil {
					if !errors.Is(err, protocol.NotController) && !errors.Is(err, protocol.RequestTimedOut) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	create(t, n, "first", 1)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if n.Image().Topic("first") == nil {
		t.Error("the last image is gone")
	}
}

// Batches that are on their way when the node is closed are answered: Raft forgets what waits in its queue when it is shut down.
func TestCloseWhileProposing(t *testing.T) {
	for range 20 {
		n := start(t, testConfig(t.TempDir()))
		var answered sync.WaitGroup
		for range 8 {
			answered.Go(func() {
				for n.Propose(context.Background(), &controller.NoOpRecord{}) == nil {
				}
			})
		}
		join(t, n, 1)
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		answered.Wait()
	}
}

func TestSubmitErrors(t *testing.T) {
	n := start(t, testConfig(t.TempDir()))
	if _, err := n.Submit(t.Context(), kmsg.NewPtrMetadataRequest()); !errors.Is(err, protocol.UnsupportedVersion) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	block := make(chan struct{})
	n.Subscribe(func(old, new *controller.Image, d *controller.Delta) {
		if old.Offset > 0 {
			<-block
		}
	})
	if err := n.Propose(ctx, &controller.NoOpRecord{}); !errors.Is(err, protocol.RequestTimedOut) {
		t.Error(err)
	}
	close(block)
	// The controller decided what does not fit: the node stops rather than to go on with an image that others do not have.
	if err := n.Propose(t.Context(), &controller.RemoveTopicRecord{}); !errors.Is(err, protocol.UnknownServerError) {
		t.Error(err)
	}
	<-n.Done()
}

// A cluster of one that an older program founded gets the features of this one.
func TestRaisesFeatures(t *testing.T) {
	dir := t.TempDir()
	n := start(t, testConfig(dir))
	if err := n.Propose(t.Context(), &controller.FeatureLevelRecord{Name: controller.MetadataVersion, Level: 25}); err != nil {
		t.Fatal(err)
	}
	n.Close()
	n = start(t, testConfig(dir))
	if level := n.Image().Feature(controller.MetadataVersion); level != 33 {
		t.Fatalf("level %d", level)
	}
}

// What an idle node costs.
func TestIdle(t *testing.T) {
	before := runtime.NumGoroutine()
	n := start(t, testConfig(t.TempDir()))
	join(t, n, 1)
	if more := runtime.NumGoroutine() - before; more > 8 {
		t.Errorf("%d goroutines", more)
	}
	n.Close()
	if left := runtime.NumGoroutine() - before; left > 1 {
		buf := make([]byte, 1<<16)
		t.Errorf("%d goroutines are left:\n%s", left, buf[:runtime.Stack(buf, true)])
	}
}

package broker_test

import (
	"encoding/binary"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// await waits until what ok says is so; there is no event to wait for when a kernel or the scheduler lets go of something.
// more says more about what was not so.
func await(t testing.TB, what string, more func() string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(until) {
			t.Fatalf("after %v: %s:\n%s", patience, what, more())
		}
	}
}

// stacks are those of all goroutines, the same ones counted.
func stacks() string {
	var b strings.Builder
	pprof.Lookup("goroutine").WriteTo(&b, 1)
	return b.String()
}

// descriptors are what this process has open, nil where the system does not tell.
func descriptors() []string {
	all, _ := os.ReadDir("/proc/self/fd")
	out := make([]string, len(all))
	for i, e := range all {
		out[i], _ = os.Readlink("/proc/self/fd/" + e.Name())
	}
	slices.Sort(out)
	return out
}

// longPoll is a Fetch that waits for ten minutes.
func longPoll(topic string) kmsg.Request {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.SessionEpoch = 11, -1, 600_000, 1<<30, 1<<30, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes = 1 << 30
	rt.Partitions = append(rt.Partitions, p)
	r.Topics = append(r.Topics, rt)
	return r
}

// goes closes a client's end as a client does that has died: nobody answers there any more. A long poll of one that only closes is
// answered first, as Kafka does (TestHalfClosed).
func goes(nc net.Conn) {
	nc.(*net.TCPConn).SetLinger(0)
	nc.Close()
}

// TestHostileAbandon lets clients stop in the middle of everything, and then go. While they hang, others are served; when
// they are gone, nothing of them is left.
func TestHostileAbandon(t *testing.T) {
	b := newTCPBed(t)
	if b.log == nil {
		t.Skip("the goroutines of a foreign broker cannot be counted")
	}
	w := b.witness(t)
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 12 // of all topics
	pipeline := func(r kmsg.Request, n int) (all []byte) {
		for i := range n {
			all = append(all, sized(encode(r, int32(i)))...)
		}
		return all
	}
	poll := sized(encode(longPoll("witness"), 1))
	stops := map[string][]byte{
		"nothing":                         {},
		"half a length":                   {0, 0},
		"a length":                        binary.BigEndian.AppendUint32(nil, 100<<20),
		"half a header":                   sized(header(3, 9, 1, "client"))[:10],
		"a part of a large frame":         append(binary.BigEndian.AppendUint32(nil, 64<<10), make([]byte, 40<<10)...),
		"a long poll":                     poll,
		"many long polls":                 pipeline(longPoll("witness"), 100),
		"a long poll, requests behind it": append(poll, pipeline(produceRequest(9, "nobody", goodBatch()), 100)...),
		"requests without reading":        pipeline(metadata, 2000),
	}
	b.abandon(t, w, stops)
}

// TestHostileAbandonFull: who goes with as many requests unanswered as a connection may have is noticed too, although nobody reads
// from it any more and there is more to read before its end.
func TestHostileAbandonFull(t *testing.T) {
	broker, log := startBroker(t, nil)
	b := &bed{"tcp", broker.Addr(), log}
	var polls []byte
	for i := range int32(150) {
		polls = append(polls, sized(encode(longPoll("witness"), i))...)
	}
	b.abandon(t, b.witness(t), map[string][]byte{"more long polls than are taken": polls})
}

// abandon has clients send each of stops and wait. While they hang, w is served; when they have gone, nothing of them is left.
func (b *bed) abandon(t *testing.T, w *witness, stops map[string][]byte) {
	const each = 20
	once := longPoll("witness").(*kmsg.FetchRequest)
	once.MaxWaitMillis, once.Topics[0].Partitions[0].PartitionMaxBytes = 0, 1
	if _, err := exchange(w.nc, once, 0); err != nil { // the log keeps a descriptor for readers
		t.Fatal(err)
	}
	goroutines, files := runtime.NumGoroutine(), len(descriptors())
	var open []net.Conn
	for name, bytes := range stops {
		for range each {
			nc := b.dial(t)
			open = append(open, nc)
			if len(bytes) > 64<<10 { // the broker stops reading at some point, and so does this write
				nc.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			}
			if _, err := nc.Write(bytes); err != nil && len(bytes) <= 64<<10 {
				t.Fatalf("%s: %v", name, err)
			}
		}
		w.check(t)
	}
	for _, nc := range open {
		goes(nc)
	}
	await(t, "goroutines are left", stacks, func() bool { return runtime.NumGoroutine() <= goroutines })
	await(t, "descriptors are left", func() string { return strings.Join(descriptors(), "\n") }, func() bool { return len(descriptors()) <= files })
}

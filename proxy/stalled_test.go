package proxy

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
)

// startWith starts a proxy with one address.
func startWith(t *testing.T, cfg Config, upstream string) *Proxy {
	cfg.Clusters = []Cluster{{Single: true, Listen: "127.0.0.1:0", Upstream: []string{upstream}}}
	p, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// A client that sends a part of a frame, and no more, does not keep the memory for it from others.
func TestStalledClient(t *testing.T) {
	f := newFake(t)
	f.answer = echo
	f.run(t)
	p := startWith(t, Config{Memory: 1 << 20, StallTimeout: time.Second}, f.addr())
	big := requestFrame(produce(1, 600_000), 1, "")
	stalled := dial(t, p.Addr())
	if _, err := stalled.Write(big[:len(big)/2]); err != nil {
		t.Fatal(err)
	}
	if err := stalled.closed(); err != nil {
		t.Error(err)
	}
	dial(t, p.Addr()).ask(produce(1, 600_000))
}

// deaf has a broker read one byte of a connection, and no more. The channel says that it has.
func deaf(t *testing.T, f *fake) <-chan struct{} {
	began := make(chan struct{}, 1)
	serve := func(nc net.Conn) {
		if _, err := io.ReadFull(nc, make([]byte, 1)); err != nil {
			return
		}
		began <- struct{}{}
		<-t.Context().Done()
	}
	f.serve.Store(&serve)
	return began
}

// large is a request that no socket's buffers take.
func large() *kmsg.ProduceRequest {
	r := produceTo(1, 1)
	r.Topics[0].Partitions[0].Records = make([]byte, 64<<20)
	return r
}

// A broker that reads nothing costs its own partitions, and holds no memory for ever.
func TestStalledBroker(t *testing.T) {
	all := trio(t)
	p := startWith(t, Config{StallTimeout: time.Second}, all[0].addr())
	c := dial(t, p.Addr())
	c.ask(version(kmsg.NewPtrMetadataRequest(), 12))
	deaf(t, all[1])
	if r := c.ask(large()).(*kmsg.ProduceResponse); r.Topics[0].Partitions[0].ErrorCode != int16(protocol.NetworkException) {
		t.Errorf("%+v", r)
	}
}

// The proxy ends while it writes to a broker that reads nothing.
func TestCloseWhileStalled(t *testing.T) {
	all := trio(t)
	p := startWith(t, Config{StallTimeout: time.Hour}, all[0].addr())
	c := dial(t, p.Addr())
	c.ask(version(kmsg.NewPtrMetadataRequest(), 12))
	began := deaf(t, all[1])
	if _, err := c.Write(requestFrame(large(), 2, "")); err != nil {
		t.Fatal(err)
	}
	<-began
	p.Close()
}

// Two fetches that hold what each other waits for both get an answer.
func TestFetchesWaitForEachOther(t *testing.T) {
	all := trio(t)
	p := startWith(t, Config{Memory: 200_000, StallTimeout: time.Second}, all[0].addr())
	c := dial(t, p.Addr())
	c.ask(version(kmsg.NewPtrMetadataRequest(), 12))
	serve := func(nc net.Conn) { // broker 3 answers when both answers of broker 2 are there
		for p.answers.frames.held() < 140_000 && t.Context().Err() == nil {
			wait(t)
		}
		all[2].talk(nc)
	}
	all[2].serve.Store(&serve)
	fetch := version(kmsg.NewPtrFetchRequest(), 12)
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = "t"
	for _, n := range []int32{7, 8} {
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition = n
		topic.Partitions = append(topic.Partitions, partition)
	}
	fetch.Topics = append(fetch.Topics, topic)
	for i := range int32(2) {
		if _, err := c.Write(requestFrame(fetch, 10+i, "")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int32(2) {
		r, err := c.answer(fetch, 10+i)
		if err != nil {
			t.Fatal(err)
		}
		got := r.(*kmsg.FetchResponse).Topics[0].Partitions
		if len(got) != 2 || len(got[0].RecordBatches) != 70_000 || got[1].ErrorCode != int16(protocol.NetworkException) {
			t.Errorf("%d: %d partitions: %+v", i, len(got), got)
		}
	}
}

// A client whose request is refused, but waits for its turn to be told so, holds no memory meanwhile.
func TestRefusedWhileWaiting(t *testing.T) {
	f := newFake(t)
	f.answer = func(protocol.Header, kmsg.Request) kmsg.Response { return nil }
	f.run(t)
	refusing := hooks{{Key: 0, Before: func(*filter.Exchange) error { return filter.Refuse(protocol.PolicyViolation, "") }}}
	p, err := Start(Config{Memory: 100 << 20, StallTimeout: time.Hour, Clusters: []Cluster{
		{Listen: "127.0.0.1:0", Upstream: []string{f.addr()}, Filters: []filter.Filter{refusing}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	waits := dial(t, p.Addr())
	for _, req := range []kmsg.Request{ids(1), large()} {
		if _, err := waits.Write(requestFrame(req, 1, "")); err != nil {
			t.Fatal(err)
		}
	}
	dial(t, p.Addr()).ask(large())
}

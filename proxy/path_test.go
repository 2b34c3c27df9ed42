package proxy

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// echo answers Produce with the sizes of its records, InitProducerId with its time-out, and everything else with nothing in it.
func echo(h protocol.Header, req kmsg.Request) kmsg.Response {
	resp := req.ResponseKind()
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		if r.Acks == 0 {
			return nil
		}
		t := kmsg.NewProduceResponseTopic()
		t.Topic = r.Topics[0].Topic
		p := kmsg.NewProduceResponseTopicPartition()
		p.BaseOffset = int64(len(r.Topics[0].Partitions[0].Records))
		t.Partitions = append(t.Partitions, p)
		resp.(*kmsg.ProduceResponse).Topics = append(resp.(*kmsg.ProduceResponse).Topics, t)
	case *kmsg.InitProducerIDRequest:
		resp.(*kmsg.InitProducerIDResponse).ProducerID = int64(r.TransactionTimeoutMillis)
	}
	return resp
}

func produce(acks int16, records int) *kmsg.ProduceRequest {
	r := version(kmsg.NewPtrProduceRequest(), 12)
	r.Acks = acks
	t := kmsg.NewProduceRequestTopic()
	t.Topic = "t"
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = bytes.Repeat([]byte{'r'}, records)
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

// Requests that are sent without waiting are answered in their order, whatever their size, those without an answer among them.
func TestPipelined(t *testing.T) {
	f := newFake(t)
	f.answer = echo
	f.run(t)
	p, _ := start(t, Cluster{}, f.addr())
	c := dial(t, p.Addr())
	seed := rand.Uint64()
	t.Log("seed", seed)
	g := rand.New(rand.NewPCG(seed, 5))
	type sent struct {
		req kmsg.Request
		n   int
	}
	var all []sent
	var frames [][]byte
	for i := range 600 {
		var s sent
		switch g.IntN(4) {
		case 0:
			s = sent{produce(0, g.IntN(100)), -1}
		case 1:
			s.n = g.IntN(200)
			if g.IntN(10) == 0 {
				s.n = g.IntN(1 << 20)
			}
			s.req = produce(1, s.n)
		default:
			s.n = g.IntN(1 << 20)
			r := version(kmsg.NewPtrInitProducerIDRequest(), 4)
			r.TransactionTimeoutMillis = int32(s.n)
			s.req = r
		}
		all = append(all, s)
		frames = append(frames, requestFrame(s.req, int32(i), "test"))
	}
	go func() {
		stream := bytes.Join(frames, nil)
		for len(stream) > 0 { // cut anywhere
			n := min(len(stream), 1+g.IntN(40000))
			if _, err := c.Write(stream[:n]); err != nil {
				return
			}
			stream = stream[n:]
		}
	}()
	for i, s := range all {
		if s.n < 0 {
			continue
		}
		resp, err := c.answer(s.req, int32(i))
		if err != nil {
			t.Fatal(i, err)
		}
		got := 0
		switch r := resp.(type) {
		case *kmsg.ProduceResponse:
			got = int(r.Topics[0].Partitions[0].BaseOffset)
		case *kmsg.InitProducerIDResponse:
			got = int(r.ProducerID)
		}
		if got != s.n {
			t.Fatalf("answer %d: %d, want %d", i, got, s.n)
		}
	}
}

// What the client sent before it shut down its sending half is answered.
func TestHalfClosed(t *testing.T) {
	f := newFake(t)
	f.answer = echo
	f.run(t)
	p, _ := start(t, Cluster{}, f.addr())
	c := dial(t, p.Addr())
	req := version(kmsg.NewPtrInitProducerIDRequest(), 4)
	for i := range 10 {
		if _, err := c.Write(requestFrame(req, int32(i), "")); err != nil {
			t.Fatal(err)
		}
	}
	c.Conn.(*net.TCPConn).CloseWrite()
	for i := range 10 {
		if _, err := c.answer(req, int32(i)); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := c.closed(); err != nil {
		t.Error(err)
	}
}

// What clients may not send closes their connection, with a line that says why, and disturbs nobody.
func TestHostileClients(t *testing.T) {
	f := newFake(t)
	f.answer = echo
	f.run(t)
	p, l := start(t, Cluster{}, f.addr())
	good := dial(t, p.Addr())
	good.ask(version(kmsg.NewPtrInitProducerIDRequest(), 4))
	future := requestFrame(version(kmsg.NewPtrMetadataRequest(), 13), 1, "")
	binary.BigEndian.PutUint16(future[6:], 99)
	unknown := bytes.Clone(future)
	binary.BigEndian.PutUint16(unknown[4:], 999)
	controller := bytes.Clone(future)
	binary.BigEndian.PutUint16(controller[4:], 52)
	longID := framed([]byte{0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 'x', 'y'})
	for name, test := range map[string]struct {
		sent []byte
		says string
	}{
		"HTTP":               {[]byte("GET / HTTP/1.1\r\n\r\n"), "looks like HTTP"},
		"TLS":                {[]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, "looks like the beginning of TLS"},
		"negative length":    {[]byte{0xff, 0xff, 0xff, 0xff}, "a frame of -1 bytes"},
		"no header":          {framed([]byte{0, 3, 0}), "a request of 3 bytes"},
		"unknown key":        {unknown, "version 99 of api key 999"},
		"version to come":    {future, "version 99 of api key 3"},
		"key of controllers": {controller, "Vote is for controllers"},
		"client id":          {longID, "client id of 32767 bytes"},
		"no acks":            {framed([]byte{0, 0, 0, 3, 0, 0, 0, 1, 0xff, 0xff, 0}), "ends before its acks"},
	} {
		c := dial(t, p.Addr())
		if _, err := c.Write(test.sent); err != nil {
			t.Fatal(name, err)
		}
		if err := c.closed(); err != nil {
			t.Error(name, err)
		}
		if !strings.Contains(l.String(), test.says) {
			t.Errorf("%s: no line with %q in\n%s", name, test.says, l)
		}
	}
	good.ask(version(kmsg.NewPtrInitProducerIDRequest(), 4))
}

// What an upstream may not send ends the connection, with a line.
func TestHostileUpstream(t *testing.T) {
	for name, test := range map[string]struct {
		sent []byte
		says string
	}{
		"another correlation id": {framed([]byte{0, 0, 0, 9, 0, 0, 0, 0, 0}), "has correlation id 9"},
		"negative length":        {[]byte{0x80, 0, 0, 0}, "a frame of -2147483648 bytes"},
		"no correlation id":      {framed([]byte{0}), "an answer of 1 bytes"},
		"cut":                    {[]byte{0, 0, 0, 100, 0, 0, 0, 1, 0}, "requests unanswered"},
		"nothing":                {nil, "requests unanswered"},
		"brokers without end":    {framed([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 7, 0, 0}), "a length in a body"},
		"two answers":            {append(framed([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}), 0, 0, 0, 4, 0, 0, 0, 2), "that nobody asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			serve := func(nc net.Conn) {
				if _, err := readFrame(nc); err == nil {
					nc.Write(test.sent)
				}
			}
			f.serve.Store(&serve)
			f.run(t)
			p, l := start(t, Cluster{}, f.addr())
			c := dial(t, p.Addr())
			if _, err := c.Write(requestFrame(version(kmsg.NewPtrMetadataRequest(), 12), 1, "")); err != nil {
				t.Fatal(err)
			}
			for c.closed() != nil { // the first of two answers may come
			}
			p.Close()
			if !strings.Contains(l.String(), test.says) {
				t.Errorf("no line with %q in\n%s", test.says, l)
			}
		})
	}
}

// An upstream that is not there closes the client's connection and says which address it was; the next address is tried first.
func TestUpstreamDown(t *testing.T) {
	down := newFake(t)
	down.l.Close()
	p, l := start(t, Cluster{}, down.addr())
	c := dial(t, p.Addr())
	if resp, err := c.try(kmsg.NewPtrApiVersionsRequest()); err == nil {
		t.Error(resp)
	}
	if !strings.Contains(l.String(), down.addr()) || !strings.Contains(l.String(), "cannot be reached") {
		t.Error(l)
	}
	f := newFake(t)
	f.answer = echo
	f.run(t)
	p, _ = start(t, Cluster{}, down.addr(), f.addr())
	dial(t, p.Addr()).ask(version(kmsg.NewPtrInitProducerIDRequest(), 4))
}

// A proxy that would ask itself says so.
func TestItself(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	p, said := start(t, Cluster{Listen: addr}, addr)
	if resp, err := dial(t, p.Addr()).try(kmsg.NewPtrApiVersionsRequest()); err == nil {
		t.Error(resp)
	}
	if !strings.Contains(said.String(), "is an address of this proxy") {
		t.Error(said)
	}
}

// After many connections of all kinds nothing is left: no goroutine, no descriptor, no memory taken.
func TestNothingLeaks(t *testing.T) {
	f := newFake(t)
	f.answer = func(h protocol.Header, req kmsg.Request) kmsg.Response {
		if h.CorrelationID == 13 {
			return nil // never
		}
		return echo(h, req)
	}
	f.run(t)
	down := newFake(t)
	down.l.Close()
	p, _ := start(t, Cluster{}, f.addr())
	q, _ := start(t, Cluster{}, down.addr())
	single, _ := start(t, Cluster{Single: true}, f.addr())
	round := func() {
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				addr := p.Addr()
				if i%5 == 0 {
					addr = q.Addr()
				} else if i%5 < 3 {
					addr = single.Addr()
				}
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(time.Minute))
				b := requestFrame(produce(1, 100_000), int32(i%20), "x")
				switch i % 3 {
				case 0: // it goes in the middle of a frame
					nc.Write(b[:len(b)/2])
				case 1: // without reading
					nc.Write(b)
				case 2:
					nc.Write(append(b, "GET / HTTP/1.1\r\n"...))
					if i%20 != 13 {
						readFrame(nc)
					}
				}
			}()
		}
		wg.Wait()
	}
	round()
	settled := func() (goroutines, files int) {
		for range 1000 {
			p.mu.Lock()
			n := len(p.conns)
			p.mu.Unlock()
			for _, p := range []*Proxy{q, single} {
				p.mu.Lock()
				n += len(p.conns)
				p.mu.Unlock()
			}
			if n == 0 {
				break
			}
			wait(t)
		}
		runtime.GC() // pipes of splice are kept by a pool
		runtime.GC()
		d, err := os.ReadDir("/dev/fd") // on Linux, macOS and the BSDs
		if err != nil {
			t.Fatal(err)
		}
		return runtime.NumGoroutine(), len(d)
	}
	g0, f0 := settled()
	for range 5 {
		round()
	}
	var g1, f1 int
	for range 200 {
		if g1, f1 = settled(); g1 <= g0 && f1 <= f0 {
			break
		}
		wait(t)
	}
	if g1 > g0+4 || f1 > f0+4 {
		t.Errorf("goroutines %d, then %d; files %d, then %d", g0, g1, f0, f1)
	}
	for _, p := range []*Proxy{p, single} {
		for _, b := range []*budget{&p.requests.frames, &p.requests.decoded, &p.answers.frames, &p.answers.decoded} {
			if n := b.held(); n != 0 {
				t.Errorf("%d bytes are taken", n)
			}
		}
	}
}

// wait lets others run.
func wait(t *testing.T) {
	timer := time.NewTimer(5 * time.Millisecond)
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

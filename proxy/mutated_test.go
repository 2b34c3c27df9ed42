package proxy

import (
	"bytes"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
)

// everything is a filter that has every message decoded and encoded again.
func everything() filter.Filter {
	var h hooks
	for _, a := range protocol.APIs {
		h = append(h, filter.Hook{
			Key:      a.Key,
			Request:  func(*filter.Exchange, kmsg.Request) (kmsg.Response, error) { return nil, nil },
			Response: func(*filter.Exchange, kmsg.Response) error { return nil },
		})
	}
	return h
}

// mutate changes a few bytes behind the first few.
func mutate(g *rand.Rand, b []byte, from int) []byte {
	b = bytes.Clone(b)
	for range 1 + g.IntN(3) {
		if len(b) > from {
			b[from+g.IntN(len(b)-from)] = byte(g.Uint32())
		}
	}
	return b
}

// Requests and answers of all keys with bytes that are others pass, or end their connection. Nothing panics, nothing is kept, and who behaves
// is served.
func TestMutated(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	all := trio(t)
	wild := newFake(t) // an upstream that answers with nonsense in good frames
	serve := func(nc net.Conn) {
		g := rand.New(rand.NewPCG(seed, uint64(nc.RemoteAddr().(*net.TCPAddr).Port)))
		for {
			frame, err := readFrame(nc)
			if err != nil {
				return
			}
			h, _, err := protocol.ParseHeader(frame)
			if err != nil {
				return
			}
			api, _ := protocol.Lookup(h.Key)
			resp := protocol.NewResponse(h.Key, min(h.Version, api.Max))
			if r, ok := resp.(*kmsg.MetadataResponse); ok {
				r.Brokers = metadataOf(all...).Brokers
			}
			if _, err := nc.Write(mutate(g, responseFrame(h, resp), 8)); err != nil {
				return
			}
		}
	}
	wild.serve.Store(&serve)
	wild.run(t)
	for name, v := range map[string]Cluster{
		"ports": {}, "filtered": {Filters: []filter.Filter{everything()}}, "single": {Single: true}, "single filtered": {Single: true, Filters: []filter.Filter{everything()}},
	} {
		for _, upstream := range []*fake{all[0], wild} {
			p, l := start(t, v, upstream.addr())
			good := dial(t, p.Addr())
			g := rand.New(rand.NewPCG(seed, 8))
			for _, a := range protocol.APIs {
				if a.Listeners&protocol.OnBroker == 0 || a.Name == "Produce" {
					continue // Produce may have no answer
				}
				version := a.Min + int16(g.IntN(int(a.Max-a.Min)+1))
				req := protocol.NewRequest(protocol.Header{Key: a.Key, Version: version})
				b := requestFrame(req, 1, "client")
				if upstream != wild {
					b = mutate(g, b, 12)
				}
				nc, err := net.Dial("tcp", p.Addr())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := nc.Write(b); err != nil {
					t.Fatal(err)
				}
				nc.(*net.TCPConn).CloseWrite()
				for { // until the proxy has done with it
					if _, err := readFrame(nc); err != nil {
						break
					}
				}
				nc.Close()
			}
			if upstream != wild {
				good.ask(ids(1))
			}
			p.Close()
			if s := l.String(); strings.Contains(s, "panic") {
				t.Errorf("%s: a panic: %s", name, s[strings.Index(s, "panic"):])
			}
			for _, b := range []*budget{&p.requests.frames, &p.requests.decoded, &p.answers.frames, &p.answers.decoded} {
				if n := b.held(); n != 0 {
					t.Errorf("%s: %d bytes are taken", name, n)
				}
			}
		}
	}
}

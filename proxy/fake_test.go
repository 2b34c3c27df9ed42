package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// fake is an upstream broker that does what the test says.
type fake struct {
	l    net.Listener
	mu   sync.Mutex
	seen []protocol.Header // requests, with their client ids copied
	wg   sync.WaitGroup

	// serve, where it is set, has the connection to itself. It may be set while the fake runs.
	serve atomic.Pointer[func(net.Conn)]
	// answer makes the answer to a request; nil is none.
	answer func(h protocol.Header, req kmsg.Request) kmsg.Response
}

func newFake(t testing.TB) *fake {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{l: l}
	return f
}

// run takes connections until the test ends.
func (f *fake) run(t testing.TB) *fake {
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	f.wg.Add(1)
	go func() {
		defer f.wg.Done()
		for {
			nc, err := f.l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[nc] = true
			mu.Unlock()
			f.wg.Add(1)
			go func() {
				defer f.wg.Done()
				defer nc.Close()
				if serve := f.serve.Load(); serve != nil {
					(*serve)(nc)
				} else {
					f.talk(nc)
				}
				mu.Lock()
				delete(conns, nc)
				mu.Unlock()
			}()
		}
	}()
	t.Cleanup(func() {
		f.l.Close()
		mu.Lock()
		for nc := range conns {
			nc.Close()
		}
		mu.Unlock()
		f.wg.Wait()
	})
	return f
}

func (f *fake) addr() string { return f.l.Addr().String() }

func (f *fake) hostPort() (string, int32) {
	a := f.l.Addr().(*net.TCPAddr)
	return a.IP.String(), int32(a.Port)
}

func (f *fake) requests() []protocol.Header {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]protocol.Header(nil), f.seen...)
}

// talk answers request after request.
func (f *fake) talk(nc net.Conn) {
	for {
		frame, err := readFrame(nc)
		if err != nil {
			return
		}
		h, body, err := protocol.ParseHeader(frame)
		if err != nil {
			return
		}
		h.ClientID = bytes.Clone(h.ClientID)
		f.mu.Lock()
		f.seen = append(f.seen, h)
		f.mu.Unlock()
		req := protocol.NewRequest(h)
		if api, _ := protocol.Lookup(h.Key); h.Version <= api.Max {
			if err := protocol.Decode(req, body, nil); err != nil {
				return
			}
		}
		if resp := f.answer(h, req); resp != nil {
			if _, err := nc.Write(responseFrame(h, resp)); err != nil {
				return
			}
		}
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 256<<20 {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

func framed(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

func responseFrame(h protocol.Header, resp kmsg.Response) []byte {
	return framed(resp.AppendTo(protocol.AppendResponseHeader(nil, h.Key, resp.GetVersion(), h.CorrelationID)))
}

func requestFrame(req kmsg.Request, correlation int32, clientID string) []byte {
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))
	return f.AppendRequest(nil, req, correlation)
}

// start starts a proxy before upstreams, with one cluster.
func start(t testing.TB, v Cluster, upstream ...string) (*Proxy, *logs) {
	t.Helper()
	l := new(logs)
	v.Upstream = upstream
	if v.Listen == "" {
		v.Listen = "127.0.0.1:0"
	}
	p, err := Start(Config{Clusters: []Cluster{v}, Logger: slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, l
}

// logs is what a proxy logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// client is a connection of a client.
type client struct {
	net.Conn
	t    testing.TB
	next int32
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(5 * time.Minute)) // a test that would hang
	t.Cleanup(func() { nc.Close() })
	return &client{Conn: nc, t: t}
}

// ask sends a request and waits for its answer.
func (c *client) ask(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	resp, err := c.try(req)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func (c *client) try(req kmsg.Request) (kmsg.Response, error) {
	c.next++
	if _, err := c.Write(requestFrame(req, c.next, "test")); err != nil {
		return nil, err
	}
	return c.answer(req, c.next)
}

// answer reads the answer to a request.
func (c *client) answer(req kmsg.Request, correlation int32) (kmsg.Response, error) {
	frame, err := readFrame(c)
	if err != nil {
		return nil, err
	}
	id, body, err := protocol.ResponseBody(req.Key(), req.GetVersion(), frame)
	if err != nil {
		return nil, err
	}
	if id != correlation {
		return nil, fmt.Errorf("the answer to %d has correlation id %d", correlation, id)
	}
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	return resp, protocol.DecodeResponse(resp, body, nil)
}

// closed waits for the proxy to close the connection.
func (c *client) closed() error {
	_, err := c.Read(make([]byte, 1))
	if ne := net.Error(nil); err == nil || errors.As(err, &ne) && ne.Timeout() {
		return fmt.Errorf("not closed: %v", err)
	}
	return nil
}

// version sets the version of a message.
func version[M interface{ SetVersion(int16) }](m M, v int16) M {
	m.SetVersion(v)
	return m
}

package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// far is a broker that answers ListGroups with a name as long as its correlation id says, and that a test can make do otherwise.
type far struct {
	t      *testing.T
	answer func(nc net.Conn, correlation int32, body []byte)

	mu    sync.Mutex
	dials int
	down  bool
	conns []net.Conn
}

func (f *far) dial(broker int32, _ time.Duration) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials++
	if f.down {
		return nil, errors.New("refused")
	}
	near, there := net.Pipe()
	f.conns = append(f.conns, there)
	go f.serve(there)
	return near, nil
}

func (f *far) serve(nc net.Conn) {
	defer nc.Close()
	var mu sync.Mutex
	for {
		var head [4]byte
		if _, err := io.ReadFull(nc, head[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(nc, frame); err != nil {
			return
		}
		correlation := int32(binary.BigEndian.Uint32(frame[4:]))
		go func() {
			mu.Lock()
			defer mu.Unlock()
			f.answer(nc, correlation, frame)
		}()
	}
}

func reply(correlation int32, rest []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(rest)))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	return append(b, rest...)
}

func ask() *kmsg.ListGroupsRequest {
	q := kmsg.NewPtrListGroupsRequest()
	q.Version = 4
	return q
}

func groups(name string) []byte {
	r := kmsg.NewListGroupsResponse()
	r.Version = 4
	g := kmsg.NewListGroupsResponseGroup()
	g.Group = name
	r.Groups = append(r.Groups, g)
	return r.AppendTo([]byte{0})
}

func newFar(t *testing.T) *far {
	f := &far{t: t}
	f.answer = func(nc net.Conn, correlation int32, _ []byte) {
		nc.Write(reply(correlation, groups(strings.Repeat("x", int(correlation)*1000))))
	}
	return f
}

func TestConn(t *testing.T) {
	f := newFar(t)
	nc, _ := f.dial(1, time.Second)
	c := NewConn(nc, "me", 1<<20)
	defer c.Close()
	for i := 1; i < 200; i++ { // the answers grow beyond the first buffer
		q := ask()
		body, err := c.Exchange(q, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Read(q, body)
		if err != nil || len(r.(*kmsg.ListGroupsResponse).Groups[0].Group) != i*1000 {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if len(c.in) < 199_000 {
		t.Errorf("the buffer is of %d bytes", len(c.in))
	}
	f.answer = func(nc net.Conn, correlation int32, _ []byte) { nc.Write(reply(correlation, groups("x"))) }
	for range keepRounds + 1 {
		if _, err := c.Exchange(ask(), time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.in) > firstBytes {
		t.Errorf("%d bytes are kept", len(c.in))
	}
}

func TestConnRefusesNonsense(t *testing.T) {
	for name, answer := range map[string]func(nc net.Conn, correlation int32, body []byte){
		"too long":          func(nc net.Conn, _ int32, _ []byte) { nc.Write([]byte{0, 16, 0, 1, 0, 0, 0, 0}) },
		"negative":          func(nc net.Conn, _ int32, _ []byte) { nc.Write([]byte{255, 0, 0, 1, 0, 0, 0, 0}) },
		"another request's": func(nc net.Conn, c int32, _ []byte) { nc.Write(reply(c+1, groups("x"))) },
		"no header":         func(nc net.Conn, c int32, _ []byte) { nc.Write(reply(c, nil)) },
		"a tag beyond":      func(nc net.Conn, c int32, _ []byte) { nc.Write(reply(c, []byte{1, 0, 9})) },
		"two answers":       func(nc net.Conn, c int32, _ []byte) { nc.Write(append(reply(c, groups("x")), 1, 2, 3)) },
	} {
		f := newFar(t)
		f.answer = answer
		nc, _ := f.dial(1, time.Second)
		c := NewConn(nc, "me", 1<<20)
		if _, err := c.Exchange(ask(), time.Second); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
	f := newFar(t)
	f.answer = func(nc net.Conn, c int32, _ []byte) { nc.Write(reply(c, groups("xxxxxxxx"))[:20]); nc.Close() }
	nc, _ := f.dial(1, time.Second)
	c := NewConn(nc, "me", 1<<20)
	if _, err := c.Exchange(ask(), time.Second); err == nil {
		t.Error("half of an answer was taken")
	}
}

// Tags in the header of an answer, which a newer broker may have, are skipped.
func TestHeaderTags(t *testing.T) {
	f := newFar(t)
	f.answer = func(nc net.Conn, c int32, _ []byte) {
		nc.Write(reply(c, append([]byte{1, 0, 1, 7}, groups("x")[1:]...)))
	}
	nc, _ := f.dial(1, time.Second)
	c := NewConn(nc, "me", 1<<20)
	defer c.Close()
	body, err := c.Exchange(ask(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(ask(), body); err != nil {
		t.Error(err)
	}
}

func newPool(f *far, now *time.Time) *Pool {
	return NewPool(Config{Dial: f.dial, ClientID: "me", MaxFrame: 1 << 20, Now: func() time.Time { return *now }})
}

func TestPoolPipelines(t *testing.T) {
	f, now := newFar(t), time.Now()
	var mu sync.Mutex
	var waiting []int32
	all := make(chan struct{})
	f.answer = func(nc net.Conn, correlation int32, _ []byte) {
		mu.Lock()
		waiting = append(waiting, correlation)
		full := len(waiting) == 10
		mu.Unlock()
		if full {
			for c := int32(1); c <= 10; c++ {
				nc.Write(reply(c, groups("g")))
			}
			close(all)
		}
	}
	p := newPool(f, &now)
	defer p.Close()
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := p.Request(context.Background(), 7, ask()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	<-all
	if f.dials != 1 {
		t.Errorf("%d connections", f.dials)
	}
}

func TestPoolBacksOff(t *testing.T) {
	f, now := newFar(t), time.Now()
	f.down = true
	p := newPool(f, &now)
	defer p.Close()
	for range 3 {
		if _, err := p.Request(context.Background(), 7, ask()); err == nil {
			t.Fatal("an answer from nobody")
		}
	}
	if f.dials != 1 {
		t.Errorf("%d attempts without a rest", f.dials)
	}
	now = now.Add(firstBackoff)
	f.down = false
	if _, err := p.Request(context.Background(), 7, ask()); err != nil || f.dials != 2 {
		t.Errorf("%v after %d attempts", err, f.dials)
	}
	f.down = true
	p.Forget(7)
	if _, err := p.Request(context.Background(), 7, ask()); err == nil || f.dials != 3 {
		t.Errorf("%v after %d attempts", err, f.dials)
	}
}

// Who applies metadata may Forget a broker that is being dialed: it does not wait for that. Close ends the connection that is made then.
func TestForgetDoesNotWait(t *testing.T) {
	f, now := newFar(t), time.Now()
	p := newPool(f, &now)
	dialing, forgotten := make(chan struct{}), make(chan struct{})
	p.cfg.Dial = func(broker int32, limit time.Duration) (net.Conn, error) {
		close(dialing)
		<-forgotten
		return f.dial(broker, limit)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := p.Request(context.Background(), 7, ask()); err != nil {
			t.Error(err)
		}
	})
	<-dialing
	p.Forget(7)
	close(forgotten)
	wg.Wait()
	p.Close()
}

func TestPoolReconnects(t *testing.T) {
	f, now := newFar(t), time.Now()
	p := newPool(f, &now)
	if _, err := p.Request(context.Background(), 7, ask()); err != nil {
		t.Fatal(err)
	}
	f.answer = func(nc net.Conn, _ int32, _ []byte) { nc.Close() }
	if _, err := p.Request(context.Background(), 7, ask()); err == nil {
		t.Fatal("an answer from nobody")
	}
	f.answer = newFar(t).answer
	if _, err := p.Request(context.Background(), 7, ask()); err != nil {
		t.Fatal(err)
	}
	if f.dials != 2 {
		t.Errorf("%d connections", f.dials)
	}
	f.answer = func(net.Conn, int32, []byte) { go p.Close() } // a request under way ends too
	if _, err := p.Request(context.Background(), 7, ask()); err == nil {
		t.Fatal("an answer from nobody")
	}
	if _, err := p.Request(context.Background(), 7, ask()); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

package broker_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// stream is one direction of a connection in memory.
type stream struct {
	mu     sync.Mutex
	more   sync.Cond
	bytes  []byte
	closed bool // nobody will write
}

func newStream() *stream {
	s := &stream{}
	s.more.L = &s.mu
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.bytes) == 0 {
		if s.closed {
			return 0, io.EOF
		}
		s.more.Wait()
	}
	n := copy(b, s.bytes)
	s.bytes = s.bytes[n:]
	return n, nil
}

func (s *stream) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	s.bytes = append(s.bytes, b...)
	s.more.Broadcast()
	return len(b), nil
}

func (s *stream) close() {
	s.mu.Lock()
	s.closed = true
	s.more.Broadcast()
	s.mu.Unlock()
}

// memConn is one end of a connection in memory: it has no descriptor, as TLS will have none, and keeps whatever is written.
type memConn struct{ in, out *stream }

func (c *memConn) Read(b []byte) (int, error)       { return c.in.read(b) }
func (c *memConn) Write(b []byte) (int, error)      { return c.out.write(b) }
func (c *memConn) CloseWrite() error                { c.out.close(); return nil }
func (c *memConn) Close() error                     { c.in.close(); c.out.close(); return nil }
func (c *memConn) LocalAddr() net.Addr              { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr             { return memAddr{} }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

type memAddr struct{}

func (memAddr) Network() string { return "memory" }
func (memAddr) String() string  { return "memory:1" }

// memListener hands out connections in memory.
type memListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *memListener) Addr() net.Addr { return memAddr{} }

// dial connects to whoever accepts.
func (l *memListener) dial() *memConn {
	a, b := newStream(), newStream()
	l.conns <- &memConn{a, b}
	return &memConn{b, a}
}

// readWithin reads all that the broker sends until it closes.
func readWithin(nc *memConn) ([]byte, error) {
	timer := time.AfterFunc(patience, nc.in.close)
	got, err := io.ReadAll(nc)
	if !timer.Stop() {
		return got, errors.New("the broker neither answered nor closed")
	}
	return got, err
}

// FuzzServer feeds bytes to a served connection, and then says that no more will come. Whatever they are, the broker ends the
// connection: it does not panic, what it sends are whole frames, the first is to the first request, and others are served.
//
// Bytes go as they are, or, where framed, as requests whose lengths and headers are right (see frames), so that most of them
// reach a handler. The seeds are requests of the whole API table, alone and one behind the other, and what TestHostileFrames sends.
func FuzzServer(f *testing.F) {
	var raw, framed []byte
	eachRequest(func(_ string, r kmsg.Request) {
		frame := sized(encode(r, 7))
		raw = append(raw, frame...)
		f.Add(false, frame)
		body := r.AppendTo(nil)
		one := append([]byte{byte(r.Key()), byte(r.GetVersion()), byte(len(body) >> 8), byte(len(body))}, body...)
		framed = append(framed, one...)
		f.Add(true, one)
	})
	for _, c := range hostileFrames() {
		f.Add(false, c.bytes)
	}
	f.Add(false, raw)
	f.Add(true, framed)
	l := newMemListener()
	_, log := startBroker(f, func(string, string) (net.Listener, error) { return l, nil },
		"listeners=PLAINTEXT://127.0.0.1:9092", "socket.request.max.bytes=1048576",
		"connections.max.idle.ms=2000") // what waits is answered first, and may wait for ever
	f.Fuzz(func(t *testing.T, framed bool, input []byte) {
		if framed {
			input = frames(input)
		}
		nc := l.dial()
		defer nc.Close()
		nc.Write(input)
		nc.CloseWrite()
		got, err := readWithin(nc)
		if err != nil {
			t.Fatal(err)
		}
		checkAnswers(t, input, got)
		if text := log.panics(); text != "" {
			t.Fatal(text)
		}
		checkAlive(t, l)
	})
}

// frames makes requests of input: a byte for the key, one for the version, two for the length of the body, the body.
func frames(input []byte) (out []byte) {
	for len(input) >= 4 {
		key, version, n := int16(input[0])%96, int16(input[1])%20, int(input[2])<<8|int(input[3])
		body := input[4:][:min(n, len(input)-4)]
		input = input[4+len(body):]
		out = append(out, sized(append(header(key, version, 7, "f"), body...))...)
	}
	return out
}

// checkAnswers wants whole frames, the first of them to the first request.
func checkAnswers(t *testing.T, input, got []byte) {
	for first := true; len(got) > 0; first = false {
		if len(got) < 8 || int64(binary.BigEndian.Uint32(got)) > int64(len(got)-4) || binary.BigEndian.Uint32(got) < 4 {
			t.Fatalf("what the broker sends ends in % x, which is no frame", got[:min(len(got), 16)])
		}
		n := binary.BigEndian.Uint32(got)
		if acks0 := len(input) > 5 && input[4] == 0 && input[5] == 0; first && !acks0 && string(got[4:8]) != string(input[8:12]) {
			t.Fatalf("the first answer is to request % x, the first request is % x", got[4:8], input[8:12])
		}
		got = got[4+n:]
	}
}

// checkAlive asks a new connection for the versions.
func checkAlive(t *testing.T, l *memListener) {
	nc := l.dial()
	defer nc.Close()
	req := kmsg.NewPtrApiVersionsRequest()
	timer := time.AfterFunc(patience, nc.in.close)
	defer timer.Stop()
	if _, err := exchange(nc, req, 9); err != nil {
		t.Fatalf("another connection: %v", err)
	}
}

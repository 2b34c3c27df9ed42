package chaos

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// relay stands between clients and a broker that is killed: a connection breaks when the broker dies, and a new one waits until there
// is a broker again. What a client does about connections that are refused for as long as a start takes is not what is tested here,
// and a start takes Kafka a hundred times longer.
type relay struct {
	listener net.Listener
	closed   chan struct{}
	all      sync.WaitGroup
}

// newRelay listens on a free port.
func newRelay(t *testing.T) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, closed: make(chan struct{})}
	t.Cleanup(func() {
		close(r.closed)
		listener.Close()
		r.all.Wait()
	})
	return r
}

func (r *relay) addr() string { return r.listener.Addr().String() }

// serve passes connections on to the broker from now on.
func (r *relay) serve(broker string) {
	r.all.Go(func() {
		for {
			conn, err := r.listener.Accept()
			if err != nil {
				return
			}
			r.all.Go(func() { r.pass(conn, broker) })
		}
	})
}

func (r *relay) pass(client net.Conn, broker string) {
	defer client.Close()
	for {
		server, err := net.Dial("tcp", broker)
		if err == nil {
			r.join(client, server)
			return
		}
		select {
		case <-r.closed:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// join copies both ways until one side ends.
func (r *relay) join(client, server net.Conn) {
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			// However it ends, so do both. Hidden behind interfaces, each connection is one descriptor and not three, as with splice.
			_, _ = io.Copy(struct{ io.Writer }{way[0]}, struct{ io.Reader }{way[1]})
			ended <- struct{}{}
		}()
	}
	select {
	case <-ended:
	case <-r.closed:
	}
	server.Close()
}

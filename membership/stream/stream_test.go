package stream

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// end is one node of a test.
type end struct {
	hub    *Hub
	addr   string
	errs   chan error // of accepted streams
	opened chan Identity
}

// newEnd runs a node that echoes one byte on every stream.
func newEnd(t testing.TB, key string, who Identity, joining <-chan struct{}) *end {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &end{addr: l.Addr().String(), errs: make(chan error, 100), opened: make(chan Identity, 100)}
	echo := func(nc net.Conn, who Identity) {
		e.opened <- who
		io.CopyN(nc, nc, 1)
	}
	var d net.Dialer
	e.hub = New(Config{
		Key: []byte(key), Identity: func() Identity { return who }, Dial: d.DialContext, Address: e.addr, Joining: joining,
		Handle: map[Kind]func(net.Conn, Identity){Raft: echo, Call: echo, Watch: echo},
	})
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				var first [1]byte
				io.ReadFull(nc, first[:])
				e.errs <- e.hub.Accept(nc, first[:])
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); e.hub.Close() })
	return e
}

func TestHandshake(t *testing.T) {
	const a, b = "AAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBB"
	tests := []struct {
		name         string
		kind         Kind
		key, its     string
		who, other   Identity
		opener, says string // what the opener hears, and what the accepter says; "": the stream opens
	}{
		{"one cluster", Raft, "", "", Identity{Cluster: a, Node: 1}, Identity{Cluster: a, Node: 2}, "", ""},
		{"one cluster, one key", Raft, "0123456789abcdef", "0123456789abcdef", Identity{Cluster: a}, Identity{Cluster: a}, "", ""},
		{"two clusters", Raft, "", "", Identity{Cluster: a}, Identity{Cluster: b}, "belongs to cluster " + b + ", not to " + a, "belongs to cluster " + b},
		{"two clusters, even to ask", Call, "", "", Identity{Cluster: a}, Identity{Cluster: b}, "belongs to cluster", "belongs to cluster"},
		{"who joins may ask", Call, "", "", Identity{Node: -1}, Identity{Cluster: b}, "", ""},
		{"who joins may do no more", Raft, "", "", Identity{Node: -1}, Identity{Cluster: b}, "in no cluster yet", "in no cluster yet"},
		{"voters of one list", Raft, "", "", Identity{Quorum: "q"}, Identity{Quorum: "q"}, "", ""},
		{"a voter that has lost its data", Raft, "", "", Identity{Quorum: "q"}, Identity{Quorum: "q", Cluster: a}, "", ""},
		{"voters of two lists", Raft, "", "", Identity{Quorum: "q"}, Identity{Quorum: "r"}, "same controller.quorum.voters", "same controller.quorum.voters"},
		{"only the opener has a key", Raft, "0123456789abcdef", "", Identity{Cluster: a}, Identity{Cluster: a}, "has no cluster.key", "has no cluster.key"},
		{"only the accepter has a key", Raft, "", "0123456789abcdef", Identity{Cluster: a}, Identity{Cluster: a}, "has a cluster.key", "has a cluster.key"},
		{"two keys", Raft, "0123456789abcdef", "fedcba9876543210", Identity{Cluster: a}, Identity{Cluster: a}, "another cluster.key", "cluster.key"},
		{"a kind that is not served", Gossip, "", "", Identity{Cluster: a}, Identity{Cluster: a}, "not served", "not served"},
	}
	for _, test := range tests {
		opener, accepter := newEnd(t, test.key, test.who, nil), newEnd(t, test.its, test.other, nil)
		nc, who, err := opener.hub.Open(t.Context(), test.kind, accepter.addr)
		if test.opener == "" {
			if err != nil || who != test.other || <-accepter.opened != test.who {
				t.Errorf("%s: %v, %+v", test.name, err, who)
				continue
			}
			nc.Write([]byte{7})
			if b, err := io.ReadAll(nc); err != nil || len(b) != 1 || b[0] != 7 {
				t.Errorf("%s: %v %v", test.name, b, err)
			}
			nc.Close()
			continue
		}
		var refused *Refused
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.opener) {
			t.Errorf("%s: the opener hears %v, want %q", test.name, err, test.opener)
		}
		if err := <-accepter.errs; err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: the accepter says %v, want %q", test.name, err, test.says)
		}
	}
}

// A stream to a node that has been let in and does not know it yet waits for that.
func TestStreamsWaitForWhoJoins(t *testing.T) {
	const a = "AAAAAAAAAAAAAAAAAAAAAA"
	joining := make(chan struct{})
	who := Identity{Node: -1}
	accepter := newEnd(t, "", who, joining)
	known := make(chan Identity, 100)
	accepter.hub.cfg.Identity = func() Identity {
		select {
		case <-joining:
			return Identity{Cluster: a, Node: 2}
		default:
			known <- who
			return who
		}
	}
	opener := newEnd(t, "", Identity{Cluster: a, Node: 1}, nil)
	done := make(chan error, 1)
	go func() {
		nc, _, err := opener.hub.Open(context.Background(), Raft, accepter.addr)
		if err == nil {
			nc.Close()
		}
		done <- err
	}()
	<-known // it has looked
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	close(joining)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Bytes that are no hello end the stream with one error, whatever they are.
func TestRubbish(t *testing.T) {
	e := newEnd(t, "", Identity{Cluster: "AAAAAAAAAAAAAAAAAAAAAA"}, nil)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := make([]byte, random.IntN(100))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		if random.IntN(2) == 0 && len(b) > 0 {
			b = append([]byte{magic[0], magic[1], version}, b...) // further into the hello
		}
		nc, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(20 * time.Second))
		nc.Write(append([]byte{Prefix}, b...))
		nc.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, nc)
		nc.Close()
		if err := <-e.errs; err == nil {
			t.Fatalf("%x was taken for a hello", b)
		}
	}
}

func FuzzHello(f *testing.F) {
	f.Add(newHello(Raft, []byte("0123456789abcdef"), Identity{Cluster: "AAAAAAAAAAAAAAAAAAAAAA", Quorum: "q", Node: 3}).frame(Prefix)[headSize:])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err == nil && string(h.frame(Prefix)[headSize:]) != string(b) {
			t.Errorf("%x is read as %x", b, h.frame(Prefix)[headSize:])
		}
	})
}

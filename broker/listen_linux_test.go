package broker

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"weir/config"
)

// Sockets have the buffers and the queue that are set, and the system's where nothing is.
func TestSocketSettings(t *testing.T) {
	look := func(sets ...string) (receive, send, backlog int) {
		source, err := config.FromSets(append(sets, "listeners=PLAINTEXT://127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		static, _, err := config.Resolve(source)
		if err != nil {
			t.Fatal(err)
		}
		b := &Broker{static: static, cfg: Config{Listen: net.Listen}}
		if err := b.listen(); err != nil {
			t.Fatal(err)
		}
		l := b.listeners[0]
		defer l.Close()
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		nc, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		control(t, nc.(syscall.Conn), func(fd int) {
			receive, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
			send, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		})
		control(t, l.Listener.(syscall.Conn), func(fd int) {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err != nil {
				t.Error(err)
				return
			}
			backlog = int(info.Sacked) // of a socket that listens
		})
		return receive, send, backlog
	}
	receive, send, backlog := look()
	if r, s, n := look("socket.receive.buffer.bytes=20000", "socket.send.buffer.bytes=30000", "socket.listen.backlog.size=7"); r != 40000 || s != 60000 || n != 7 {
		t.Errorf("receive %d, send %d, queue %d; Linux shows twice the buffers", r, s, n)
	}
	if r, s, n := look("socket.receive.buffer.bytes=-1", "socket.send.buffer.bytes=-1"); r != receive || s != send || n != backlog || backlog < 100 {
		t.Errorf("-1: receive %d, send %d, queue %d; the system's are %d, %d, %d", r, s, n, receive, send, backlog)
	}
}

func control(t *testing.T, c syscall.Conn, f func(fd int)) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
	if err != nil {
		t.Error(err)
	}
}

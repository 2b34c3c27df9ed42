package membership

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// packetMagic begins every packet: no other protocol that might get lost here begins so. Then come eight bytes that stand for the cluster.
const packetMagic byte = 0xC7

const packetHead = 1 + 8

// transport carries memberlist's streams and packets. It implements memberlist.Transport.
type transport struct {
	cfg     *Config
	head    [packetHead]byte
	packets chan *memberlist.Packet
	streams <-chan net.Conn
	done    chan struct{}
	once    sync.Once
	readers sync.WaitGroup

	mu      sync.Mutex
	refused time.Time // when it was last said that a packet was not of this cluster
}

func newTransport(c *Config) *transport {
	t := &transport{cfg: c, packets: make(chan *memberlist.Packet), streams: c.Streams.Streams(), done: make(chan struct{})}
	t.head[0] = packetMagic
	sum := sha256.Sum256([]byte(c.Cluster))
	copy(t.head[1:], sum[:])
	for _, p := range c.Packets {
		t.readers.Go(func() { t.read(p) })
	}
	return t
}

// FinalAdvertiseAddr is where others send to.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.cfg.IP, t.cfg.Port, nil
}

// errNoPackets is an address that no socket can send to.
var errNoPackets = errors.New("no socket for packets to this address")

// WriteTo sends a packet.
func (t *transport) WriteTo(b []byte, to string) (time.Time, error) {
	a, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		return time.Time{}, err
	}
	for _, p := range t.cfg.Packets {
		local, ok := p.LocalAddr().(*net.UDPAddr)
		if ok && (local.IP.To4() == nil) != (a.IP.To4() == nil) && !local.IP.IsUnspecified() {
			continue
		}
		_, err := p.WriteTo(append(t.head[:packetHead:packetHead], b...), a)
		return time.Now(), err
	}
	return time.Time{}, fmt.Errorf("%w: %s", errNoPackets, to)
}

// read takes packets until the socket is closed. What does not begin like one of this cluster is dropped.
func (t *transport) read(p net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.ReadFrom(buf)
		now := time.Now()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			select { // a port that is unreachable is told of here
			case <-t.done:
				return
			case <-time.After(time.Millisecond):
			}
			continue
		}
		if n <= packetHead || string(buf[:packetHead]) != string(t.head[:]) {
			t.refuse(from, n)
			continue
		}
		packet := &memberlist.Packet{Buf: append([]byte(nil), buf[packetHead:n]...), From: from, Timestamp: now}
		select {
		case t.packets <- packet:
		case <-t.done:
			return
		}
	}
}

// refuse says once in a while that packets come that are not of this cluster.
func (t *transport) refuse(from net.Addr, n int) {
	t.mu.Lock()
	now := time.Now()
	fresh := now.Sub(t.refused) > time.Minute
	if fresh {
		t.refused = now
	}
	t.mu.Unlock()
	if fresh && t.cfg.Logger != nil {
		t.cfg.Logger.Warn("a packet that is not of this cluster was dropped", "remote", from.String(), "bytes", n)
	}
}

// PacketCh gives the packets that arrive.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// DialTimeout opens a stream.
func (t *transport) DialTimeout(to string, timeout time.Duration) (net.Conn, error) {
	return t.cfg.Streams.Dial(to, timeout)
}

// StreamCh gives the streams that others open.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown closes the sockets.
func (t *transport) Shutdown() error {
	t.once.Do(func() {
		close(t.done)
		for _, p := range t.cfg.Packets {
			p.Close()
		}
	})
	t.readers.Wait()
	return nil
}

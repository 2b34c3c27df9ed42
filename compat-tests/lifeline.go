package compat

import (
	"context"
	"net"
	"sync"
)

// Lifeline makes the connections of one client, until it is cut: then they close and there are no more, as when the client's process
// was killed. The zero value is ready.
type Lifeline struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

// DialContext is a dialer for client libraries.
func (l *Lifeline) DialContext(ctx context.Context, network, host string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		conn.Close()
		return nil, net.ErrClosed
	}
	l.conns = append(l.conns, conn)
	return conn, nil
}

// Dial is DialContext as sarama calls it.
func (l *Lifeline) Dial(network, host string) (net.Conn, error) {
	return l.DialContext(context.Background(), network, host)
}

// Cut closes the connections.
func (l *Lifeline) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, conn := range l.conns {
		conn.Close()
	}
}

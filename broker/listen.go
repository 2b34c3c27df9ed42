package broker

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"weir/config"
)

// listen takes the sockets of all listeners. A listener of a name may have several addresses: without any setting both loopback
// addresses are listened on, and a machine without IPv6 has one.
func (b *Broker) listen() error {
	all, err := config.Listeners(b.static)
	if err != nil {
		return err
	}
	ports := map[string]int32{} // of listeners that asked for a free port
	for _, l := range all {
		port := l.Port
		if port == 0 {
			port = ports[l.Name]
		}
		address := net.JoinHostPort(l.Host, strconv.Itoa(int(port)))
		nl, err := b.cfg.Listen("tcp", address)
		if err != nil {
			if l.Optional && !errors.Is(err, syscall.EADDRINUSE) {
				continue
			}
			return fmt.Errorf("listener %s: cannot listen on %s: %w", l.Name, address, rootCause(err))
		}
		if err := b.tune(nl); err != nil {
			nl.Close()
			return fmt.Errorf("listener %s on %s: %w", l.Name, address, err)
		}
		if tcp, ok := nl.Addr().(*net.TCPAddr); ok && l.Port == 0 {
			ports[l.Name] = int32(tcp.Port)
		}
		b.listeners = append(b.listeners, &listener{Listener: nl, name: l.Name, securityProtocol: l.SecurityProtocol(), controller: l.Controller})
		if l.AdvertisedPort == 0 {
			l.AdvertisedPort = ports[l.Name]
		}
		b.endpoints = append(b.endpoints, l)
	}
	if len(b.listeners) == 0 {
		return errors.New("no address to listen on")
	}
	return nil
}

// tune gives a listening socket the queue and the buffers that were asked for; its connections inherit the buffers.
//
// socket.listen.backlog.size, socket.receive.buffer.bytes and socket.send.buffer.bytes.
//
// Differs from Kafka: they act where they are set. Their defaults are shown, but leave queue and buffers to the system, which fits buffers
// to each connection.
func (b *Broker) tune(nl net.Listener) error {
	s, ok := nl.(syscall.Conn)
	if !ok {
		return nil
	}
	of := func(name string) int {
		if !b.static.IsSet(name) {
			return -1
		}
		return b.static.Int(name)
	}
	backlog, receive, send := of("socket.listen.backlog.size"), of("socket.receive.buffer.bytes"), of("socket.send.buffer.bytes")
	if backlog < 0 && receive < 0 && send < 0 {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = tuneSocket(fd, backlog, receive, send) })
	return errors.Join(err, failed)
}

// rootCause is the last error of a chain: "address already in use" without the call that found it.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

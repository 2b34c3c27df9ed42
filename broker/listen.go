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

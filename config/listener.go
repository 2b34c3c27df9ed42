package config

import (
	"strconv"
	"strings"
)

// Protocol is a security protocol. The numbers are Kafka's (org.apache.kafka.common.security.auth.SecurityProtocol).
type Protocol int16

// The security protocols.
const (
	Plaintext     Protocol = 0
	SSL           Protocol = 1
	SASLPlaintext Protocol = 2
	SASLSSL       Protocol = 3
)

var protocolNames = [...]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

// String is Kafka's name of the protocol.
func (p Protocol) String() string {
	if p < 0 || int(p) >= len(protocolNames) {
		return "UNKNOWN"
	}
	return protocolNames[p]
}

// Listener is one address that the broker binds. Two listeners have the same name only where one is IPv4 and the other IPv6 and the
// ports are equal (KIP-797).
type Listener struct {
	Name           string // in upper case
	Protocol       Protocol
	Host           string // a name or an address without brackets; "" is all interfaces
	Port           int32  // 0: a free one
	Controller     bool   // one of controller.listener.names: not advertised to clients
	InterBroker    bool   // brokers reach each other here
	Optional       bool   // where Host's address family does not exist, the listener is left out: [::1] of the default
	AdvertisedHost string // "": nothing was said and Host is all interfaces, so the machine's own name is meant
	AdvertisedPort int32  // 0: the port that was bound
}

// SecurityProtocol is the number of the listener's protocol, as requests carry it.
func (l *Listener) SecurityProtocol() int16 { return int16(l.Protocol) }

// Endpoint is one item of listeners or advertised.listeners: NAME://host:port.
type Endpoint struct {
	Name string // in upper case
	Host string // without brackets; may be empty
	Port int32
}

// String is NAME://host:port, with brackets around an IPv6 address.
func (e Endpoint) String() string {
	host := e.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return e.Name + "://" + host + ":" + strconv.Itoa(int(e.Port))
}

// ParseEndpoints reads the value of listeners or advertised.listeners. Empty hosts and commas at the end are allowed. An item that
// cannot be read is what the second result names; it is "" where all can.
func ParseEndpoints(value string) (endpoints []Endpoint, bad string) {
	for _, item := range unique(SplitList(value)) {
		if item == "" {
			continue
		}
		name, address, ok := strings.Cut(item, "://")
		host, port, good := splitHostPort(address)
		if !ok || !good || !listenerName(name) {
			return nil, item
		}
		endpoints = append(endpoints, Endpoint{Name: strings.ToUpper(name), Host: host, Port: port})
	}
	return endpoints, ""
}

func listenerName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.') {
			return false
		}
	}
	return s != ""
}

// Listeners is s.Listeners(); s may be nil, for all defaults.
func Listeners(s *Static) ([]Listener, error) { return s.Listeners() }

// Listeners works out what to bind and what to advertise from listeners, advertised.listeners, listener.security.protocol.map,
// controller.listener.names, inter.broker.listener.name and security.inter.broker.protocol. Resolve has checked that it can.
func (s *Static) Listeners() ([]Listener, error) {
	bound, err := s.endpoints("listeners")
	if err != nil {
		return nil, err
	}
	if err := s.checkDuplicates(bound); err != nil {
		return nil, err
	}
	advertised, err := s.advertised(bound)
	if err != nil {
		return nil, err
	}
	inter, err := s.interBroker(bound)
	if err != nil {
		return nil, err
	}
	controllers := s.List("controller.listener.names")
	listeners := make([]Listener, 0, len(bound))
	for _, e := range bound {
		l := Listener{Name: e.Name, Host: e.Host, Port: e.Port, AdvertisedHost: e.Host, AdvertisedPort: e.Port}
		l.Controller, l.InterBroker = contains(controllers, e.Name), e.Name == inter
		if l.Protocol, err = s.protocolOf(e.Name, l.Controller); err != nil {
			return nil, err
		}
		if !s.IsSet("listeners") {
			l.Optional, l.AdvertisedHost = e.Host == "::1", "localhost"
		}
		for _, a := range advertised {
			if a.Name == e.Name {
				l.AdvertisedHost, l.AdvertisedPort = a.Host, a.Port
			}
		}
		listeners = append(listeners, l)
	}
	return listeners, s.checkRoutable(listeners)
}

func (s *Static) endpoints(key string) ([]Endpoint, error) {
	value := s.String(key)
	endpoints, bad := ParseEndpoints(value)
	if bad != "" {
		return nil, s.bad(key, bad, "NAME://host:port, separated by commas")
	}
	if len(endpoints) == 0 && value != "" {
		return nil, s.bad(key, value, "at least one NAME://host:port")
	}
	return endpoints, nil
}

func (s *Static) bad(key, value, allowed string) error {
	return &BadValue{Key: key, Value: value, Allowed: allowed, Origin: s.Origin(key)}
}

// checkDuplicates: names and ports are used once, or twice by an IPv4 and an IPv6 address; port 0 is a different one every time.
func (s *Static) checkDuplicates(bound []Endpoint) error {
	for i, b := range bound {
		for _, a := range bound[:i] {
			sameName, samePort := a.Name == b.Name, a.Port == b.Port && a.Port != 0
			if !sameName && !samePort || families(a.Host, b.Host) && (!sameName || a.Port == b.Port) {
				continue
			}
			what := "a different name for each listener"
			if !sameName {
				what = "a different port for each listener"
			}
			return s.bad("listeners", s.String("listeners"), what+" ("+a.String()+" and "+b.String()+")")
		}
	}
	return nil
}

// families says that one of two hosts is an IPv4 and the other an IPv6 address.
func families(a, b string) bool {
	return ipv4(a) && strings.Contains(b, ":") || ipv4(b) && strings.Contains(a, ":")
}

func ipv4(host string) bool {
	parts := strings.Split(host, ".")
	for _, p := range parts {
		if n, err := strconv.ParseUint(p, 10, 8); err != nil || n > 255 {
			return false
		}
	}
	return len(parts) == 4
}

// advertised reads advertised.listeners and holds it against the listeners.
func (s *Static) advertised(bound []Endpoint) ([]Endpoint, error) {
	if !s.IsSet("advertised.listeners") {
		return nil, nil
	}
	advertised, err := s.endpoints("advertised.listeners")
	if err != nil {
		return nil, err
	}
	controllers := s.List("controller.listener.names")
	for i, a := range advertised {
		found := false
		for _, b := range bound {
			found = found || a.Name == b.Name
		}
		if !found && !contains(controllers, a.Name) {
			return nil, s.bad("advertised.listeners", a.String(), "only the names in listeners ("+names(bound)+")")
		}
		for _, other := range advertised[:i] {
			if other.Name == a.Name {
				return nil, s.bad("advertised.listeners", s.String("advertised.listeners"), "one address for each listener; "+a.Name+" has two")
			}
		}
	}
	return advertised, nil
}

// interBroker is the name of the listener that brokers use among themselves.
func (s *Static) interBroker(bound []Endpoint) (string, error) {
	name := strings.ToUpper(s.String("inter.broker.listener.name"))
	key := "inter.broker.listener.name"
	if name == "" {
		name, key = s.String("security.inter.broker.protocol"), "security.inter.broker.protocol"
	} else if s.IsSet("security.inter.broker.protocol") {
		return "", s.bad(key, name, "this or security.inter.broker.protocol, not both")
	}
	if contains(s.List("controller.listener.names"), name) {
		return "", s.bad(key, name, "a listener that is not one of controller.listener.names")
	}
	only, clients := "", 0
	for _, e := range bound {
		if e.Name == name {
			return name, nil
		}
		if !contains(s.List("controller.listener.names"), e.Name) && e.Name != only {
			only, clients = e.Name, clients+1
		}
	}
	if !s.IsSet(key) && clients == 1 { // Kafka asks for inter.broker.listener.name here; there is nothing to choose
		return only, nil
	}
	if !contains(s.List("process.roles"), "broker") {
		return "", nil
	}
	return "", s.bad(key, name, "the name of one of the listeners ("+names(bound)+")")
}

// protocolOf looks a listener up in listener.security.protocol.map. A controller's listener that is not in a map that nobody set is
// PLAINTEXT, as in Kafka.
func (s *Static) protocolOf(name string, controller bool) (Protocol, error) {
	const key = "listener.security.protocol.map"
	for _, item := range SplitList(s.String(key)) {
		if item == "" {
			continue
		}
		listener, protocol, ok := strings.Cut(item, ":")
		if !ok {
			return 0, s.bad(key, item, "NAME:PROTOCOL, separated by commas")
		}
		if strings.ToUpper(strings.TrimSpace(listener)) != name {
			continue
		}
		protocol = strings.ToUpper(strings.TrimSpace(protocol))
		for i, known := range protocolNames {
			if known == protocol {
				return Protocol(i), nil
			}
		}
		return 0, s.bad(key, item, "one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL for each name")
	}
	if controller && !s.IsSet(key) {
		return Plaintext, nil
	}
	return 0, s.bad(key, s.String(key), "an entry for each listener; "+name+" has none")
}

// checkRoutable refuses to tell clients an address that leads nowhere.
func (s *Static) checkRoutable(listeners []Listener) error {
	for _, l := range listeners {
		if l.Protocol != Plaintext {
			return s.bad("listeners", Endpoint{l.Name, l.Host, l.Port}.String(), "PLAINTEXT only: "+l.Protocol.String()+" is not supported yet")
		}
		if l.Controller || l.AdvertisedHost != "0.0.0.0" && l.AdvertisedHost != "::" {
			continue
		}
		address := Endpoint{l.Name, l.AdvertisedHost, l.AdvertisedPort}.String()
		if !s.IsSet("advertised.listeners") {
			return s.bad("listeners", address, "an address that clients can reach, or advertised.listeners beside it")
		}
		return s.bad("advertised.listeners", address, "an address that clients can reach")
	}
	return nil
}

func names(endpoints []Endpoint) string {
	var all []string
	for _, e := range endpoints {
		if !contains(all, e.Name) {
			all = append(all, e.Name)
		}
	}
	return strings.Join(all, ", ")
}

func contains(list []string, item string) bool {
	for _, l := range list {
		if strings.EqualFold(l, item) {
			return true
		}
	}
	return false
}

package config

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// text writes a listener as name(protocol)host:port>advertised, with C for controller, I for inter-broker and O for optional.
func text(l Listener) string {
	flags := ""
	for flag, on := range map[string]bool{"C": l.Controller, "I": l.InterBroker, "O": l.Optional} {
		if on {
			flags += flag
		}
	}
	b := []byte(flags)
	slices.Sort(b)
	return fmt.Sprintf("%s(%s)%s:%d>%s:%d%s", l.Name, l.Protocol, l.Host, l.Port, l.AdvertisedHost, l.AdvertisedPort, b)
}

const testMap = "listener.security.protocol.map=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TC-0:PLAINTEXT,X:SSL"

func TestListeners(t *testing.T) {
	tests := []struct{ name, sets, want string }{
		{"default", "", "PLAINTEXT(PLAINTEXT)127.0.0.1:9092>localhost:9092I PLAINTEXT(PLAINTEXT)::1:9092>localhost:9092IO"},
		{"default, advertised", "advertised.listeners=PLAINTEXT://kafka:19092",
			"PLAINTEXT(PLAINTEXT)127.0.0.1:9092>kafka:19092I PLAINTEXT(PLAINTEXT)::1:9092>kafka:19092IO"},
		{"free port", "listeners=PLAINTEXT://127.0.0.1:0", "PLAINTEXT(PLAINTEXT)127.0.0.1:0>127.0.0.1:0I"},
		{"two free ports", "listeners=PLAINTEXT://127.0.0.1:0,BROKER://127.0.0.1:0 " + testMap, "PLAINTEXT(PLAINTEXT)127.0.0.1:0>127.0.0.1:0I BROKER(PLAINTEXT)127.0.0.1:0>127.0.0.1:0"},
		{"all interfaces, no host", "listeners=PLAINTEXT://:9092", "PLAINTEXT(PLAINTEXT):9092>:9092I"},
		{"IPv6", "listeners=PLAINTEXT://[fe80::1]:9092", "PLAINTEXT(PLAINTEXT)fe80::1:9092>fe80::1:9092I"},
		{"IPv4 and IPv6", "listeners=PLAINTEXT://0.0.0.0:9092,PLAINTEXT://[::]:9092 advertised.listeners=PLAINTEXT://h:9092",
			"PLAINTEXT(PLAINTEXT)0.0.0.0:9092>h:9092I PLAINTEXT(PLAINTEXT):::9092>h:9092I"},
		{"small letters", "listeners=plaintext://h:9092", "PLAINTEXT(PLAINTEXT)h:9092>h:9092I"},
		{"repeated word for word", "listeners=PLAINTEXT://h:9092,PLAINTEXT://h:9092", "PLAINTEXT(PLAINTEXT)h:9092>h:9092I"},
		{"testcontainers", testMap + " listeners=BROKER://0.0.0.0:9093,TC-0://kafka:19092,CONTROLLER://0.0.0.0:9094,PLAINTEXT://0.0.0.0:9092 " +
			"advertised.listeners=PLAINTEXT://localhost:55001,BROKER://abc:9093,TC-0://kafka:19092 inter.broker.listener.name=BROKER " +
			"controller.listener.names=CONTROLLER process.roles=broker,controller controller.quorum.voters=1@localhost:9094 node.id=1",
			"BROKER(PLAINTEXT)0.0.0.0:9093>abc:9093I TC-0(PLAINTEXT)kafka:19092>kafka:19092 CONTROLLER(PLAINTEXT)0.0.0.0:9094>0.0.0.0:9094C PLAINTEXT(PLAINTEXT)0.0.0.0:9092>localhost:55001"},
		{"empty hosts, comma at the end", testMap + " listeners=PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094 " +
			"advertised.listeners=PLAINTEXT://localhost:55001,BROKER://172.17.0.2:9093, inter.broker.listener.name=BROKER controller.listener.names=CONTROLLER",
			"PLAINTEXT(PLAINTEXT):9092>localhost:55001 BROKER(PLAINTEXT):9093>172.17.0.2:9093I CONTROLLER(PLAINTEXT):9094>:9094C"},
		{"controller not in the default map", "listeners=PLAINTEXT://h:9092,CTRL://h:9093 controller.listener.names=CTRL",
			"PLAINTEXT(PLAINTEXT)h:9092>h:9092I CTRL(PLAINTEXT)h:9093>h:9093C"},
		{"the only one is the brokers'", "listeners=EXTERNAL://h:9092 listener.security.protocol.map=EXTERNAL:PLAINTEXT", "EXTERNAL(PLAINTEXT)h:9092>h:9092I"},
	}
	for _, test := range tests {
		s := resolve(t, strings.Fields(test.sets)...)
		listeners, err := s.Listeners()
		var got []string
		for _, l := range listeners {
			got = append(got, text(l))
		}
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v\nhave %s\nwant %s", test.name, err, strings.Join(got, " "), test.want)
		}
	}
}

func TestBadListeners(t *testing.T) {
	tests := []struct{ name, sets, want string }{
		{"TLS", "listeners=SSL://:9093", "listeners=SSL://:9093: allowed is PLAINTEXT only: SSL is not supported yet (set by --set)"},
		{"SASL by map", "listeners=PLAINTEXT://h:1,OUT://h:2 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OUT:SASL_SSL",
			"listeners=OUT://h:2: allowed is PLAINTEXT only: SASL_SSL is not supported yet (set by --set)"},
		{"same name", "listeners=PLAINTEXT://h:1,PLAINTEXT://h:2", "listeners=PLAINTEXT://h:1,PLAINTEXT://h:2: allowed is a different name for each listener"},
		{"same port", testMap + " listeners=PLAINTEXT://h:1,BROKER://i:1", "allowed is a different port for each listener (PLAINTEXT://h:1 and BROKER://i:1)"},
		{"three of a name", "listeners=PLAINTEXT://1.1.1.1:1,PLAINTEXT://[::1]:1,PLAINTEXT://[::2]:1", "a different name for each listener"},
		{"IPv4 and IPv6 on two ports", "listeners=PLAINTEXT://1.1.1.1:1,PLAINTEXT://[::1]:2", "a different name for each listener"},
		{"no URL", "listeners=localhost:9092", "listeners=localhost:9092: allowed is NAME://host:port, separated by commas (set by --set)"},
		{"no port", "listeners=PLAINTEXT://localhost", "listeners=PLAINTEXT://localhost: allowed is NAME://host:port"},
		{"port too large", "listeners=PLAINTEXT://h:65536", "allowed is NAME://host:port"},
		{"empty", "listeners=", "listeners=: allowed is a list, separated by commas, not empty"},
		{"only a comma", "listeners=,", "listeners=: allowed is"},
		{"no protocol", "listeners=FOO://h:1,PLAINTEXT://h:2", "an entry for each listener; FOO has none"},
		{"bad protocol", "listeners=PLAINTEXT://h:2 listener.security.protocol.map=PLAINTEXT:TLS", "listener.security.protocol.map=PLAINTEXT:TLS: allowed is one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"},
		{"no route", "listeners=PLAINTEXT://0.0.0.0:9092", "listeners=PLAINTEXT://0.0.0.0:9092: allowed is an address that clients can reach, or advertised.listeners beside it"},
		{"no advertised route", "advertised.listeners=PLAINTEXT://0.0.0.0:9092", "advertised.listeners=PLAINTEXT://0.0.0.0:9092: allowed is an address that clients can reach"},
		{"advertised but not there", "advertised.listeners=PLAINTEXT://h:1,OUT://h:2", "advertised.listeners=OUT://h:2: allowed is only the names in listeners (PLAINTEXT)"},
		{"advertised twice", "advertised.listeners=PLAINTEXT://h:1,PLAINTEXT://h:2", "one address for each listener; PLAINTEXT has two"},
		{"inter-broker not there", "inter.broker.listener.name=X", "inter.broker.listener.name=X: allowed is the name of one of the listeners (PLAINTEXT)"},
		{"inter-broker twice", "inter.broker.listener.name=PLAINTEXT security.inter.broker.protocol=PLAINTEXT", "this or security.inter.broker.protocol, not both"},
		{"inter-broker is a controller's", testMap + " listeners=PLAINTEXT://h:1,CONTROLLER://h:2 controller.listener.names=CONTROLLER inter.broker.listener.name=CONTROLLER", "a listener that is not one of controller.listener.names"},
		{"controller's not there", "process.roles=broker,controller listeners=PLAINTEXT://h:1 controller.listener.names=CONTROLLER", "controller.listener.names=CONTROLLER: allowed is only names in listeners"},
		{"no client listener", testMap + " process.roles=broker,controller listeners=CONTROLLER://h:1 controller.listener.names=CONTROLLER", "listeners"},
		{"broker only with a controller's", testMap + " process.roles=broker listeners=PLAINTEXT://h:2,CONTROLLER://h:1 controller.listener.names=CONTROLLER", "no listener of controller.listener.names, because process.roles is broker"},
		{"not a voter", "process.roles=broker,controller listeners=PLAINTEXT://h:2,CONTROLLER://h:1 controller.listener.names=CONTROLLER controller.quorum.voters=2@h:1", "node.id=1: allowed is an id in controller.quorum.voters"},
		{"voter without the role", "process.roles=broker listeners=PLAINTEXT://h:2 controller.listener.names=CONTROLLER controller.quorum.voters=1@h:1", "node.id=1: allowed is an id that is not in controller.quorum.voters"},
	}
	for _, test := range tests {
		source, _ := FromSets(strings.Fields(test.sets))
		if _, _, err := Resolve(source); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// Nothing that a file can hold makes the parser panic, and what it takes it writes back the same.
func TestEndpointsRandom(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 2))
	pieces := []string{"PLAINTEXT", "a-b", "://", ":", "/", "[", "]", "::1", "h", "9092", ",", " ", "0", "-", "65535", "", "@"}
	taken := 0
	for range 20000 {
		var b strings.Builder
		if random.IntN(2) == 0 {
			b.WriteString("A://")
		}
		for range random.IntN(6) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		endpoints, bad := ParseEndpoints(b.String())
		if bad != "" {
			continue
		}
		for _, e := range endpoints {
			taken++
			again, bad := ParseEndpoints(e.String())
			if bad != "" || len(again) != 1 || again[0] != e {
				t.Fatalf("seed %d: %q is %+v, written as %s", seed, b.String(), e, e)
			}
		}
	}
	if taken == 0 {
		t.Error("no endpoint was taken")
	}
}

func TestParseVoters(t *testing.T) {
	voters, ok := ParseVoters("1@a:9093, 2@[::1]:9094")
	if !ok || !slices.Equal(voters, []Voter{{1, "a", 9093}, {2, "::1", 9094}}) {
		t.Errorf("%v %t", voters, ok)
	}
	for _, bad := range []string{"a:1", "x@a:1", "-1@a:1", "1@a", "1@:1", "1@a:1,"} {
		if _, ok := ParseVoters(bad); ok {
			t.Errorf("%q is accepted", bad)
		}
	}
}

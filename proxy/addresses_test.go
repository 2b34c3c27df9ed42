package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// places are all fields of answers whose name sounds like an address. What is no address of a broker says so.
var places = map[string]string{
	"Produce.Brokers.Host": "rewritten", "Produce.Brokers.Port": "rewritten",
	"Fetch.Brokers.Host": "rewritten", "Fetch.Brokers.Port": "rewritten",
	"Metadata.Brokers.Host": "rewritten", "Metadata.Brokers.Port": "rewritten",
	"Metadata.ClusterID":   "the cluster keeps its id",
	"FindCoordinator.Host": "rewritten", "FindCoordinator.Port": "rewritten",
	"FindCoordinator.Coordinators.Host": "rewritten", "FindCoordinator.Coordinators.Port": "rewritten",
	"DescribeGroups.Groups.Members.ClientHost":                         "where a client is",
	"DescribeAcls.Resources.ACLs.Host":                                 "of a client, in a rule",
	"DeleteAcls.Results.MatchingACLs.Host":                             "of a client, in a rule",
	"Vote.NodeEndpoints.Host":                                          "for controllers only",
	"Vote.NodeEndpoints.Port":                                          "for controllers only",
	"BeginQuorumEpoch.NodeEndpoints.Host":                              "for controllers only",
	"BeginQuorumEpoch.NodeEndpoints.Port":                              "for controllers only",
	"EndQuorumEpoch.NodeEndpoints.Host":                                "for controllers only",
	"EndQuorumEpoch.NodeEndpoints.Port":                                "for controllers only",
	"FetchSnapshot.NodeEndpoints.Host":                                 "for controllers only",
	"FetchSnapshot.NodeEndpoints.Port":                                 "for controllers only",
	"UpdateRaftVoter.CurrentLeader.Host":                               "for controllers only",
	"UpdateRaftVoter.CurrentLeader.Port":                               "for controllers only",
	"DescribeQuorum.Nodes.Listeners.Host":                              "rewritten",
	"DescribeQuorum.Nodes.Listeners.Port":                              "rewritten",
	"DescribeQuorum.Nodes.Listeners.Name":                              "a name, not an address",
	"DescribeCluster.EndpointType":                                     "of which kind the brokers are",
	"DescribeCluster.ClusterID":                                        "the cluster keeps its id",
	"DescribeCluster.Brokers.Host":                                     "rewritten",
	"DescribeCluster.Brokers.Port":                                     "rewritten",
	"ConsumerGroupDescribe.Groups.Members.ClientHost":                  "where a client is",
	"ShareGroupDescribe.Groups.Members.ClientHost":                     "where a client is",
	"ShareFetch.NodeEndpoints.Host":                                    "rewritten",
	"ShareFetch.NodeEndpoints.Port":                                    "rewritten",
	"ShareAcknowledge.NodeEndpoints.Host":                              "rewritten",
	"ShareAcknowledge.NodeEndpoints.Port":                              "rewritten",
	"StreamsGroupHeartbeat.EndpointInformationEpoch":                   "a number",
	"StreamsGroupHeartbeat.PartitionsByUserEndpoint.UserEndpoint.Host": "of an application",
	"StreamsGroupHeartbeat.PartitionsByUserEndpoint.UserEndpoint.Port": "of an application",
	"StreamsGroupDescribe.Groups.Members.ClientHost":                   "where a client is",
	"StreamsGroupDescribe.Groups.Members.UserEndpoint.Host":            "of an application",
	"StreamsGroupDescribe.Groups.Members.UserEndpoint.Port":            "of an application",
	"DescribeConfigs.Resources.Configs.Value":                          "rewritten",
	"DescribeConfigs.Resources.Configs.ConfigSynonyms.Value":           "rewritten",
}

var sounds = regexp.MustCompile(`(?i)host|port$|endpoint(type|.*epoch)|address|url$|clusterid|bootstrap`)

// fields walks the leaves of a type.
func fields(path string, t reflect.Type, fn func(path string)) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.Name() == "Tags" {
		fn(path)
		return
	}
	for i := range t.NumField() {
		fields(path+"."+t.Field(i).Name, t.Field(i).Type, fn)
	}
}

// TestPlaces finds a field of an answer that sounds like an address and has no rule.
func TestPlaces(t *testing.T) {
	found := map[string]bool{}
	for key := range int16(kmsg.MaxKey + 1) {
		resp := kmsg.ResponseForKey(key)
		api, known := protocol.Lookup(key)
		if resp == nil || !known {
			continue // what protocol does not know is never passed on, or only where that was asked for
		}
		fields(api.Name, reflect.TypeOf(resp).Elem(), func(path string) {
			if path == "DescribeConfigs.Resources.Configs.Value" || path == "DescribeConfigs.Resources.Configs.ConfigSynonyms.Value" ||
				path == "DescribeQuorum.Nodes.Listeners.Name" || sounds.MatchString(path[strings.LastIndexByte(path, '.')+1:]) {
				found[path] = true
			}
			if places[path] == "" && found[path] {
				t.Errorf("%s sounds like an address: say what becomes of it", path)
			}
		})
		switch rw, ok := rewritings[key]; {
		case ok && rw.fn == nil:
			t.Errorf("%s: no function", api.Name)
		case !ok && api.Listeners&protocol.OnBroker != 0:
			for path, rule := range places {
				if rule == "rewritten" && strings.HasPrefix(path, api.Name+".") {
					t.Errorf("%s is said to be rewritten and is not", path)
				}
			}
		}
	}
	for path := range places {
		if !found[path] {
			t.Errorf("%s is no field", path)
		}
	}
}

// told are names that note what they were asked and give an address that is easily found.
type told struct{ asked []string }

func (n *told) broker(id int32, host string, port int32) (string, int32, bool) {
	n.asked = append(n.asked, fmt.Sprintf("%d %s:%d", id, host, port))
	return fmt.Sprintf("proxy-%d", id), 1000 + id, id >= 0
}
func (*told) bootstrap() (string, int32) { return "proxy", 999 }

// TestNoAddressPasses fills every string of every answer that is rewritten with an address and looks whether one is left that the rules do
// not allow.
func TestNoAddressPasses(t *testing.T) {
	const secret = "secret.upstream"
	for key, rw := range rewritings {
		api, _ := protocol.Lookup(key)
		for v := rw.from; v <= api.Max; v++ {
			resp := protocol.NewResponse(key, v)
			plant(reflect.ValueOf(resp).Elem(), secret)
			if r, ok := resp.(*kmsg.DescribeConfigsResponse); ok {
				plantConfigs(r, secret)
			}
			resp.SetVersion(v)
			rw.fn(new(told), resp)
			look(t, fmt.Sprintf("%s v%d", api.Name, v), api.Name, reflect.ValueOf(resp).Elem(), secret)
		}
	}
}

func plantConfigs(r *kmsg.DescribeConfigsResponse, secret string) {
	r.Resources[0].ResourceType, r.Resources[0].ResourceName = kmsg.ConfigResourceTypeBroker, "1"
	r.Resources[0].Configs = nil
	for name, value := range map[string]string{
		"listeners": "PLAINTEXT://" + secret + ":9092,SSL://" + secret + ":1", "advertised.listeners": "A://" + secret + ":9092",
		"controller.quorum.voters": "1@" + secret + ":9093,2@" + secret + ":9093", "controller.quorum.bootstrap.servers": secret + ":9093",
		"host.name": secret, "advertised.host.name": secret, "zookeeper.connect": secret + ":2181/kafka",
	} {
		c := kmsg.NewDescribeConfigsResponseResourceConfig()
		c.Name, c.Value = name, &value
		c.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{{Name: name, Value: &value}}
		r.Resources[0].Configs = append(r.Resources[0].Configs, c)
	}
}

// plant makes lists of one element and fills Host and Port.
func plant(v reflect.Value, secret string) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.CanSet() {
			v.Set(reflect.New(v.Type().Elem()))
			plant(v.Elem(), secret)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			plant(v.Index(0), secret)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f, name := v.Field(i), v.Type().Field(i).Name
			switch {
			case !f.CanSet():
			case name == "Host":
				f.SetString(secret)
			case name == "Port" && f.CanInt():
				f.SetInt(9092)
			case name == "Port":
				f.SetUint(9092)
			case name != "UnknownTags":
				plant(f, secret)
			}
		}
	}
}

func look(t *testing.T, what, path string, v reflect.Value, secret string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			look(t, what, path, v.Elem(), secret)
		}
	case reflect.Slice:
		for i := range v.Len() {
			look(t, what, path, v.Index(i), secret)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "UnknownTags" {
				look(t, what, path+"."+v.Type().Field(i).Name, v.Field(i), secret)
			}
		}
	case reflect.String:
		if strings.Contains(v.String(), secret) {
			t.Errorf("%s: %s is %q", what, path, v.String())
		}
	}
}

func metadataOf(brokers ...*fake) *kmsg.MetadataResponse {
	r := version(kmsg.NewPtrMetadataResponse(), 12)
	for i, f := range brokers {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID = int32(i + 1)
		b.Host, b.Port = f.hostPort()
		r.Brokers = append(r.Brokers, b)
	}
	return r
}

// Each broker is at a port of its own as soon as an answer names it, and that port leads to it, also after it has moved.
func TestPortPerBroker(t *testing.T) {
	brokers := []*fake{newFake(t), newFake(t), newFake(t)}
	named := 2
	for i, f := range brokers {
		f.answer = func(h protocol.Header, req kmsg.Request) kmsg.Response {
			switch req.(type) {
			case *kmsg.MetadataRequest:
				return metadataOf(brokers[:named]...)
			case *kmsg.InitProducerIDRequest:
				r := req.ResponseKind().(*kmsg.InitProducerIDResponse)
				r.ProducerID = int64(i + 1)
				return r
			}
			return echo(h, req)
		}
		f.run(t)
	}
	p, _ := start(t, Cluster{}, brokers[0].addr())
	c := dial(t, p.Addr())
	asked := version(kmsg.NewPtrMetadataRequest(), 12)
	who := func(b kmsg.MetadataResponseBroker) int64 {
		t.Helper()
		addr := fmt.Sprintf("%s:%d", b.Host, b.Port)
		return dial(t, addr).ask(version(kmsg.NewPtrInitProducerIDRequest(), 4)).(*kmsg.InitProducerIDResponse).ProducerID
	}
	for named = 2; named <= 3; named++ {
		got := c.ask(asked).(*kmsg.MetadataResponse).Brokers
		if len(got) != named {
			t.Fatalf("%+v", got)
		}
		for i, b := range got {
			if b.Host != "127.0.0.1" || b.NodeID != int32(i+1) || who(b) != int64(i+1) {
				t.Errorf("%+v", b)
			}
		}
	}
	brokers[1], brokers[2] = brokers[2], brokers[1]
	named = 3
	got := c.ask(asked).(*kmsg.MetadataResponse).Brokers
	if a, b := who(got[1]), who(got[2]); a != 3 || b != 2 {
		t.Errorf("after a move: %d, %d", a, b)
	}
}

// Brokers that cannot be are left out, and the line says why.
func TestBadBrokers(t *testing.T) {
	f := newFake(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	f.answer = func(h protocol.Header, req kmsg.Request) kmsg.Response {
		r := metadataOf(f, f, f, f, f, f)
		copy(r.Brokers, []kmsg.MetadataResponseBroker{
			{NodeID: 1, Host: "b", Port: 9}, // its port is taken
			{NodeID: -1, Host: "b", Port: 9}, {NodeID: 3, Host: "b", Port: 70000}, {NodeID: 4, Host: "", Port: 9},
			{NodeID: 70000, Host: "b", Port: 9}, {NodeID: 1, Host: "c", Port: 9},
		})
		return r
	}
	f.run(t)
	p, l := start(t, Cluster{BasePort: port - 1}, f.addr())
	if got := dial(t, p.Addr()).ask(version(kmsg.NewPtrMetadataRequest(), 12)).(*kmsg.MetadataResponse); len(got.Brokers) != 0 {
		t.Errorf("%+v", got.Brokers)
	}
	for _, want := range []string{"address already in use", "broker -1 at", "port 70000 cannot be", "none above 65535", "a broker id at two addresses"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("no line with %q in\n%s", want, l)
		}
	}
}

// What clients are told of versions is what is served: no unknown keys, none of controllers, and KIP-511 for what is to come.
func TestApiVersions(t *testing.T) {
	f := newFake(t)
	f.answer = func(h protocol.Header, req kmsg.Request) kmsg.Response {
		r := version(kmsg.NewPtrApiVersionsResponse(), h.Version)
		if h.Version > 3 {
			r.Version, r.ErrorCode = 0, 35
		}
		r.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: 0, MaxVersion: 99}, {ApiKey: 1, MinVersion: 2, MaxVersion: 7}, {ApiKey: 3, MinVersion: 50, MaxVersion: 60},
			{ApiKey: 52, MaxVersion: 1}, {ApiKey: 999, MaxVersion: 1}, {ApiKey: 18, MaxVersion: 3}}
		return r
	}
	f.run(t)
	p, _ := start(t, Cluster{}, f.addr())
	pass, _ := start(t, Cluster{PassUnknown: true}, f.addr())
	text := func(r kmsg.Response) string {
		s := ""
		for _, k := range r.(*kmsg.ApiVersionsResponse).ApiKeys {
			s += fmt.Sprintf("%d:%d-%d ", k.ApiKey, k.MinVersion, k.MaxVersion)
		}
		return s
	}
	c := dial(t, p.Addr())
	if got, want := text(c.ask(version(kmsg.NewPtrApiVersionsRequest(), 3))), "0:0-13 1:2-7 18:0-3 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := text(dial(t, pass.Addr()).ask(version(kmsg.NewPtrApiVersionsRequest(), 3))), "0:0-99 1:2-7 3:50-60 999:0-1 18:0-3 "; got != want {
		t.Errorf("passing: %s, want %s", got, want)
	}
	for _, v := range []int16{4, 90} { // known here, and not
		b := requestFrame(version(kmsg.NewPtrApiVersionsRequest(), 3), 5, "")
		b[7] = byte(v)
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		r, err := c.answer(version(kmsg.NewPtrApiVersionsRequest(), 0), 5)
		if err != nil {
			t.Fatal(err)
		}
		if r := r.(*kmsg.ApiVersionsResponse); r.ErrorCode != 35 || len(r.ApiKeys) == 0 {
			t.Errorf("v%d: %+v", v, r)
		}
	}
}

// fetchAnswer is a Fetch response with leader hints and so many bytes of records.
func fetchAnswer(g *rand.Rand, records int, hints bool) *kmsg.FetchResponse {
	r := version(kmsg.NewPtrFetchResponse(), 17)
	for range 1 + g.IntN(3) {
		t := kmsg.NewFetchResponseTopic()
		g32 := g.Uint32()
		t.TopicID = [16]byte{byte(g32), byte(g32 >> 8)}
		for i := range 1 + g.IntN(4) {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition = int32(i)
			p.RecordBatches = make([]byte, g.IntN(records+1))
			for i := 0; i < len(p.RecordBatches); i += 100 {
				p.RecordBatches[i] = byte(g.Uint32())
			}
			if hints && i == 0 {
				p.ErrorCode = 6
				p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = 7, 3
			}
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
	}
	if hints {
		for id := range int32(1 + g.IntN(3)) {
			b := kmsg.NewFetchResponseBroker()
			b.NodeID, b.Host, b.Port = id+1, strings.Repeat("h", 1+g.IntN(50)), 9092
			r.Brokers = append(r.Brokers, b)
		}
	}
	return r
}

// Leader hints in short answers are rewritten; in long ones, which are not held, they are hidden, and all else is as it was.
func TestLeaderHints(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	g := rand.New(rand.NewPCG(seed, 6))
	var sent *kmsg.FetchResponse
	f := newFake(t)
	f.answer = func(protocol.Header, kmsg.Request) kmsg.Response { return sent }
	f.run(t)
	p, _ := start(t, Cluster{}, f.addr())
	c := dial(t, p.Addr())
	for i := range 120 {
		records, hints := 1000, i%3 > 0
		if i%2 == 0 {
			records = 150_000
		}
		sent = fetchAnswer(g, records, hints)
		long := len(responseFrame(protocol.Header{Key: 1, Version: 17}, sent)) > peekBytes
		got := c.ask(version(kmsg.NewPtrFetchRequest(), 17)).(*kmsg.FetchResponse)
		if n := len(got.Brokers); long && n != 0 || !long && n != len(sent.Brokers) {
			t.Fatalf("%d hints of %d", n, len(sent.Brokers))
		}
		for _, b := range got.Brokers {
			if b.Host != "127.0.0.1" {
				t.Fatalf("%+v", b)
			}
		}
		want := *sent
		want.Brokers, got.Brokers = nil, nil
		got.UnknownTags = kmsg.Tags{}
		if !bytes.Equal(got.AppendTo(nil), want.AppendTo(nil)) {
			t.Fatal("something else has changed")
		}
	}
}

func TestHideTags(t *testing.T) {
	for n := 3; n <= peekBytes; n += 1 + n/100 {
		r := version(kmsg.NewPtrFetchResponse(), 17)
		body := r.AppendTo(nil)
		at, err := protocol.ResponseTags(1, 17, body)
		if err != nil {
			t.Fatal(err)
		}
		tags := bytes.Repeat([]byte{0xff}, n)
		hideTags(tags)
		if err := protocol.DecodeResponse(protocol.NewResponse(1, 17), append(body[:at:at], tags...), nil); err != nil {
			t.Fatal(n, err)
		}
	}
}

package api

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// kafkaAddress makes the golden file anew: testdata/kafka-4.4.0.txt is what Kafka 4.4.0 answers, one broker with an empty data
// directory and the settings of kafkaSettings. Read the difference as code.
var kafkaAddress = flag.String("kafka", "", "host:port of a fresh Kafka 4.4.0, to write testdata/kafka-4.4.0.txt from")

const kafkaGolden = "testdata/kafka-4.4.0.txt"

var kafkaSettings = []string{
	"node.id=1", "log.retention.ms=360000000", "log.segment.bytes=104857600", "offsets.topic.replication.factor=1",
	"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
	"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1",
}

// TestLikeKafka sends a list of requests through the handlers and the real controller and wants Kafka's own answers.
func TestLikeKafka(t *testing.T) {
	if *kafkaAddress != "" {
		var got []string
		script(func(name string, v int16, req kmsg.Request) kmsg.Response {
			resp := askKafka(t, v, req)
			got = append(got, answerLine(name, resp))
			return resp
		})
		if err := os.WriteFile(kafkaGolden, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(kafkaGolden)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(golden), "\n"), "\n")
	w := oneBroker(t)
	at, wrong := 0, 0
	w.set(controller.BrokerConfig, "", "min.insync.replicas", "1") // Kafka does so when it finalizes eligible.leader.replicas.version
	script(func(name string, v int16, req kmsg.Request) kmsg.Response {
		resp := w.send(v, req)
		if at >= len(want) {
			t.Fatalf("%s: the golden file ends before", name)
		}
		if got := answerLine(name, resp); got != want[at] && wrong < 40 {
			from := firstDifference(want[at], got)
			if why := known(name); why != "" {
				t.Logf("%s v%d differs: %s", name, v, why)
				at++
				return resp
			}
			t.Errorf("line %d, %s v%d, from byte %d\n Kafka %.300s\n Weir  %.300s", at+1, name, v, from, want[at][from:], got[from:])
			wrong++
		}
		at++
		return resp
	})
	if at != len(want) {
		t.Errorf("%d answers, the golden file has %d", at, len(want))
	}
}

// knownDifferences are the steps, by how their names begin, that are answered otherwise, and why. The list only shrinks.
var knownDifferences = map[string]string{
	"alter 16":               "settings of client metrics are not kept yet",
	"alter 32":               "settings of groups are not kept yet",
	"increment 16":           "settings of client metrics are not kept yet",
	"increment 32":           "settings of groups are not kept yet",
	"alter others":           "settings of groups and client metrics are not kept yet",
	"describe altered other": "settings of groups and client metrics are not kept yet",
	"grow one":               "an unknown topic comes with a text, in Kafka without",
	"grow to 0":              "an unknown topic comes with a text, in Kafka without",
}

func known(name string) string {
	for prefix, why := range knownDifferences {
		if strings.HasPrefix(name, prefix) {
			return why
		}
	}
	return ""
}

// firstDifference is a little before where two lines part.
func firstDifference(a, b string) int {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return max(0, i-60)
}

// oneBroker is a cluster of one with the real controller.
func oneBroker(t *testing.T) *world {
	w := &world{t: t, img: controller.NewImage(), who: &Session{ListenerName: "PLAINTEXT", Principal: "User:ANONYMOUS"}}
	w.s = newWorld(t).s
	w.s.Controller, w.s.Authorizer, w.s.Config, w.s.Loggers = w, &w.auth, settings(t, kafkaSettings...), levels{RootLogger: slog.LevelInfo}
	w.s.Image = func() *controller.Image {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.img
	}
	dir := protocol.UUID{0: 1}
	w.merge(&controller.BootstrapRecord{ClusterID: testCluster})
	w.merge(&controller.RegisterBrokerRecord{BrokerID: 1, BrokerEpoch: -1, LogDirs: []protocol.UUID{dir},
		Endpoints: []controller.Endpoint{{Name: "PLAINTEXT", Host: "localhost", Port: 9092}}})
	c := controller.New(controller.ConfigOf(w.s.Config))
	random := rand.New(rand.NewPCG(1, 2))
	w.answer = func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
		resp, records := c.Handle(controller.Input{NowMs: 1, Rand: random, Image: w.s.Image(), Request: req})
		if len(records) > 0 {
			w.merge(records...)
		}
		return resp, nil
	}
	return w
}

// askKafka sends a request to the Kafka that the flag names, again while it is not ready for it.
func askKafka(t *testing.T, v int16, req kmsg.Request) kmsg.Response {
	req.SetVersion(v)
	frame := []byte{0, 0, 0, 0}
	frame = binary.BigEndian.AppendUint16(frame, uint16(req.Key()))
	frame = binary.BigEndian.AppendUint16(frame, uint16(v))
	frame = append(frame, 0, 0, 0, 1, 0xff, 0xff)
	if req.IsFlexible() {
		frame = append(frame, 0)
	}
	frame = req.AppendTo(frame)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	c, err := net.DialTimeout("tcp", *kafkaAddress, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	var size [4]byte
	if _, err = c.Write(frame); err == nil {
		_, err = io.ReadFull(c, size[:])
	}
	if err != nil {
		t.Fatalf("%T v%d: %v", req, v, err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, body); err != nil {
		t.Fatal(err)
	}
	if _, ok := req.(*kmsg.AlterConfigsRequest); ok {
		<-time.After(100 * time.Millisecond) // Kafka's broker applies its settings after it has answered
	}
	if _, ok := req.(*kmsg.IncrementalAlterConfigsRequest); ok {
		<-time.After(100 * time.Millisecond)
	}
	resp := req.ResponseKind()
	skip := 4
	if resp.IsFlexible() && resp.Key() != 18 {
		skip++
	}
	if err := resp.ReadFrom(body[skip:]); err != nil {
		t.Fatal(err)
	}
	if r, ok := resp.(*kmsg.InitProducerIDResponse); ok && protocol.Code(r.ErrorCode) == protocol.CoordinatorLoadInProgress {
		return askKafka(t, v, req)
	}
	return resp
}

// answerLine is a response as one line without what two brokers may differ in: ids, addresses, sizes, the order of what Kafka leaves to
// its hash maps, the wording of a code that has nothing to add, and documentation.
func answerLine(name string, resp kmsg.Response) string {
	b, err := json.Marshal(resp)
	if err != nil {
		panic(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(b, &tree); err != nil {
		panic(err)
	}
	tidy(tree, resp.Key())
	if b, err = json.Marshal(tree); err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s v%d: %s", name, resp.GetVersion(), b)
}

func tidy(node map[string]any, key int16) {
	for k, v := range node {
		switch x := v.(type) {
		case map[string]any:
			tidy(x, key)
		case []any:
			if k == "TopicID" {
				if delete(node, k); slices.ContainsFunc(x, func(b any) bool { return b != 0.0 }) {
					node["ID"] = "set"
				}
				continue
			}
			for _, item := range x {
				if m, ok := item.(map[string]any); ok {
					tidy(m, key)
				}
			}
			sortTree(k, x, key)
			if k == "Configs" && key == 19 {
				node[k] = shortConfigs(x)
			}
		}
		switch k {
		case "UnknownTags", "ThrottleMillis", "Version", "Host", "Port", "Documentation":
			delete(node, k)
		case "ErrorMessage":
			if code, _ := node["ErrorCode"].(float64); v != nil && slices.Contains(plainTexts, v.(string)) || v == protocol.Code(code).Message() && code != 0 {
				node[k] = "(of the code)"
			}
		}
	}
}

// plainTexts are Kafka's texts of codes (org.apache.kafka.common.protocol.Errors).
var plainTexts = []string{
	"This server does not host this topic-partition.", "This server does not host this topic ID.",
	"This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details.",
}

// sortTree puts what has no order of its own into one.
func sortTree(k string, items []any, key int16) {
	by := map[string]string{"Topics": "Topic", "Configs": "Name"}[k]
	if by == "" || key == 19 && k == "Topics" || key == 75 {
		return
	}
	slices.SortStableFunc(items, func(a, b any) int {
		word := func(x any) string {
			return fmt.Sprint(x.(map[string]any)[by], x.(map[string]any)["ErrorCode"], x.(map[string]any)["ID"])
		}
		return cmp.Compare(word(a), word(b))
	})
}

// shortConfigs keeps of a new topic's settings those that are not the default, and their number.
func shortConfigs(items []any) (out []any) {
	out = append(out, fmt.Sprint(len(items), " settings"))
	for _, item := range items {
		if m := item.(map[string]any); m["Source"] != 5.0 {
			out = append(out, fmt.Sprint(m["Name"], "=", m["Value"], " ", m["Source"], " ", m["ReadOnly"], " ", m["IsSensitive"]))
		}
	}
	return out
}

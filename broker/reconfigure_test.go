package broker_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// alter changes one setting of a resource on its own connection, or on nc, and returns what came of it.
func (b *bed) alter(t *testing.T, nc net.Conn, resourceType int8, name, key string, value *string) protocol.Code {
	t.Helper()
	if nc == nil {
		nc = b.dial(t)
		defer nc.Close()
	}
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	q.Version = 1
	c := kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: key, Value: value}
	if value == nil {
		c.Op = kmsg.IncrementalAlterConfigOpDelete
	}
	q.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceType(resourceType), ResourceName: name,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{c}}}
	resp, err := exchange(nc, q, 1)
	if err != nil {
		t.Fatalf("%s=%v: %v", key, value, err)
	}
	return protocol.Code(resp.(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode)
}

func (b *bed) set(t *testing.T, nc net.Conn, broker, key, value string) {
	t.Helper()
	if code := b.alter(t, nc, controller.BrokerConfig, broker, key, &value); code != protocol.None {
		t.Fatalf("%s=%s: %v", key, value, code)
	}
}

// serves says whether a new connection is answered; one that is closed is not.
func (b *bed) serves(t *testing.T) (nc net.Conn, ok bool) {
	t.Helper()
	nc = b.dial(t)
	t.Cleanup(func() { nc.Close() })
	_, err := exchange(nc, kmsg.NewPtrApiVersionsRequest(), 1)
	return nc, err == nil
}

// Limits on connections act at once: static < the cluster's < the broker's own, and what is taken back acts no more.
func TestConnectionLimitsAreDynamic(t *testing.T) {
	running, log := startBroker(t, nil, "max.connections.per.ip=2")
	b := &bed{"tcp", running.Addr(), log}
	first, ok := b.serves(t)
	_, second := b.serves(t)
	_, third := b.serves(t)
	if !ok || !second || third {
		t.Fatal("the static limit of 2 does not hold")
	}
	// more says that so many more connections are served, when those that were closed are no longer counted.
	more := func(want int) {
		t.Helper()
		for until := time.Now().Add(patience); ; {
			n := 0
			var all []net.Conn
			for {
				nc, ok := b.serves(t)
				all = append(all, nc)
				if !ok || n > want {
					break
				}
				n++
			}
			for _, nc := range all {
				nc.Close()
			}
			switch {
			case n == want:
				return
			case n > want, time.Now().After(until):
				t.Fatalf("%d more connections, want %d", n, want)
			}
		}
	}
	b.set(t, first, "", "max.connections.per.ip", "4")
	more(2)
	b.set(t, first, "1", "max.connections.per.ip.overrides", "127.0.0.1:40")
	more(38)
	b.set(t, first, "1", "max.connections.per.ip.overrides", "127.0.0.2:100")
	b.set(t, first, "1", "max.connections.per.ip", "3")
	more(1)
	if code := b.alter(t, first, controller.BrokerConfig, "1", "max.connections.per.ip", nil); code != protocol.None {
		t.Fatal(code)
	}
	more(2)
}

// With fewer connections allowed than there are, those that idle the longest are closed, and the next one waits for its turn.
func TestFewerConnections(t *testing.T) {
	running, log := startBroker(t, nil)
	b := &bed{"tcp", running.Addr(), log}
	var all []net.Conn
	for range 3 {
		nc, ok := b.serves(t)
		if !ok {
			t.Fatal("refused")
		}
		all = append(all, nc)
	}
	for others := time.Now().UnixMilli() + 1; time.Now().UnixMilli() <= others; { // the last is used later than the others, by the clock's millisecond
		if _, err := exchange(all[2], kmsg.NewPtrApiVersionsRequest(), 1); err != nil {
			t.Fatal(err)
		}
	}
	b.set(t, all[2], "1", "max.connections", "1")
	for i, nc := range all[:2] {
		if _, err := nc.Read(make([]byte, 1)); err != io.EOF && !reset(err) {
			t.Errorf("connection %d: %v", i, err)
		}
	}
	waits := b.dial(t)
	defer waits.Close()
	if _, err := waits.Write(sized(encode(kmsg.NewPtrApiVersionsRequest(), 7))); err != nil {
		t.Fatal(err)
	}
	if _, err := exchange(all[2], kmsg.NewPtrApiVersionsRequest(), 2); err != nil {
		t.Fatalf("the one that is left: %v", err)
	}
	all[2].Close()
	if frame, err := readFrame(waits); err != nil {
		t.Errorf("the one that waited: %v", err)
	} else if _, err := decode(kmsg.NewPtrApiVersionsRequest(), frame, 7); err != nil {
		t.Error(err)
	}
}

// What the logs read acts from the next request on, and a restart changes nothing.
func TestMessageSizeIsDynamic(t *testing.T) {
	b := newTCPBed(t)
	b.create(t, "t")
	nc := b.dial(t)
	defer nc.Close()
	for _, step := range []struct {
		broker, value string
		want          protocol.Code
	}{{"", "10", protocol.MessageTooLarge}, {"1", "1000", protocol.None}, {"1", "20", protocol.MessageTooLarge}, {"", "5000", protocol.MessageTooLarge}, {"1", "", protocol.None}} {
		var value *string
		if step.value != "" {
			value = &step.value
		}
		if code := b.alter(t, nc, controller.BrokerConfig, step.broker, "message.max.bytes", value); code != protocol.None {
			t.Fatal(code)
		}
		resp, err := exchange(nc, produceRequest(9, "t", goodBatch()), 1)
		if err != nil {
			t.Fatal(err)
		}
		if code := protocol.Code(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode); code != step.want {
			t.Errorf("broker %q message.max.bytes=%s: %v, want %v", step.broker, step.value, code, step.want)
		}
	}
	for key, value := range map[string]string{"socket.request.max.bytes": "1000000", "num.partitions": "3", "log.dirs": "/x", "listeners": "PLAINTEXT://:0"} {
		if code := b.alter(t, nc, controller.BrokerConfig, "1", key, &value); code != protocol.InvalidRequest {
			t.Errorf("%s can be changed: %v", key, code)
		}
	}
}

// A logger's level is what decides whether a line is written, until it is taken back.
func TestLogLevelsAreDynamic(t *testing.T) {
	running, log := startBroker(t, nil)
	b := &bed{"tcp", running.Addr(), log}
	nc := b.dial(t)
	defer nc.Close()
	warns := func() bool {
		t.Helper()
		b.send(t, sized(header(999, 0, 1, "x"))) // returns when the broker has closed the connection
		log.mu.Lock()
		defer log.mu.Unlock()
		said := strings.Contains(log.text.String(), "connection closed")
		log.text.Reset()
		return said
	}
	level := func(name string, value *string) {
		t.Helper()
		if code := b.alter(t, nc, controller.BrokerLoggerConfig, "1", name, value); code != protocol.None {
			t.Fatal(name, code)
		}
	}
	fatal := "FATAL"
	if !warns() {
		t.Error("no warning at first")
	}
	level("weir.broker", &fatal)
	if warns() {
		t.Error("a warning at FATAL")
	}
	level("weir.broker", nil)
	if !warns() {
		t.Error("no warning at root's level")
	}
	level("root", &fatal)
	if warns() {
		t.Error("a warning at root's FATAL")
	}
}

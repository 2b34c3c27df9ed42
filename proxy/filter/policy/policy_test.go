package policy

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
)

func begin(t *testing.T, c Config, key int16) *filter.Exchange {
	t.Helper()
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	x := &filter.Exchange{Key: key}
	filter.NewChain(f).Begin(x)
	return x
}

func topic(name string, partitions int32, replication int16, settings ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, replication
	for i := 0; i < len(settings); i += 2 {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: settings[i], Value: &settings[i+1]})
	}
	return t
}

// Topics that break a rule are refused, each with it, and the others go on.
func TestTopics(t *testing.T) {
	c := Config{MinPartitions: 2, MaxPartitions: 10, MinReplication: 3, MaxReplication: 3, MaxRetentionMs: 1000, Names: `orders\..+`}
	x := begin(t, c, 19)
	r := &kmsg.CreateTopicsRequest{Version: 5, Topics: []kmsg.CreateTopicsRequestTopic{
		topic("orders.ok", 2, 3), topic("bad", 2, 3), topic("orders.few", 1, 3), topic("orders.many", 11, 3), topic("orders.r", 2, 1),
		topic("orders.default", -1, -1), topic("orders.long", 2, 3, "retention.ms", "1001"), topic("orders.ever", 2, 3, "retention.ms", "-1"),
		topic("orders.short", 2, 3, "retention.ms", "1000"),
	}}
	if resp, err := x.Request(r); resp != nil || err != nil {
		t.Fatal(resp, err)
	}
	if len(r.Topics) != 3 || r.Topics[0].Topic != "orders.ok" || r.Topics[1].Topic != "orders.default" || r.Topics[2].Topic != "orders.short" {
		t.Errorf("%+v", r.Topics)
	}
	resp := &kmsg.CreateTopicsResponse{Topics: make([]kmsg.CreateTopicsResponseTopic, 3)}
	if err := x.Response(resp); err != nil {
		t.Fatal(err)
	}
	if len(resp.Topics) != 9 {
		t.Fatalf("%+v", resp.Topics)
	}
	for _, got := range resp.Topics[3:] {
		if got.ErrorCode != int16(protocol.PolicyViolation) || got.ErrorMessage == nil {
			t.Errorf("%+v", got)
		}
	}
	x = begin(t, c, 19)
	own, err := x.Request(&kmsg.CreateTopicsRequest{Topics: []kmsg.CreateTopicsRequestTopic{topic("bad", 2, 3)}})
	if err != nil || own == nil {
		t.Fatal(own, err)
	}
	if err := x.Response(own); err != nil || len(own.(*kmsg.CreateTopicsResponse).Topics) != 1 {
		t.Errorf("%+v, %v", own, err)
	}
}

func TestPartitionsAndSettings(t *testing.T) {
	c := Config{MaxPartitions: 10, MaxRetentionMs: 1000}
	x := begin(t, c, 37)
	r := &kmsg.CreatePartitionsRequest{Topics: []kmsg.CreatePartitionsRequestTopic{{Topic: "a", Count: 11}, {Topic: "b", Count: 10}}}
	if own, err := x.Request(r); own != nil || err != nil || len(r.Topics) != 1 {
		t.Error(own, err, r.Topics)
	}
	resp := new(kmsg.CreatePartitionsResponse)
	if err := x.Response(resp); err != nil || len(resp.Topics) != 1 || resp.Topics[0].Topic != "a" || resp.Topics[0].ErrorCode != 44 {
		t.Errorf("%+v, %v", resp, err)
	}
	long := "2000"
	x = begin(t, c, 44)
	i := &kmsg.IncrementalAlterConfigsRequest{Resources: []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: &long}}}}}
	var refused *filter.Refused
	if _, err := x.Request(i); !errors.As(err, &refused) {
		t.Error(err)
	}
}

// batch is the head of a record batch with a codec.
func batch(codec byte) []byte {
	b := make([]byte, 61)
	binary.BigEndian.PutUint32(b[8:], 49)
	b[16], b[22] = 2, codec
	return b
}

func TestProduce(t *testing.T) {
	try := func(c Config, acks int16, records []byte) bool {
		r := &kmsg.ProduceRequest{Acks: acks, Topics: []kmsg.ProduceRequestTopic{{Partitions: []kmsg.ProduceRequestTopicPartition{{Records: records}}}}}
		_, err := begin(t, c, 0).Request(r)
		return err == nil
	}
	if try(Config{Acks: "all"}, 1, nil) || !try(Config{Acks: "all"}, -1, nil) {
		t.Error("acks")
	}
	zstd := Config{Compression: []string{"zstd"}}
	if try(zstd, 1, batch(0)) || try(zstd, 1, append(batch(4), batch(1)...)) || !try(zstd, 1, append(batch(4), batch(4)...)) || !try(zstd, 1, []byte{1, 2}) {
		t.Error("compression")
	}
	for n := range 70 { // cut anywhere
		b := append(batch(4), batch(4)...)[:n]
		b2 := append([]byte(nil), b...)
		if n > 12 {
			binary.BigEndian.PutUint32(b2[8:], 0xffffffff)
		}
		try(zstd, 1, b)
		try(zstd, 1, b2)
	}
	for _, c := range []Config{{Acks: "1"}, {Compression: []string{"x"}}, {Names: "("}, {MinPartitions: -1}} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

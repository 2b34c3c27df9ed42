package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/config"
	"weir/coordinator"
	"weir/protocol"
)

// startForGroups is a broker with __consumer_offsets of two partitions.
func startForGroups(t testing.TB, settings ...string) *Broker {
	t.Helper()
	source, err := config.FromSets(append([]string{"log.dirs=" + t.TempDir(), "listeners=PLAINTEXT://127.0.0.1:0"}, settings...))
	if err != nil {
		t.Fatal(err)
	}
	static, _, err := config.Resolve(source)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Start(t.Context(), Config{Settings: static})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	b.submitTopic(t, offsetsTopic, 2)
	for p := range int32(2) {
		if err := b.groups.Wait(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *Broker) submitTopic(t testing.TB, name string, partitions int32) {
	t.Helper()
	q := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	if name == offsetsTopic {
		for key, value := range map[string]string{"cleanup.policy": "compact", "segment.bytes": "1048576"} {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = key, &value
			topic.Configs = append(topic.Configs, c)
		}
	}
	q.Topics = append(q.Topics, topic)
	r, err := b.node.Submit(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if code := r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != 0 {
		t.Fatal(protocol.Code(code))
	}
}

// replayed collects what a load brings.
type replayed struct {
	got     []string
	skipped int
}

func (r *replayed) Record(at coordinator.At, x coordinator.Record) {
	value := "tombstone"
	if x.Value != nil {
		value = string(x.Value[:min(len(x.Value), 10)])
	}
	r.got = append(r.got, fmt.Sprintf("%d %d/%d %s=%s", at.Offset, at.ProducerID, at.ProducerEpoch, x.Key, value))
}

func (r *replayed) Marker(at coordinator.At, commit bool) {
	r.got = append(r.got, fmt.Sprintf("%d %d/%d commit %v", at.Offset, at.ProducerID, at.ProducerEpoch, commit))
}

func (r *replayed) Skipped(offset int64, err error) { r.skipped++ }

func records(pairs ...string) (out []coordinator.Record) {
	for _, p := range pairs {
		key, value, ok := strings.Cut(p, "=")
		r := coordinator.Record{Key: []byte(key)}
		if ok {
			r.Value = []byte(value)
		}
		out = append(out, r)
	}
	return out
}

func TestCoordLog(t *testing.T) {
	for _, codec := range []string{"0", "4"} {
		b := startForGroups(t, "offsets.topic.compression.codec="+codec)
		l := b.groups.log
		p := &coordinator.Producer{ID: 4, Epoch: 1}
		for i, batch := range []coordinator.Batch{
			{Records: records("a=1", "b=2")},
			{Records: records("a")},
			{Records: records("c=3"), Producer: p},
			{Records: records("d=4"), Producer: p}, // no sequence numbers
			{Producer: p, Marker: &coordinator.Marker{Commit: true, CoordinatorEpoch: 3}},
			{Records: records("e=")},
		} {
			batch.TimestampMs = b.cfg.Now().UnixMilli()
			base, err := l.Append(1, &batch)
			if want := []int64{0, 2, 3, 4, 5, 6}[i]; err != nil || base != want {
				t.Fatalf("batch %d: offset %d, %v", i, base, err)
			}
		}
		want := []string{"0 -1/-1 a=1", "1 -1/-1 b=2", "2 -1/-1 a=tombstone", "3 4/1 c=3", "4 4/1 d=4", "5 4/1 commit true", "6 -1/-1 e="}
		var r replayed
		if end, err := l.Load(t.Context(), 1, 0, &r); err != nil || end != 7 || !slices.Equal(r.got, want) || r.skipped > 0 {
			t.Errorf("loaded to %d, %v, %d skipped: %q", end, err, r.skipped, r.got)
		}
		if hw := l.Committed(1); hw != 7 {
			t.Errorf("high watermark %d", hw)
		}
		woken := make(chan struct{}, 10)
		stop := l.Watch(1, 8, func() { woken <- struct{}{} })
		if len(woken) > 0 {
			t.Error("woken before the high watermark is there")
		}
		if _, err := l.Append(1, &coordinator.Batch{Records: records("f=6"), TimestampMs: b.cfg.Now().UnixMilli()}); err != nil {
			t.Fatal(err)
		}
		<-woken
		stop()
	}
}

func TestCoordLogRefusals(t *testing.T) {
	b := startForGroups(t)
	l := b.groups.log
	if _, err := l.Load(t.Context(), 1, 7, &replayed{}); !errors.Is(err, protocol.UnknownLeaderEpoch) {
		t.Errorf("an epoch to come: %v", err)
	}
	if _, err := l.Append(2, &coordinator.Batch{Records: records("a=1")}); !errors.Is(err, protocol.UnknownTopicOrPartition) {
		t.Errorf("no such partition: %v", err)
	}
	if hw := l.Committed(2); hw != -1 {
		t.Errorf("no such partition: high watermark %d", hw)
	}
	big := coordinator.Batch{Records: []coordinator.Record{{Key: []byte("k"), Value: make([]byte, l.MaxBatchBytes(0))}}, TimestampMs: b.cfg.Now().UnixMilli()}
	if _, err := l.Append(0, &big); !errors.Is(err, protocol.MessageTooLarge) {
		t.Errorf("too large: %v", err)
	}
	for _, epoch := range []int32{-1, 1} {
		if _, err := l.Append(0, &coordinator.Batch{Records: records("a=1"), LeaderEpoch: epoch, TimestampMs: b.cfg.Now().UnixMilli()}); !errors.Is(err, protocol.FencedLeaderEpoch) {
			t.Errorf("leader epoch %d, it is 0: %v", epoch, err)
		}
	}
	old := coordinator.Batch{Records: records("a=1"), Producer: &coordinator.Producer{ID: 4, Epoch: 5}, TimestampMs: b.cfg.Now().UnixMilli()}
	if _, err := l.Append(0, &old); err != nil {
		t.Fatal(err)
	}
	old.Producer = &coordinator.Producer{ID: 4, Epoch: 4}
	if _, err := l.Append(0, &old); !errors.Is(err, protocol.InvalidProducerEpoch) {
		t.Errorf("an old epoch: %v", err)
	}
}

// A load of several segments, read in parts that end within batches, sees every record once.
func TestCoordLogLoadsSegments(t *testing.T) {
	b := startForGroups(t, "offsets.load.buffer.size=100000")
	l := b.groups.log
	var want []string
	value := strings.Repeat("v", 2000)
	for i := range 200 {
		batch := coordinator.Batch{TimestampMs: b.cfg.Now().UnixMilli()}
		for j := range 1 + i%20 {
			key := fmt.Sprintf("%d.%d", i, j)
			want = append(want, fmt.Sprintf("%d -1/-1 %s=%s", len(want), key, value[:10]))
			batch.Records = append(batch.Records, coordinator.Record{Key: []byte(key), Value: []byte(value)})
		}
		if _, err := l.Append(0, &batch); err != nil {
			t.Fatal(err)
		}
	}
	var r replayed
	end, err := l.Load(t.Context(), 0, 0, &r)
	if err != nil || end != int64(len(want)) || !slices.Equal(r.got, want) {
		t.Errorf("%d of %d records, to %d, %v", len(r.got), len(want), end, err)
	}
}

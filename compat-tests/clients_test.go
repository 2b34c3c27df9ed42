package compat

import (
	"context"
	"testing"
	"time"
)

// Each client writes with each compression, and every client reads every partition back, with all that a record can carry.
func TestCodecs(t *testing.T) {
	b := Shared(t)
	for _, c := range Clients() {
		for _, codec := range Codecs {
			t.Run(c.Name()+"/"+codec, func(t *testing.T) {
				t.Parallel()
				topic := CreateTopic(t, b, 3)
				sent := mixed(210, 3)
				Produce(t, c, b.Addr, topic, Options{Codec: codec}, sent)
				checkRead(t, b, topic, sent, 3)
			})
		}
	}
}

// The broker compresses anew where the topic says so, and the clients still read the same records.
func TestTopicCompression(t *testing.T) {
	b := Shared(t)
	for i, codec := range []string{"uncompressed", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			topic := CreateTopic(t, b, 1, "compression.type="+codec)
			sent := mixed(70, 1)
			Produce(t, FranzGo{}, b.Addr, topic, Options{Codec: Codecs[(i+1)%len(Codecs)], Idempotent: true}, sent)
			checkRead(t, b, topic, sent, 1)
		})
	}
}

func TestIdempotent(t *testing.T) {
	b := Shared(t)
	for _, c := range Clients() {
		if !c.CanBeIdempotent() {
			continue
		}
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			topic := CreateTopic(t, b, 2)
			sent := sized(6000, 50, 2)
			Produce(t, c, b.Addr, topic, Options{Codec: "lz4", Idempotent: true}, sent)
			checkRead(t, b, topic, sent, 2)
		})
	}
}

// A topic comes into being when a client writes to it.
func TestAutoCreatedTopic(t *testing.T) {
	b := Shared(t)
	for _, c := range Clients() {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			topic := TopicName(t)
			sent := mixed(20, 1)
			first := sent[:1]
			if c.Name() == "kafka-go" { // its first write finds no leader yet and is not tried again
				p, err := c.NewProducer(b.Addr, topic, Options{})
				if err != nil {
					t.Fatal(err)
				}
				for tries := 0; ; tries++ {
					failed := make(chan error, 1)
					p.Send(first[0], func(_ int64, err error) { failed <- err })
					if err := <-failed; err == nil {
						break
					} else if tries == 50 {
						t.Fatal(err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				Produce(t, c, b.Addr, topic, Options{}, first)
			}
			Produce(t, c, b.Addr, topic, Options{}, sent[1:])
			checkRead(t, b, topic, sent, 1)
		})
	}
}

// Large records, and batches as large as the client makes them.
func TestLarge(t *testing.T) {
	b := Shared(t)
	for _, c := range Clients() {
		t.Run(c.Name(), func(t *testing.T) {
			topic := CreateTopic(t, b, 2, "max.message.bytes=12582912")
			options := Options{MaxBytes: 11 << 20}
			sent := append(sized(40, 250_000, 2), sized(2, 5<<20, 2)...)
			Produce(t, c, b.Addr, topic, options, sent)
			checkRead(t, b, topic, sent, 2)
		})
	}
}

// A record that is larger than the topic allows is refused, and what comes after it is not.
func TestTooLarge(t *testing.T) {
	b := Shared(t)
	for _, c := range Clients() {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			topic := CreateTopic(t, b, 1, "max.message.bytes=20000")
			p, err := c.NewProducer(b.Addr, topic, Options{})
			if err != nil {
				t.Fatal(err)
			}
			refused := make(chan error, 1)
			p.Send(sized(1, 60_000, 1)[0], func(_ int64, err error) { refused <- err })
			if err := <-refused; err == nil {
				t.Error("a record of 60,000 bytes was taken, max.message.bytes is 20,000")
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			sent := sized(1, 10_000, 1)
			Produce(t, c, b.Addr, topic, Options{}, sent)
			checkRead(t, b, topic, sent, 1)
		})
	}
}

// Offsets by time: at a record's time, between two, before the first and after the last; then reading from there.
func TestByTime(t *testing.T) {
	b := Shared(t)
	topic := CreateTopic(t, b, 2)
	sent := mixed(400, 2) // a second apart, so two in one partition
	for start := 0; start < len(sent); start += 40 {
		Produce(t, FranzGo{}, b.Addr, topic, Options{Codec: Codecs[start/40%len(Codecs)]}, sent[start:start+40])
	}
	of := ofPartition(sent, 1)
	for _, c := range Clients() {
		t.Run(c.Name(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			for _, at := range []struct {
				what string
				time time.Time
				want int64
			}{
				{"the first", of[0].Time, 0},
				{"before the first", of[0].Time.Add(-time.Hour), 0},
				{"one in the middle", of[57].Time, 57},
				{"between two", of[57].Time.Add(time.Millisecond), 58},
				{"the first of a batch", of[60].Time, 60},
				{"the last", of[199].Time, 199},
			} {
				got, err := c.OffsetAt(ctx, b.Addr, topic, 1, at.time)
				if err != nil || got != at.want {
					t.Fatalf("%s: offset %d, %v; want %d", at.what, got, err, at.want)
				}
				want := of[got:min(int(got)+3, len(of))]
				read, err := c.Consume(ctx, b.Addr, topic, 1, got, len(want))
				if err != nil {
					t.Fatalf("from %s: %v", at.what, err)
				}
				for i := range want {
					if diff := difference(c, want[i], read[i]); diff != "" {
						t.Fatalf("from %s: %s", at.what, diff)
					}
				}
			}
			if got, err := c.OffsetAt(ctx, b.Addr, topic, 1, of[199].Time.Add(time.Second)); err != nil || got != -1 && got != 200 {
				t.Errorf("after the last: offset %d, %v; want -1 (or the end, 200)", got, err)
			}
		})
	}
}

package broker_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol/record"
)

// wire is one connection over loopback that sends a request again and again and allocates nothing itself.
type wire struct {
	nc      net.Conn
	request []byte
	answer  []byte
}

func newWire(t testing.TB, b *bed, r kmsg.Request) *wire {
	w := &wire{nc: b.dial(t), request: sized(encode(r, 1)), answer: make([]byte, 32<<20)}
	w.nc.SetDeadline(time.Time{})
	t.Cleanup(func() { w.nc.Close() })
	return w
}

// exchange returns the answer, which is valid until the next one.
func (w *wire) exchange(t testing.TB) []byte {
	if _, err := w.nc.Write(w.request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(w.nc, w.answer[:4]); err != nil {
		t.Fatal(err)
	}
	n := binary.BigEndian.Uint32(w.answer)
	if _, err := io.ReadFull(w.nc, w.answer[:n]); err != nil {
		t.Fatal(err)
	}
	return w.answer[:n]
}

// batchOf is a batch of so many records of random bytes.
func batchOf(records, size int) record.Batch {
	value := make([]byte, size)
	chacha := rand.NewChaCha8([32]byte{})
	var b record.Builder
	for range records {
		chacha.Read(value)
		b.Add(time.Now().UnixMilli(), nil, bytes.Clone(value))
	}
	return b.Bytes()
}

// producing sends one batch again and again.
func producing(t testing.TB, b *bed, acks int16, records, size int) *wire {
	b.create(t, "bench")
	r := produceRequest(9, "bench", batchOf(records, size))
	r.Acks = acks
	w := newWire(t, b, r)
	resp := r.ResponseKind().(*kmsg.ProduceResponse)
	if err := resp.ReadFrom(w.exchange(t)[5:]); err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("%v, %+v", err, resp)
	}
	return w
}

// fetching reads one batch again and again.
func fetching(t testing.TB, b *bed, records, size int) *wire {
	producing(t, b, 1, records, size)
	r := longPoll("bench").(*kmsg.FetchRequest)
	r.MinBytes, r.Topics[0].Partitions[0].PartitionMaxBytes = 1, 1
	w := newWire(t, b, r)
	if n := len(w.exchange(t)); n < records*size {
		t.Fatalf("%d bytes of %d records came", n, records)
	}
	return w
}

// benchBed keeps no more than a few segments of what is written.
func benchBed(t testing.TB) *bed {
	b, log := startBroker(t, nil, "message.max.bytes=20000000", "log.retention.bytes=100000000", "log.segment.bytes=67108864", "log.retention.check.interval.ms=1000")
	return &bed{"tcp", b.Addr(), log}
}

func BenchmarkProduce(b *testing.B) {
	for _, c := range []struct {
		name          string
		acks          int16
		records, size int
	}{{"1000x1KiB", 1, 1000, 1024}, {"1000x1KiB-all", -1, 1000, 1024}, {"10000x100B", 1, 10_000, 100}, {"1x100B", 1, 1, 100}, {"1x100B-all", -1, 1, 100}} {
		b.Run(c.name, func(b *testing.B) {
			w := producing(b, benchBed(b), c.acks, c.records, c.size)
			b.SetBytes(int64(c.records * c.size))
			b.ReportAllocs()
			for b.Loop() {
				w.exchange(b)
			}
		})
	}
}

func BenchmarkFetch(b *testing.B) {
	for _, c := range []struct {
		name          string
		records, size int
	}{{"1000x1KiB", 1000, 1024}, {"10000x100B", 10_000, 100}, {"1x100B", 1, 100}} {
		b.Run(c.name, func(b *testing.B) {
			w := fetching(b, benchBed(b), c.records, c.size)
			b.SetBytes(int64(c.records * c.size))
			b.ReportAllocs()
			for b.Loop() {
				w.exchange(b)
			}
		})
	}
}

// TestAllocations: what a request allocates does not depend on how many records it carries.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const produceMost, fetchMost = 15, 15
	bed := benchBed(t)
	for name, c := range map[string]struct {
		most float64
		wire func(records int) *wire
	}{
		"produce":          {produceMost, func(records int) *wire { return producing(t, bed, 1, records, 100) }},
		"produce acks=all": {produceMost, func(records int) *wire { return producing(t, bed, -1, records, 100) }},
		"fetch":            {fetchMost, func(records int) *wire { return fetching(t, benchBed(t), records, 100) }},
	} {
		var allocs []float64
		for _, records := range []int{10, 10_000} {
			w := c.wire(records)
			allocs = append(allocs, testing.AllocsPerRun(200, func() { w.exchange(t) }))
		}
		t.Logf("%s: %v allocations for 10 and for 10,000 records", name, allocs)
		if allocs[1] > allocs[0]+5 || allocs[1] > c.most { // others allocate now and then
			t.Errorf("%s: %v allocations for 10 and for 10,000 records, allowed are %v", name, allocs, c.most)
		}
	}
}

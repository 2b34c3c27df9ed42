package record

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// TestBuilder has kmsg read what Builder wrote and Records read what kmsg wrote.
func TestBuilder(t *testing.T) {
	g := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		b := Builder{BaseOffset: 10, LeaderEpoch: 3}
		var records []kmsg.Record
		var want string
		first := int64(0)
		for i := range 1 + g.IntN(5) {
			ts := g.Int64N(1 << 40)
			if i == 0 {
				first = ts
			}
			var key, value []byte
			if g.IntN(3) > 0 {
				key = make([]byte, g.IntN(100))
			}
			if g.IntN(3) > 0 {
				value = make([]byte, g.IntN(300))
			}
			var headers []Header
			var k []kmsg.Header
			for j := range g.IntN(3) {
				headers = append(headers, Header{fmt.Sprint("h", j), value})
				k = append(k, kmsg.Header{Key: fmt.Sprint("h", j), Value: value})
			}
			b.Add(ts, key, value, headers...)
			r := kmsg.Record{TimestampDelta64: ts - first, OffsetDelta: int32(i), Key: key, Value: value, Headers: k}
			r.Length = int32(len(r.AppendTo(nil)) - 1) // behind a length of 0
			records = append(records, r)
			want += fmt.Sprint(10+i, ts, key == nil, key, value == nil, value, len(headers), "\n")
		}
		batch := b.Bytes()
		var raw []byte
		for _, r := range records {
			raw = r.AppendTo(raw)
		}
		var k kmsg.RecordBatch
		if err := k.ReadFrom(batch); err != nil || !bytes.Equal(k.Records, raw) || k.NumRecords != int32(len(records)) || k.FirstTimestamp != first {
			t.Fatalf("%v\n%x\n%x", err, k.Records, raw)
		}
		got := ""
		if err := Records(batch, func(r *Record) bool {
			n := 0
			r.EachHeader(func(key, value []byte) bool {
				if string(key) != fmt.Sprint("h", n) || !bytes.Equal(value, r.Value) || (value == nil) != (r.Value == nil) {
					t.Errorf("header %q %v", key, value)
				}
				n++
				return true
			})
			got += fmt.Sprint(r.Offset, r.Timestamp, r.Key == nil, r.Key, r.Value == nil, r.Value, n, "\n")
			return true
		}); err != nil || got != want {
			t.Fatalf("%v\n%s\n%s", err, got, want)
		}
	}
}

func TestBuilderReset(t *testing.T) {
	var b Builder
	b.Add(5, nil, []byte("one"))
	b.Add(9, nil, []byte("two"))
	size := b.Size()
	if got := b.Bytes(); len(got) != size || b.Count() != 2 || got.MaxTimestamp() != 9 {
		t.Error(len(got), size)
	}
	b.Reset()
	empty := b.Bytes()
	if empty.Count() != 0 || len(empty) != HeaderSize || empty.MaxTimestamp() != -1 || !empty.CheckCRC() {
		t.Errorf("%x", []byte(empty))
	}
	b.Add(-7, nil, nil)
	if got := b.Bytes(); got.FirstTimestamp() != -7 || got.MaxTimestamp() != -7 {
		t.Error(got.FirstTimestamp(), got.MaxTimestamp())
	}
}

func TestFindTimestamp(t *testing.T) {
	for c := Uncompressed; c <= Zstd; c++ {
		b := Builder{BaseOffset: 100, Codec: c}
		for _, ts := range []int64{50, 10, 40, 70, 60} {
			b.Add(ts, nil, nil)
		}
		batch := b.Bytes()
		for _, k := range []struct{ ms, from, offset, ts int64 }{
			{0, 0, 100, 50}, {50, 0, 100, 50}, {51, 0, 103, 70}, {70, 0, 103, 70}, {71, 0, -1, -1}, {0, 102, 102, 40}, {45, 101, 103, 70},
			{0, 105, -1, -1}, {61, 104, -1, -1}, {batch.MaxTimestamp(), 0, 103, 70},
		} {
			offset, ts, ok, err := FindTimestamp(batch, k.ms, k.from)
			if err != nil || offset != k.offset || ts != k.ts || ok != (k.offset >= 0) {
				t.Errorf("%s: %d from %d: %d %d %v %v", c, k.ms, k.from, offset, ts, ok, err)
			}
		}
		batch.SetAppendTime(99)
		if offset, ts, ok, err := FindTimestamp(batch, 80, 103); offset != 103 || ts != 99 || !ok || err != nil {
			t.Errorf("%s, append time: %d %d %v", c, offset, ts, err)
		}
	}
}

func TestRecordsOfBadBatches(t *testing.T) {
	good := made(3, nil)
	n := 0
	if err := Records(good, func(*Record) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Error(n, err)
	}
	n = 0
	err := Records(good[:len(good)-3], func(*Record) bool { n++; return true })
	if !errors.Is(err, protocol.ErrMalformed) || n != 2 {
		t.Error(n, err)
	}
	packed := made(3, func(b *Builder) { b.Codec = Gzip })
	if err := Records(packed[:len(packed)-3], nil); !errors.Is(err, protocol.ErrMalformed) {
		t.Error(err)
	}
}

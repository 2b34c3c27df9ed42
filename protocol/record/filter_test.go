package record

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"weir/protocol"
)

func filterBatch(codec Codec, appendTime bool) Batch {
	b := Builder{
		BaseOffset: 100, LeaderEpoch: 7, Codec: codec, LogAppendTime: appendTime, HasProducer: true, ProducerID: 5, ProducerEpoch: 1,
		BaseSequence: 40, Transactional: true,
	}
	for i := range 10 {
		var value []byte
		if i != 4 {
			value = bytes.Repeat([]byte{byte('a' + i)}, i)
			if value == nil {
				value = []byte{}
			}
		}
		b.Add(1000+int64(i)*10, fmt.Append(nil, "key", i), value, Header{Key: "h", Value: []byte{byte(i)}})
	}
	return b.Bytes()
}

func recordsOf(t *testing.T, b Batch) (out []string) {
	t.Helper()
	if !b.CheckCRC() {
		t.Fatal("CRC")
	}
	err := Records(b, func(r *Record) bool {
		out = append(out, fmt.Sprintf("%d %d %s %s %v %x", r.Offset, r.Timestamp, r.Key, r.Value, r.Value == nil, r.Headers))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func keepOffsets(offsets ...int64) func(*Record) bool {
	return func(r *Record) bool {
		for _, o := range offsets {
			if r.Offset == o {
				return true
			}
		}
		return false
	}
}

// What stays is what was there, under the same offsets, times, producer and codec.
func TestFilter(t *testing.T) {
	var f Filter
	for _, codec := range []Codec{Uncompressed, Gzip, Snappy, LZ4, Zstd} {
		for _, appendTime := range []bool{false, true} {
			b := filterBatch(codec, appendTime)
			all := recordsOf(t, b)
			for _, c := range []struct {
				name      string
				w         Rewrite
				want      []int
				max       int64
				horizon   int64 // 0: none
				unchanged bool
			}{
				{"all but a tombstone", Rewrite{Keep: keepOffsets(100, 101, 102, 103, 105, 106, 107, 108, 109)}, []int{0, 1, 2, 3, 5, 6, 7, 8, 9}, 1090, 0, false},
				{"some", Rewrite{Keep: keepOffsets(102, 107)}, []int{2, 7}, 1070, 0, false},
				{"a tombstone", Rewrite{Keep: keepOffsets(101, 104), HorizonMs: 5000}, []int{1, 4}, 1040, 5000, false},
				{"all", Rewrite{Keep: func(*Record) bool { return true }, HorizonMs: 5000}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 1090, 5000, false},
				{"a marker", Rewrite{Keep: keepOffsets(101), HorizonMs: 6000, Horizon: true}, []int{1}, 1010, 6000, false},
			} {
				out, kept, err := f.Append([]byte("before"), b, &c.w)
				if err != nil || !bytes.HasPrefix(out, []byte("before")) || kept.Records != len(c.want) || kept.Records+kept.Dropped != 10 || !kept.Changed {
					t.Fatalf("%s: %+v, %v", c.name, kept, err)
				}
				got, rest, err := Next(out[6:])
				if err != nil || len(rest) > 0 {
					t.Fatal(err)
				}
				var want []string
				for _, i := range c.want {
					want = append(want, all[i])
				}
				if g := recordsOf(t, got); fmt.Sprint(g) != fmt.Sprint(want) {
					t.Fatalf("%s: %v\nwant %v", c.name, g, want)
				}
				if ms, ok := got.DeleteHorizonMs(); ok != (c.horizon > 0) || ms != c.horizon {
					t.Fatalf("%s: horizon %d, %v", c.name, ms, ok)
				}
				if appendTime {
					c.max = 1090
				}
				checkHeaderKept(t, b, got)
				if got.MaxTimestamp() != c.max || got.Codec() != codec {
					t.Fatalf("%s: largest timestamp %d, codec %v", c.name, got.MaxTimestamp(), got.Codec())
				}
				// A horizon stays what it is, and what is not touched stays byte for byte.
				c.w.HorizonMs, c.w.Keep = 9999, func(*Record) bool { return true }
				if again, kept, err := f.Append(nil, got, &c.w); c.horizon > 0 && (err != nil || kept.Changed || !bytes.Equal(again, got)) {
					t.Fatalf("%s again: %+v, %v", c.name, kept, err)
				}
			}
		}
	}
}

func checkHeaderKept(t *testing.T, was, is Batch) {
	t.Helper()
	if is.BaseOffset() != was.BaseOffset() || is.LastOffset() != was.LastOffset() || is.LeaderEpoch() != was.LeaderEpoch() ||
		is.ProducerID() != was.ProducerID() || is.ProducerEpoch() != was.ProducerEpoch() || is.BaseSequence() != was.BaseSequence() ||
		is.LastSequence() != was.LastSequence() || is.Transactional() != was.Transactional() || is.LogAppendTime() != was.LogAppendTime() ||
		is.Control() != was.Control() {
		t.Fatalf("header %x, was %x", []byte(is[:HeaderSize]), []byte(was[:HeaderSize]))
	}
}

// A batch without records goes, or stays as its header.
func TestFilterEmpty(t *testing.T) {
	var f Filter
	b := filterBatch(Gzip, true)
	w := Rewrite{Keep: func(*Record) bool { return false }, HorizonMs: 5000, Horizon: true}
	if out, kept, err := f.Append(nil, b, &w); len(out) > 0 || err != nil || !kept.Changed {
		t.Fatalf("%d bytes, %+v, %v", len(out), kept, err)
	}
	w.Empty = true
	out, kept, err := f.Append(nil, b, &w)
	if err != nil || len(out) != HeaderSize || !kept.Changed {
		t.Fatalf("%d bytes, %+v, %v", len(out), kept, err)
	}
	got := Batch(out)
	checkHeaderKept(t, b, got)
	if _, has := got.DeleteHorizonMs(); has || got.Count() != 0 || !got.CheckCRC() || got.FirstTimestamp() != -1 ||
		got.MaxTimestamp() != b.MaxTimestamp() || got.Codec() != Uncompressed {
		t.Fatalf("%x", out)
	}
	if again, kept, err := f.Append(nil, got, &w); err != nil || kept.Changed || !bytes.Equal(again, got) {
		t.Fatalf("again: %+v, %v", kept, err)
	}
}

// Damage is an error, never a panic, and dst is as it was.
func TestFilterDamage(t *testing.T) {
	var f Filter
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, codec := range []Codec{Uncompressed, Gzip, Snappy, LZ4, Zstd} {
		good := filterBatch(codec, false)
		for range 2000 {
			b := Batch(bytes.Clone(good))
			b[HeaderSize+rnd.IntN(len(b)-HeaderSize)] ^= byte(1 + rnd.IntN(255))
			out, _, err := f.Append([]byte("x"), b, &Rewrite{Keep: func(r *Record) bool { return r.Offset%2 == 0 }})
			if err != nil && (!errors.Is(err, protocol.ErrMalformed) && !errors.Is(err, ErrTooLarge) || string(out) != "x") {
				t.Fatalf("%q, %v", out, err)
			}
		}
	}
}

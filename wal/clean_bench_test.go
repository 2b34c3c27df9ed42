package wal

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"weir/protocol/record"
)

// fillTable appends n records over as many keys, in batches of 100 records, and returns the newest offset of each key. Every tenth record
// is a tombstone.
func fillTable(t testing.TB, l *Log, n, keys, size int, codec record.Codec) map[string]kv {
	t.Helper()
	newest := make(map[string]kv, keys)
	rnd := rand.New(rand.NewPCG(1, 1))
	var recs []kv
	for i := range n {
		value := make([]byte, size)
		for j := range value {
			value[j] = "0123456789abcdef"[rnd.IntN(16)]
		}
		r := kv{int64(i), int64(i), "key " + strconv.Itoa(i*7919%keys), string(value)}
		if i*31%10 == 0 {
			r.value = ""
		}
		newest[r.key] = r
		if recs = append(recs, r); len(recs) == 100 || i == n-1 {
			appendKV(t, l, codec, recs...)
			recs = recs[:0]
		}
	}
	return newest
}

// A topic of many records over few keys ends with the newest value of each live key, in order, offsets unchanged. WEIR_COMPACTION_RECORDS
// says how many records.
func TestCompactionOfMany(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 100_000
	}
	if s := os.Getenv("WEIR_COMPACTION_RECORDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	clock := newTestClock()
	d := open(t, t.TempDir(), Options{Now: clock.now})
	l := logOf(t, d, "t-0")
	l.SetPolicy(Policy{SegmentBytes: 8 << 20})
	newest := fillTable(t, l, n, 1000, 20, record.Uncompressed)
	roll := func() {
		l.SetPolicy(Policy{SegmentBytes: 1})
		appendKV(t, l, record.Uncompressed, kv{l.End(), 1, "tail", "v"})
		newest["tail"] = kv{l.End() - 1, 1, "tail", "v"}
		l.SetPolicy(Policy{SegmentBytes: 8 << 20})
	}
	roll()
	o := Cleaning{CleanBounds: CleanBounds{Upto: 1 << 60}, DeleteRetentionMs: 1000}
	clean(t, l, o)
	clock.ms.Add(1000)
	roll()
	clean(t, l, o)
	live := 0
	for _, r := range newest {
		if r.value != "" {
			live++
		}
	}
	recs := recordsOf(t, l)
	if len(recs) != live || l.Start() != 0 || l.End() != int64(n)+2 {
		// The newest record of the key tail is in the last file, and the one before it is the only other.
		if len(recs) != live+1 || recs[len(recs)-2].key != "tail" {
			t.Fatalf("%d records in [%d, %d), want %d", len(recs), l.Start(), l.End(), live)
		}
	}
	for i, r := range recs {
		if r != newest[r.key] && r.key != "tail" || r.value == "" || i > 0 && r.offset <= recs[i-1].offset {
			t.Fatalf("%+v, want %+v", r, newest[r.key])
		}
	}
}

// One round over a log of which a tenth stays.
func BenchmarkClean(b *testing.B) {
	for _, codec := range []record.Codec{record.Uncompressed, record.LZ4, record.Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			b.ReportAllocs()
			var bytes int64
			for range b.N {
				b.StopTimer()
				d := open(b, b.TempDir(), Options{})
				l := logOf(b, d, "t-0")
				l.SetPolicy(Policy{SegmentBytes: 8 << 20})
				fillTable(b, l, 200_000, 20_000, 200, codec)
				b.StartTimer()
				bytes += clean(b, l, Cleaning{CleanBounds: CleanBounds{Upto: 1 << 60}}).BytesRead
				b.StopTimer()
				d.Close()
				b.StartTimer()
			}
			b.SetBytes(bytes / int64(b.N))
		})
	}
}

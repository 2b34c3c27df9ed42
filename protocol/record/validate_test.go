package record

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"weir/protocol"
)

// made is a batch of n records with a key each, one second apart from 1000 on.
func made(n int, f func(*Builder)) Batch {
	var b Builder
	for i := range n {
		b.Add(1000*int64(i+1), []byte("k"), []byte("some value"))
	}
	if f != nil {
		f(&b)
	}
	return b.Bytes()
}

// patched is a batch with bytes changed and the CRC made good.
func patched(b Batch, f func(Batch)) Batch {
	b = bytes.Clone(b)
	f(b)
	b.SetCRC()
	return b
}

func set32(at int, v int32) func(Batch) {
	return func(b Batch) { b[at], b[at+1], b[at+2], b[at+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v) }
}

func TestRefusals(t *testing.T) {
	two := made(2, nil)
	body := func(s string) Batch { // one record of raw bytes
		b := append(bytes.Clone(made(1, nil)[:HeaderSize]), s...)
		return patched(patched(b, set32(posLength, int32(len(b)-lengthOverhead))), func(Batch) {})
	}
	for _, c := range []struct {
		name string
		recs []byte
		o    func(*Options)
		want protocol.Code
	}{
		{"nothing", nil, nil, protocol.InvalidRecord},
		{"eleven bytes", two[:11], nil, protocol.InvalidRecord},
		{"cut short", two[:len(two)-1], nil, protocol.InvalidRecord},
		{"length 13", patched(two, set32(posLength, 13)), nil, protocol.CorruptMessage},
		{"negative length", patched(two, set32(posLength, -1)), nil, protocol.CorruptMessage},
		{"2 GiB", patched(two, set32(posLength, math.MaxInt32)), nil, protocol.UnknownServerError},
		{"magic 3", patched(two, func(b Batch) { b[posMagic] = 3 }), nil, protocol.CorruptMessage},
		{"magic 1", patched(two, func(b Batch) { b[posMagic] = 1 }), nil, protocol.InvalidRecord},
		{"magic 1 in v2", patched(two, func(b Batch) { b[posMagic] = 1 }), func(o *Options) { o.ProduceVersion = 2 }, protocol.UnsupportedForMessageFormat},
		{"two batches", append(bytes.Clone(two), two...), nil, protocol.InvalidRecord},
		{"a bad one behind", append(bytes.Clone(two), make([]byte, 40)...), nil, protocol.CorruptMessage},
		{"base offset", patched(two, func(b Batch) { b.SetBaseOffset(1) }), nil, protocol.InvalidRecord},
		{"too large", two, func(o *Options) { o.MaxMessageBytes = int32(len(two)) - 1 }, protocol.MessageTooLarge},
		{"CRC", func() []byte { b := bytes.Clone(two); b[len(b)-1]++; return b }(), nil, protocol.CorruptMessage},
		{"codec 5", patched(two, func(b Batch) { b[posAttributes+1] = 5 }), nil, protocol.UnknownServerError},
		{"zstd in v6", made(1, func(b *Builder) { b.Codec = Zstd }), func(o *Options) { o.ProduceVersion = 6 }, protocol.UnsupportedCompressionType},
		{"count 0", patched(two, set32(posCount, 0)), nil, protocol.InvalidRecord},
		{"count 3", patched(two, set32(posCount, 3)), nil, protocol.InvalidRecord},
		{"last delta -1", patched(two, set32(posLastOffsetDelta, -1)), nil, protocol.InvalidRecord},
		{"count and delta 3", patched(patched(two, set32(posCount, 3)), set32(posLastOffsetDelta, 2)), nil, protocol.InvalidRecord},
		{"count and delta 1", patched(patched(two, set32(posCount, 1)), set32(posLastOffsetDelta, 0)), nil, protocol.InvalidRecord},
		{"count of all int32", patched(patched(two, set32(posCount, math.MaxInt32)), set32(posLastOffsetDelta, math.MaxInt32-1)), nil, protocol.InvalidRecord},
		{"control", made(1, func(b *Builder) { b.Control = true }), nil, protocol.InvalidRecord},
		{"no sequence", made(1, func(b *Builder) { b.HasProducer, b.ProducerID, b.BaseSequence = true, 5, -1 }), nil, protocol.InvalidRecord},
		{"no key", made(1, func(b *Builder) { b.Add(1, nil, nil) }), func(o *Options) { o.Compacted = true }, protocol.InvalidRecord},
		{"too old", two, func(o *Options) { o.BeforeMaxMs = 3999 }, protocol.InvalidTimestamp},
		{"too new", two, func(o *Options) { o.NowMs, o.AfterMaxMs = 1000, 999 }, protocol.InvalidTimestamp},
		{"append time from a client", made(1, func(b *Builder) { b.LogAppendTime = true }), func(o *Options) { o.LogAppendTime = true }, protocol.InvalidTimestamp},
		{"a large record", made(1, func(b *Builder) { b.Codec = Gzip }), func(o *Options) { o.MaxRecordBytes = 15 }, protocol.InvalidRecord},
		{"an empty body", body(""), nil, protocol.InvalidRecord},
		{"a record of no bytes", body("\x00"), nil, protocol.InvalidRecord},
		{"a length that goes on", body("\xff\xff\xff\xff\xff\xff"), nil, protocol.UnknownServerError},
		{"headers beyond the record", body("\x0c\x00\x00\x00\x01\x01\x7e"), nil, protocol.InvalidRecord},
		{"uncompressed too large", made(90, func(b *Builder) { b.Codec = Gzip }), func(o *Options) { o.MaxMessageBytes, o.Target = 1000, Target{Recompress: true} }, protocol.MessageTooLarge},
	} {
		o := topic()
		if c.o != nil {
			c.o(&o)
		}
		out, _, err := Validate(bytes.Clone(c.recs), o)
		if err == nil || err.Code != c.want || out != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
			continue
		}
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.want.String()+": ") {
			t.Errorf("%s: %q", c.name, err)
		}
	}
}

func TestRecordErrors(t *testing.T) {
	b := made(1, func(b *Builder) {
		b.Add(1, nil, nil)
		b.Add(5000, []byte("k"), nil)
		b.Add(5001, []byte("k"), nil)
		b.Add(-1, []byte("k"), nil)
	}) // timestamps 1000, 1, 5000, 5001, none
	o := topic()
	o.Compacted = true
	_, _, err := Validate(bytes.Clone(b), o)
	if err == nil || err.Code != protocol.InvalidRecord || len(err.Records) != 1 || err.Records[0].Index != 1 || err.Message == "" {
		t.Errorf("%+v", err)
	}
	o.AfterMaxMs, o.BeforeMaxMs = 0, 4000
	_, _, err = Validate(bytes.Clone(b), o)
	if err == nil || err.Code != protocol.InvalidTimestamp || len(err.Records) != 2 || err.Records[0].Index != 1 || err.Records[1].Index != 3 {
		t.Errorf("%+v", err)
	}
	var many Builder
	for range 3 * MaxRecordErrors {
		many.Add(1, nil, nil)
	}
	_, _, err = Validate(many.Bytes(), o)
	if err == nil || len(err.Records) != MaxRecordErrors || !strings.Contains(err.Message, "3000") {
		t.Errorf("%d errors", len(err.Records))
	}
}

func TestInPlace(t *testing.T) {
	for c := Uncompressed; c <= Zstd; c++ {
		b := made(3, func(b *Builder) { b.Codec = c })
		recs := append(bytes.Clone(b), "trailing"...)
		out, set, err := Validate(recs, topic())
		if err != nil || !bytes.Equal(out, b) || &out[0] != &recs[0] || cap(out) != len(b) {
			t.Fatalf("%s: %v", c, err)
		}
		if set != (Set{Next: 3, MaxTimestamp: 3000, MaxTimestampOffset: 2, LeaderEpoch: -1, Records: 3}) {
			t.Errorf("%s: %+v", c, set)
		}
		// The largest timestamp is the records', whatever the header says.
		out, set, err = Validate(patched(b, func(b Batch) { copy(b[posMaxTimestamp:], "12345678") }), topic())
		if err != nil || set.MaxTimestamp != 3000 || !bytes.Equal(out, b) {
			t.Errorf("%s: %+v %v", c, set, err)
		}
		o := topic()
		o.LogAppendTime, o.BeforeMaxMs, o.AfterMaxMs = true, 0, 0
		out, set, err = Validate(bytes.Clone(b), o)
		if err != nil || !Batch(out).LogAppendTime() || !Batch(out).CheckCRC() || set.MaxTimestamp != o.NowMs || set.MaxTimestampOffset != 2 {
			t.Errorf("%s: %+v %v", c, set, err)
		}
	}
	out, set, err := Validate(patched(made(1, nil), func(b Batch) { copy(b[posFirstTimestamp:], "\xff\xff\xff\xff\xff\xff\xff\xff") }), topic())
	if err != nil || set.MaxTimestamp != -1 || set.MaxTimestampOffset != -1 || Batch(out).MaxTimestamp() != -1 {
		t.Errorf("no timestamp: %+v %v", set, err)
	}
}

func TestRecompress(t *testing.T) {
	for from := Uncompressed; from <= Zstd; from++ {
		for to := Uncompressed; to <= Zstd; to++ {
			for _, appendTime := range []bool{false, true} {
				b := made(50, func(b *Builder) {
					b.Codec, b.HasProducer, b.ProducerID, b.ProducerEpoch, b.BaseSequence, b.Transactional = from, true, 9, 2, 100, true
					b.Add(7, []byte("x"), nil, Header{"h", []byte("v")}, Header{"n", nil})
				})
				o := topic()
				o.Target, o.LogAppendTime = Target{Recompress: true, Codec: to, Level: 1}, appendTime
				out, set, err := Validate(bytes.Clone(b), o)
				if err != nil {
					t.Fatalf("%s to %s: %v", from, to, err)
				}
				got := Batch(out)
				if got.Codec() != to || got.Size() != len(got) || !got.CheckCRC() || set.Records != 51 || set.Next != 51 || got.LogAppendTime() != appendTime {
					t.Errorf("%s to %s: %+v", from, to, set)
				}
				if from == to && !appendTime && !bytes.Equal(got, b) {
					t.Errorf("%s was changed", from)
				}
				want := contents(b)
				if !appendTime && contents(patched(got, func(c Batch) { c[posAttributes+1] = b[posAttributes+1] }).recoded(from, to)) != want {
					t.Errorf("%s to %s: other records", from, to)
				}
			}
		}
	}
}

// recoded is the batch with its body compressed by from again, so that its codec bits are true.
func (b Batch) recoded(from, to Codec) Batch {
	body, err := to.Decompress(nil, b.Body(), 1<<20)
	if err != nil {
		panic(err)
	}
	out := from.Compress(bytes.Clone(b[:HeaderSize]), body, DefaultLevel)
	return patched(out, set32(posLength, int32(len(out)-lengthOverhead)))
}

// TestInternal lets the broker's own batches through: markers, offsets that are set.
func TestInternal(t *testing.T) {
	m := Marker(ControlAbort, 1, 2, 3, 4000)
	m.SetBaseOffset(50)
	o := topic()
	o.Internal, o.Target = true, Target{Recompress: true, Codec: Zstd}
	out, set, err := Validate(m, o)
	if err != nil || !bytes.Equal(out, m) || set.Base != 50 || set.Next != 51 {
		t.Errorf("%+v %v", set, err)
	}
}

func TestConvertHook(t *testing.T) {
	old := patched(made(1, nil), func(b Batch) { b[posMagic] = 1 })
	v2 := made(2, nil)
	o := topic()
	o.ProduceVersion = 1
	o.Convert = func(recs []byte, o *Options) ([]byte, *Error) { return v2, nil }
	if out, set, err := Validate(old, o); err != nil || set.Records != 2 || !bytes.Equal(out, v2) {
		t.Errorf("%+v %v", set, err)
	}
	o.Convert = func(recs []byte, o *Options) ([]byte, *Error) { return nil, refuse(protocol.CorruptMessage, "old") }
	if _, _, err := Validate(old, o); err == nil || err.Code != protocol.CorruptMessage {
		t.Error(err)
	}
}

// TestSkim compares the inner loop with the full parser on records that were changed at random.
func TestSkim(t *testing.T) {
	g := rand.New(rand.NewPCG(7, 7))
	good, plain := 0, 0
	for range 200_000 {
		var b Builder
		var headers []Header
		for range g.IntN(3) {
			headers = append(headers, Header{Key: strings.Repeat("h", g.IntN(3)), Value: make([]byte, g.IntN(4))})
		}
		b.Add(0, nil, nil)
		for range g.IntN(2) * g.IntN(2) * 100 {
			b.Add(0, nil, nil)
		}
		at := len(b.body)
		key, bits := make([]byte, g.IntN(200)), g.IntN(64)
		if g.IntN(2) == 0 {
			key, headers, bits = nil, nil, 48+bits/4
		}
		b.Add(int64(g.Uint64()>>bits), key, make([]byte, g.IntN(200)), headers...)
		raw := b.body[at:]
		for range g.IntN(3) {
			raw[g.IntN(len(raw))] = byte(g.Uint32())
		}
		raw = raw[:len(raw)-g.IntN(2)*g.IntN(len(raw))]
		var r rawRecord
		var s skimmed
		rest := r.read(raw)
		next := s.plain(raw)
		if next > 0 {
			plain++
		} else {
			next = s.skim(raw)
		}
		if (rest == nil) != (next < 0) {
			t.Fatalf("%x: read %v, skim %d", raw, rest != nil, next)
		}
		if rest == nil {
			continue
		}
		good++
		size, _ := varint(raw)
		if next != len(raw)-len(rest) || s.timestampDelta != r.timestampDelta || s.offsetDelta != r.offsetDelta || s.keyed != (r.key != nil) ||
			s.body != size {
			t.Fatalf("%x: %+v, %+v", raw, r, s)
		}
	}
	if good < 50_000 {
		t.Error("only", good, "good records")
	}
	if plain < 20_000 {
		t.Error("only", plain, "plain records")
	}
}

// TestValidateDoesNotAllocate holds the hot path: nothing for plain batches, nothing per record for compressed ones.
func TestValidateDoesNotAllocate(t *testing.T) {
	for c := Uncompressed; c <= Zstd; c++ {
		b := workload(c, 100_000, 100)
		o := topic()
		most := 0.0
		if c != Uncompressed {
			most = 20 // buffers that the pool lost
		}
		if n := testing.AllocsPerRun(50, func() {
			if _, _, err := Validate(b, o); err != nil {
				t.Fatal(err)
			}
		}); n > most {
			t.Errorf("%s: %v allocations for %d records", c, n, b.Count())
		}
	}
}

// TestValidateConcurrently runs more at once than the gates let through, small and large bodies.
func TestValidateConcurrently(t *testing.T) {
	small, large := workload(Zstd, 10_000, 100), made(1, func(b *Builder) {
		b.Codec = LZ4
		b.Add(1, nil, make([]byte, 6<<20))
	})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 5 {
				b := bytes.Clone(small)
				if i%4 == 0 {
					b = bytes.Clone(large)
				}
				if _, _, err := Validate(b, topic()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(gate) != 0 || len(largeGate) != 0 {
		t.Error("a gate was left taken")
	}
}

// FuzzValidate takes any bytes, with the CRC made good so that it gets further: an error, or a batch that is whole, sums, iterates
// and has the offsets it should.
func FuzzValidate(f *testing.F) {
	for c := Uncompressed; c <= Zstd; c++ {
		f.Add([]byte(made(3, func(b *Builder) { b.Codec = c; b.Add(5, nil, nil, Header{"k", nil}) })), byte(c), true)
	}
	f.Add([]byte(Marker(ControlCommit, 1, 1, 1, 1)), byte(0xff), false)
	f.Fuzz(func(t *testing.T, data []byte, how byte, fix bool) {
		if fix && len(data) >= HeaderSize {
			data = patched(data, set32(posLength, int32(len(data)-lengthOverhead)))
		}
		o := topic()
		o.Compacted, o.LogAppendTime, o.Internal = how&8 != 0, how&16 != 0, how&32 != 0
		if how&64 != 0 {
			o.Target = Target{Recompress: true, Codec: Codec(how % 5), Level: 1}
		}
		out, set, verr := Validate(data, o)
		if verr != nil {
			if verr.Code == protocol.None || verr.Error() == "" {
				t.Fatal("no code")
			}
			return
		}
		next := Assign(out, 500, 3)
		set = set.At(500, 3)
		valid, got, err := Check(out)
		if err != nil || len(valid) != len(out) || next != set.Next || got.Next != set.Next || got.MaxTimestamp != set.MaxTimestamp || got.Records != set.Records {
			t.Fatalf("%+v %+v %v", set, got, err)
		}
		offset := int64(500)
		if err := Records(out, func(r *Record) bool {
			if r.Offset != offset {
				t.Fatalf("offset %d, want %d", r.Offset, offset)
			}
			offset++
			return true
		}); err != nil || offset != next {
			t.Fatal(offset, next, err)
		}
	})
}

package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
)

// TestAccessors compares with kmsg's RecordBatch over random headers.
func TestAccessors(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		k := kmsg.RecordBatch{
			FirstOffset: g.Int64(), Length: 49 + 5, PartitionLeaderEpoch: int32(g.Uint32()), Magic: 2, Attributes: int16(g.Uint32()),
			LastOffsetDelta: int32(g.Uint32()), FirstTimestamp: int64(g.Uint64()), MaxTimestamp: int64(g.Uint64()), ProducerID: int64(g.Uint64()),
			ProducerEpoch: int16(g.Uint32()), FirstSequence: int32(g.Uint32()), NumRecords: int32(g.Uint32()), Records: []byte("12345"),
		}
		raw := k.AppendTo(nil)
		k.CRC = int32(crc32.Checksum(raw[21:], castagnoli))
		b := Batch(k.AppendTo(nil))
		if b.BaseOffset() != k.FirstOffset || b.Size() != len(b) || b.LeaderEpoch() != k.PartitionLeaderEpoch || b.Magic() != 2 ||
			b.CRC() != uint32(k.CRC) || !b.CheckCRC() || b.Attributes() != k.Attributes || b.LastOffsetDelta() != k.LastOffsetDelta ||
			b.FirstTimestamp() != k.FirstTimestamp || b.MaxTimestamp() != k.MaxTimestamp || b.ProducerID() != k.ProducerID ||
			b.ProducerEpoch() != k.ProducerEpoch || b.BaseSequence() != k.FirstSequence || b.Count() != k.NumRecords || string(b.Body()) != "12345" {
			t.Fatalf("%x", []byte(b))
		}
		a := k.Attributes
		ms, horizon := b.DeleteHorizonMs()
		if b.Codec() != Codec(a&7) || b.LogAppendTime() != (a&8 != 0) || b.Transactional() != (a&16 != 0) || b.Control() != (a&32 != 0) ||
			horizon != (a&64 != 0) || horizon && ms != k.FirstTimestamp {
			t.Fatalf("attributes %x", a)
		}
		// Base offset and leader epoch are outside the CRC; the time is inside.
		b.SetBaseOffset(77)
		b.SetLeaderEpoch(9)
		if b.BaseOffset() != 77 || b.LeaderEpoch() != 9 || !b.CheckCRC() {
			t.Fatal("setters")
		}
		b.SetAppendTime(1234)
		if !b.LogAppendTime() || b.MaxTimestamp() != 1234 || !b.CheckCRC() || b.Codec() != Codec(a&7) {
			t.Fatal("append time")
		}
		b.SetMaxTimestamp(99)
		if b.LogAppendTime() || b.MaxTimestamp() != 99 || !b.CheckCRC() {
			t.Fatal("max timestamp")
		}
		b[len(b)-1]++
		if b.CheckCRC() {
			t.Fatal("CRC of other bytes")
		}
	}
}

func TestSequences(t *testing.T) {
	for _, c := range []struct{ seq, n, want int32 }{
		{0, 0, 0}, {5, 3, 8}, {math.MaxInt32, 0, math.MaxInt32}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 2, 5, 2}, {math.MaxInt32, math.MaxInt32, math.MaxInt32 - 1},
	} {
		if got := AddSequence(c.seq, c.n); got != c.want {
			t.Errorf("%d + %d = %d, want %d", c.seq, c.n, got, c.want)
		}
	}
	b := Builder{HasProducer: true, ProducerID: 1, BaseSequence: math.MaxInt32}
	b.Add(0, nil, nil)
	b.Add(0, nil, nil)
	if got := b.Bytes().LastSequence(); got != 0 {
		t.Error(got)
	}
	b.HasProducer = false
	if got := b.Bytes().LastSequence(); got != -1 {
		t.Error(got)
	}
}

func TestNext(t *testing.T) {
	var b Builder
	b.Add(1, []byte("k"), []byte("v"))
	one := b.Bytes()
	run := append(bytes.Clone(one), one...)
	got, rest, err := Next(run)
	if err != nil || !bytes.Equal(got, one) || !bytes.Equal(rest, one) || cap(got) != len(got) {
		t.Fatal(err)
	}
	for n := range one {
		if _, _, err := Next(one[:n]); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	with := func(f func(Batch)) Batch {
		c := bytes.Clone(one)
		f(c)
		return c
	}
	for name, bad := range map[string]Batch{
		"length 48":         with(func(b Batch) { b[11] = 48 }),
		"negative length":   with(func(b Batch) { b[8] = 0x80 }),
		"2 GiB":             with(func(b Batch) { copy(b[8:], "\x7f\xff\xff\xff") }),
		"magic 1":           with(func(b Batch) { b[16] = 1 }),
		"negative offset":   with(func(b Batch) { b.SetBaseOffset(-1) }),
		"last before first": with(func(b Batch) { b[23] = 0xff }),
		"offset overflows":  with(func(b Batch) { b.SetBaseOffset(math.MaxInt64) }),
	} {
		if _, _, err := Next(bad); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := Next(with(func(b Batch) { b.SetBaseOffset(math.MaxInt64 - 1) })); err != nil {
		t.Error("the largest offset:", err)
	}
}

func TestAssignAndCheck(t *testing.T) {
	var run []byte
	for n := 1; n <= 3; n++ {
		b := Builder{}
		for i := range n {
			b.Add(int64(100*n-i), nil, []byte("v"))
		}
		run = b.AppendTo(run)
	}
	if next := Assign(run, 1000, 4); next != 1006 {
		t.Fatal(next)
	}
	want := Set{Base: 1000, Next: 1006, MaxTimestamp: 300, MaxTimestampOffset: 1005, LeaderEpoch: 4, Records: 6}
	for cut := range 40 { // a fetch may end within a batch
		valid, set, err := Check(append(bytes.Clone(run), run[:cut]...))
		if err != nil || !bytes.Equal(valid, run) || set != want {
			t.Fatalf("%d bytes behind: %d %+v %v", cut, len(valid), set, err)
		}
	}
	if valid, set, err := Check(nil); err != nil || len(valid) != 0 || set.Base != -1 || set.MaxTimestamp != -1 {
		t.Errorf("%+v %v", set, err)
	}
	first, _, _ := Next(run)
	for i := len(first); i < len(run); i++ {
		bad := bytes.Clone(run)
		bad[i] ^= 1
		if valid, _, err := Check(bad); err == nil && !outsideCRC(run, i) && len(valid) == len(run) {
			t.Fatalf("byte %d was changed", i)
		}
	}
	twice := append(bytes.Clone(run), run...)
	if valid, _, err := Check(twice); !errors.Is(err, protocol.ErrMalformed) || len(valid) != len(run) {
		t.Errorf("the same offsets twice: %d %v", len(valid), err)
	}
}

// outsideCRC says whether byte i of a run is in a base offset, a length or a leader epoch.
func outsideCRC(run []byte, i int) bool {
	for at := 0; ; {
		b, _, err := Next(run[at:])
		if err != nil {
			return false
		}
		if i < at+len(b) {
			return i < at+posMagic
		}
		at += len(b)
	}
}

func TestSetAt(t *testing.T) {
	s := Set{Next: 3, MaxTimestamp: 5, MaxTimestampOffset: 2, LeaderEpoch: -1, Records: 3}.At(100, 7)
	if s != (Set{Base: 100, Next: 103, MaxTimestamp: 5, MaxTimestampOffset: 102, LeaderEpoch: 7, Records: 3}) {
		t.Errorf("%+v", s)
	}
}

// TestMarker compares with the batch that Kafka's MemoryRecords.withEndTransactionMarker makes.
func TestMarker(t *testing.T) {
	const want = "00000000000003e800000042000000050248bbadd20030000000000000018bcfe568000000018bcfe5680000000000000000070003ffffffff0000000" +
		"12000000008000000010c00000000000c00"
	m := Marker(ControlCommit, 7, 3, 12, 1_700_000_000_000)
	Assign(m, 1000, 5)
	if got := hex.EncodeToString(m); got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	n := 0
	err := Records(m, func(r *Record) bool {
		n++
		control, epoch, ok := ParseMarker(r)
		if !ok || control != ControlCommit || epoch != 12 || r.Offset != 1000 {
			t.Errorf("%+v: %d %d %v", r, control, epoch, ok)
		}
		return true
	})
	if n != 1 || err != nil {
		t.Error(n, err)
	}
	for _, r := range []Record{{}, {Key: make([]byte, 4), Value: make([]byte, 5)}, {Key: []byte{0, 0, 0, 2}, Value: make([]byte, 6)}, {Key: []byte{0x80, 0, 0, 0}, Value: make([]byte, 6)}} {
		if _, _, ok := ParseMarker(&r); ok {
			t.Errorf("%+v is no marker", r)
		}
	}
}

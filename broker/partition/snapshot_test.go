package partition

import (
	"errors"
	"testing"

	"weir/protocol"
	"weir/protocol/record"
)

func someState(t testing.TB) []byte {
	var c epochCache
	var p producers
	p.clear()
	for i := range int64(12) {
		c.assign(int32(i/3), i*10)
		b := record.Builder{HasProducer: true, ProducerID: i % 3, ProducerEpoch: int16(i % 2), BaseSequence: int32(i), BaseOffset: i * 10,
			Transactional: i == 7}
		b.Add(i, nil, nil)
		b.Add(i+1, nil, nil)
		p.replay(b.Bytes())
	}
	return encodeState(nil, &c, &p)
}

func TestSnapshotRoundTrip(t *testing.T) {
	state := someState(t)
	var c epochCache
	var p producers
	if err := decodeState(state, &c, &p); err != nil {
		t.Fatal(err)
	}
	if got := encodeState(nil, &c, &p); string(got) != string(state) {
		t.Errorf("encoded again:\n%x\nwas\n%x", got, state)
	}
	if len(c.entries) != 4 || len(p.byID) != 3 || p.firstUnstable() != 70 {
		t.Errorf("%v, %d producers, unstable %d", c.entries, len(p.byID), p.firstUnstable())
	}
	for n := range state {
		if err := decodeState(state[:n], &c, &p); !errors.Is(err, protocol.ErrMalformed) || len(c.entries)+len(p.byID) != 0 {
			t.Fatalf("cut at %d: %v, %d epochs and %d producers stay", n, err, len(c.entries), len(p.byID))
		}
	}
}

func FuzzSnapshot(f *testing.F) {
	f.Add(someState(f))
	f.Add([]byte{0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, state []byte) {
		var c epochCache
		var p producers
		if decodeState(state, &c, &p) != nil {
			return
		}
		for _, id := range p.ids() {
			x := p.byID[id]
			for i := range int(x.n) {
				_ = x.at(i).firstSeq()
			}
		}
		var again epochCache
		var q producers
		if err := decodeState(encodeState(nil, &c, &p), &again, &q); err != nil {
			t.Fatal(err)
		}
	})
}

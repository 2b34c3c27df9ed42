package protocol

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// TestReadFetchResponse reads what kmsg writes, of random contents, and each of its beginnings.
func TestReadFetchResponse(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	g := gen{rand.New(rand.NewPCG(seed, 3))}
	var e FetchEncoder
	for i := range 1000 {
		version := int16(13 + i%6)
		frame, data, _ := g.fetch(&e, version, int32(i))
		body := frame[4+4+1:]
		n := 0
		_, err := ReadFetchResponse(body, func(p *FetchedPartition) {
			if !bytes.Equal(p.Records, data[n]) {
				t.Fatalf("v%d: partition %d: %d bytes of records, want %d", version, n, len(p.Records), len(data[n]))
			}
			n++
		})
		if err != nil || n != len(data) {
			t.Fatalf("v%d: %v, %d partitions of %d", version, err, n, len(data))
		}
		for cut := range min(len(body), 300) {
			if _, err := ReadFetchResponse(body[:cut], func(*FetchedPartition) {}); !errors.Is(err, ErrMalformed) {
				t.Fatalf("v%d: %d of %d bytes: %v", version, cut, len(body), err)
			}
		}
	}
}

func TestReadFetchResponseFields(t *testing.T) {
	var e FetchEncoder
	id := UUID{1, 2, 3}
	want := FetchPartition{Index: 3, Code: NotLeaderOrFollower, HighWatermark: 5, LastStable: 6, LogStart: 7, DivergingEpoch: 8, DivergingEnd: 9,
		LeaderID: 10, LeaderEpoch: 11, PreferredReplica: 12}
	e.Start(17, 1, 21, FetchSessionIDNotFound, 22, 1)
	e.Topic("", id, 1)
	e.Partition(&want)
	e.Finish([]NodeEndpoint{{1, "h", 2, "r"}})
	h, err := ReadFetchResponse(e.Envelope()[9:], func(p *FetchedPartition) {
		if got := p.FetchPartition; p.Topic != id || got.Aborted != nil || got.Index != want.Index || got.Code != want.Code ||
			got.HighWatermark != want.HighWatermark || got.LastStable != want.LastStable || got.LogStart != want.LogStart ||
			got.DivergingEpoch != want.DivergingEpoch || got.DivergingEnd != want.DivergingEnd || got.LeaderID != want.LeaderID ||
			got.LeaderEpoch != want.LeaderEpoch || got.PreferredReplica != want.PreferredReplica {
			t.Errorf("%+v", p)
		}
	})
	if err != nil || h != (FetchedHead{21, FetchSessionIDNotFound, 22}) {
		t.Errorf("%+v %v", h, err)
	}
}

func FuzzReadFetchResponse(f *testing.F) {
	g := gen{rand.New(rand.NewPCG(1, 4))}
	var e FetchEncoder
	for range 20 {
		frame, _, _ := g.fetch(&e, 17, 1)
		f.Add(frame[9:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		total := 0
		_, _ = ReadFetchResponse(body, func(p *FetchedPartition) { total += len(p.Records) })
		if total > len(body) {
			t.Errorf("%d bytes of records in %d", total, len(body))
		}
	})
}

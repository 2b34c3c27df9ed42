package fetch

import (
	"testing"

	"weir/protocol"
)

// ids hands out session ids 1, 2, 3 ...
func ids() func() int32 {
	n := int32(0)
	return func() int32 { n++; return n }
}

func want(topic string, parts ...int32) []Partition {
	var out []Partition
	for _, p := range parts {
		out = append(out, Partition{Name: topic, Index: p, MaxBytes: 1 << 20})
	}
	return out
}

// begin runs a request and fails the test when its code is not the expected one.
func begin(t *testing.T, c *Cache, r Request, code protocol.Code) *Fetch {
	t.Helper()
	f := &Fetch{}
	if got := c.Begin(f, &r, 0); got != code {
		t.Fatalf("Begin(%+v) = %v, want %v", r, got, code)
	}
	return f
}

// end answers every partition with what told says and returns which were sent.
func end(t *testing.T, f *Fetch, told func(p Partition) Told) (id int32, sent []int32) {
	t.Helper()
	all := make([]Told, len(f.Parts))
	for i := range f.Parts {
		all[i] = told(f.Parts[i])
	}
	send := make([]bool, len(f.Parts))
	id, code := f.End(all, send, 0)
	if code != protocol.None {
		t.Fatalf("End: %v", code)
	}
	for i, s := range send {
		if s {
			sent = append(sent, f.Parts[i].Index)
		}
	}
	return id, sent
}

func idle(Partition) Told { return Told{HighWatermark: 5, LogStart: 0} }

func equal(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestIncrementalSendsOnlyNews(t *testing.T) {
	c := NewCache(10, ids())
	f := begin(t, c, Request{Want: want("a", 0, 1, 2)}, protocol.None)
	id, sent := end(t, f, idle)
	if id != 1 || !equal(sent, []int32{0, 1, 2}) {
		t.Fatalf("full: id %d sent %v", id, sent)
	}
	f = begin(t, c, Request{SessionID: id, Epoch: 1}, protocol.None)
	if _, sent = end(t, f, idle); sent != nil {
		t.Fatalf("nothing changed, sent %v", sent)
	}
	f = begin(t, c, Request{SessionID: id, Epoch: 2}, protocol.None)
	_, sent = end(t, f, func(p Partition) Told {
		if p.Index == 0 {
			return Told{HighWatermark: 6, Records: true}
		}
		return idle(p)
	})
	if !equal(sent, []int32{0}) {
		t.Fatalf("partition 0 has records, sent %v", sent)
	}
	// What had data is read last the next time.
	f = begin(t, c, Request{SessionID: id, Epoch: 3}, protocol.None)
	if f.Parts[0].Index != 1 || f.Parts[2].Index != 0 {
		t.Fatalf("order %v", f.Parts)
	}
}

func TestErrorIsFollowedByTheNextGoodAnswer(t *testing.T) {
	c := NewCache(10, ids())
	id, _ := end(t, begin(t, c, Request{Want: want("a", 0)}, protocol.None), idle)
	fail := func(Partition) Told { return Told{HighWatermark: -1, LogStart: -1, Failed: true} }
	for epoch := int32(1); epoch < 3; epoch++ {
		if _, sent := end(t, begin(t, c, Request{SessionID: id, Epoch: epoch}, protocol.None), fail); len(sent) != 1 {
			t.Fatal("an error was not sent")
		}
	}
	if _, sent := end(t, begin(t, c, Request{SessionID: id, Epoch: 3}, protocol.None), idle); len(sent) != 1 {
		t.Fatal("the answer after an error was not sent")
	}
}

func TestSessionErrors(t *testing.T) {
	c := NewCache(10, ids())
	begin(t, c, Request{SessionID: 7, Epoch: 1}, protocol.FetchSessionIDNotFound)
	id, _ := end(t, begin(t, c, Request{Want: want("a", 0)}, protocol.None), idle)
	begin(t, c, Request{SessionID: id, Epoch: 2}, protocol.InvalidFetchSessionEpoch)
	begin(t, c, Request{SessionID: id, Epoch: 1, ByID: true}, protocol.FetchSessionTopicIDError)
	// A final epoch closes it.
	begin(t, c, Request{SessionID: id, Epoch: finalEpoch, Want: want("a", 0)}, protocol.None)
	begin(t, c, Request{SessionID: id, Epoch: 1}, protocol.FetchSessionIDNotFound)
	// Sessionless requests make none.
	if id, _ := end(t, begin(t, c, Request{Epoch: finalEpoch, Want: want("a", 0)}, protocol.None), idle); id != 0 || c.Len() != 0 {
		t.Fatalf("id %d, %d sessions", id, c.Len())
	}
}

func TestForgetAndEmpty(t *testing.T) {
	c := NewCache(10, ids())
	id, _ := end(t, begin(t, c, Request{Want: want("a", 0, 1)}, protocol.None), idle)
	f := begin(t, c, Request{SessionID: id, Epoch: 1, Want: want("b", 4), Forget: want("a", 0)}, protocol.None)
	if len(f.Parts) != 2 || f.Parts[0].Index != 1 || f.Parts[1].Name != "b" {
		t.Fatalf("parts %v", f.Parts)
	}
	end(t, f, idle)
	f = begin(t, c, Request{SessionID: id, Epoch: 2, Forget: append(want("a", 1), want("b", 4)...)}, protocol.None)
	if got, _ := end(t, f, idle); got != 0 || c.Len() != 0 {
		t.Fatal("an empty session was kept")
	}
}

func TestOvertakenRequest(t *testing.T) {
	c := NewCache(10, ids())
	id, _ := end(t, begin(t, c, Request{Want: want("a", 0)}, protocol.None), idle)
	slow := begin(t, c, Request{SessionID: id, Epoch: 1}, protocol.None)
	end(t, begin(t, c, Request{SessionID: id, Epoch: 2}, protocol.None), idle)
	if _, code := slow.End(make([]Told, 1), make([]bool, 1), 0); code != protocol.InvalidFetchSessionEpoch {
		t.Fatalf("code %v", code)
	}
}

func TestEpochWraps(t *testing.T) {
	if nextEpoch(1<<31-1) != 1 || nextEpoch(0) != 1 || nextEpoch(-1) != -1 {
		t.Fatal("nextEpoch")
	}
}

func TestEviction(t *testing.T) {
	c := NewCache(1, ids())
	make1 := func(r Request, nowMs int64) int32 {
		f := &Fetch{}
		c.Begin(f, &r, nowMs)
		id, _ := f.End(make([]Told, len(f.Parts)), make([]bool, len(f.Parts)), nowMs)
		return id
	}
	first := make1(Request{Want: want("a", 0)}, 0)
	if make1(Request{Want: want("a", 0, 1)}, 1000) != 0 {
		t.Fatal("a young session gave way to a consumer")
	}
	if make1(Request{Follower: true, Want: want("a", 0)}, 1000) == 0 {
		t.Fatal("a consumer's session did not give way to a follower")
	}
	begin(t, c, Request{SessionID: first, Epoch: 1}, protocol.FetchSessionIDNotFound)
	if make1(Request{Want: want("a", 0)}, 1000+evictMs) != 0 {
		t.Fatal("a follower's session in use gave way to a consumer")
	}
	if make1(Request{Want: want("a", 0)}, 1001+evictMs) == 0 {
		t.Fatal("a stale session did not give way")
	}
}

// Kafka reads the partitions of a full request into a map; few of them and many are looked through in different ways.
func TestPartitionTwice(t *testing.T) {
	for _, n := range []int32{2, 100} {
		var wanted []Partition
		for p := range n {
			wanted = append(wanted, want("a", p)...)
		}
		again := want("a", 0)[0]
		again.Offset = 7
		f := begin(t, NewCache(1, ids()), Request{Want: append(wanted, again, want("b", 0)[0])}, protocol.None)
		if len(f.Parts) != int(n)+1 || f.Parts[0].Offset != 7 || f.Parts[n].Name != "b" {
			t.Errorf("of %d: %d partitions, the first %+v", n, len(f.Parts), f.Parts[0])
		}
	}
}

func TestSessionOfNothing(t *testing.T) {
	c := NewCache(1, ids())
	if id, _ := end(t, begin(t, c, Request{}, protocol.None), idle); id == 0 {
		t.Error("a full request without partitions makes a session too")
	}
}

package replica

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker/partition"
	"weir/controller"
	"weir/protocol"
)

func inRing(t *testing.T, fn func(x *ring), settings ...string) {
	synctest.Test(t, func(t *testing.T) {
		x := newRing(t, settings...)
		defer x.close()
		fn(x)
	})
}

// TestReplicates holds that what is acknowledged with acks=all is on all replicas, at once: a new partition does not wait for the end of a
// long poll, and neither does the next record.
func TestReplicates(t *testing.T) {
	inRing(t, func(x *ring) {
		other := x.topic("other", 1, 2, 3)
		if _, code := x.produce(1, other, 1); code != protocol.None {
			t.Fatal(code)
		}
		x.pass(time.Second)
		began := time.Now()
		id := x.topic("t", 1, 2, 3)
		for range 5 {
			if _, code := x.produce(1, id, 3); code != protocol.None {
				t.Fatal(code)
			}
		}
		if d := time.Since(began); d > 100*time.Millisecond {
			t.Errorf("took %v", d)
		}
		for n := int32(2); n <= 3; n++ {
			if !bytes.Equal(x.log(n, id), x.log(1, id)) {
				t.Errorf("broker %d has another log", n)
			}
		}
		x.pass(time.Second)
		if hw, _ := x.end(2, id); hw != 15 {
			t.Errorf("a follower's high watermark is %d", hw)
		}
	})
}

// TestLeaderDies holds that the records that were acknowledged survive their leader, and that the replicas end up equal.
func TestLeaderDies(t *testing.T) {
	inRing(t, func(x *ring) {
		id := x.topic("t", 1, 2, 3)
		if _, code := x.produce(1, id, 10); code != protocol.None {
			t.Fatal(code)
		}
		acked := x.log(1, id)
		x.isolate(1)
		// What it still takes goes nowhere, and is not acknowledged.
		if _, code := x.produce(1, id, 5); code != protocol.RequestTimedOut {
			t.Fatalf("a leader that is cut off: %v", code)
		}
		x.fence(1)
		if p := x.state(id); p.Leader != 2 || !slices.Equal(p.ISR, []int32{2, 3}) {
			t.Fatalf("%+v", p)
		}
		if _, code := x.produce(2, id, 7); code != protocol.None {
			t.Fatal(code)
		}
		x.heal(1)
		x.until("the old leader is in sync again", func() bool { return len(x.state(id).ISR) == 3 })
		if _, code := x.produce(2, id, 1); code != protocol.None {
			t.Fatal(code)
		}
		for n := int32(1); n <= 3; n++ {
			if got := x.log(n, id); !bytes.Equal(got, x.log(2, id)) || !bytes.HasPrefix(got, acked) {
				t.Errorf("broker %d has another log", n)
			}
		}
		if _, code := x.produce(1, id, 1); code != protocol.NotLeaderOrFollower {
			t.Errorf("%v", code)
		}
	})
}

// TestISRShrinks holds that who is silent leaves the in-sync replicas and comes back, and min.insync.replicas meanwhile.
func TestISRShrinks(t *testing.T) {
	inRing(t, func(x *ring) {
		id := x.topic("t", 1, 2, 3)
		x.produce(1, id, 1)
		x.isolate(3)
		began := time.Now()
		if _, code := x.produce(1, id, 1); code != protocol.RequestTimedOut {
			t.Fatalf("in sync are %v: %v", x.state(id).ISR, code)
		}
		x.until("the silent replica is out", func() bool { return slices.Equal(x.state(id).ISR, []int32{1, 2}) })
		if d := time.Since(began); d < 30*time.Second || d > 50*time.Second {
			t.Errorf("after %v", d)
		}
		if _, code := x.produce(1, id, 1); code != protocol.None {
			t.Fatal(code)
		}
		x.isolate(2)
		if _, code := x.produce(1, id, 1); code != protocol.RequestTimedOut {
			t.Fatal(code)
		}
		x.until("alone", func() bool { return slices.Equal(x.state(id).ISR, []int32{1}) })
		if _, code := x.produce(1, id, 1); code != protocol.NotEnoughReplicas {
			t.Fatal(code)
		}
		x.heal(2)
		x.heal(3)
		x.until("all are in sync", func() bool { return len(x.state(id).ISR) == 3 })
		if _, code := x.produce(1, id, 1); code != protocol.None {
			t.Fatal(code)
		}
		for n := int32(2); n <= 3; n++ {
			if !bytes.Equal(x.log(n, id), x.log(1, id)) {
				t.Errorf("broker %d has another log", n)
			}
		}
	})
}

// TestRestarts stops and starts one broker after another.
func TestRestarts(t *testing.T) {
	inRing(t, func(x *ring) {
		id := x.topic("t", 1, 2, 3)
		for round := range 2 {
			for n := int32(1); n <= 3; n++ {
				leader := x.state(id).Leader
				if _, code := x.produce(leader, id, 3); code != protocol.None {
					t.Fatalf("round %d, broker %d: %v", round, n, code)
				}
				x.stop(n)
				x.fence(n)
				leader = x.state(id).Leader
				if _, code := x.produce(leader, id, 2); code != protocol.None {
					t.Fatalf("round %d, without broker %d: %v", round, n, code)
				}
				x.start(n)
				x.until("in sync", func() bool { return len(x.state(id).ISR) == 3 })
			}
		}
		want := x.log(1, id)
		for n := int32(2); n <= 3; n++ {
			if !bytes.Equal(x.log(n, id), want) {
				t.Errorf("broker %d has another log", n)
			}
		}
		if _, end := x.end(1, id); end != 30 {
			t.Errorf("the log ends at %d", end)
		}
	})
}

// TestFarBehind holds that a replica whose log ends before the leader's begins starts anew there, and that DeleteRecords waits for followers.
func TestFarBehind(t *testing.T) {
	inRing(t, func(x *ring) {
		id := x.topic("t", 1, 2, 3)
		for range 4 {
			x.produce(1, id, 5)
		}
		x.pass(time.Second) // followers hear of the high watermark
		r := x.nodes[1].m.DeleteRecords(id, 5)
		wantCode(t, "delete", r.Code, protocol.None)
		if r.Ack != nil {
			<-r.Ack.Done()
			wantCode(t, "delete", r.Ack.Code(), protocol.None)
		}
		for n := int32(1); n <= 3; n++ {
			rep, _, _ := x.nodes[n].m.lock(id)
			if start := rep.log.Start(); start != 5 {
				t.Errorf("broker %d begins at %d", n, start)
			}
			rep.mu.Unlock()
		}
		x.stop(3)
		x.fence(3)
		x.produce(1, id, 5)
		x.pass(time.Second)
		r = x.nodes[1].m.DeleteRecords(id, 23)
		wantCode(t, "delete", r.Code, protocol.None)
		x.start(3)
		x.until("in sync", func() bool { return len(x.state(id).ISR) == 3 })
		rep, _, _ := x.nodes[3].m.lock(id)
		start, end := rep.log.Start(), rep.log.End()
		rep.mu.Unlock()
		if start != 23 || end != 25 {
			t.Errorf("log %d..%d", start, end)
		}
	})
}

// TestFetchersAreDynamic holds that a change of num.replica.fetchers spreads the partitions anew, and that they go on.
func TestFetchersAreDynamic(t *testing.T) {
	inRing(t, func(x *ring) {
		var ids []partition.ID
		for i := range 8 {
			ids = append(ids, x.topic(fmt.Sprint("t", i), 1, 2, 3))
		}
		fetchers := func() (n, followed int) {
			f := &x.nodes[2].m.fetchers
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, one := range f.all {
				one.mu.Lock()
				followed += len(one.want)
				one.mu.Unlock()
			}
			return len(f.all), followed
		}
		if n, followed := fetchers(); n != 1 || followed != 8 {
			t.Errorf("%d fetchers of %d partitions", n, followed)
		}
		for _, want := range []string{"3", "1"} {
			x.mu.Lock()
			x.commit([]controller.Record{&controller.ConfigRecord{ResourceType: controller.BrokerConfig, Name: "num.replica.fetchers", Value: &want}})
			x.mu.Unlock()
			x.pass(time.Second)
			if n, followed := fetchers(); fmt.Sprint(n) != want || followed != 8 {
				t.Errorf("%d fetchers of %d partitions, want %s", n, followed, want)
			}
			for _, id := range ids {
				if _, code := x.produce(1, id, 1); code != protocol.None {
					t.Errorf("%v: %v", id, code)
				}
			}
		}
	})
}

// TestThrottled holds that a replica which catches up takes as long as the throttle of its leader, or its own, wants; and that one without a
// throttle is quick.
func TestThrottled(t *testing.T) {
	const rate = 2000
	for _, side := range []string{"", "leader", "follower"} {
		inRing(t, func(x *ring) {
			id := x.topic("t", 1, 2, 3)
			x.stop(3)
			x.fence(3)
			for range 60 {
				if _, code := x.produce(1, id, 20); code != protocol.None {
					t.Fatal(code)
				}
			}
			size := len(x.log(1, id))
			if side != "" {
				x.mu.Lock()
				all, n := "*", fmt.Sprint(rate)
				x.commit([]controller.Record{
					&controller.ConfigRecord{ResourceType: controller.TopicConfig, ResourceName: "t", Name: side + ".replication.throttled.replicas", Value: &all},
					&controller.ConfigRecord{ResourceType: controller.BrokerConfig, Name: side + ".replication.throttled.rate", Value: &n},
				})
				x.mu.Unlock()
			}
			began := time.Now()
			x.start(3, "replica.fetch.max.bytes=1000")
			x.until("in sync", func() bool { return len(x.state(id).ISR) == 3 })
			got, want := time.Since(began), time.Duration(0)
			if side != "" {
				want = time.Duration(size) * time.Second / rate
			}
			if got < want*8/10 || got > want*12/10+time.Second {
				t.Errorf("%d bytes, throttle of the %q: %v, want about %v", size, side, got, want)
			}
			if _, code := x.produce(1, id, 20); code != protocol.None { // who is in sync is not held back
				t.Error(code)
			}
		})
	}
}

func TestThrottledReplicas(t *testing.T) {
	for value, want := range map[string]string{"": "", "*": "0 1 2 ", "0:1,2:1,1:2": "0 2 ", " 1:1 , 7:x, :1, 2:": "1 "} {
		on := throttledOn(value, 1)
		got := ""
		for p := range int32(3) {
			if on.has(p) {
				got += fmt.Sprint(p, " ")
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

// TestFollowerSyncsFirst holds that with flush.messages=1 a follower does not say that it has what is not on its disk.
func TestFollowerSyncsFirst(t *testing.T) {
	inRing(t, func(x *ring) {
		id := x.topic("t", 1, 2, 3)
		x.mu.Lock()
		one := "1"
		x.commit([]controller.Record{&controller.ConfigRecord{ResourceType: controller.TopicConfig, ResourceName: "t", Name: "flush.messages", Value: &one}})
		x.mu.Unlock()
		x.pass(time.Second)
		gate := make(chan error)
		x.nodes[2].store.syncGate = gate
		if _, code := x.produce(1, id, 1); code != protocol.RequestTimedOut {
			t.Errorf("acknowledged before it was synced: %v", code)
		}
		if hw, _ := x.end(1, id); hw != 0 {
			t.Errorf("high watermark %d", hw)
		}
		close(gate)
		x.until("it is acknowledged", func() bool { hw, _ := x.end(1, id); return hw == 1 })
	})
}

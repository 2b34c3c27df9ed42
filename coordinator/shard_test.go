package coordinator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func wantWords(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("words: %q, want %q", got, want)
	}
}

func TestIdleShardAnswersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.ask(read).want(t, "before the election", "error: "+ErrNotCoordinator.Error())
		b.lead()
		b.ask(write("a", "b")).want(t, "a write", "wrote [a b]")
		b.ask(read).want(t, "a read", "2")
		wantWords(t, b.words(), "0 a", "1 b")
	})
}

// Each load makes a machine for the epoch that the partition is led in then: what it sends to others is refused once there is another.
func TestMachinesKnowTheirEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made []string
		b := newBed(t, func(c *Config[*toy]) {
			c.New = func(partition, epoch int32) *toy {
				made = append(made, fmt.Sprint(partition, "/", epoch))
				return &toy{}
			}
		})
		for _, epoch := range []int32{1, 4, 4, 7} {
			b.rt.Elected(0, epoch)
			b.rt.Wait(t.Context(), 0)
		}
		if got := fmt.Sprint(made); got != "[0/1 0/4 0/7]" {
			t.Errorf("machines for %s", got)
		}
	})
}

// What comes while an append is under way is appended together, in order, and read requests between see what was before them.
func TestBatchesWhatQueuedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		b.log.block, b.log.entered = make(chan struct{}), make(chan struct{}, 10)
		var first *ask
		go func() { first = b.ask(write("a")) }()
		<-b.log.entered
		second, third, fourth := b.ask(write("b")), b.ask(read), b.ask(write("c", "d"))
		synctest.Wait()
		second.want(t, "while the first is appended", "")
		close(b.log.block)
		synctest.Wait()
		first.want(t, "first", "wrote [a]")
		second.want(t, "second", "wrote [b]")
		third.want(t, "the read between", "2")
		fourth.want(t, "fourth", "wrote [c d]")
		if n := len(b.log.batches); n != 2 {
			t.Errorf("%d batches, want 2", n)
		}
		wantWords(t, b.words(), "0 a", "1 b", "2 c", "3 d")
	})
}

func TestRepliesWaitForTheHighWatermark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		b.ask(read).want(t, "a read with nothing written", "0")
		b.log.held = true
		w1, r1, w2, r2 := b.ask(write("a", "b")), b.ask(read), b.ask(write("c")), b.ask(read)
		synctest.Wait()
		for _, a := range []*ask{w1, r1, w2, r2} {
			a.want(t, "nothing is committed", "")
		}
		b.log.commit(1)
		synctest.Wait()
		w1.want(t, "half of a batch is committed", "")
		b.log.commit(2)
		synctest.Wait()
		w1.want(t, "write", "wrote [a b]")
		r1.want(t, "a read waits for earlier writes only", "2")
		w2.want(t, "a later write", "")
		b.log.commit(3)
		synctest.Wait()
		w2.want(t, "the later write", "wrote [c]")
		r2.want(t, "the later read", "3")
		if len(b.log.watchers) != 0 {
			t.Errorf("%d watches are left", len(b.log.watchers))
		}
	})
}

func TestWriteTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, func(c *Config[*toy]) { c.Timeout = time.Second })
		b.lead()
		b.log.held = true
		w := b.ask(write("a"))
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		w.want(t, "before", "")
		time.Sleep(time.Millisecond)
		synctest.Wait()
		w.want(t, "after", "error: "+ErrTimeout.Error())
		b.log.commit(1) // it is in the log all the same
		synctest.Wait()
		wantWords(t, b.words(), "0 a")
	})
}

func TestBatchIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		b.log.limit = batchOverhead + 3*(recordOverhead+2)
		parked := b.ask(wait)
		tooLarge := b.ask(func(m *toy, now int64, t Token) Effects {
			fx := write("a", "b", "c", "d")(m, now, t)
			fx.Replies = append(fx.Replies, Reply{m.parked[0], "woken"})
			return fx
		})
		for _, a := range []*ask{tooLarge, parked} {
			if !errors.Is(a.err, ErrTooLarge) {
				t.Errorf("%v, want %v", a.now(), ErrTooLarge)
			}
		}
		b.ask(write("a", "b", "c")).want(t, "one that fits", "wrote [a b c]")
		b.log.block, b.log.entered = make(chan struct{}), make(chan struct{}, 10)
		go b.ask(write("d"))
		<-b.log.entered
		var asks []*ask
		for range 4 {
			asks = append(asks, b.ask(write("e", "f")))
		}
		close(b.log.block)
		synctest.Wait()
		for _, a := range asks {
			a.want(t, "a queued one", "wrote [e f]")
		}
		for _, s := range b.log.batches {
			if len(s.words) > 3 || len(s.words) == 1 && string(s.words[0].Value) != "d" {
				t.Errorf("a batch of %d records: operations are not split, and batches are bounded", len(s.words))
			}
		}
	})
}

func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, func(c *Config[*toy]) { c.Linger = 10 * time.Millisecond })
		b.lead()
		w := b.ask(write("a"))
		time.Sleep(5 * time.Millisecond)
		r := b.ask(read)
		w2 := b.ask(write("b"))
		synctest.Wait()
		w.want(t, "within the linger", "")
		r.want(t, "a read within the linger", "")
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		w.want(t, "after the linger", "wrote [a]")
		r.want(t, "a read after the linger", "1")
		w2.want(t, "one that came later", "wrote [b]")
		if n := len(b.log.batches); n != 1 {
			t.Errorf("%d batches, want 1", n)
		}
	})
}

// Every append says in which epoch the machine was loaded: the log refuses one from an earlier one.
func TestAppendsNameTheirEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		b.ask(write("a")).want(t, "in epoch 1", "wrote [a]")
		b.rt.Elected(0, 5)
		b.rt.Wait(t.Context(), 0)
		synctest.Wait()
		b.ask(write("b")).want(t, "in epoch 5", "wrote [b]")
		if !slices.Equal(b.log.epochs, []int32{1, 5}) {
			t.Errorf("appended in epochs %d", b.log.epochs)
		}
	})
}

func TestFailedAppendReloads(t *testing.T) {
	boom := errors.New("boom")
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		b.ask(write("a")).want(t, "before", "wrote [a]")
		parked := b.ask(wait)
		b.log.fail = boom
		b.ask(write("b")).want(t, "the write that fails", "error: boom")
		parked.want(t, "one that the machine had not answered", "error: boom")
		b.ask(read).want(t, "while loading", "error: "+ErrLoading.Error())
		b.log.set(func() { b.log.fail = nil })
		time.Sleep(firstPause)
		synctest.Wait()
		b.ask(write("c")).want(t, "after the load", "wrote [c]")
		wantWords(t, b.words(), "0 a", "1 c")
	})
}

func TestWrongOffsetReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		b.log.shift = 5 // somebody else has written
		w := b.ask(write("a"))
		if !errors.Is(w.err, ErrFailed) {
			t.Errorf("%s, want %v", w.now(), ErrFailed)
		}
		b.log.set(func() { b.log.shift = 0 })
		time.Sleep(firstPause)
		synctest.Wait()
		b.ask(write("b")).want(t, "after the load", "wrote [b]")
		wantWords(t, b.words(), "5 a", "6 b")
	})
}

func TestLoadBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.log.failLoad = errors.New("not yet")
		b.rt.Elected(0, 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := b.log.loads; n < 10 || n > 25 {
			t.Errorf("%d loads in a minute", n)
		}
		b.ask(read).want(t, "meanwhile", "error: "+ErrLoading.Error())
		b.log.set(func() { b.log.failLoad = nil })
		time.Sleep(longestPause)
		synctest.Wait()
		b.ask(read).want(t, "afterwards", "0")
	})
}

func TestPanicFailsTheShardOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		b.rt.Elected(1, 1)
		b.rt.Wait(t.Context(), 1)
		b.ask(write("a")).want(t, "before", "wrote [a]")
		parked := b.ask(wait)
		b.ask(func(m *toy, now int64, t Token) Effects { panic("bug") }).want(t, "the one that panics", "error: "+ErrFailed.Error())
		parked.want(t, "one that waits", "error: "+ErrFailed.Error())
		b.rt.Do(1, read, func(r any, err error) {
			if err != nil {
				t.Errorf("the other partition: %v", err)
			}
		})
		time.Sleep(firstPause)
		synctest.Wait()
		for _, word := range []string{"poison", "gibberish"} {
			if a := b.ask(write(word)); !errors.Is(a.err, ErrFailed) {
				t.Errorf("%s: %s, want %v", word, a.now(), ErrFailed)
			}
			time.Sleep(firstPause)
			synctest.Wait()
			wantWords(t, b.words(), "0 a")
		}
	})
}

func TestLoadSkipsWhatItCannotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		for i, w := range []string{"a", "gibberish", "b", "poison", "c"} {
			b.log.batches = append(b.log.batches, stored{base: int64(i), words: []Record{{Value: []byte(w)}}})
		}
		b.log.end, b.log.hw = 5, 5
		b.lead()
		wantWords(t, b.words(), "0 a", "2 b", "4 c")
	})
}

func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		start := time.Now().UnixMilli()
		b.ask(setTimer("x", 100))
		b.ask(setTimer("y", 50))
		b.ask(setTimer("z", 70))
		b.ask(setTimer("z", -1))
		time.Sleep(40 * time.Millisecond)
		b.ask(setTimer("y", 100)) // at 140
		b.ask(setTimer("x", 20))  // at 60
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		wantWords(t, b.words(), fmt.Sprintf("0 x at %d", start+60), fmt.Sprintf("1 y at %d", start+140))
		parked := b.ask(wait)
		b.ask(setTimer("wake", 10))
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		parked.want(t, "one that a timer answers", "woken")
	})
}

// A timer that is always due must not keep the shard from its requests.
func TestTimerThatIsAlwaysDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		b.ask(setTimer("again", 0))
		time.Sleep(10 * time.Millisecond)
		b.ask(setTimer("again", -1)).want(t, "a request", "set")
		if n := len(b.log.batches); n == 0 || n > 11 {
			t.Errorf("it fired %d times in 10 ms", n)
		}
	})
}

func TestResign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		b.log.held = true
		w, parked := b.ask(write("a")), b.ask(wait)
		forgotten := b.ask(func(m *toy, now int64, t Token) Effects { return Effects{} })
		b.rt.Resigned(0, 0)
		parked.want(t, "after an old epoch", "")
		b.rt.Elected(0, 1)
		parked.want(t, "after an election that is not new", "")
		b.rt.Resigned(0, 2)
		parked.want(t, "one that the machine has a word for", "resigned")
		w.want(t, "one that waits to be committed", "error: "+ErrNotCoordinator.Error())
		forgotten.want(t, "one that the machine has no word for", "error: "+ErrNotCoordinator.Error())
		b.ask(read).want(t, "afterwards", "error: "+ErrNotCoordinator.Error())
		if p := b.rt.Partitions(); len(p) != 0 {
			t.Errorf("partitions %v", p)
		}
		b.rt.Elected(0, 1)
		b.ask(read).want(t, "after an election of old", "error: "+ErrNotCoordinator.Error())
		b.log.set(func() { b.log.held, b.log.hw = false, 1 })
		b.rt.Elected(0, 3)
		b.rt.Wait(t.Context(), 0)
		wantWords(t, b.words(), "0 a")
		b.rt.Forget()
		b.ask(read).want(t, "when the topic is gone", "error: "+ErrNotCoordinator.Error())
		b.rt.Elected(0, 0)
		b.rt.Wait(t.Context(), 0)
		b.ask(read).want(t, "when it is there again", "1")
	})
}

// A load that ends after its election is over changes nothing.
func TestResignWhileLoading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.log.gate = make(chan struct{})
		b.rt.Elected(0, 1)
		synctest.Wait()
		b.ask(read).want(t, "while loading", "error: "+ErrLoading.Error())
		b.rt.Resigned(0, 2)
		b.rt.Elected(0, 3)
		synctest.Wait()
		b.ask(read).want(t, "while the second load runs", "error: "+ErrLoading.Error())
		close(b.log.gate)
		synctest.Wait()
		b.ask(read).want(t, "afterwards", "0")
	})
}

func TestLoadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, func(c *Config[*toy]) { c.Loads = 3 })
		gate := make(chan struct{})
		b.log.gate = gate
		for p := range int32(20) {
			b.rt.Elected(p, 1)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b.rt.Wait(ctx, 19) // moves it to the front
		for range 6 {
			gate <- struct{}{}
			synctest.Wait() // the loader is at the gate again, or one of the others could go through twice
		}
		done := false
		b.rt.Do(19, read, func(_ any, err error) { done = err == nil })
		if !done {
			t.Error("the partition that somebody waited for was not loaded first")
		}
		close(gate)
		synctest.Wait()
		if b.log.most != 3 || b.log.loads != 20 {
			t.Errorf("%d loads, %d at a time, want 20, 3", b.log.loads, b.log.most)
		}
	})
}

func TestChangesReachEveryMachine(t *testing.T) {
	word := "first"
	change := func(m *toy, now int64, t Token) Effects {
		if t != 0 {
			panic("nobody asks")
		}
		return Effects{Records: []Record{{Value: []byte(word)}}}
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, func(c *Config[*toy]) { c.Changed = change })
		b.lead()
		word = "second"
		b.rt.Each(change)
		wantWords(t, b.words(), "0 first", "1 second")
	})
}

func TestTransactions(t *testing.T) {
	p := &Producer{ID: 7, Epoch: 2}
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil)
		b.lead()
		b.log.block, b.log.entered = make(chan struct{}), make(chan struct{}, 10)
		go b.ask(write("a"))
		<-b.log.entered
		b.ask(write("b"))
		b.ask(func(m *toy, now int64, t Token) Effects {
			fx := write("c", "d")(m, now, t)
			fx.Producer = p
			return fx
		})
		b.ask(write("e"))
		b.ask(func(m *toy, now int64, t Token) Effects {
			return Effects{Producer: p, Marker: &Marker{Commit: true}, Replies: []Reply{{t, "ended"}}}
		})
		close(b.log.block)
		synctest.Wait()
		want := []string{"0 a", "1 b", "2 c by 7/2", "3 d by 7/2", "4 e", "5 marker of 7/2 true"}
		wantWords(t, b.words(), want...)
		if n := len(b.log.batches); n != 5 {
			t.Errorf("%d batches, want 5: a, b, the transaction's, e, the marker", n)
		}
		b.rt.Resigned(0, 2)
		b.rt.Elected(0, 3)
		b.rt.Wait(t.Context(), 0)
		wantWords(t, b.words(), want...)
	})
}

func TestSends(t *testing.T) {
	var sent []Send
	var answer func(any, error)
	send := func(s Send, answered func(any, error)) { sent, answer = append(sent, s), answered }
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, func(c *Config[*toy]) { c.Send = send })
		b.lead()
		b.log.held = true
		b.ask(func(m *toy, now int64, t Token) Effects {
			fx := write("a")(m, now, t)
			fx.Sends = []Send{{Key: "key", Node: 3}}
			return fx
		})
		synctest.Wait()
		if len(sent) != 0 {
			t.Error("a request left before its records were committed")
		}
		b.log.commit(1)
		synctest.Wait()
		if len(sent) != 1 || sent[0].Node != 3 {
			t.Fatalf("sent %v", sent)
		}
		b.log.set(func() { b.log.held = false })
		answer("yes", nil)
		synctest.Wait()
		wantWords(t, b.words(), "0 a", "1 key answered yes, <nil>")
		b.rt.Resigned(0, 5)
		answer("late", nil)
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, nil).lead()
		parked := b.ask(wait)
		b.ask(setTimer("x", 100))
		b.rt.Close()
		parked.want(t, "one that waits", "resigned")
		b.ask(read).want(t, "afterwards", "error: "+ErrNotCoordinator.Error())
		b.rt.Elected(0, 9)
		b.rt.Elected(1, 9)
		b.ask(read).want(t, "after an election", "error: "+ErrNotCoordinator.Error())
		time.Sleep(time.Second)
		if len(b.log.batches) != 0 {
			t.Error("a timer fired after the end")
		}
	})
}

// Many goroutines, failing appends and elections: each request is answered once, and the log replays to what was acknowledged.
func TestConcurrent(t *testing.T) {
	b := newBed(t, nil)
	b.rt.Elected(0, 1)
	b.rt.Wait(t.Context(), 0)
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 5000 {
				select {
				case <-stop:
					return
				default:
				}
				word := fmt.Sprintf("%d.%d", g, i)
				a := b.ask(write(word))
				<-a.done
				if a.err != nil {
					b.rt.Wait(t.Context(), 0)
				} else {
					mu.Lock()
					acknowledged[word] = true
					mu.Unlock()
				}
			}
		}()
	}
	random := rand.New(rand.NewPCG(1, 2))
	for epoch := int32(2); epoch < 60; epoch++ {
		switch random.IntN(3) {
		case 0:
			b.rt.Resigned(0, epoch)
		case 1:
			b.rt.Elected(0, epoch)
		case 2:
			b.log.set(func() { b.log.fail = errors.New("boom") })
			<-b.ask(write("boom")).done
			b.log.set(func() { b.log.fail = nil })
		}
		b.rt.Wait(t.Context(), 0)
	}
	close(stop)
	wg.Wait()
	b.rt.Elected(0, 100)
	b.rt.Wait(t.Context(), 0)
	loaded := map[string]bool{}
	for i, w := range b.words() {
		offset, word, _ := strings.Cut(w, " ")
		if offset != fmt.Sprint(i) {
			t.Fatalf("word %d is %s", i, w)
		}
		loaded[word] = true
	}
	for word := range acknowledged {
		if !loaded[word] {
			t.Errorf("%s was acknowledged and is not there", word)
		}
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was acknowledged")
	}
	b.rt.Close()
}

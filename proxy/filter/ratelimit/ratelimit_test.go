package ratelimit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/proxy/filter"
)

// A client that asks as fast as it can does so at the rate it may, whatever others do.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := New(Config{Requests: 10, Bytes: 1000}, nil)
		if err != nil {
			t.Fatal(err)
		}
		chain := filter.NewChain(f)
		ask := func(client string, bytes, answered int) time.Duration {
			x := &filter.Exchange{Context: t.Context(), Key: 1, ClientID: client, Bytes: bytes}
			chain.Begin(x)
			start := time.Now()
			if err := x.Before(); err != nil {
				t.Fatal(err)
			}
			x.Answered = answered
			if err := x.After(); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		start := time.Now()
		for range 110 {
			ask("a", 1, 0)
		}
		if d := time.Since(start).Round(time.Millisecond); d != 10*time.Second {
			t.Errorf("110 requests took %s", d)
		}
		if d := ask("b", 1, 0); d != 0 {
			t.Errorf("another waited %s", d)
		}
		start = time.Now()
		ask("c", 500, 2500)
		ask("c", 0, 0)
		if d := time.Since(start).Round(time.Millisecond); d != 2*time.Second {
			t.Errorf("2,000 bytes too many took %s", d)
		}
		if d := ask("d", 10_000_000, 0); d != maxWait {
			t.Errorf("waited %s", d)
		}
	})
}

func TestManyClients(t *testing.T) {
	now := time.Unix(0, 0)
	f, err := New(Config{Requests: 1}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxClients {
		f.take(fmt.Sprint(i), 5, 0)
	}
	if n := len(f.clients); n > maxClients {
		t.Errorf("%d clients are remembered", n)
	}
	for _, c := range []Config{{}, {Requests: -1}, {Bytes: -1}} {
		if _, err := New(c, nil); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

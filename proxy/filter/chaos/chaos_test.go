package chaos

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/protocol"
	"weir/proxy/filter"
)

// run sends requests through a filter and notes what becomes of them.
func run(t *testing.T, c Config, keys []int16) string {
	t.Helper()
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	chain := filter.NewChain(f)
	var out strings.Builder
	for _, key := range keys {
		x := &filter.Exchange{Context: t.Context(), Key: key}
		chain.Begin(x)
		start := time.Now()
		err := x.Before()
		var r *filter.Refused
		switch {
		case errors.As(err, &r):
			fmt.Fprintf(&out, "%d:%s ", key, r.Code)
		case errors.Is(err, errDisconnect):
			fmt.Fprintf(&out, "%d:gone ", key)
		case time.Since(start) > 0:
			fmt.Fprintf(&out, "%d:%s ", key, time.Since(start))
		default:
			fmt.Fprintf(&out, "%d ", key)
		}
	}
	return out.String()
}

func TestChaos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := []int16{0, 1, 3, 18, 0, 1, 3, 18, 36}
		always := func(f Fault) Config { f.Rate = 1; return Config{Faults: []Fault{f}} }
		if got, want := run(t, always(Fault{Keys: []string{"Produce"}, Error: "NOT_LEADER_OR_FOLLOWER"}), keys[:4]), "0:NOT_LEADER_OR_FOLLOWER 1 3 18 "; got != want {
			t.Error(got)
		}
		if got, want := run(t, always(Fault{Disconnect: true, Delay: time.Second}), keys[:4]), "0:gone 1:gone 3:gone 18 "; got != want {
			t.Error(got)
		}
		if got, want := run(t, always(Fault{Keys: []string{"Fetch"}, Delay: time.Second}), keys[:4]), "0 1:1s 3 18 "; got != want {
			t.Error(got)
		}
		many := make([]int16, 2000)
		half := Config{Seed: 7, Faults: []Fault{{Rate: 0.25, Error: "REQUEST_TIMED_OUT"}, {Rate: 0.1, Delay: time.Millisecond}}}
		first := run(t, half, many)
		if run(t, half, many) != first {
			t.Error("the same seed gave other faults")
		}
		if n := strings.Count(first, protocol.RequestTimedOut.String()); n < 400 || n > 600 {
			t.Errorf("%d of 2,000 at a rate of 0.25", n)
		}
		if half.Seed = 8; run(t, half, many) == first {
			t.Error("another seed gave the same faults")
		}
	})
}

func TestBadConfigs(t *testing.T) {
	for _, f := range []Fault{
		{Rate: 0, Disconnect: true}, {Rate: 2, Disconnect: true}, {Rate: 1}, {Rate: 1, Delay: -1}, {Rate: 1, Error: "NOPE"}, {Rate: 1, Error: "NONE"},
		{Rate: 1, Error: "REQUEST_TIMED_OUT", Disconnect: true}, {Rate: 1, Disconnect: true, Keys: []string{"Nope"}},
	} {
		if _, err := New(Config{Faults: []Fault{f}}); err == nil {
			t.Errorf("%+v is taken", f)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no fault is taken")
	}
}

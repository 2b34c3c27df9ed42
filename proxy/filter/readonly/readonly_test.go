package readonly

import (
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/proxy/filter"
)

// TestEveryKey wants each key that clients may use in one list.
func TestEveryKey(t *testing.T) {
	for _, a := range protocol.APIs {
		n := 0
		for _, l := range [][]int16{writes, groups, reads} {
			if slices.Contains(l, a.Key) {
				n++
			}
		}
		if served := a.Listeners&protocol.OnBroker != 0; served && n != 1 || !served && n != 0 {
			t.Errorf("%s is in %d lists", a.Name, n)
		}
	}
}

func TestReadOnly(t *testing.T) {
	for _, g := range []bool{false, true} {
		f, err := New(Config{Groups: g})
		if err != nil {
			t.Fatal(err)
		}
		chain := filter.NewChain(f)
		for key, refused := range map[int16]bool{0: true, 19: true, 1: false, 3: false, 8: g, 11: g} {
			x := &filter.Exchange{Key: key}
			chain.Begin(x)
			var r *filter.Refused
			if err := x.Before(); errors.As(err, &r) != refused || refused && r.Code != protocol.ClusterAuthorizationFailed {
				t.Errorf("key %d: %v", key, err)
			}
		}
		api, _ := protocol.Lookup(19)
		if chain.Limit(api) >= 0 {
			t.Error("CreateTopics is told of")
		}
		x := &filter.Exchange{Key: 3}
		chain.Begin(x)
		m := &kmsg.MetadataRequest{AllowAutoTopicCreation: true}
		if _, err := x.Request(m); err != nil || m.AllowAutoTopicCreation {
			t.Error("a topic may be made by asking for it")
		}
	}
}

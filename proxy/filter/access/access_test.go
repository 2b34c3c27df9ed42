package access

import (
	"testing"

	"weir/protocol"
	"weir/proxy/filter"
)

func TestAccess(t *testing.T) {
	f, err := New(Config{Rules: []Rule{
		{Allow: true, Keys: []string{"Produce"}, Clients: []string{"writer-*"}},
		{Keys: []string{"Produce", "CreateTopics"}, Clients: []string{"*"}},
		{Keys: []string{"DeleteTopics"}},
		{Clients: []string{"bad"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	chain := filter.NewChain(f)
	for _, test := range []struct {
		key    int16
		client string
		want   bool
	}{
		{0, "writer-1", true}, {0, "writer", false}, {0, "", false}, {19, "writer-1", false}, {20, "x", false},
		{1, "x", true}, {1, "bad", false}, {18, "bad", true}, {17, "bad", true}, {1, "bad2", true},
	} {
		x := &filter.Exchange{Key: test.key, ClientID: test.client}
		chain.Begin(x)
		if err := x.Before(); (err == nil) != test.want {
			t.Errorf("%+v: %v", test, err)
		}
	}
	for key, told := range map[int16]bool{0: true, 1: true, 20: false, 18: true} {
		if a, _ := protocol.Lookup(key); (chain.Limit(a) >= 0) != told {
			t.Errorf("key %d: told of up to %d", key, chain.Limit(a))
		}
	}
	for _, bad := range []Config{{}, {Rules: []Rule{{Keys: []string{"Prodice"}}}}, {Rules: []Rule{{Clients: []string{"["}}}}} {
		if _, err := New(bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

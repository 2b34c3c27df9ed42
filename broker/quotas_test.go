package broker

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"weir/config"
)

// quotasOf makes quotas of the listeners A and B from settings of the cluster.
func quotasOf(set map[string]string) *quotas {
	return newQuotas(limitsOf(&config.Layers{Cluster: set}, []string{"A", "B"}), time.Now)
}

func TestQuotas(t *testing.T) {
	type visit struct {
		listener, ip string
		ok           bool
	}
	for _, c := range []struct {
		name      string
		set       map[string]string
		protected string
		visits    []visit // in order; none leaves
	}{
		{"no limits", nil, "", []visit{{"A", "1.1.1.1", true}, {"A", "1.1.1.1", true}, {"B", "1.1.1.1", true}}},
		{"in all", map[string]string{"max.connections": "2"}, "", []visit{{"A", "1.1.1.1", true}, {"B", "1.1.1.2", true}, {"A", "1.1.1.3", false}}},
		{"but not between brokers", map[string]string{"max.connections": "1"}, "B", []visit{{"A", "1.1.1.1", true}, {"B", "1.1.1.2", true}, {"A", "1.1.1.3", false}}},
		{"what is said for all holds for each listener", map[string]string{"max.connections": "1"}, "B", []visit{{"B", "1.1.1.1", true}, {"B", "1.1.1.2", false}}},
		{"of one listener", map[string]string{"listener.name.a.max.connections": "1"}, "", []visit{{"A", "1.1.1.1", true}, {"A", "1.1.1.2", false}, {"B", "1.1.1.3", true}, {"B", "1.1.1.4", true}}},
		{"from one address", map[string]string{"max.connections.per.ip": "1"}, "", []visit{{"A", "1.1.1.1", true}, {"B", "1.1.1.1", false}, {"B", "1.1.1.2", true}}},
		{"from certain addresses", map[string]string{"max.connections.per.ip": "0", "max.connections.per.ip.overrides": "1.1.1.1:2, ::1:1,[::ffff:2.2.2.2]:1"}, "",
			[]visit{{"A", "1.1.1.1", true}, {"A", "1.1.1.1", true}, {"A", "1.1.1.1", false}, {"A", "::1", true}, {"A", "::1", false}, {"A", "2.2.2.2", true}, {"A", "3.3.3.3", false}}},
		{"localhost", map[string]string{"max.connections.per.ip": "0", "max.connections.per.ip.overrides": "localhost:1"}, "", []visit{{"A", "127.0.0.1", true}, {"A", "::1", true}, {"A", "::1", false}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			q := quotasOf(c.set)
			q.protected[c.protected] = true
			for i, v := range c.visits {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				if err := q.enter(ctx, v.listener, v.ip); (err == nil) != v.ok {
					t.Errorf("%s: connection %d: %v", c.name, i, err)
				}
				cancel()
			}
		})
	}
}

// Who waits goes on when somebody leaves or the limit is raised, and not before.
func TestQuotasWait(t *testing.T) {
	for name, free := range map[string]func(q *quotas){
		"one leaves":          func(q *quotas) { q.leave("A", "1.1.1.1") },
		"the limit is raised": func(q *quotas) { q.set(limitsOf(&config.Layers{}, nil)) },
	} {
		synctest.Test(t, func(t *testing.T) {
			q := quotasOf(map[string]string{"max.connections": "1"})
			if err := q.enter(t.Context(), "A", "1.1.1.1"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- q.enter(t.Context(), "B", "1.1.1.2") }()
			synctest.Wait()
			if len(done) > 0 {
				t.Fatalf("%s: did not wait", name)
			}
			free(q)
			synctest.Wait()
			if len(done) != 1 || <-done != nil {
				t.Errorf("%s: still waits", name)
			}
		})
	}
}

func TestQuotasOfAddressesAreForgotten(t *testing.T) {
	q := quotasOf(map[string]string{"max.connections.per.ip": "1"})
	for range 3 {
		if err := q.enter(t.Context(), "A", "1.1.1.1"); err != nil {
			t.Fatal(err)
		}
		if err := q.enter(t.Context(), "A", "1.1.1.1"); !errors.Is(err, errTooMany) {
			t.Fatal(err)
		}
		q.leave("A", "1.1.1.1")
	}
	if len(q.ips) > 0 || q.total != 0 || q.excess() != -math.MaxInt32 {
		t.Errorf("%v, %d in all, %d too many", q.ips, q.total, q.excess())
	}
}

// After a burst, connections come at the rate; after a pause, in a burst again.
func TestCreationRate(t *testing.T) {
	for _, key := range []string{"max.connection.creation.rate", "listener.name.a.max.connection.creation.rate"} {
		synctest.Test(t, func(t *testing.T) {
			q := quotasOf(map[string]string{key: "2"})
			took := func(n int) time.Duration {
				start := time.Now()
				for range n {
					if err := q.enter(t.Context(), "A", "1.1.1.1"); err != nil {
						t.Fatal(err)
					}
				}
				return time.Since(start)
			}
			if d := took(20); d != 0 {
				t.Errorf("%s: the burst took %v", key, d)
			}
			if d := took(10); d != 5*time.Second {
				t.Errorf("%s: 10 more took %v", key, d)
			}
			time.Sleep(time.Minute)
			if d := took(20); d != 0 {
				t.Errorf("%s: after a pause the burst took %v", key, d)
			}
			q.set(limitsOf(&config.Layers{}, []string{"A"}))
			if d := took(1000); d != 0 {
				t.Errorf("%s: without a limit it took %v", key, d)
			}
		})
	}
}

package api

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

// found shows an answer in one form for all versions.
func found(r *kmsg.FindCoordinatorResponse) (out []string) {
	if r.Version < 4 {
		return []string{fmt.Sprintf("%v %d %s:%d", protocol.Code(r.ErrorCode), r.NodeID, r.Host, r.Port)}
	}
	for _, c := range r.Coordinators {
		out = append(out, fmt.Sprintf("%v %d %s:%d", protocol.Code(c.ErrorCode), c.NodeID, c.Host, c.Port))
	}
	return out
}

func findOf(kind int8, keys ...string) *kmsg.FindCoordinatorRequest {
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.CoordinatorType, q.CoordinatorKeys = kind, keys
	if len(keys) > 0 {
		q.CoordinatorKey = keys[0]
	}
	return q
}

func TestFindCoordinator(t *testing.T) {
	versions(t, 10, func(t *testing.T, v int16) {
		w, _ := groupWorld(t)
		w.auth.deny(Describe, GroupResource, "denied")
		w.auth.deny(Describe, TransactionalIDResource, "denied")
		txnsOf(w)
		ask := func(kind int8, keys ...string) []string {
			return found(call[*kmsg.FindCoordinatorResponse](w, v, findOf(kind, keys...)))
		}
		if got := ask(groupCoordinator, "g"); !slices.Equal(got, []string{"NONE 1 h1:9091"}) {
			t.Errorf("%q", got)
		}
		if got := ask(groupCoordinator, "denied"); !slices.Equal(got, []string{"GROUP_AUTHORIZATION_FAILED -1 :-1"}) {
			t.Errorf("denied: %q", got)
		}
		if v >= 1 {
			if got := ask(transactionCoordinator, "x"); !slices.Equal(got, []string{"NONE 1 h1:9091"}) {
				t.Errorf("transactions: %q", got)
			}
			if got := ask(transactionCoordinator, "denied"); !slices.Equal(got, []string{"TRANSACTIONAL_ID_AUTHORIZATION_FAILED -1 :-1"}) {
				t.Errorf("denied: %q", got)
			}
			if got := ask(shareCoordinator, "x"); !slices.Equal(got, []string{"INVALID_REQUEST -1 :-1"}) {
				t.Errorf("share: %q", got)
			}
		}
		if v >= 4 {
			if got := ask(groupCoordinator, "a", "denied", "b"); !slices.Equal(got, []string{"NONE 1 h1:9091", "GROUP_AUTHORIZATION_FAILED -1 :-1", "NONE 1 h1:9091"}) {
				t.Errorf("many: %q", got)
			}
			if got := ask(groupCoordinator); len(got) != 0 {
				t.Errorf("none: %q", got)
			}
		}
	})
}

func TestFindCoordinatorElsewhere(t *testing.T) {
	w := newWorld(t)
	g := &fakeGroups{loading: true}
	w.s.Groups = g
	w.topic(offsetsTopic, []int32{2}, []int32{3}, []int32{1})
	ask := func(key string) string {
		return found(call[*kmsg.FindCoordinatorResponse](w, 4, findOf(groupCoordinator, key)))[0]
	}
	for key, want := range map[string]string{
		"c":  "NONE 2 h2:9092",                   // 99 % 3
		"d":  "COORDINATOR_NOT_AVAILABLE -1 :-1", // its broker is fenced
		"e":  "NONE 1 h1:9091",
		"\"": "COORDINATOR_NOT_AVAILABLE -1 :-1", // 34 % 3
	} {
		if got := ask(key); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
	if g.waited == 0 {
		t.Error("the answer did not wait for what this broker loads")
	}
	w.who.ListenerName = "EXTERNAL"
	if got := ask("c"); got != "COORDINATOR_NOT_AVAILABLE -1 :-1" {
		t.Errorf("a coordinator without the listener: %q", got)
	}
}

func TestFindCoordinatorCreatesTheTopic(t *testing.T) {
	w := newWorld(t)
	w.s.Groups = &fakeGroups{}
	w.s.Config = settings(t, "auto.create.topics.enable=false", "offsets.topic.num.partitions=7")
	w.creates(nil)
	r := call[*kmsg.FindCoordinatorResponse](w, 4, findOf(groupCoordinator, "g"))
	if got := found(r); !slices.Equal(got, []string{"NONE 1 h1:9091"}) {
		t.Errorf("%q", got)
	}
	made := w.requests()[0].(*kmsg.CreateTopicsRequest).Topics[0]
	if made.Topic != offsetsTopic || made.NumPartitions != 7 || made.ReplicationFactor != 3 {
		t.Errorf("%+v: in a cluster of three it has three replicas", made)
	}
	w = newWorld(t)
	w.s.Groups = &fakeGroups{}
	if got := found(call[*kmsg.FindCoordinatorResponse](w, 4, findOf(groupCoordinator, "g"))); !slices.Equal(got, []string{"COORDINATOR_NOT_AVAILABLE -1 :-1"}) {
		t.Errorf("without a controller: %q", got)
	}
}

// The topics of Kafka's own have one replica where nobody says more and there is one broker.
func TestInternalTopicsOfOne(t *testing.T) {
	w := newWorld(t)
	one := controller.NewImage()
	one, _, err := controller.Merge(one, []controller.Record{&controller.BootstrapRecord{ClusterID: testCluster},
		&controller.RegisterBrokerRecord{BrokerID: 1, BrokerEpoch: -1}}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.img = one
	for _, c := range []struct {
		set      string
		replicas int16
		minISR   string
	}{
		{"num.partitions=1", 1, "1"},
		{"transaction.state.log.replication.factor=2", 2, "2"},
		{"transaction.state.log.min.isr=3", 1, "3"},
		{"controller.quorum.voters=1@a:1,2@b:1,3@c:1", 3, "2"},
		{"controller.quorum.bootstrap.servers=a:1,b:1", 3, "2"},
	} {
		w.s.Config = settings(t, c.set)
		made := w.s.defaultTopic("__transaction_state")
		minISR := ""
		for _, x := range made.Configs {
			if x.Name == "min.insync.replicas" {
				minISR = value(x.Value)
			}
		}
		if made.ReplicationFactor != c.replicas || minISR != c.minISR {
			t.Errorf("%s: %d replicas, %s in sync", c.set, made.ReplicationFactor, minISR)
		}
	}
}

package broker_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker"
	"weir/config"
)

// startCluster runs n brokers until the test ends.
func startCluster(t testing.TB, n int, set ...string) (*broker.Cluster, *lines) {
	t.Helper()
	log := &lines{}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := broker.StartCluster(ctx, n, broker.ClusterConfig{
		Dir: t.TempDir(), Set: set, Config: broker.Config{Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelInfo}))},
	})
	t.Cleanup(func() {
		if t.Failed() {
			log.mu.Lock()
			t.Log(log.text.String())
			log.mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, log
}

// ask sends one request on a connection of its own.
func askBroker[R kmsg.Response](t testing.TB, b *broker.Broker, q kmsg.Request) R {
	t.Helper()
	nc, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	r, err := exchange(nc, q, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r.(R)
}

func TestThreeBrokersOfOneCluster(t *testing.T) {
	c, _ := startCluster(t, 3)
	for id := int32(1); id <= 3; id++ {
		q := kmsg.NewPtrMetadataRequest()
		q.SetVersion(12)
		r := askBroker[*kmsg.MetadataResponse](t, c.Broker(id), q)
		if len(r.Brokers) != 3 || *r.ClusterID != c.Broker(1).ClusterID() || r.ControllerID != 1 {
			t.Errorf("broker %d says %+v", id, r)
		}
		create := kmsg.NewPtrCreateTopicsRequest()
		create.SetVersion(7)
		create.TimeoutMillis = 10_000
		create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: fmt.Sprintf("t%d", id), NumPartitions: 6, ReplicationFactor: 3}}
		if r := askBroker[*kmsg.CreateTopicsResponse](t, c.Broker(id), create); r.Topics[0].ErrorCode != 0 {
			t.Errorf("create by broker %d: %+v", id, r.Topics[0])
		}
		q.Topics = []kmsg.MetadataRequestTopic{{Topic: &create.Topics[0].Topic}}
		if r := askBroker[*kmsg.MetadataResponse](t, c.Broker(id), q); len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 6 {
			t.Errorf("a topic that was made by broker %d is not there: %+v", id, r.Topics)
		}
	}
}

// A broker that comes back on another port is found there, also when all do at once; the votes are where they were.
func TestBrokersComeBackElsewhere(t *testing.T) {
	c, _ := startCluster(t, 3)
	within := func() context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		t.Cleanup(cancel)
		return ctx
	}
	awaitQuorum(t, c.Broker(1), "three votes", func(p *kmsg.DescribeQuorumResponseTopicPartition) bool { return len(p.CurrentVoters) == 3 })
	for id := int32(1); id <= 3; id++ {
		if err := c.Stop(id); err != nil {
			t.Error(err)
		}
		if err := c.Restart(within(), id); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(within()); err != nil {
			t.Fatal(err)
		}
	}
	awaitQuorum(t, c.Broker(3), "three votes", func(p *kmsg.DescribeQuorumResponseTopicPartition) bool {
		return len(p.CurrentVoters) == 3 && len(p.Observers) == 0
	})
}

// Of six nodes five vote.
func TestFiveVotes(t *testing.T) {
	c, _ := startCluster(t, 6)
	awaitQuorum(t, c.Broker(6), "five votes", func(p *kmsg.DescribeQuorumResponseTopicPartition) bool {
		return len(p.CurrentVoters) == 5 && len(p.Observers) == 1
	})
}

// A leader whose vote is taken does not ask for one again.
func TestRemovedVoters(t *testing.T) {
	c, _ := startCluster(t, 4)
	awaitQuorum(t, c.Broker(1), "three votes", func(p *kmsg.DescribeQuorumResponseTopicPartition) bool { return len(p.CurrentVoters) == 3 })
	for left := 2; left > 0; left-- {
		var leader int32
		awaitQuorum(t, c.Broker(4), "leader", func(p *kmsg.DescribeQuorumResponseTopicPartition) bool { leader = p.LeaderID; return true })
		q := kmsg.NewPtrRemoveRaftVoterRequest()
		q.VoterID = leader
		if r := askBroker[*kmsg.RemoveRaftVoterResponse](t, c.Broker(4), q); r.ErrorCode != 0 {
			t.Fatalf("%+v", r)
		}
		awaitQuorum(t, c.Broker(4), "another leader", func(p *kmsg.DescribeQuorumResponseTopicPartition) bool { return p.LeaderID != leader })
		if !c.Broker(leader).Retired() {
			t.Errorf("node %d, the leader before, would have a vote again", leader)
		}
	}
}

// awaitQuorum asks for the quorum until it is as wanted.
func awaitQuorum(t testing.TB, b *broker.Broker, what string, ok func(*kmsg.DescribeQuorumResponseTopicPartition) bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); ; <-tick.C {
		q := kmsg.NewPtrDescribeQuorumRequest()
		q.SetVersion(2)
		q.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
		r := askBroker[*kmsg.DescribeQuorumResponse](t, b, q)
		if r.ErrorCode == 0 && ok(&r.Topics[0].Partitions[0]) {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("no %s: %+v", what, r)
		}
	}
}

// startOne starts one more broker.
func startOne(t testing.TB, dir string, set ...string) error {
	t.Helper()
	source, err := config.FromSets(append([]string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + dir}, set...))
	if err != nil {
		t.Fatal(err)
	}
	static, _, err := config.Resolve(source)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := broker.Start(ctx, broker.Config{Settings: static, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Cleanup(func() { b.Close() })
	}
	return err
}

// Who does not belong is kept out, and hears why; so does the cluster's log.
func TestRefusedJoins(t *testing.T) {
	const key = "cluster.key=0123456789abcdef"
	c, log := startCluster(t, 2, key)
	other := t.TempDir()
	if err := startOne(t, other, "node.id=7"); err != nil { // another cluster's data; the broker runs on
		t.Fatal(err)
	}
	foreign, _ := startCluster(t, 1)
	if err := foreign.Stop(1); err != nil {
		t.Fatal(err)
	}
	join := "cluster.join=" + c.Addrs()[1]
	for _, test := range []struct {
		name string
		set  []string
		want string
		said string // in the cluster's log
	}{
		{"no key", []string{join}, "has a cluster.key", "has a cluster.key"},
		{"another key", []string{join, "cluster.key=fedcba9876543210"}, "another cluster.key", "cluster.key"},
		{"another cluster", []string{join, key, "cluster.id=MkU3OEVBNTcwNTJENDM2Qg"}, "this is cluster", ""},
		{"the leader's id", []string{join, key, "node.id=1"}, "node id 1 is that of the node at", "node id 1 is that of"},
		{"another node's id", []string{join, key, "node.id=2"}, "node id 2 is that of the node at", "node id 2 is that of"},
	} {
		dir := t.TempDir()
		err := startOne(t, dir, test.set...)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
		log.mu.Lock()
		if text := log.text.String(); !strings.Contains(text, test.said) {
			t.Errorf("%s: the cluster's log does not say %q:\n%s", test.name, test.said, text)
		}
		log.mu.Unlock()
		if _, err := os.Stat(filepath.Join(dir, "meta.properties")); err == nil {
			t.Errorf("%s: the directory was claimed", test.name)
		}
	}
}

// Bytes that mean nothing do nothing, by streams and by packets, and are complained of once.
func TestRubbishOnTheClustersPort(t *testing.T) {
	c, log := startCluster(t, 3)
	random := rand.New(rand.NewPCG(3, 4))
	rubbish := func() []byte {
		b := make([]byte, 1+random.IntN(300))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		b[0] = 0xC7
		return b
	}
	addr := c.Broker(2).Addr()
	packets, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	for range 200 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(patience))
		nc.Write(rubbish())
		nc.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, nc)
		nc.Close()
		packets.Write(rubbish())
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	create.SetVersion(7)
	create.TimeoutMillis = 10_000
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "t", NumPartitions: 1, ReplicationFactor: 3}}
	if r := askBroker[*kmsg.CreateTopicsResponse](t, c.Broker(2), create); r.Topics[0].ErrorCode != 0 {
		t.Errorf("create: %+v", r.Topics[0])
	}
	text := strings.Join(log.troubles(0), "")
	streams, lost := strings.Count(text, "a stream of another node was refused"), strings.Count(text, "a packet that is not of this cluster")
	if streams == 0 || streams > 20 || lost != 1 {
		t.Errorf("%d lines about streams, %d about packets:\n%s", streams, lost, text)
	}
}

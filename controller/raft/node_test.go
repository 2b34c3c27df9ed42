package raft

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/protocol"
)

const testCluster = "MkU3OEVBNTcwNTJENDM2Qg"

func testConfig(dir string) Config {
	return Config{
		Dir: dir, NodeID: 1, ClusterID: testCluster, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Settings: controller.Config{NumPartitions: 1, DefaultReplicationFactor: 1, SessionTimeoutMs: 9000, DeleteTopics: true},
	}
}

func start(t testing.TB, c Config) *Node {
	t.Helper()
	n, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func submit[R kmsg.Response](t testing.TB, n *Node, q kmsg.Request) R {
	t.Helper()
	q.SetVersion(q.MaxVersion())
	r, err := n.Submit(context.Background(), q)
	if err != nil {
		t.Fatalf("%T: %v", q, err)
	}
	return r.(R)
}

// join registers the node's broker and unfences it.
func join(t testing.TB, n *Node, incarnation byte) *controller.Broker {
	t.Helper()
	q := kmsg.NewPtrBrokerRegistrationRequest()
	q.BrokerID, q.ClusterID, q.IncarnationID = n.cfg.NodeID, testCluster, [16]byte{incarnation, 1}
	q.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: "localhost", Port: 9092}}
	for _, f := range controller.SupportedFeatures {
		q.Features = append(q.Features, kmsg.BrokerRegistrationRequestFeature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
	}
	q.LogDirs = [][16]byte{{7, 7}}
	r := submit[*kmsg.BrokerRegistrationResponse](t, n, q)
	if r.ErrorCode != 0 {
		t.Fatalf("registration: %v", protocol.Code(r.ErrorCode))
	}
	h := kmsg.NewPtrBrokerHeartbeatRequest()
	h.BrokerID, h.BrokerEpoch, h.CurrentMetadataOffset = n.cfg.NodeID, r.BrokerEpoch, n.Image().Offset
	hr := submit[*kmsg.BrokerHeartbeatResponse](t, n, h)
	if hr.ErrorCode != 0 || hr.IsFenced || !hr.IsCaughtUp {
		t.Fatalf("heartbeat: %+v", hr)
	}
	b := n.Image().Broker(n.cfg.NodeID)
	if b == nil || b.Epoch != r.BrokerEpoch || b.Fenced {
		t.Fatalf("broker %+v, epoch %d", b, r.BrokerEpoch)
	}
	return b
}

func create(t testing.TB, n *Node, name string, partitions int32) {
	t.Helper()
	q := kmsg.NewPtrCreateTopicsRequest()
	q.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: partitions, ReplicationFactor: 1}}
	r := submit[*kmsg.CreateTopicsResponse](t, n, q)
	if r.Topics[0].ErrorCode != 0 {
		t.Fatalf("create %s: %v %s", name, protocol.Code(r.Topics[0].ErrorCode), *r.Topics[0].ErrorMessage)
	}
}

func TestSoleVoter(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	n := start(t, testConfig(dir))
	t.Logf("founded in %v", time.Since(began))
	if id, _, ok := n.Leader(); !ok || id != 1 {
		t.Fatalf("leader %d %v", id, ok)
	}
	if m := n.Image(); m.ClusterID != testCluster || m.Feature(controller.MetadataVersion) != 33 {
		t.Fatalf("image %+v", m)
	}
	join(t, n, 1)
	for i := range 20 {
		create(t, n, fmt.Sprintf("topic-%d", i), 3)
		if n.Image().Topic(fmt.Sprintf("topic-%d", i)) == nil {
			t.Fatal("answered before it was published")
		}
	}
	before := n.Image()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	n = start(t, testConfig(dir))
	t.Logf("restarted in %v", time.Since(began))
	after := n.Image()
	if d := controller.Diff(before, after); !d.Empty() {
		t.Fatalf("restart changed %+v", d)
	}
	join(t, n, 2)
	if p := n.Image().Topic("topic-3").Partitions[1]; p.Leader != 1 || p.LeaderEpoch != 2 {
		t.Fatalf("partition after a kill: %+v", p)
	}
}

// Leadership must not wait for an election: the wake-up by ReloadConfig rests on Raft's insides. Without it this takes 1 to 2 s.
func TestElectsAtOnce(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		began := time.Now()
		n := start(t, testConfig(dir))
		if took := time.Since(began); took > heartbeatTimeout-100*time.Millisecond {
			t.Fatalf("ready after %v: Raft waited for a heartbeat", took)
		}
		// What the election left in memory is on the disk, and later terms go there at once.
		_, want, _ := n.Leader()
		stable, _, err := openStable(dir, func(error) {}, func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		term, _ := stable.GetUint64([]byte(keyCurrentTerm))
		if vote, _ := stable.GetUint64([]byte(keyLastVoteTerm)); int32(term) != want || vote != term || n.stable.electing.Load() {
			t.Fatalf("term %d, vote in term %d, want %d", term, vote, want)
		}
		n.Close()
	}
}

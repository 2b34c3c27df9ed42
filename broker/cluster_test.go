package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker"
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

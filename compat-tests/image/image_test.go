package image

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	compat "weir-compat"
)

// The image is built from the static binary alone, runs on a port of the host that the test chose, tells clients that port, serves
// every Go client, and keeps its data over a stop.
func TestImage(t *testing.T) {
	t.Setenv("TESTCONTAINERS_RYUK_DISABLED", "true") // its image would come from a registry
	testcontainers.SkipIfProviderIsNotHealthy(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	port := freePort(t)
	addr := net.JoinHostPort("127.0.0.1", port)
	running, err := testcontainers.Run(ctx, "",
		testcontainers.WithDockerfile(testcontainers.FromDockerfile{Context: buildContext(t), Repo: "weir-compat", Tag: "test"}),
		testcontainers.WithExposedPorts("9092/tcp"),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.PortBindings = network.PortMap{network.MustParsePort("9092/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: port}}}
		}),
		testcontainers.WithEnv(map[string]string{"KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://" + addr, "KAFKA_NUM_PARTITIONS": "3"}),
		testcontainers.WithWaitStrategy(wait.ForLog("ready: broker 1 on PLAINTEXT://"+addr)))
	testcontainers.CleanupContainer(t, running)
	if err != nil {
		t.Fatal(err)
	}
	b := &compat.Broker{Addr: addr}
	written := map[string][]compat.Record{}
	for _, c := range compat.Clients() {
		topic := compat.CreateTopic(t, b, 3)
		for i := range 300 {
			written[topic] = append(written[topic], compat.Record{Partition: int32(i % 3), Value: fmt.Appendf(nil, "%s %d", c.Name(), i)})
		}
		compat.Produce(t, c, addr, topic, compat.Options{Codec: "zstd"}, written[topic])
	}
	check(ctx, t, addr, written)

	limit := 20 * time.Second
	if err := running.Stop(ctx, &limit); err != nil {
		t.Fatal(err)
	}
	state, err := running.State(ctx)
	if err != nil || state.ExitCode != 0 {
		t.Fatalf("stopped with exit code %v, %v", state, err)
	}
	if err := running.Start(ctx); err != nil {
		t.Fatal(err)
	}
	check(ctx, t, addr, written)
}

// check reads everything back with every client.
func check(ctx context.Context, t *testing.T, addr string, written map[string][]compat.Record) {
	t.Helper()
	for topic, records := range written {
		for _, c := range compat.Clients() {
			for p := range int32(3) {
				got, err := c.Consume(ctx, addr, topic, p, 0, len(records)/3)
				if err != nil {
					t.Fatalf("%s: %v", c.Name(), err)
				}
				for i, r := range got {
					if want := records[i*3+int(p)]; !bytes.Equal(r.Value, want.Value) || r.Offset != int64(i) {
						t.Fatalf("%s reads %q at %d-%d, want %q", c.Name(), r.Value, p, r.Offset, want.Value)
					}
				}
			}
		}
	}
}

// buildContext is the folder that make image hands to Docker.
func buildContext(t *testing.T) string {
	t.Helper()
	binary, err := compat.Binary()
	if err != nil {
		t.Fatal(err)
	}
	root, err := compat.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{binary, filepath.Join(root, "deploy", "Dockerfile")} {
		if out, err := exec.Command("cp", path, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

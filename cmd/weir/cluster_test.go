package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker"
)

// node is one process of a cluster.
type node struct {
	t    testing.TB
	args []string
	cmd  *exec.Cmd
	addr string // for clients
	id   string
	log  *shared
	said chan string // its first line
}

// shared is what several goroutines write to.
type shared struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

var readyNode = regexp.MustCompile(`^ready: (?:broker|controller) (\d+) on [A-Z]+://([^,]+), cluster (\S{22}), data`)

// newNode is a node that is not running yet.
func newNode(t testing.TB, args ...string) *node {
	n := &node{t: t, args: args, log: &shared{}}
	t.Cleanup(func() {
		if n.cmd != nil {
			n.cmd.Process.Kill()
			n.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("node %s:\n%s", n.id, n.log)
		}
	})
	return n
}

// startNode runs `weir broker` with args and returns when it is ready.
func startNode(t testing.TB, args ...string) *node {
	t.Helper()
	n := newNode(t, args...)
	n.begin()
	n.awaitReady()
	return n
}

// begin starts the process.
func (n *node) begin() {
	n.t.Helper()
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(n.cmd.Environ(), "WEIR_TEST_ARGS="+strings.Join(append([]string{"broker"}, n.args...), "\n"))
	n.cmd.Stderr = n.log
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.lines(out)
}

// lines takes the first line, and drops the rest.
func (n *node) lines(out io.Reader) {
	said := make(chan string, 1)
	n.said = said
	go func() {
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n')
		said <- line
		io.Copy(io.Discard, r)
	}()
}

func (n *node) awaitReady() {
	n.t.Helper()
	select {
	case line := <-n.said:
		m := readyNode.FindStringSubmatch(line)
		if m == nil {
			n.t.Fatalf("not ready: %q\n%s", line, n.log)
		}
		n.id, n.addr = m[1], m[2]
	case <-time.After(time.Minute):
		n.t.Fatalf("not ready after a minute\n%s", n.log)
	}
}

// signal ends the process in some way and waits for that.
func (n *node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
	n.cmd.Wait()
	n.cmd = nil
}

// again starts the process once more.
func (n *node) again() {
	n.t.Helper()
	n.begin()
	n.awaitReady()
}

// ask sends a request on a connection of its own.
func ask[R kmsg.Response](n *node, q kmsg.Request) (R, error) {
	var none R
	nc, err := net.Dial("tcp", n.addr)
	if err != nil {
		return none, err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(40 * time.Second))
	if _, err := nc.Write(kmsg.NewRequestFormatter().AppendRequest(nil, q, 1)); err != nil {
		return none, err
	}
	var size [4]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		return none, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(nc, b); err != nil {
		return none, err
	}
	b = b[4:]
	if q.IsFlexible() && q.Key() != 18 {
		b = b[1:]
	}
	r := q.ResponseKind()
	r.SetVersion(q.GetVersion())
	return r.(R), r.ReadFrom(b)
}

// brokers are the ids in a Metadata answer, and the controller's.
func (n *node) brokers() (ids []int32, controller int32) {
	q := kmsg.NewPtrMetadataRequest()
	q.SetVersion(12)
	q.Topics = []kmsg.MetadataRequestTopic{}
	r, err := ask[*kmsg.MetadataResponse](n, q)
	if err != nil {
		return nil, -1
	}
	for _, b := range r.Brokers {
		ids = append(ids, b.NodeID)
	}
	return ids, r.ControllerID
}

// awaitBrokers waits until a node shows so many brokers.
func (n *node) awaitBrokers(want int) time.Duration {
	n.t.Helper()
	began := time.Now()
	until(n.t, fmt.Sprintf("%d brokers seen by node %s", want, n.id), func() bool {
		ids, _ := n.brokers()
		return len(ids) == want
	})
	return time.Since(began)
}

// until waits for what is true at some time.
func until(t testing.TB, what string, true func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(40 * time.Second); !true(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

// create makes a topic.
func (n *node) create(name string, replicas int16) error {
	q := kmsg.NewPtrCreateTopicsRequest()
	q.SetVersion(7)
	q.TimeoutMillis = 30_000
	q.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: name, NumPartitions: 3, ReplicationFactor: replicas}}
	r, err := ask[*kmsg.CreateTopicsResponse](n, q)
	if err == nil && r.Topics[0].ErrorCode != 0 {
		err = fmt.Errorf("code %d", r.Topics[0].ErrorCode)
	}
	return err
}

// freePorts are ports that were free a moment ago.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func set(pairs ...string) []string {
	var args []string
	for _, p := range pairs {
		args = append(args, "--set", p)
	}
	return args
}

// joined are three nodes of which two joined the first; they were given no ids.
func joined(t testing.TB) []*node {
	dir := t.TempDir()
	nodes := []*node{startNode(t, set("listeners=PLAINTEXT://127.0.0.1:0", "log.dirs="+filepath.Join(dir, "1"))...)}
	for i := 2; i <= 3; i++ {
		args := append(set("listeners=PLAINTEXT://127.0.0.1:0", "log.dirs="+filepath.Join(dir, strconv.Itoa(i))), "--join", nodes[0].addr)
		nodes = append(nodes, startNode(t, args...))
	}
	for _, n := range nodes {
		n.awaitBrokers(3)
	}
	return nodes
}

func TestJoin(t *testing.T) {
	nodes := joined(t)
	if nodes[1].id != "2" || nodes[2].id != "3" {
		t.Errorf("ids %s, %s", nodes[1].id, nodes[2].id)
	}
	for i, n := range nodes {
		if err := n.create(fmt.Sprintf("t%d", i), 3); err != nil {
			t.Errorf("node %s: %v", n.id, err)
		}
	}
	nodes[2].signal(syscall.SIGKILL)
	t.Logf("node 3 killed: gone after %v", nodes[0].awaitBrokers(2))
	nodes[2].again()
	nodes[0].awaitBrokers(3)

	nodes[1].signal(syscall.SIGTERM)
	t.Logf("node 2 stopped: gone after %v", nodes[0].awaitBrokers(2))
	nodes[1].again()
	nodes[0].awaitBrokers(3)
}

// The death of the controller: with three voters another one takes over, and a client of a broker does not notice but by waiting.
func TestControllerKilled(t *testing.T) {
	nodes := joined(t)
	awaitVoters(t, nodes[1], 3)
	nodes[0].signal(syscall.SIGKILL)
	began := time.Now()
	if err := nodes[1].create("during", 2); err != nil {
		t.Error(err)
	}
	t.Logf("a topic was made %v after the controller was killed", time.Since(began))
	nodes[1].awaitBrokers(2)
	t.Logf("the broker was fenced %v after", time.Since(began))
	nodes[0].again()
	for _, n := range nodes {
		n.awaitBrokers(3)
	}
}

// awaitVoters waits until so many nodes vote, and all of them know it.
func awaitVoters(t testing.TB, n *node, want int) {
	t.Helper()
	until(t, fmt.Sprintf("%d voters", want), func() bool {
		q := kmsg.NewPtrDescribeQuorumRequest()
		q.SetVersion(2)
		q.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{}}}}
		r, err := ask[*kmsg.DescribeQuorumResponse](n, q)
		if err != nil || r.ErrorCode != 0 || len(r.Topics) != 1 {
			return false
		}
		p := &r.Topics[0].Partitions[0]
		for _, v := range p.CurrentVoters { // who does not know yet that another one votes would not vote for it
			if v.LogEndOffset < p.HighWatermark {
				return false
			}
		}
		return len(p.CurrentVoters) == want
	})
}

// What was written for three Kafka brokers forms a cluster: each voter founds it with the same list.
func TestKafkaQuorum(t *testing.T) {
	dir, ports := t.TempDir(), freePorts(t, 3)
	voters := fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%d,2@127.0.0.1:%d,3@127.0.0.1:%d", ports[0], ports[1], ports[2])
	var nodes []*node
	began := time.Now()
	for i := range 3 {
		n := newNode(t, set(voters, "process.roles=broker,controller", fmt.Sprintf("node.id=%d", i+1), "controller.listener.names=CONTROLLER",
			fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:%d", ports[i]), "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
			"log.dirs="+filepath.Join(dir, strconv.Itoa(i+1)))...)
		n.begin()
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		n.awaitReady()
	}
	for _, n := range nodes {
		n.awaitBrokers(3)
	}
	t.Logf("three nodes started together: a cluster after %v", time.Since(began))
	for i, n := range nodes {
		if err := n.create(fmt.Sprintf("t%d", i), 3); err != nil {
			t.Error(err)
		}
	}
	for _, n := range nodes { // all of them at once, and back
		n.cmd.Process.Kill()
		n.cmd.Wait()
	}
	for _, n := range nodes {
		n.begin()
	}
	for _, n := range nodes {
		n.awaitReady()
		n.awaitBrokers(3)
	}
}

// Controllers alone and brokers alone: the brokers have no vote, and find the controllers by either of Kafka's settings.
func TestRoles(t *testing.T) {
	dir, ports := t.TempDir(), freePorts(t, 1)
	controller := fmt.Sprintf("127.0.0.1:%d", ports[0])
	startNode(t, set("process.roles=controller", "node.id=100", "controller.listener.names=CONTROLLER", "listeners=CONTROLLER://"+controller,
		"controller.quorum.voters=100@"+controller, "log.dirs="+filepath.Join(dir, "100"))...)
	broker := func(id int, how string) *node {
		return startNode(t, set("process.roles=broker", fmt.Sprintf("node.id=%d", id), "controller.listener.names=CONTROLLER",
			"listeners=PLAINTEXT://127.0.0.1:0", how, "log.dirs="+filepath.Join(dir, strconv.Itoa(id)))...)
	}
	nodes := []*node{broker(1, "controller.quorum.voters=100@"+controller), broker(2, "controller.quorum.bootstrap.servers="+controller)}
	for i, n := range nodes {
		n.awaitBrokers(2)
		if err := n.create(fmt.Sprintf("t%d", i), 2); err != nil {
			t.Error(err)
		}
	}
	awaitVoters(t, nodes[1], 1)
	nodes[1].signal(syscall.SIGKILL)
	nodes[0].awaitBrokers(1)
	nodes[1].again()
	nodes[0].awaitBrokers(2)
}

// Each of three nodes is told of all three as bootstrap servers: the first one in the list founds the cluster.
func TestBootstrapServers(t *testing.T) {
	dir, ports := t.TempDir(), freePorts(t, 3)
	servers := fmt.Sprintf("controller.quorum.bootstrap.servers=127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", ports[0], ports[1], ports[2])
	var nodes []*node
	for i := range 3 {
		nodes = append(nodes, newNode(t, set(servers, "process.roles=broker,controller", fmt.Sprintf("node.id=%d", i+1), "controller.listener.names=CONTROLLER",
			fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:%d", ports[i]), "log.dirs="+filepath.Join(dir, strconv.Itoa(i+1)))...))
	}
	for _, i := range []int{2, 1, 0} {
		nodes[i].begin()
	}
	for _, n := range nodes {
		n.awaitReady()
	}
	for _, n := range nodes {
		n.awaitBrokers(3)
	}
	awaitVoters(t, nodes[0], 3)
}

func TestClusterStatus(t *testing.T) {
	nodes := joined(t)
	awaitVoters(t, nodes[0], 3)
	if err := nodes[0].create("t", 3); err != nil {
		t.Fatal(err)
	}
	nodes[2].signal(syscall.SIGKILL)
	nodes[1].awaitBrokers(2)
	code, out, errs := output(nil, "cluster", "status", "--bootstrap-server", nodes[1].addr)
	for _, want := range []string{
		`^cluster \S{22}: controller 1, term \d+, \d+ entries, 3 partitions, 3 under-replicated\n`, `\nNODE +ADDRESS +RACK +BROKER +QUORUM +LAG +LEADS\n`,
		`\n1 +` + nodes[0].addr + ` +- +alive +leader +0 +\d\n`, `\n2 +\S+ +- +alive +voter +\d+ +\d\n`, `\n3 +\S+ +- +fenced +voter +\? +0\n`,
		`\nt +0 +[12] +[123],[123],[123] +[12],[12]\n`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if code != 0 || errs != "" {
		t.Errorf("exit %d: %s", code, errs)
	}
	code, out, _ = output(nil, "cluster", "status", "--json", "--bootstrap-server", nodes[1].addr)
	var s broker.ClusterStatus
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || s.Leader != 1 || len(s.Members) != 3 || len(s.Troubled) != 3 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
	if code, _, errs := output(nil, "cluster", "status", "--bootstrap-server", "127.0.0.1:1"); code != 1 || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// A process that stands still is found by Serf and fenced; when it goes on it is let back.
func TestStandstill(t *testing.T) {
	nodes := joined(t)
	if err := nodes[2].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Logf("a process that was stopped is fenced after %v", nodes[0].awaitBrokers(2))
	if err := nodes[2].cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	t.Logf("it is back after %v", nodes[0].awaitBrokers(3))
}

// A broker that was killed and starts again at once need not wait until its session has run out.
func TestQuickRestart(t *testing.T) {
	nodes := joined(t)
	awaitVoters(t, nodes[0], 3)
	for _, i := range []int{2, 1, 0} {
		began := time.Now()
		nodes[i].signal(syscall.SIGKILL)
		nodes[i].again()
		t.Logf("node %s serves again after %v", nodes[i].id, time.Since(began))
		for _, n := range nodes {
			n.awaitBrokers(3)
		}
	}
}

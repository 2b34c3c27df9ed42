package broker_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol/record"
)

// hostileChild makes the test binary a broker: TestHostileChild then serves until its standard input ends.
const hostileChild = "WEIR_HOSTILE_CHILD"

// TestHostileChild is the broker of TestHostileMemory, in a process whose memory is nobody else's.
func TestHostileChild(t *testing.T) {
	if os.Getenv(hostileChild) == "" {
		t.Skip("it is the child of TestHostileMemory")
	}
	b, _ := startBroker(t, nil, "group.initial.rebalance.delay.ms=0")
	fmt.Printf("\nserving %s\n", b.Addr())
	io.Copy(io.Discard, os.Stdin)
}

// child is a broker in another process.
type child struct {
	bed
	pid int
}

// newChild starts one; it ends with the test.
func newChild(t *testing.T) *child {
	t.Helper()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system does not tell what memory a process has")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHostileChild$")
	cmd.Env = append(os.Environ(), hostileChild+"=1", "GORACE=halt_on_error=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scan := bufio.NewScanner(out)
	addr, said := "", ""
	for addr == "" && scan.Scan() {
		said += scan.Text() + "\n"
		addr, _ = strings.CutPrefix(scan.Text(), "serving ")
		if addr == scan.Text() {
			addr = ""
		}
	}
	rest := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(out)
		rest <- string(all)
	}()
	t.Cleanup(func() {
		in.Close()
		text := <-rest
		if err := cmd.Wait(); err != nil {
			t.Errorf("the broker's process: %v\n%s%s", err, said, text)
		}
	})
	if addr == "" {
		t.Fatalf("the broker did not start:\n%s", said)
	}
	return &child{bed{network: "tcp", addr: addr}, cmd.Process.Pid}
}

// rss is the child's resident memory in bytes: now, and the most it ever was.
func (c *child) rss(t *testing.T) (now, peak int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) int64 {
		_, after, _ := strings.Cut(string(text), name+":")
		kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return kib << 10
	}
	return read("VmRSS"), read("VmHWM")
}

const hostiles = 10_000

// enoughFiles skips where this process may not open a socket for each hostile client. Go has raised the soft limit already.
func enoughFiles(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < hostiles+500 {
		t.Skipf("%d clients need %d files, allowed are %d", hostiles, hostiles+500, limit.Cur)
	}
}

// crowd opens n connections that each send bytes and stay. Closing them leaves no port waiting.
func (c *child) crowd(t *testing.T, n int, bytes []byte) []*net.TCPConn {
	t.Helper()
	conns := make([]*net.TCPConn, n)
	var wg sync.WaitGroup
	for part := range 8 {
		wg.Go(func() {
			for i := part; i < n; i += 8 {
				nc, err := net.Dial(c.network, c.addr)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = nc.(*net.TCPConn)
				conns[i].SetLinger(0)
				if _, err := nc.Write(bytes); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return conns
}

// TestHostileMemory has ten thousand clients send what costs them nothing and could cost the broker much. Together they may cost 150 MB.
func TestHostileMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector multiplies memory")
	}
	enoughFiles(t)
	length := func(n uint32, rest ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
	good := sized(header(18, 0, 1, strings.Repeat("x", 15<<10))) // as large as frames get without being counted
	poll := sized(encode(longPoll("witness"), 1))
	const bound = 150_000_000
	for _, c := range []struct {
		name  string
		bytes []byte
	}{
		{"nothing", nil},
		{"100 MiB promised, seven bytes sent", length(100<<20, 0, 0, 0, 9, 0, 0, 0)},
		{"1 MiB promised, one byte sent", length(1<<20, 0)},
		{"20 KiB promised, one byte sent", length(20<<10, 0)},
		{"16 KiB promised, one byte sent", length(16<<10-4, 0)},
		{"half a header", sized(header(3, 9, 1, "client"))[:11]},
		{"half a length", []byte{0, 0}},
		{"32 KiB promised, 5,000 bytes sent", length(32<<10, make([]byte, 5000)...)},
		{"16 KiB promised, 5,000 bytes sent", length(16<<10-4, make([]byte, 5000)...)},
		{"one good request, then 100 MiB promised", append(sized(append(header(18, 0, 1, "x"), 0)), length(100<<20, 0, 0)...)},
		{"15 KiB of a good request, then a byte of the next", append(good, 0)},
		{"15 KiB of a good request, then as much promised", append(good, good[:5]...)},
		{"a long poll", poll},
		{"three long polls", bytes.Repeat(poll, 3)},
		{"130 long polls", bytes.Repeat(poll, 130)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newChild(t)
			w := b.witness(t)
			before, _ := b.rss(t)
			conns := b.crowd(t, hostiles, c.bytes)
			for range 20 { // it comes after them all and is served
				w.check(t)
			}
			_, peak := b.rss(t)
			t.Logf("%d clients cost %d MB, %.1f KiB each", hostiles, (peak-before)/1e6, float64(peak-before)/1024/hostiles)
			if peak-before > bound {
				t.Errorf("they cost %d MB, allowed are %d MB", (peak-before)/1e6, int64(bound)/1e6)
			}
			for _, nc := range conns {
				nc.Close()
			}
			w.check(t)
		})
	}
}

// TestHostileAmplification has one client send what grows when it is read.
func TestHostileAmplification(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector multiplies memory")
	}
	zeros := bytes.Repeat([]byte{0}, 32<<20)
	array := func(head []byte, elements int, rest []byte) []byte {
		return sized(append(binary.BigEndian.AppendUint32(head, uint32(elements)), rest...))
	}
	many := func(n int, element func(b []byte, i int) []byte) (b []byte) {
		for i := range n {
			b = element(b, i)
		}
		return b
	}
	produce := append(header(0, 3, 1, ""), 0xff, 0xff, 0, 1, 0, 0, 0, 1)
	fetch := append(header(1, 4, 1, ""), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0)
	produce, fetch = produce[:len(produce):len(produce)], fetch[:len(fetch):len(fetch)]
	bomb := func(codec record.Codec) []byte {
		b := record.Builder{Codec: codec}
		b.Add(1, nil, bytes.Repeat([]byte{0}, 900<<20))
		return b.Bytes()
	}
	for _, c := range []struct {
		name  string
		bytes func() []byte
		bound int64
	}{
		// Beyond what a request may decode to: they cost their frame and are closed.
		{"16 million topics without a name", func() []byte { return array(header(3, 1, 1, ""), 16<<20, zeros) }, 150e6},
		{"2^31-1 topics", func() []byte { return array(header(3, 1, 1, ""), 1<<31-1, zeros) }, 150e6},
		{"2 million topics to create", func() []byte { return array(header(19, 2, 1, ""), 2<<20, zeros) }, 150e6},
		{"produce to millions of topics", func() []byte { return array(produce, 4<<20, zeros) }, 150e6},
		{"fetch millions of topics", func() []byte { return array(fetch, 5<<20, zeros) }, 150e6},
		// Just within it: the request, what its handler makes of it and the answer.
		{"240,000 topics", func() []byte {
			topics := many(240e3, func(b []byte, i int) []byte { return fmt.Appendf(b, "\x00\x05%05x", i) })
			return array(header(3, 4, 1, ""), 240e3, append(topics, 0)) // not to be created
		}, 150e6},
		{"130,000 topics to create", func() []byte { return array(header(19, 2, 1, ""), 130e3, zeros[:130e3*16+5]) }, 150e6},
		{"produce to 155,000 topics", func() []byte {
			return array(produce, 155e3, many(155e3, func(b []byte, i int) []byte { return append(b, 0, 1, 'x', 0, 0, 0, 0) }))
		}, 150e6},
		{"produce to a partition 300,000 times", func() []byte {
			topic := append(produce, 0, 0, 0, 1, 0, 7)
			return array(append(topic, "witness"...), 300e3, zeros[:300e3*8])
		}, 150e6},
		{"fetch a partition 180,000 times", func() []byte {
			topic := append(fetch, 0, 0, 0, 1, 0, 7)
			return array(append(topic, "witness"...), 180e3, zeros[:180e3*16])
		}, 150e6},
		{"a zstd batch of 900 MiB", func() []byte { return sized(encode(produceRequest(9, "witness", bomb(4)), 1)) }, 300e6},
		{"a gzip batch of 900 MiB", func() []byte { return sized(encode(produceRequest(9, "witness", bomb(1)), 1)) }, 300e6},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newChild(t)
			w := b.witness(t)
			before, _ := b.rss(t)
			answer := b.send(t, c.bytes())
			_, peak := b.rss(t)
			t.Logf("it costs %d MB and is answered with %d bytes", (peak-before)/1e6, len(answer))
			if peak-before > c.bound {
				t.Errorf("it costs %d MB, allowed are %d MB", (peak-before)/1e6, c.bound/1e6)
			}
			w.next = -1 // a batch that unpacks to much may be a good one
			w.check(t)
		})
	}
}

// TestHostileSlowReaders has clients fetch a megabyte each, several times over, and read nothing. What waits for them is in the log.
func TestHostileSlowReaders(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector multiplies memory")
	}
	b := newChild(t)
	w := b.witness(t)
	var big record.Builder
	big.Add(time.Now().UnixMilli(), nil, bytes.Repeat([]byte("not to be compressed "), 24<<10))
	for range 8 {
		if _, err := exchange(w.nc, produceRequest(9, "witness", big.Bytes()), w.correlation+1); err != nil {
			t.Fatal(err)
		}
	}
	w.next += 8
	fetch := longPoll("witness").(*kmsg.FetchRequest)
	fetch.MinBytes = 1
	var all []byte
	for i := range int32(8) {
		fetch.MaxBytes = 1 << 20
		all = append(all, sized(encode(fetch, i))...)
	}
	before, _ := b.rss(t)
	const slow = 1000
	conns := b.crowd(t, slow, all)
	for range 20 {
		w.check(t)
	}
	_, peak := b.rss(t)
	t.Logf("%d clients cost %d MB, %.1f KiB each", slow, (peak-before)/1e6, float64(peak-before)/1024/slow)
	if peak-before > 150_000_000 {
		t.Errorf("they cost %d MB, allowed are 150 MB", (peak-before)/1e6)
	}
	for _, nc := range conns {
		nc.Close()
	}
	w.check(t)
}

package tools

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	compat "weir-compat"
)

func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "key-%d:value %d\n", i, i)
	}
	return b.String()
}

// Keys, values, headers and each compression, in by kcat and out by kcat, into a partition of its choice.
func TestKcat(t *testing.T) {
	b := compat.Shared(t)
	for _, codec := range compat.Codecs {
		t.Run(codec, func(t *testing.T) {
			topic := compat.CreateTopic(t, b, 3)
			contains(t, kcat(t, b, nil, "-L", "-t", topic), "topic \""+topic+"\" with 3 partitions", "partition 2, leader ", "isrs: ")
			in := numbered(0, 2000)
			kcat(t, b, strings.NewReader(in), "-P", "-t", topic, "-p", "1", "-z", codec, "-K:", "-H", "a=1", "-H", "b=two")
			if out := kcat(t, b, nil, "-C", "-t", topic, "-p", "1", "-o", "beginning", "-e", "-q", "-K:"); out != in {
				t.Errorf("%d bytes went in, %d came out", len(in), len(out))
			}
			one := kcat(t, b, nil, "-C", "-t", topic, "-p", "1", "-o", "1234", "-c", "1", "-q", "-f", "%t %p %o %k %s %h")
			if want := topic + " 1 1234 key-1234 value 1234 a=1,b=two"; one != want {
				t.Errorf("record 1234 is %q, want %q", one, want)
			}
			if last := kcat(t, b, nil, "-C", "-t", topic, "-p", "1", "-o", "-3", "-e", "-q", "-K:"); last != numbered(1997, 2000) {
				t.Errorf("the last three are %q", last)
			}
		})
	}
}

// From a time on, null values, and offsets by time.
func TestKcatByTime(t *testing.T) {
	b := compat.Shared(t)
	topic := compat.CreateTopic(t, b, 1)
	kcat(t, b, strings.NewReader(numbered(0, 100)), "-P", "-t", topic, "-p", "0", "-K:")
	time.Sleep(20 * time.Millisecond)
	middle := time.Now().UnixMilli()
	time.Sleep(20 * time.Millisecond)
	kcat(t, b, strings.NewReader(numbered(100, 150)+"gone:\n"), "-P", "-t", topic, "-p", "0", "-K:", "-Z")
	out := kcat(t, b, nil, "-C", "-t", topic, "-o", fmt.Sprintf("s@%d", middle), "-e", "-q", "-f", "%o %k %S\n")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 51 || lines[0] != "100 key-100 9" || lines[50] != "150 gone -1" {
		t.Errorf("from the middle: %d lines, %q to %q", len(lines), lines[0], lines[len(lines)-1])
	}
	contains(t, kcat(t, b, nil, "-Q", "-t", fmt.Sprintf("%s:0:%d", topic, middle)), "offset 100")
}

// Acks of every kind, an old client's versions, and a topic that comes into being.
func TestKcatWays(t *testing.T) {
	b := compat.Shared(t)
	for _, options := range [][]string{
		{"-X", "acks=0"},
		{"-X", "acks=1"},
		{"-X", "acks=all", "-X", "enable.idempotence=true"},
		{"-X", "acks=all", "-X", "batch.num.messages=1"},
		{"-X", "api.version.request=false", "-X", "broker.version.fallback=0.11.0"},
	} {
		t.Run(strings.Join(options, " "), func(t *testing.T) {
			topic := compat.TopicName(t)
			kcat(t, b, strings.NewReader("first\n"), "-P", "-t", topic, "-p", "0") // creates it
			if end := compat.EndOffset(t, b, topic, 0); end != 1 {
				t.Fatalf("%d records after the first", end)
			}
			kcat(t, b, strings.NewReader(numbered(0, 500)), append([]string{"-P", "-t", topic, "-p", "0"}, options...)...)
			for tries := 0; compat.EndOffset(t, b, topic, 0) != 501 && tries < 100; tries++ { // acks=0 waits for nobody
				time.Sleep(20 * time.Millisecond)
			}
			if out := kcat(t, b, nil, "-C", "-t", topic, "-p", "0", "-o", "1", "-e", "-q"); out != numbered(0, 500) {
				t.Errorf("500 lines went in, %d came out", strings.Count(out, "\n"))
			}
		})
	}
}

// An idempotent kcat reads lines without pause while the broker is killed again and again. It ends with exit code 0 when all
// is acknowledged, and then each line is there once and in order.
func TestKcatKills(t *testing.T) {
	kills := 3
	if text := os.Getenv("WEIR_COMPAT_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("WEIR_COMPAT_KILLS: %v", err)
		}
		kills = n
	}
	b := compat.Start(t)
	topic := compat.CreateTopic(t, b, 1)
	cmd := exec.Command("kcat", "-b", b.Addr, "-P", "-E", "-t", topic, "-p", "0", "-X", "enable.idempotence=true",
		"-X", "message.send.max.retries=2147483647", "-X", "retry.backoff.ms=20", "-X", "reconnect.backoff.ms=10",
		"-X", "reconnect.backoff.max.ms=100", "-X", "linger.ms=2", "-X", "queue.buffering.max.messages=5000")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	sent := make(chan int)
	go func() {
		n := 0
		for ; !stop.Load(); n++ {
			if _, err := fmt.Fprintf(stdin, "line %d\n", n); err != nil {
				break // kcat is gone, and Wait says why
			}
			if n%100 == 99 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		stdin.Close()
		sent <- n
	}()
	for range kills {
		grow(t, b, topic, 500)
		b.Kill(t)
		b.Restart(t)
	}
	grow(t, b, topic, 500)
	stop.Store(true)
	lines := <-sent
	if err := cmd.Wait(); err != nil {
		t.Fatalf("kcat: %v\n%s", err, stderr.String())
	}
	var want strings.Builder
	for n := range lines {
		fmt.Fprintf(&want, "line %d\n", n)
	}
	out := kcat(t, b, nil, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q")
	if out != want.String() {
		t.Errorf("%d lines were sent over %d kills, %d are there%s", lines, kills, strings.Count(out, "\n"), firstDifference(out, want.String()))
	}
	t.Logf("%d lines over %d kills", lines, kills)
}

// grow returns when a partition has so many more records.
func grow(t *testing.T, b *compat.Broker, topic string, more int64) {
	t.Helper()
	for start, limit := compat.EndOffset(t, b, topic, 0), time.Now().Add(2*time.Minute); ; {
		if compat.EndOffset(t, b, topic, 0) >= start+more {
			return
		}
		if time.Now().After(limit) {
			t.Fatal("the producer does not get on")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf(", line %d is %q, want %q", i, g[i], w[i])
		}
	}
	return ""
}

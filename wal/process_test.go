package wal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Children run this binary again with an environment variable that names what they do.
const childEnv = "WEIR_WAL_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "writer":
		childWriter(os.Args[1])
	case "limited":
		childLimited(os.Args[1], os.Args[2])
	}
}

func child(what string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), childEnv+"="+what)
	cmd.Stderr = os.Stderr
	return cmd
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

// childWriter appends batches of all sizes for ever and prints the end after each.
func childWriter(path string) {
	d, err := OpenDir(path, Options{ReserveBytes: -1})
	must(err)
	l, err := d.Log("t-0")
	must(err)
	must(l.Load())
	l.SetPolicy(Policy{SegmentBytes: 8 << 20})
	fmt.Println(l.End())
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	for {
		b := testBatch(l.End(), 1, 100+rnd.IntN(2<<20), 1)
		must(l.Append(b, setOf(b)))
		fmt.Println(l.End())
	}
}

// A killed writer loses nothing that it was told is appended, and the log opens, though kills tear the last write.
func TestSIGKILL(t *testing.T) {
	path := t.TempDir()
	rnd := rand.New(rand.NewPCG(newSeed(t), 4))
	kills := 25
	if testing.Short() {
		kills = 5
	}
	for range kills {
		cmd := child("writer", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(out)
		last := int64(-1)
		for n := 1 + rnd.IntN(30); ; n-- {
			line, err := r.ReadString('\n')
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if last, err = strconv.ParseInt(strings.TrimSpace(line), 10, 64); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		d := open(t, path, Options{})
		l := logOf(t, d, "t-0")
		if l.End() < last || l.End() > last+1 {
			t.Fatalf("end %d after a kill, %d was acknowledged", l.End(), last)
		}
		for from := int64(0); from < l.End(); from++ {
			b := read(t, l, from, l.End(), 1, true)
			if want := testBatch(from, 1, len(b), 1); !bytes.Equal(b, want) {
				t.Fatalf("other bytes at %d", from)
			}
		}
		if rnd.IntN(2) == 0 {
			crash(t, d)
		} else if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if l.Size() > 100<<20 {
			os.RemoveAll(path + "/t-0")
			os.Remove(path + "/" + journalName)
		}
	}
}

// childLimited writes under a limit of the file size that falls into the middle of an entry: the kernel writes a part of it, and
// the next attempt fails.
func childLimited(path, limit string) {
	signal.Ignore(syscall.SIGXFSZ)
	n, err := strconv.ParseUint(limit, 10, 64)
	must(err)
	online := make(chan string, 1)
	d, err := OpenDir(path, Options{ReserveBytes: -1, probeInterval: time.Millisecond, OnOnline: func(string) { online <- "" }})
	must(err)
	l, err := d.Log("t-0")
	must(err)
	must(l.Load())
	must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: 1 << 40}))
	failed := 0
	for i := 0; i < 300; i++ {
		b := testBatch(l.End(), 1, 10000+1000*(i%7), 1)
		err := l.Append(b, setOf(b))
		switch {
		case err == nil:
			fmt.Println(l.End())
			continue
		case !errors.Is(err, syscall.EFBIG) && !errors.Is(err, ErrOffline):
			must(err)
		}
		failed++
		if failed%5 == 0 {
			// There is space again.
			n += 200_000
			must(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: 1 << 40}))
		}
		<-online
	}
	if failed == 0 {
		must(errors.New("nothing failed"))
	}
	must(d.Close())
}

func TestFileSizeLimit(t *testing.T) {
	for _, limit := range []int{100_000, 123_457, 200_001} {
		path := t.TempDir()
		out, err := child("limited", path, fmt.Sprint(limit)).Output()
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Fields(string(out))
		acked, err := strconv.ParseInt(lines[len(lines)-1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		l := logOf(t, open(t, path, Options{}), "t-0")
		if l.End() != acked || acked < 50 {
			t.Fatalf("end %d, %d was acknowledged", l.End(), acked)
		}
		next := int64(0)
		for next < l.End() {
			b := read(t, l, next, l.End(), 1, true)
			if want := testBatch(next, 1, len(b), 1); !bytes.Equal(b, want) {
				t.Fatalf("other bytes at %d", next)
			}
			next++
		}
	}
}

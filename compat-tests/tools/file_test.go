package tools

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	compat "weir-compat"
)

const fileParts = 3

// A large text file, one record a line, goes in by a producer and comes back byte for byte by three consumers. Each line begins
// with its number, so that the partitions, read apart, can be merged into the file again; a line that is lost, doubled, changed
// or out of order in its partition shows. WEIR_COMPAT_FILE_MB sets the size, 100 by default.
func TestFile(t *testing.T) {
	megabytes := 100
	if text := os.Getenv("WEIR_COMPAT_FILE_MB"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("WEIR_COMPAT_FILE_MB: %v", err)
		}
		megabytes = n
	}
	path, lines := writeFile(t, megabytes*1_000_000)
	b := compat.Shared(t)
	t.Run("kcat", func(t *testing.T) {
		topic := compat.CreateTopic(t, b, fileParts)
		kcat(t, b, nil, "-P", "-t", topic, "-l", path, "-X", "enable.idempotence=true")
		checkFile(t, b, topic, path, lines)
	})
	t.Run("ConsoleProducer", func(t *testing.T) {
		topic := compat.CreateTopic(t, b, fileParts)
		in, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		tool(t, b, in, consoleProducer, "--topic", topic, "--message-send-max-retries", "2147483647", "--request-timeout-ms", "30000")
		checkFile(t, b, topic, path, lines)
	})
}

// writeFile makes the file and says how many lines it has.
func writeFile(t *testing.T, size int) (path string, lines int) {
	path = filepath.Join(t.TempDir(), "lines.txt")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out := bufio.NewWriterSize(file, 1<<20)
	random := rand.New(rand.NewSource(int64(size)))
	for written := 0; written < size; lines++ {
		text := make([]byte, random.Intn(200))
		for i := range text {
			text[i] = " abcdefghijklmnopqrstuvwxyz,.-ABC"[random.Intn(33)]
		}
		n, err := fmt.Fprintf(out, "%d %s\n", lines, text)
		if err != nil {
			t.Fatal(err)
		}
		written += n
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	return path, lines
}

func checkFile(t *testing.T, b *compat.Broker, topic, path string, lines int) {
	t.Helper()
	var ends [fileParts]int64
	var sum int64
	for p := range ends {
		ends[p] = compat.EndOffset(t, b, topic, int32(p))
		sum += ends[p]
	}
	if sum != int64(lines) {
		t.Fatalf("%d lines went in, the partitions end at %v", lines, ends)
	}
	t.Run("to kcat", func(t *testing.T) {
		var parts [fileParts]io.Reader
		for p := range parts {
			parts[p] = kcatPartition(t, b, topic, p)
		}
		merge(t, path, parts)
	})
	for _, c := range []compat.Client{compat.FranzGo{}, compat.Sarama{}} {
		t.Run("to "+c.Name(), func(t *testing.T) {
			var parts [fileParts]io.Reader
			for p := range parts {
				parts[p] = clientPartition(t, c, b, topic, p, int(ends[p]))
			}
			merge(t, path, parts)
		})
	}
}

// kcatPartition writes a partition to a file of its own with kcat.
func kcatPartition(t *testing.T, b *compat.Broker, topic string, partition int) io.Reader {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), strconv.Itoa(partition)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	cmd := exec.Command("kcat", "-b", b.Addr, "-C", "-t", topic, "-p", strconv.Itoa(partition), "-o", "beginning", "-e", "-q")
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = file, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("kcat reads partition %d: %v\n%s", partition, err, stderr.String())
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return file
}

// clientPartition is what a Go client reads of a partition, a line a record.
func clientPartition(t *testing.T, c compat.Client, b *compat.Broker, topic string, partition, n int) io.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var text bytes.Buffer
	records, err := c.Consume(ctx, b.Addr, topic, int32(partition), 0, n)
	if err != nil {
		t.Fatalf("%s reads partition %d: %v", c.Name(), partition, err)
	}
	for i, r := range records {
		if r.Offset != int64(i) {
			t.Fatalf("%s: record %d of partition %d has offset %d", c.Name(), i, partition, r.Offset)
		}
		text.Write(r.Value)
		text.WriteByte('\n')
	}
	return &text
}

// merge puts the partitions together by the lines' numbers and compares with the file, byte for byte.
func merge(t *testing.T, path string, parts [fileParts]io.Reader) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var read [fileParts]*bufio.Reader
	var next [fileParts][]byte // the first line of each partition that is not merged yet, nil at the end
	for p := range parts {
		read[p] = bufio.NewReaderSize(parts[p], 1<<20)
		next[p] = line(t, read[p])
	}
	want := bufio.NewReaderSize(file, 1<<20)
	for n := 0; ; n++ {
		expected := line(t, want)
		if expected == nil {
			break
		}
		found := false
		for p := range next {
			if bytes.Equal(next[p], expected) {
				next[p], found = line(t, read[p]), true
				break
			}
		}
		if !found {
			t.Fatalf("line %d of the file is %q, and the partitions go on with %q", n, expected, next)
		}
	}
	for p := range next {
		if next[p] != nil {
			t.Errorf("partition %d goes on after the end of the file with %q", p, next[p])
		}
	}
}

// line is the next line with its end, nil at the end of the file.
func line(t *testing.T, r *bufio.Reader) []byte {
	t.Helper()
	text, err := r.ReadBytes('\n')
	if err != nil && (err != io.EOF || len(text) > 0) {
		t.Fatalf("a line that does not end: %q, %v", text, err)
	}
	if len(text) == 0 {
		return nil
	}
	return text
}

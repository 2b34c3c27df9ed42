package wal

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"weir/protocol/record"
)

// cpuSeconds is the processor time of this process so far.
func cpuSeconds() float64 {
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e9
}

func reportCPU(b *testing.B, size int, before float64) {
	gib := float64(b.N) * float64(size) / (1 << 30)
	b.ReportMetric((cpuSeconds()-before)/gib, "cpu-s/GiB")
}

func benchAppend(b *testing.B, o Options, size int) {
	o.MaxOpen = 100
	d := open(b, b.TempDir(), o)
	l := logOf(b, d, "t-0")
	recs := testBatch(0, 1, size, 1)
	set := setOf(recs)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	cpu := cpuSeconds()
	b.ResetTimer()
	for i := range b.N {
		record.Batch(recs).SetBaseOffset(set.Base)
		if err := l.Append(recs, set); err != nil {
			b.Fatal(err)
		}
		set.Base, set.Next = set.Base+1, set.Next+1
		if i%1024 == 1023 && l.Size() > 2<<30 {
			l.Retain(Retention{Bytes: 1 << 30, Ms: -1, Upto: l.End()})
		}
	}
	b.StopTimer()
	reportCPU(b, size, cpu)
}

func BenchmarkAppend(b *testing.B) {
	for _, way := range []string{"lent", "public"} {
		for _, kib := range []int{1, 16, 128, 1024} {
			b.Run(fmt.Sprintf("%s/%dKiB", way, kib), func(b *testing.B) {
				benchAppend(b, Options{publicOnly: way == "public"}, kib<<10)
			})
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, kib := range []int{1, 16, 128, 1024} {
		b.Run(fmt.Sprintf("%dKiB", kib), func(b *testing.B) {
			l := logOf(b, open(b, b.TempDir(), Options{}), "t-0")
			for l.Size() < 256<<20 {
				appendBatch(b, l, 1, kib<<10, 1)
			}
			var d record.Data
			sink := make([]byte, 2<<20)
			cpu, bytes := cpuSeconds(), 0
			b.ReportAllocs()
			b.ResetTimer()
			from := int64(0)
			for range b.N {
				if err := l.Read(&d, from, l.End(), 1<<20, true); err != nil {
					b.Fatal(err)
				}
				for _, p := range d.Pieces {
					if p.Bytes == nil {
						syscall.Pread(p.FD, sink[:p.N], p.Pos) // stands for sendfile
					}
				}
				bytes += d.Size
				if from += int64(d.Size) / int64(kib<<10); from >= l.End() {
					from = 0
				}
				d.Release()
			}
			b.StopTimer()
			b.SetBytes(int64(bytes / b.N))
			b.ReportMetric((cpuSeconds()-cpu)/(float64(bytes)/(1<<30)), "cpu-s/GiB")
		})
	}
}

func BenchmarkReadTail(b *testing.B) {
	l := logOf(b, open(b, b.TempDir(), Options{}), "t-0")
	for range 1000 {
		appendBatch(b, l, 1, 170, 1)
	}
	var d record.Data
	b.ReportAllocs()
	for range b.N {
		if err := l.Read(&d, l.End()-1, l.End(), 1<<20, true); err != nil || d.Size == 0 {
			b.Fatal(err)
		}
		d.Release()
	}
}

// BenchmarkGroupCommit has producers that each wait until their entry is durable.
func BenchmarkGroupCommit(b *testing.B) {
	for _, producers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprint(producers), func(b *testing.B) {
			l := logOf(b, open(b, b.TempDir(), Options{}), "t-0")
			var mu sync.Mutex
			var left atomic.Int64
			left.Store(int64(b.N))
			recs := testBatch(0, 1, 16<<10, 1)
			set := setOf(recs)
			var wg sync.WaitGroup
			for range producers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						mu.Lock()
						record.Batch(recs).SetBaseOffset(set.Base)
						err := l.Append(recs, set)
						set.Base, set.Next = set.Base+1, set.Next+1
						next := set.Base
						mu.Unlock()
						if err == nil {
							err = l.Sync(next)
						}
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkManyLogs appends 16 KiB in turn to many logs, more than may have a handle.
func BenchmarkManyLogs(b *testing.B) {
	for _, n := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			d := open(b, b.TempDir(), Options{})
			logs := make([]*Log, n)
			for i := range logs {
				logs[i] = logOf(b, d, fmt.Sprintf("t-%d", i))
				appendBatch(b, logs[i], 1, 16<<10, 1)
			}
			recs := testBatch(0, 1, 16<<10, 1)
			set := setOf(recs)
			b.SetBytes(16 << 10)
			b.ReportAllocs()
			cpu := cpuSeconds()
			b.ResetTimer()
			for i := range b.N {
				l := logs[i%n]
				set.Base, set.Next = l.End(), l.End()+1
				record.Batch(recs).SetBaseOffset(set.Base)
				if err := l.Append(recs, set); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			reportCPU(b, 16<<10, cpu)
		})
	}
}

package raft

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func BenchmarkFound(b *testing.B) {
	for b.Loop() {
		n := start(b, testConfig(b.TempDir()))
		b.StopTimer()
		n.Close()
		b.StartTimer()
	}
}

func BenchmarkRestart(b *testing.B) {
	for _, partitions := range []int32{1, 9999} {
		b.Run(fmt.Sprint(partitions), func(b *testing.B) {
			dir := b.TempDir()
			n := start(b, testConfig(dir))
			join(b, n, 1)
			create(b, n, "t", partitions)
			n.Close()
			for b.Loop() {
				n := start(b, testConfig(dir))
				b.StopTimer()
				n.Close()
				b.StartTimer()
			}
		})
	}
}

// BenchmarkRejoin is what a broker with many partitions waits for at its start after a kill: fencing of what was, registration, unfencing.
func BenchmarkRejoin(b *testing.B) {
	n := start(b, testConfig(b.TempDir()))
	join(b, n, 1)
	create(b, n, "t", 9999)
	i := byte(1)
	for b.Loop() {
		i++
		join(b, n, i)
	}
}

func BenchmarkCreateTopic(b *testing.B) {
	for _, partitions := range []int32{1, 1000, 9000} {
		b.Run(fmt.Sprint(partitions), func(b *testing.B) {
			n := start(b, testConfig(b.TempDir()))
			join(b, n, 1)
			i := 0
			for b.Loop() {
				i++
				create(b, n, fmt.Sprint("t", i), partitions)
				b.StopTimer()
				q := kmsg.NewPtrDeleteTopicsRequest()
				q.TopicNames = []string{fmt.Sprint("t", i)}
				q.SetVersion(5)
				if _, err := n.Submit(context.Background(), q); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func BenchmarkAddPartitions(b *testing.B) {
	n := start(b, testConfig(b.TempDir()))
	join(b, n, 1)
	i := 0
	for b.Loop() {
		b.StopTimer()
		i++
		create(b, n, fmt.Sprint("t", i), 1000)
		b.StartTimer()
		q := kmsg.NewPtrCreatePartitionsRequest()
		q.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: fmt.Sprint("t", i), Count: 10_000}}
		if r := submit[*kmsg.CreatePartitionsResponse](b, n, q); r.Topics[0].ErrorCode != 0 {
			b.Fatal(r.Topics[0])
		}
		b.StopTimer()
		d := kmsg.NewPtrDeleteTopicsRequest()
		d.TopicNames = []string{fmt.Sprint("t", i)}
		d.SetVersion(5)
		n.Submit(context.Background(), d)
		b.StartTimer()
	}
}

func BenchmarkCreateTopicsPipelined(b *testing.B) {
	n := start(b, testConfig(b.TempDir()))
	join(b, n, 1)
	i := make(chan int, 1)
	i <- 0
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			k := <-i + 1
			i <- k
			create(b, n, fmt.Sprint("t", k), 1)
		}
	})
}

package record

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"weir/protocol"
)

// workload makes a batch of about size bytes before compression, with values that compress to about half.
func workload(c Codec, size, value int) Batch {
	g := rand.New(rand.NewPCG(1, uint64(value)))
	b := Builder{Codec: c}
	v := make([]byte, value)
	for b.Size() < size {
		for i := range v {
			v[i] = "0123456789abcdef"[g.IntN(16)]
		}
		b.Add(1000+int64(b.Count()), nil, v)
	}
	return b.Bytes()
}

// topic is what a topic with defaults asks of records.
func topic() Options {
	return Options{ProduceVersion: 13, NowMs: 5000, BeforeMaxMs: 1 << 62, AfterMaxMs: 1 << 62, MaxMessageBytes: 2 << 20}
}

func BenchmarkValidate(b *testing.B) {
	for c := Uncompressed; c <= Zstd; c++ {
		for _, value := range []int{1024, 100} {
			batch := workload(c, 1<<20, value)
			b.Run(fmt.Sprintf("%s/%d", c, value), func(b *testing.B) {
				o := topic()
				b.SetBytes(1 << 20)
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := Validate(batch, o); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	batch := workload(Uncompressed, 1<<20, 100)
	b.Run("append-time/100", func(b *testing.B) {
		o := topic()
		o.LogAppendTime = true
		b.SetBytes(1 << 20)
		b.ReportAllocs()
		for b.Loop() {
			o.NowMs++
			if _, _, err := Validate(bytesOf(batch), o); err != nil && err.Code != protocol.InvalidTimestamp {
				b.Fatal(err)
			}
		}
	})
}

// bytesOf makes the batch one of producer timestamps again.
func bytesOf(b Batch) []byte {
	b[posAttributes+1] &^= attrLogAppendTime
	b.SetCRC()
	return b
}

func BenchmarkCodec(b *testing.B) {
	plain := workload(Uncompressed, 1<<20, 100).Body()
	for c := Gzip; c <= Zstd; c++ {
		packed := c.Compress(nil, plain, DefaultLevel)
		b.Run(c.String()+"/compress", func(b *testing.B) {
			dst := make([]byte, 0, 2<<20)
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				dst = c.Compress(dst[:0], plain, DefaultLevel)
			}
		})
		b.Run(c.String()+"/decompress", func(b *testing.B) {
			dst := make([]byte, 0, 2<<20)
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = c.Decompress(dst[:0], packed, 2<<20)
			}
			if !bytes.Equal(dst, plain) {
				b.Fatal("not the same")
			}
		})
	}
}

func BenchmarkAssign(b *testing.B) {
	batch := workload(Uncompressed, 1<<20, 1024)
	b.ReportAllocs()
	for b.Loop() {
		Assign(batch, 1<<40, 7)
	}
}

func BenchmarkCheckCRC(b *testing.B) {
	batch := workload(Uncompressed, 1<<20, 1024)
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		batch.CheckCRC()
	}
}

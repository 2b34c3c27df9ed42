package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"weir/protocol"
)

// texts are contents that codecs treat in different ways.
func texts() [][]byte {
	g := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 200_000)
	for i := range noise {
		noise[i] = byte(g.Uint32())
	}
	mixed := bytes.Clone(noise)
	for i := 0; i < len(mixed); i += 1000 {
		copy(mixed[i:i+900], bytes.Repeat([]byte("abc"), 300))
	}
	return [][]byte{{}, {1}, []byte("hello"), bytes.Repeat([]byte("x"), 65536), bytes.Repeat([]byte("yz"), 70000), noise, noise[:65537], mixed}
}

func TestCodecs(t *testing.T) {
	for c := Uncompressed; c <= Zstd; c++ {
		for _, level := range []int{DefaultLevel, -1, 0, 1, 3, 9, 12, 22} {
			var wg sync.WaitGroup
			for _, text := range texts() {
				wg.Go(func() {
					packed := c.Compress([]byte("before"), text, level)
					got, err := c.Decompress([]byte("here"), packed[6:], len(text))
					if err != nil || string(got[:4]) != "here" || !bytes.Equal(got[4:], text) {
						t.Errorf("%s level %d, %d bytes: %v", c, level, len(text), err)
					}
					if len(text) > 0 {
						if _, err := c.Decompress(nil, packed[6:], len(text)-1); err != ErrTooLarge {
							t.Errorf("%s, one byte too many: %v", c, err)
						}
					}
				})
			}
			wg.Wait()
		}
	}
	if _, err := Codec(5).Decompress(nil, nil, 1); !errors.Is(err, protocol.ErrMalformed) {
		t.Error(err)
	}
}

// TestOtherEncoders reads what other clients' encoders write: bare snappy, lz4 with larger blocks and sums, zstd streams, several
// gzip members.
func TestOtherEncoders(t *testing.T) {
	for _, text := range texts() {
		check := func(name string, c Codec, packed []byte) {
			if got, err := c.Decompress(nil, packed, len(text)); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s, %d bytes: %v", name, len(text), err)
			}
		}
		check("snappy block", Snappy, s2.EncodeSnappy(nil, text))
		for _, size := range []lz4.BlockSize{lz4.Block64Kb, lz4.Block256Kb, lz4.Block1Mb, lz4.Block4Mb} {
			var b bytes.Buffer
			w := lz4.NewWriter(&b)
			w.Apply(lz4.BlockSizeOption(size), lz4.ChecksumOption(true), lz4.BlockChecksumOption(size != lz4.Block64Kb), lz4.SizeOption(uint64(len(text))))
			w.Write(text)
			w.Close()
			check("lz4 "+size.String(), LZ4, b.Bytes())
		}
		var b bytes.Buffer
		w, _ := zstd.NewWriter(&b)
		w.Write(text)
		w.Close()
		if len(text) > 0 {
			check("zstd stream", Zstd, b.Bytes())
		}
		b.Reset()
		for _, part := range [][]byte{text[:len(text)/2], text[len(text)/2:]} {
			w := gzip.NewWriter(&b)
			w.Write(part)
			w.Close()
		}
		check("gzip members", Gzip, b.Bytes())
	}
}

// TestSnappyNotS2 refuses what only S2 can read.
func TestSnappyNotS2(t *testing.T) {
	g := rand.New(rand.NewPCG(2, 2))
	record := []byte("0123456789abcdefghijklmnopqrstuvwxyz")
	var text []byte
	for range 300 {
		record[10], record[20] = byte(g.Uint32()), byte(g.Uint32())
		text = append(text, record...)
	}
	packed := s2.Encode(nil, text)
	if n, err := s2.DecodedLen(packed); err != nil || n > maxSnappyRatio*len(packed) {
		t.Fatal("too good a compression for this test")
	}
	if got, err := s2.Decode(nil, packed); err != nil || !bytes.Equal(got, text) {
		t.Fatal(err)
	}
	if _, err := Snappy.Decompress(nil, packed, 1<<20); !errors.Is(err, protocol.ErrMalformed) {
		t.Error("S2 was taken for snappy:", err)
	}
}

// TestBrokenStreams cuts and flips: an error or the same bytes, never a panic, never more than the limit.
func TestBrokenStreams(t *testing.T) {
	text := append(bytes.Repeat([]byte("abcdefgh"), 300), texts()[5][:500]...)
	for c := Gzip; c <= Zstd; c++ {
		packed := c.Compress(nil, text, DefaultLevel)
		for n := range packed {
			if got, err := c.Decompress(nil, packed[:n], len(text)); err == nil && len(got) == len(text) && c != LZ4 {
				t.Errorf("%s cut at %d of %d", c, n, len(packed))
			}
			bad := bytes.Clone(packed)
			for _, x := range []byte{0x01, 0x80, 0xff} {
				bad[n] = packed[n] ^ x
				if got, err := c.Decompress(nil, bad, 1<<16); err == nil && len(got) > 1<<16 {
					t.Errorf("%s: %d bytes", c, len(got))
				} else if err != nil && err != ErrTooLarge && !errors.Is(err, protocol.ErrMalformed) {
					t.Errorf("%s: %v", c, err)
				}
			}
		}
	}
}

// Java reads member after member and takes what follows and is none for nothing, however short it is.
func TestGzipMembers(t *testing.T) {
	one, two := Gzip.Compress(nil, []byte("one "), DefaultLevel), Gzip.Compress(nil, []byte("two"), DefaultLevel)
	for _, behind := range []string{"", "x", "\x1f\x8b", "\x00\x00\x00", "something that is longer than a header"} {
		got, err := Gzip.Decompress(nil, append(append(bytes.Clone(one), two...), behind...), 7)
		if err != nil || string(got) != "one two" {
			t.Errorf("%q behind: %q, %v", behind, got, err)
		}
	}
	if got, err := Gzip.Decompress(nil, append(bytes.Clone(one), two[:12]...), 7); err == nil {
		t.Errorf("a member cut short: %q", got)
	}
	if _, err := Gzip.Decompress(nil, append(bytes.Clone(one), two...), 6); err != ErrTooLarge {
		t.Errorf("one byte too many: %v", err)
	}
}

// TestLyingSizes has headers that claim gigabytes: no memory before there are bytes for it.
func TestLyingSizes(t *testing.T) {
	big := binary.AppendUvarint(nil, 1<<31)
	xerial := append([]byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"), 0, 0, 0, byte(len(big)+1))
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0x40, 0, 0, 0, 0, 1, 0, 0} // single segment, content size 1 GiB
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 1, 0, 0}                     // a window of 128 MiB
	for name, c := range map[string]struct {
		codec Codec
		src   []byte
	}{
		"snappy":         {Snappy, append(big, 0)},
		"xerial":         {Snappy, append(xerial, append(big, 0)...)},
		"xerial block":   {Snappy, append(xerial[:16:16], 0xff, 0xff, 0xff, 0xff, 0)},
		"zstd content":   {Zstd, frame},
		"zstd window":    {Zstd, window},
		"lz4 block 4MiB": {LZ4, append(lz4Head(7), 2, 0, 0, 0, 0xff, 0xff)},
	} {
		var before, after runtime.MemStats
		c.codec.Decompress(nil, c.codec.Compress(nil, []byte("warm"), DefaultLevel), 100)
		runtime.ReadMemStats(&before)
		got, err := c.codec.Decompress(nil, c.src, 1<<30)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 5<<20 || len(got) > 0 {
			t.Errorf("%s: %d bytes allocated, %v", name, n, err)
		}
		if err != nil && !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// lz4Head is a frame header with a code for the block size.
func lz4Head(code byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	b = append(b, lz4Version|lz4Independent, code<<4)
	return append(b, byte(xxh32(b[4:])>>8))
}

// TestLZ4Header refuses a header whose sum is wrong, and dependent blocks, as Kafka does.
func TestLZ4Header(t *testing.T) {
	packed := LZ4.Compress(nil, []byte("hello hello hello"), DefaultLevel)
	bad := bytes.Clone(packed)
	bad[6] ^= 1
	if _, err := LZ4.Decompress(nil, bad, 100); !errors.Is(err, protocol.ErrMalformed) {
		t.Error("a wrong header sum:", err)
	}
	bad = bytes.Clone(packed)
	bad[4] &^= lz4Independent
	bad[6] = byte(xxh32(bad[4:6]) >> 8)
	if _, err := LZ4.Decompress(nil, bad, 100); !errors.Is(err, protocol.ErrMalformed) {
		t.Error("dependent blocks:", err)
	}
}

func TestXXH32(t *testing.T) {
	for text, want := range map[string]uint32{"": 0x02cc5d05, "a": 0x550d7456, "abc": 0x32d153ff} {
		if got := xxh32([]byte(text)); got != want {
			t.Errorf("%q: %08x, want %08x", text, got, want)
		}
	}
	// Longer ones against the sums that an lz4 frame of another encoder carries (TestOtherEncoders); here a content sum.
	text := texts()[7]
	var b bytes.Buffer
	w := lz4.NewWriter(&b)
	w.Apply(lz4.ChecksumOption(true))
	w.Write(text)
	w.Close()
	if got := binary.LittleEndian.Uint32(b.Bytes()[b.Len()-4:]); got != xxh32(text) {
		t.Errorf("%08x, want %08x", xxh32(text), got)
	}
}

// TestBomb sends a small batch that expands beyond any bound.
func TestBomb(t *testing.T) {
	zeros := make([]byte, 80<<20)
	for _, c := range []Codec{Gzip, Zstd, LZ4, Snappy} {
		b := Builder{Codec: c}
		b.Add(1, nil, zeros)
		bomb := b.Bytes()
		o := topic()
		o.MaxMessageBytes = 4 << 20
		before := runtime.MemStats{}
		runtime.ReadMemStats(&before)
		_, _, err := Validate(bomb, o)
		if err == nil || err.Code != protocol.MessageTooLarge {
			t.Errorf("%s, %d bytes: %v", c, len(bomb), err)
		}
		o.MaxMessageBytes = 8 << 20 // 16 times as much is enough
		if _, set, err := Validate(bomb, o); err != nil || set.Records != 1 {
			t.Errorf("%s, %d bytes: %v", c, len(bomb), err)
		}
	}
}

func TestParse(t *testing.T) {
	for name, want := range map[string]Target{
		"producer": {}, "uncompressed": {true, Uncompressed, 0}, "gzip": {true, Gzip, 1}, "snappy": {true, Snappy, 0}, "lz4": {true, LZ4, 2}, "zstd": {true, Zstd, 3},
	} {
		if got, err := ParseTarget(name, 1, 2, 3); err != nil || got != want {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if _, err := ParseTarget("brotli", 0, 0, 0); !errors.Is(err, protocol.ErrMalformed) {
		t.Error(err)
	}
	if s := fmt.Sprint(Gzip, Codec(7)); s != "gzip unknown" {
		t.Error(s)
	}
}

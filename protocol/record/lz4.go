package record

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// The frame format of lz4, as far as Kafka's client goes: version 1, independent blocks, checksums may be there.
const (
	lz4Magic        = 0x184D2204
	lz4Version      = 0x40
	lz4Independent  = 0x20
	lz4BlockSum     = 0x10
	lz4ContentSize  = 0x08
	lz4ContentSum   = 0x04
	lz4Reserved     = 0x02
	lz4Dictionary   = 0x01
	lz4Incompressed = 1 << 31
	lz4Block        = 64 << 10 // what the Java client writes: size code 4
)

var errLZ4 = errors.New("corrupt frame")

// unlz4 reads one frame. What follows its end mark is ignored, as Kafka does.
func unlz4(dst, src []byte, limit int) ([]byte, error) {
	start := len(dst)
	flags, blockMax, src, ok := lz4FrameHeader(src)
	for ok {
		if len(src) < 4 {
			break
		}
		size := binary.LittleEndian.Uint32(src)
		if src = src[4:]; size == 0 {
			return dst, nil
		}
		n := int(size &^ lz4Incompressed)
		if n > blockMax || n > len(src) {
			break
		}
		block := src[:n]
		src = src[n:]
		if flags&lz4BlockSum != 0 {
			if len(src) < 4 || binary.LittleEndian.Uint32(src) != xxh32(block) {
				break
			}
			src = src[4:]
		}
		if size&lz4Incompressed != 0 {
			if len(dst)+n-start > limit {
				return dst[:start], ErrTooLarge
			}
			dst = append(dst, block...)
			continue
		}
		// A byte of a block gives at most 255, so a small block needs no room for the largest one.
		dst = reserve(dst, min(blockMax, 255*n))
		got, err := lz4.UncompressBlock(block, dst[len(dst):min(cap(dst), len(dst)+blockMax)])
		if err != nil {
			break
		}
		if dst = dst[:len(dst)+got]; len(dst)-start > limit {
			return dst[:start], ErrTooLarge
		}
	}
	return dst[:start], corrupt(LZ4, errLZ4)
}

// lz4FrameHeader checks the descriptor and returns its flags, the largest size of a block and what follows.
func lz4FrameHeader(src []byte) (flags byte, blockMax int, rest []byte, ok bool) {
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != lz4Magic {
		return
	}
	flags = src[4]
	code := src[5] >> 4 & 7
	if flags&0xc0 != lz4Version || flags&lz4Independent == 0 || flags&(lz4Reserved|lz4Dictionary) != 0 ||
		src[5]&0x8f != 0 || code < 4 {
		return
	}
	end := 6
	if flags&lz4ContentSize != 0 {
		end += 8
	}
	if len(src) <= end || src[end] != byte(xxh32(src[4:end])>>8) {
		return
	}
	return flags, 1 << (8 + 2*code), src[end+1:], true
}

var (
	lz4Fast sync.Pool // *lz4.Compressor
	lz4HC   sync.Pool // *lz4.CompressorHC
)

// lz4To writes a frame as the Java client does: blocks of 64 KiB, no sums but that of the header. Level 9 is Kafka's default and
// means the fast compressor; others are the high compressor's.
func lz4To(dst, src []byte, level int) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, lz4Magic)
	dst = append(dst, lz4Version|lz4Independent, 4<<4)
	dst = append(dst, byte(xxh32(dst[at+4:])>>8))
	for len(src) > 0 {
		block := src[:min(len(src), lz4Block)]
		src = src[len(block):]
		dst = reserve(dst, 4+len(block))
		at := len(dst)
		// With room for no more than the block itself the compressor gives up on what does not shrink.
		n := lz4CompressBlock(block, dst[at+4:at+4+len(block)], level)
		size := uint32(n)
		if n == 0 || n >= len(block) {
			n = copy(dst[at+4:at+4+len(block)], block)
			size = uint32(n) | lz4Incompressed
		}
		binary.LittleEndian.PutUint32(dst[at:at+4], size)
		dst = dst[:at+4+n]
	}
	return append(dst, 0, 0, 0, 0)
}

// lz4CompressBlock returns 0 when the block does not fit.
func lz4CompressBlock(src, dst []byte, level int) int {
	if level == DefaultLevel || level == 9 {
		c, _ := lz4Fast.Get().(*lz4.Compressor)
		if c == nil {
			c = new(lz4.Compressor)
		}
		defer lz4Fast.Put(c)
		n, err := c.CompressBlock(src, dst)
		if err != nil {
			return 0
		}
		return n
	}
	c, _ := lz4HC.Get().(*lz4.CompressorHC)
	if c == nil {
		c = new(lz4.CompressorHC)
	}
	defer lz4HC.Put(c)
	// The depths of the library double from level to level and begin at 1<<9.
	c.Level = lz4.Level1 << (min(max(level, 1), 9) - 1)
	n, err := c.CompressBlock(src, dst)
	if err != nil {
		return 0
	}
	return n
}

// The primes of XXH32.
const (
	xxPrime1 = 2654435761
	xxPrime2 = 2246822519
	xxPrime3 = 3266489917
	xxPrime4 = 668265263
	xxPrime5 = 374761393
)

// xxh32 is the 32-bit xxHash of b with seed 0, which lz4 frames are summed with.
func xxh32(b []byte) uint32 {
	n := uint32(len(b))
	h := uint32(xxPrime5)
	if len(b) >= 16 {
		p1 := uint32(xxPrime1) // a variable, because the sums below wrap
		v := [4]uint32{p1 + xxPrime2, xxPrime2, 0, -p1}
		for ; len(b) >= 16; b = b[16:] {
			for i := range v {
				v[i] = bits.RotateLeft32(v[i]+binary.LittleEndian.Uint32(b[4*i:])*xxPrime2, 13) * xxPrime1
			}
		}
		h = bits.RotateLeft32(v[0], 1) + bits.RotateLeft32(v[1], 7) + bits.RotateLeft32(v[2], 12) + bits.RotateLeft32(v[3], 18)
	}
	h += n
	for ; len(b) >= 4; b = b[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(b)*xxPrime3, 17) * xxPrime4
	}
	for _, c := range b {
		h = bits.RotateLeft32(h+uint32(c)*xxPrime5, 11) * xxPrime1
	}
	h = (h ^ h>>15) * xxPrime2
	h = (h ^ h>>13) * xxPrime3
	return h ^ h>>16
}

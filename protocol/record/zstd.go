package record

import (
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// maxZstdWindow is the largest window of zstd's command line and of zstd-jni. It is not allocated: a whole batch is decoded
	// into one buffer, which is its own window.
	maxZstdWindow = 128 << 20
	// maxZstdBlock is the most that one block decodes to.
	maxZstdBlock = 128 << 10
	// zstdSlack is what the decoder wants beyond the content, to copy in strides.
	zstdSlack = 64
)

var errZstd = errors.New("corrupt frame")

// zstdReader decodes for the whole process; as many batches at once as there are processors, others wait. It stays within the
// capacity of what it is given, so that no frame makes it allocate what its header claims.
var zstdReader = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are constant
	}
	return d
})

// unzstd decodes into the room that dst has and, while that may have been too small, into four times more: the decoder has
// no error of its own for that.
func unzstd(dst, src []byte, limit int) ([]byte, error) {
	start := len(dst)
	most, ok := zstdBound(src)
	if !ok {
		return dst, corrupt(Zstd, errZstd)
	}
	most = min(most, limit)
	room := min(most, max(cap(dst)-start-zstdSlack, 4*len(src), 4<<10))
	for {
		dst = reserve(dst, room+zstdSlack)
		out, err := zstdReader().DecodeAll(src, dst[:start:start+room+zstdSlack])
		switch {
		case err == nil && len(out)-start > limit:
			return dst[:start], ErrTooLarge
		case err == nil:
			return out, nil
		case room < most:
			room = min(most, 4*room)
		case most == limit && (errors.Is(err, zstd.ErrDecoderSizeExceeded) || len(out)-start > limit-maxZstdBlock):
			return dst[:start], ErrTooLarge
		default:
			return dst[:start], corrupt(Zstd, err)
		}
	}
}

// zstdBound walks the blocks of all frames and returns the most that they can decode to. ok is false where blocks end beyond src
// or a frame claims more content than its blocks can have.
func zstdBound(src []byte) (bound int, ok bool) {
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, false
		}
		if h.Skippable {
			if n := h.HeaderSize + int(h.SkippableSize); n <= len(src) {
				src = src[n:]
				continue
			}
			return 0, false
		}
		most, rest := zstdBlocks(src[h.HeaderSize:])
		if rest == nil || h.HasFCS && h.FrameContentSize > uint64(most) || h.HasCheckSum && len(rest) < 4 {
			return 0, false
		}
		if h.HasFCS {
			most = int(h.FrameContentSize)
		}
		if bound += most; h.HasCheckSum {
			rest = rest[4:]
		}
		src = rest
	}
	return bound, true
}

// zstdBlocks walks the blocks of one frame and returns the most they can decode to and what follows the last; nil where that is
// beyond src.
func zstdBlocks(src []byte) (most int, rest []byte) {
	for len(src) >= 3 {
		h := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
		size, stored := h>>3, h>>3
		switch h >> 1 & 3 {
		case 1: // one byte, so many times
			stored = 1
		case 2: // compressed
			size = maxZstdBlock
		}
		if most += size; stored > len(src)-3 {
			return 0, nil
		}
		src = src[3+stored:]
		if h&1 != 0 {
			return most, src
		}
	}
	return 0, nil
}

// zstdWriters are encoders by level; an encoder is made when its level is first used.
var zstdWriters [zstd.SpeedBestCompression + 1]sync.Pool

func zstdTo(dst, src []byte, level int) []byte {
	speed := zstd.SpeedDefault
	if level != DefaultLevel {
		speed = zstd.EncoderLevelFromZstd(level)
	}
	pool := &zstdWriters[speed]
	e, _ := pool.Get().(*zstd.Encoder)
	if e == nil {
		var err error
		if e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true)); err != nil {
			panic(err) // the options are constant
		}
	}
	dst = e.EncodeAll(src, dst)
	pool.Put(e)
	return dst
}

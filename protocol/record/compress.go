package record

import (
	"errors"
	"fmt"

	"weir/protocol"
)

// Codec is the compression of a batch: the lowest three bits of its attributes.
type Codec int8

// The codecs.
const (
	Uncompressed Codec = 0
	Gzip         Codec = 1
	Snappy       Codec = 2
	LZ4          Codec = 3
	Zstd         Codec = 4
)

// DefaultLevel is the level of a codec that nobody set: gzip 6, lz4 and zstd as Kafka's defaults 9 (fast) and 3.
const DefaultLevel = -1 << 31

// ErrTooLarge is returned by Decompress when the result would be longer than its limit.
var ErrTooLarge = errors.New("decompressed records are too large")

// codecNames are Kafka's names, by codec.
var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// Valid says whether there is such a codec.
func (c Codec) Valid() bool { return c >= 0 && int(c) < len(codecNames) }

// String returns Kafka's name of the codec.
func (c Codec) String() string {
	if !c.Valid() {
		return "unknown"
	}
	return codecNames[c]
}

// ParseCodec reads Kafka's name of a codec; "uncompressed", as compression.type has it, is none. The error wraps ErrMalformed.
func ParseCodec(name string) (Codec, error) {
	for c, s := range codecNames {
		if s == name {
			return Codec(c), nil
		}
	}
	if name == "uncompressed" {
		return Uncompressed, nil
	}
	return 0, fmt.Errorf("%w: %q is not a compression type", protocol.ErrMalformed, name)
}

// Decompress appends what src holds to dst, which may not grow by more than limit bytes. The error is ErrTooLarge or wraps
// ErrMalformed. No length that src claims is allocated before bytes back it. It may be called concurrently.
func (c Codec) Decompress(dst, src []byte, limit int) ([]byte, error) {
	switch c {
	case Uncompressed:
		if len(src) > limit {
			return dst, ErrTooLarge
		}
		return append(dst, src...), nil
	case Gzip:
		return gunzip(dst, src, limit)
	case Snappy:
		return unsnappy(dst, src, limit)
	case LZ4:
		return unlz4(dst, src, limit)
	case Zstd:
		return unzstd(dst, src, limit)
	}
	return dst, fmt.Errorf("%w: compression codec %d", protocol.ErrMalformed, c)
}

// Compress appends src, compressed as Kafka's clients do, to dst. level is the codec's (compression.gzip.level, ...), or
// DefaultLevel; levels out of range take the nearest. It may be called concurrently. It panics for an unknown codec.
func (c Codec) Compress(dst, src []byte, level int) []byte {
	switch c {
	case Uncompressed:
		return append(dst, src...)
	case Gzip:
		return gzipTo(dst, src, level)
	case Snappy:
		return snappyTo(dst, src)
	case LZ4:
		return lz4To(dst, src, level)
	case Zstd:
		return zstdTo(dst, src, level)
	}
	panic(fmt.Sprintf("compression codec %d", c))
}

// reserve makes room for n more bytes.
func reserve(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	grown := make([]byte, len(b), max(2*cap(b), len(b)+n))
	copy(grown, b)
	return grown
}

// corrupt wraps what a decoder found.
func corrupt(c Codec, err error) error {
	return fmt.Errorf("%w: %s: %w", protocol.ErrMalformed, c, err)
}

package record

import (
	"encoding/binary"
	"errors"

	"github.com/klauspost/compress/s2"
)

// xerialMagic opens the framing of snappy-java's streams: a header of 16 bytes, then blocks with a 32-bit size.
const xerialMagic = "\x82SNAPPY\x00"

const (
	xerialHeader = 16
	xerialBlock  = 32 << 10 // of snappy-java's default stream, which Kafka uses
)

// maxSnappyRatio is more than a snappy block can expand: an element of three bytes copies at most 64.
const maxSnappyRatio = 22

var errSnappy = errors.New("corrupt block")

// unsnappy reads the framing of the Java client, or one bare block as others send it (librdkafka, old sarama).
func unsnappy(dst, src []byte, limit int) ([]byte, error) {
	start := len(dst)
	if len(src) < xerialHeader || string(src[:len(xerialMagic)]) != xerialMagic {
		out, err := unsnappyBlock(dst, src, limit)
		if err != nil {
			return dst[:start], err
		}
		return out, nil
	}
	for src = src[xerialHeader:]; len(src) > 0; {
		if len(src) < 4 {
			return dst[:start], corrupt(Snappy, errSnappy)
		}
		n := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; n > int64(len(src)) {
			return dst[:start], corrupt(Snappy, errSnappy)
		}
		out, err := unsnappyBlock(dst, src[:n], limit-(len(dst)-start))
		if err != nil {
			return dst[:start], err
		}
		dst, src = out, src[n:]
	}
	return dst, nil
}

func unsnappyBlock(dst, src []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil || n > maxSnappyRatio*len(src) || !plainSnappy(src) {
		return dst, corrupt(Snappy, errSnappy)
	}
	if n > limit {
		return dst, ErrTooLarge
	}
	dst = reserve(dst, n)
	out, err := s2.Decode(dst[len(dst):len(dst)+n], src)
	if err != nil || len(out) != n {
		return dst, corrupt(Snappy, errSnappy)
	}
	return dst[:len(dst)+n], nil
}

// plainSnappy walks the elements of a block and says whether it has none of S2's extensions, which the decoder at hand would
// take and no other client could read: they are copies with offset zero.
func plainSnappy(b []byte) bool {
	_, n := binary.Uvarint(b)
	if n <= 0 {
		return false
	}
	for i := n; i < len(b); {
		tag := b[i]
		switch tag & 3 {
		case 0:
			size := int(tag >> 2)
			i++
			if size >= 60 {
				extra := size - 59
				if i+extra > len(b) {
					return false
				}
				size = 0
				for k := extra - 1; k >= 0; k-- {
					size = size<<8 | int(b[i+k])
				}
				i += extra
			}
			i += size + 1
		case 1:
			if i+2 > len(b) || tag&0xe0 == 0 && b[i+1] == 0 {
				return false
			}
			i += 2
		case 2:
			i += 3
		case 3:
			i += 5
		}
	}
	return true
}

// snappyTo writes the Java client's framing.
func snappyTo(dst, src []byte) []byte {
	dst = append(dst, xerialMagic...)
	dst = append(dst, 0, 0, 0, 1, 0, 0, 0, 1) // version and the lowest compatible one
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlock)]
		src = src[len(block):]
		dst = reserve(dst, 4+s2.MaxEncodedLen(len(block)))
		at := len(dst)
		out := s2.EncodeSnappy(dst[at+4:cap(dst)], block)
		binary.BigEndian.PutUint32(dst[at:at+4], uint32(len(out)))
		dst = dst[:at+4+len(out)]
	}
	return dst
}

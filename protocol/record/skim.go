package record

import "encoding/binary"

// skimmed is what validation wants of a record.
type skimmed struct {
	timestampDelta int64
	offsetDelta    int32
	body           int32 // size without the length field
	keyed          bool
}

// skim parses the first record of b as rawRecord.read does, to the same verdict, and returns where the next one begins, or -1 for
// one that is not well formed. It and plain are the inner loop of validation: positions instead of slices, and varints of one byte, which most
// are, without a call. A position of -1 is bad and stays so.
func (s *skimmed) skim(b []byte) int {
	size, i := zig32(b, 0)
	end := i + int(size)
	if i < 0 || size <= 0 || end > len(b) {
		return -1
	}
	s.body = size
	b = b[:end]
	i++ // the attributes
	if uint(i) < uint(len(b)) && b[i] < 0x80 {
		s.timestampDelta = int64(b[i]>>1) ^ -int64(b[i]&1)
		i++
	} else {
		s.timestampDelta, i = zig64(b, i)
	}
	if uint(i) < uint(len(b)) && b[i] < 0x80 {
		s.offsetDelta = int32(b[i]>>1) ^ -int32(b[i]&1)
		i++
	} else {
		s.offsetDelta, i = zig32(b, i)
	}
	n := int32(-1)
	if s.keyed = false; uint(i) < uint(len(b)) && b[i] == 1 {
		i++ // null
	} else {
		n, i = zig32(b, i)
		s.keyed = n >= 0
		i = advance(i, n)
	}
	n, i = zig32(b, i)
	i = advance(i, n)
	if i == end-1 && b[i] == 0 { // no headers
		return end
	}
	return headers(b, i)
}

// plain is skim for what most records are: no key, no headers, and nothing but the value behind the word that follows the size. It is 0
// for all others, good or bad. A value that ends where the record's last byte is lies in the record, and so does what is before it.
func (s *skimmed) plain(b []byte) int {
	if len(b) < 16 {
		return 0
	}
	size, start := uint(b[0]), 1
	if size >= 0x80 {
		if b[1] >= 0x80 {
			return 0
		}
		size, start = size&0x7f|uint(b[1])<<7, 2
	}
	w := binary.LittleEndian.Uint64(b[start:]) >> 8 // behind the attributes
	i := start + 1
	timestamp := w & 0x7f
	if w&0x80 != 0 {
		if w&0x8000 != 0 {
			return 0
		}
		timestamp |= w >> 1 & 0x3f80
		w, i = w>>8, i+1
	}
	w, i = w>>8, i+1
	offset := w & 0x7f
	if w&0x80 != 0 {
		offset |= w >> 1 & 0x3f80
		if w&0x8000 != 0 {
			if w&0x800000 != 0 {
				return 0
			}
			offset |= w >> 2 & 0x1fc000
			w, i = w>>8, i+1
		}
		w, i = w>>8, i+1
	}
	w, i = w>>8, i+1
	value := w >> 8 & 0x7f
	if w&0x8000 != 0 {
		if w&0x800000 != 0 {
			return 0
		}
		value |= w >> 9 & 0x3f80
		i++
	}
	i += 2
	end := start + int(size>>1)
	if w&0xff != 1 || (size|uint(value))&1 != 0 || i-start > 8 || end > len(b) || i+int(value>>1) != end-1 || b[end-1] != 0 {
		return 0
	}
	s.body, s.keyed = int32(size>>1), false
	s.timestampDelta = int64(timestamp>>1) ^ -int64(timestamp&1)
	s.offsetDelta = int32(offset>>1) ^ -int32(offset&1)
	return end
}

// headers checks the headers, whose count is at i, up to the end of b.
func headers(b []byte, i int) int {
	n, i := zig32(b, i)
	if i < 0 || n < 0 || int(n) > len(b)-i {
		return -1
	}
	for ; n > 0; n-- {
		var size int32
		if size, i = zig32(b, i); size < 0 {
			return -1
		}
		i = advance(i, size)
		size, i = zig32(b, i)
		i = advance(i, size)
	}
	if i != len(b) {
		return -1
	}
	return i
}

// advance skips n bytes, none where n says null.
func advance(i int, n int32) int {
	if n > 0 && i >= 0 {
		return i + int(n)
	}
	return i
}

// zig32 reads a zig-zag varint of 32 bits at i and returns where it ends, or -1 where there is none or i is not in b.
func zig32(b []byte, i int) (int32, int) {
	if uint(i) >= uint(len(b)) {
		return 0, -1
	}
	if b = b[i:]; len(b) > 1 {
		if b[0] < 0x80 {
			return int32(b[0]>>1) ^ -int32(b[0]&1), i + 1
		}
		if b[1] < 0x80 {
			u := uint32(b[0]&0x7f) | uint32(b[1])<<7
			return int32(u>>1) ^ -int32(u&1), i + 2
		}
	}
	v, n := varint(b)
	if n <= 0 {
		return 0, -1
	}
	return v, i + n
}

// zig64 is zig32 with 64 bits.
func zig64(b []byte, i int) (int64, int) {
	if uint(i) >= uint(len(b)) {
		return 0, -1
	}
	if b = b[i:]; len(b) > 1 && b[1] < 0x80 && b[0] >= 0x80 {
		u := uint64(b[0]&0x7f) | uint64(b[1])<<7
		return int64(u>>1) ^ -int64(u&1), i + 2
	}
	v, n := varlong(b)
	if n <= 0 {
		return 0, -1
	}
	return v, i + n
}

package protocol

import "encoding/binary"

// The primitive forms of the wire, for the encoders that are written by hand. flexible picks the compact ones (KIP-482).

func append16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func append32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func append64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

func appendUvarint(dst []byte, v uint32) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// uvarintSize is how many bytes appendUvarint takes.
func uvarintSize(v uint32) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// appendCount appends the length of an array or of bytes; -1 is null.
func appendCount(dst []byte, n int, flexible bool) []byte {
	if flexible {
		return appendUvarint(dst, uint32(n+1))
	}
	return append32(dst, int32(n))
}

func appendString(dst []byte, s string, flexible bool) []byte {
	if flexible {
		dst = appendUvarint(dst, uint32(len(s)+1))
	} else {
		dst = append16(dst, int16(len(s)))
	}
	return append(dst, s...)
}

// appendNullable appends a string, the empty one as null.
func appendNullable(dst []byte, s string, flexible bool) []byte {
	switch {
	case s != "":
		return appendString(dst, s, flexible)
	case flexible:
		return append(dst, 0)
	}
	return append16(dst, -1)
}

// appendEndpoints appends tag 0 of a response that names the brokers of its leader hints (KIP-951), with its size.
func appendEndpoints(dst []byte, nodes []NodeEndpoint) []byte {
	size := uvarintSize(uint32(len(nodes) + 1))
	for i := range nodes {
		n := &nodes[i]
		size += 4 + uvarintSize(uint32(len(n.Host)+1)) + len(n.Host) + 4 + uvarintSize(uint32(len(n.Rack)+1)) + len(n.Rack) + 1
	}
	dst = append(dst, 0)
	dst = appendUvarint(dst, uint32(size))
	dst = appendUvarint(dst, uint32(len(nodes)+1))
	for i := range nodes {
		n := &nodes[i]
		dst = append32(dst, n.ID)
		dst = appendString(dst, n.Host, true)
		dst = append32(dst, n.Port)
		dst = appendNullable(dst, n.Rack, true)
		dst = append(dst, 0)
	}
	return dst
}

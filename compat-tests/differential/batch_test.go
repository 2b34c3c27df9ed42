package differential

import (
	"encoding/binary"
	"hash/crc32"
)

// record is one record of a batch, before its deltas are known.
type record struct {
	key, value []byte
	headers    [][2][]byte
	time       int64 // milliseconds after the batch's first
}

// batch is a record batch of format 2 of which every field can be wrong. The zero value of a field is the right one, but for
// those that say otherwise.
type batch struct {
	records     []record
	first       int64 // time of the first record
	base        int64
	magic       int8 // 0 is 2
	attributes  int16
	lastDelta   *int32 // nil: the number of records less one
	maxTime     *int64
	count       *int32
	length      *int32 // what stands in the header
	crcXor      uint32 // spoils the CRC
	producer    int64  // 0 is none, -1
	epoch       int16  // with a producer
	sequence    int32  // with a producer
	rawRecords  []byte // in place of the encoded records
	deltas      []int32
	leaderEpoch int32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode makes the batch's bytes.
func (b batch) encode() []byte {
	body := b.rawRecords
	if body == nil {
		body = b.encodeRecords()
	}
	maxTime := b.first
	for _, r := range b.records {
		maxTime = max(maxTime, b.first+r.time)
	}
	magic, producer, epoch, sequence := b.magic, b.producer, b.epoch, b.sequence
	if magic == 0 {
		magic = 2
	}
	if producer == 0 {
		producer, epoch, sequence = -1, -1, -1
	}
	out := binary.BigEndian.AppendUint64(nil, uint64(b.base))
	out = binary.BigEndian.AppendUint32(out, uint32(or(b.length, int32(49+len(body)))))
	out = binary.BigEndian.AppendUint32(out, uint32(b.leaderEpoch))
	out = append(out, byte(magic), 0, 0, 0, 0)
	out = binary.BigEndian.AppendUint16(out, uint16(b.attributes))
	out = binary.BigEndian.AppendUint32(out, uint32(or(b.lastDelta, int32(len(b.records)-1))))
	out = binary.BigEndian.AppendUint64(out, uint64(b.first))
	out = binary.BigEndian.AppendUint64(out, uint64(or(b.maxTime, maxTime)))
	out = binary.BigEndian.AppendUint64(out, uint64(producer))
	out = binary.BigEndian.AppendUint16(out, uint16(epoch))
	out = binary.BigEndian.AppendUint32(out, uint32(sequence))
	out = binary.BigEndian.AppendUint32(out, uint32(or(b.count, int32(len(b.records)))))
	out = append(out, body...)
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], castagnoli)^b.crcXor)
	return out
}

func or[T any](p *T, otherwise T) T {
	if p != nil {
		return *p
	}
	return otherwise
}

func (b batch) encodeRecords() []byte {
	var out []byte
	for i, r := range b.records {
		delta := int32(i)
		if b.deltas != nil {
			delta = b.deltas[i]
		}
		body := []byte{0}
		body = binary.AppendVarint(body, r.time)
		body = binary.AppendVarint(body, int64(delta))
		body = appendBytes(body, r.key)
		body = appendBytes(body, r.value)
		body = binary.AppendVarint(body, int64(len(r.headers)))
		for _, h := range r.headers {
			body = appendBytes(body, h[0])
			body = appendBytes(body, h[1])
		}
		out = binary.AppendVarint(out, int64(len(body)))
		out = append(out, body...)
	}
	return out
}

// appendBytes writes a length and the bytes, -1 for nil.
func appendBytes(out, b []byte) []byte {
	if b == nil {
		return binary.AppendVarint(out, -1)
	}
	return append(binary.AppendVarint(out, int64(len(b))), b...)
}

// some is n plain records.
func some(n int) []record {
	records := make([]record, n)
	for i := range records {
		records[i] = record{key: []byte{'k', byte('a' + i%26)}, value: []byte("value"), time: int64(i) * 10}
	}
	return records
}

// oldSet is a message set of format 0 or 1 with one message.
func oldSet(magic int8, value string) []byte {
	body := []byte{byte(magic), 0}
	if magic == 1 {
		body = binary.BigEndian.AppendUint64(body, 1)
	}
	body = binary.BigEndian.AppendUint32(body, ^uint32(0)) // no key
	body = binary.BigEndian.AppendUint32(body, uint32(len(value)))
	body = append(body, value...)
	out := binary.BigEndian.AppendUint64(nil, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(4+len(body)))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	return append(out, body...)
}

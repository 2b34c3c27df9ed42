package broker_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/protocol/record"
)

// Where the fields of a batch are.
const (
	atLength      = 8
	atEpoch       = 12
	atMagic       = 16
	atCRC         = 17
	atAttributes  = 21
	atLastDelta   = 23
	atFirstTime   = 27
	atMaxTime     = 35
	atProducer    = 43
	atProducerEp  = 51
	atSequence    = 53
	atCount       = 57
	atFirstRecord = 61
)

// TestHostileBatches produces batches that lie. Each gets the code that Kafka gives, the connection lives, and nothing is appended.
func TestHostileBatches(t *testing.T) {
	b := newTCPBed(t)
	w := b.witness(t)
	edit := func(f func(b record.Batch)) []byte { // the checksum is right
		g := goodBatch()
		f(g)
		g.SetCRC()
		return g
	}
	damage := func(f func(b record.Batch)) []byte { // it is that of the good batch
		g := goodBatch()
		f(g)
		return g
	}
	put16 := func(at int, v uint16) []byte {
		return edit(func(b record.Batch) { binary.BigEndian.PutUint16(b[at:], v) })
	}
	put32 := func(at int, v uint32) []byte {
		return edit(func(b record.Batch) { binary.BigEndian.PutUint32(b[at:], v) })
	}
	length := func(v uint32) []byte {
		return damage(func(b record.Batch) { binary.BigEndian.PutUint32(b[atLength:], v) })
	}
	cases := []struct {
		name    string
		records []byte
		want    protocol.Code
	}{
		{"wrong checksum", damage(func(b record.Batch) { b[atCRC]++ }), protocol.CorruptMessage},
		{"a bit of a record changed", damage(func(b record.Batch) { b[len(b)-3] ^= 4 }), protocol.CorruptMessage},
		{"magic 0", damage(func(b record.Batch) { b[atMagic] = 0 }), protocol.InvalidRecord},
		{"magic 1", damage(func(b record.Batch) { b[atMagic] = 1 }), protocol.InvalidRecord},
		{"magic 3", damage(func(b record.Batch) { b[atMagic] = 3 }), protocol.CorruptMessage},
		{"magic -1", damage(func(b record.Batch) { b[atMagic] = 0xff }), protocol.CorruptMessage},
		{"length 0", length(0), protocol.CorruptMessage},
		{"length 13, below any batch", length(13), protocol.CorruptMessage},
		{"length -1", length(math.MaxUint32), protocol.CorruptMessage},
		{"length of half a header", length(30), protocol.CorruptMessage},
		{"length beyond the records", length(1 << 20), protocol.InvalidRecord},
		{"length 2^31-1", length(math.MaxInt32), protocol.InvalidRecord},
		{"null", nil, protocol.InvalidRecord},
		{"no batch", []byte{}, protocol.InvalidRecord},
		{"one byte", []byte{0}, protocol.InvalidRecord},
		{"cut in the header", goodBatch()[:40], protocol.InvalidRecord},
		{"cut in the records", goodBatch()[:70], protocol.InvalidRecord},
		{"two batches", append(goodBatch(), goodBatch()...), protocol.InvalidRecord},
		{"a batch and garbage", append(goodBatch(), bytes.Repeat([]byte{0xee}, 100)...), protocol.CorruptMessage},
		{"garbage", bytes.Repeat([]byte{0xee}, 200), protocol.CorruptMessage},
		{"zeros", make([]byte, 200), protocol.CorruptMessage},
		{"count 0", put32(atCount, 0), protocol.InvalidRecord},
		{"count -1", put32(atCount, math.MaxUint32), protocol.InvalidRecord},
		{"one record too many", put32(atCount, 4), protocol.InvalidRecord},
		{"one record too few", put32(atCount, 2), protocol.InvalidRecord},
		{"count 2^31-1", put32(atCount, math.MaxInt32), protocol.InvalidRecord},
		{"last offset delta 0", put32(atLastDelta, 0), protocol.InvalidRecord},
		{"last offset delta -1", put32(atLastDelta, math.MaxUint32), protocol.InvalidRecord},
		{"last offset delta 2^31-1", put32(atLastDelta, math.MaxInt32), protocol.InvalidRecord},
		{"last offset delta and count 2^31-1", edit(func(b record.Batch) {
			binary.BigEndian.PutUint32(b[atLastDelta:], math.MaxInt32-1)
			binary.BigEndian.PutUint32(b[atCount:], math.MaxInt32)
		}), protocol.InvalidRecord},
		{"the last offset overflows", edit(func(b record.Batch) { b.SetBaseOffset(math.MaxInt64 - 1) }), protocol.InvalidRecord},
		{"a negative base offset", edit(func(b record.Batch) { b.SetBaseOffset(-5) }), protocol.InvalidRecord},
		{"a base offset that is not 0", edit(func(b record.Batch) { b.SetBaseOffset(1 << 40) }), protocol.InvalidRecord},
		{"a leader epoch from nowhere", put32(atEpoch, math.MaxInt32), protocol.None},
		{"record length beyond the batch", edit(func(b record.Batch) { b[atFirstRecord] = 0x7e }), protocol.InvalidRecord},
		{"record length 0", edit(func(b record.Batch) { b[atFirstRecord] = 0 }), protocol.InvalidRecord},
		{"record length negative", edit(func(b record.Batch) { b[atFirstRecord] = 1 }), protocol.InvalidRecord},
		{"record length without an end", edit(func(b record.Batch) {
			for i := atFirstRecord; i < len(b); i++ {
				b[i] = 0xff
			}
		}), protocol.InvalidRecord},
		{"key length beyond the record", edit(func(b record.Batch) { b[atFirstRecord+4] = 0x7e }), protocol.InvalidRecord},
		{"unknown compression 5", put16(atAttributes, 5), protocol.UnknownServerError},
		{"gzip that is none", put16(atAttributes, 1), protocol.UnknownServerError},
		{"snappy that is none", put16(atAttributes, 2), protocol.UnknownServerError},
		{"lz4 that is none", put16(atAttributes, 3), protocol.UnknownServerError},
		{"zstd that is none", put16(atAttributes, 4), protocol.UnknownServerError},
		{"a control batch", put16(atAttributes, 0x20), protocol.InvalidRecord},
		{"a transactional batch without a transaction", put16(atAttributes, 0x10), protocol.TransactionalIDAuthorizationFailed},
		{"a timestamp of the far future", edit(func(b record.Batch) {
			binary.BigEndian.PutUint64(b[atFirstTime:], math.MaxInt64-1)
			binary.BigEndian.PutUint64(b[atMaxTime:], math.MaxInt64-1)
		}), protocol.InvalidTimestamp},
		{"a producer without a sequence", edit(func(b record.Batch) {
			binary.BigEndian.PutUint64(b[atProducer:], 1<<40)
			binary.BigEndian.PutUint16(b[atProducerEp:], 0)
			binary.BigEndian.PutUint32(b[atSequence:], math.MaxUint32)
		}), protocol.InvalidRecord},
	}
	// In Kafka an exception that nobody meant makes these UNKNOWN_SERVER_ERROR.
	accident := map[string]bool{"length 2^31-1": true, "record length without an end": true}
	for _, c := range cases {
		if b.log == nil && c.records == nil {
			continue // Kafka never answers these
		}
		t.Run(c.name, func(t *testing.T) {
			nc := b.dial(t)
			defer nc.Close()
			resp, err := exchange(nc, produceRequest(9, "witness", c.records), 1)
			if err != nil {
				t.Fatal(err)
			}
			p := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
			if got := protocol.Code(p.ErrorCode); got != c.want && !(accident[c.name] && got == protocol.UnknownServerError) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if p.ErrorCode == 0 {
				w.next += 3
			} else if p.BaseOffset != -1 {
				t.Errorf("base offset %d with an error, want -1", p.BaseOffset)
			}
			w.check(t) // nothing was appended, and the connection of another lives
			if _, err := exchange(nc, produceRequest(9, "witness", goodBatch()), 2); err != nil {
				t.Errorf("the connection did not survive: %v", err)
			}
			w.next += 3
		})
	}
}

// TestHostileProduce lies around the batch, not in it.
func TestHostileProduce(t *testing.T) {
	b := newTCPBed(t)
	w := b.witness(t)
	for name, c := range map[string]struct {
		change func(r *kmsg.ProduceRequest)
		want   protocol.Code
	}{
		"acks 7":           {func(r *kmsg.ProduceRequest) { r.Acks = 7 }, protocol.InvalidRequiredAcks},
		"acks -2":          {func(r *kmsg.ProduceRequest) { r.Acks = -2 }, protocol.InvalidRequiredAcks},
		"timeout -1":       {func(r *kmsg.ProduceRequest) { r.TimeoutMillis = -1 }, protocol.None},
		"unknown topic":    {func(r *kmsg.ProduceRequest) { r.Topics[0].Topic = "nobody" }, protocol.UnknownTopicOrPartition},
		"illegal topic":    {func(r *kmsg.ProduceRequest) { r.Topics[0].Topic = "../../etc" }, protocol.UnknownTopicOrPartition},
		"empty topic":      {func(r *kmsg.ProduceRequest) { r.Topics[0].Topic = "" }, protocol.UnknownTopicOrPartition},
		"partition -1":     {func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = -1 }, protocol.UnknownTopicOrPartition},
		"partition 2^31-1": {func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = math.MaxInt32 }, protocol.UnknownTopicOrPartition},
	} {
		req := produceRequest(9, "witness", goodBatch())
		c.change(req)
		nc := b.dial(t)
		resp, err := exchange(nc, req, 1)
		nc.Close()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := protocol.Code(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
		if c.want == protocol.None {
			w.next += 3
		}
		w.check(t)
	}
}

// TestHostileTrailing: what is behind the body of a request is nobody's, and is passed over, as Kafka does.
func TestHostileTrailing(t *testing.T) {
	b := newTCPBed(t)
	nc := b.dial(t)
	defer nc.Close()
	for i, version := range []int16{1, 9, 12} {
		req := kmsg.NewPtrMetadataRequest()
		req.Version, req.Topics = version, []kmsg.MetadataRequestTopic{}
		if _, err := nc.Write(sized(append(encode(req, int32(i)), "and more"...))); err != nil {
			t.Fatal(err)
		}
		frame, err := readFrame(nc)
		if err != nil {
			t.Fatalf("v%d: %v", version, err)
		}
		if _, err := decode(req, frame, int32(i)); err != nil {
			t.Fatalf("v%d: %v", version, err)
		}
	}
}

// TestHostileOffsets asks for places that cannot be.
func TestHostileOffsets(t *testing.T) {
	b := newTCPBed(t)
	w := b.witness(t)
	nc := b.dial(t)
	defer nc.Close()
	for i, c := range []struct {
		name      string
		partition int32
		offset    int64
		epoch     int32
		want      protocol.Code
	}{
		{"offset -1", 0, -1, -1, protocol.OffsetOutOfRange},
		{"the lowest offset", 0, math.MinInt64, -1, protocol.OffsetOutOfRange},
		{"the highest offset", 0, math.MaxInt64, -1, protocol.OffsetOutOfRange},
		{"partition -1", -1, 0, -1, protocol.UnknownTopicOrPartition},
		{"the highest partition", math.MaxInt32, 0, -1, protocol.UnknownTopicOrPartition},
		{"an epoch from the future", 0, 0, math.MaxInt32, protocol.UnknownLeaderEpoch},
	} {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.ReplicaID, req.MaxBytes, req.SessionEpoch = 11, -1, 1<<20, -1
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic = "witness"
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.CurrentLeaderEpoch, p.PartitionMaxBytes = c.partition, c.offset, c.epoch, 1<<20
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		resp, err := exchange(nc, req, int32(i))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := protocol.Code(resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	w.check(t)
}

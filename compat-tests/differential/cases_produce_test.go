package differential

import (
	"bytes"
	"compress/gzip"
	"math"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// produce is a request for one partition. From version 13 on a topic goes by its id; a topic that was not created has none.
func (s *session) produce(version int16, name string, partition int32, records []byte) *kmsg.ProduceRequest {
	topic := kmsg.ProduceRequestTopic{Topic: s.topic(name), Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: records}}}
	if version >= 13 {
		topic.TopicID = s.ids[name]
	}
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis, request.Topics = -1, 10_000, []kmsg.ProduceRequestTopic{topic}
	return request
}

// fill puts n records into a partition, in a batch each.
func (s *session) fill(name string, partition int32, n int) {
	s.t.Helper()
	for i := range n {
		b := batch{records: some(1), first: s.start + int64(i)*1000}
		response := s.quiet(9, s.produce(9, name, partition, b.encode())).(*kmsg.ProduceResponse)
		if code := response.Topics[0].Partitions[0].ErrorCode; code != 0 {
			s.t.Fatalf("%s: produce to %s: error %d", s.name, name, code)
		}
	}
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func snappied(b []byte) []byte { return s2.EncodeSnappy(nil, b) }

func zstded(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

func lz4ed(b []byte) []byte {
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// oddBatches are record sets that are wrong, or right in an unusual way, by what is odd about them. Null is not among them: Kafka
// never answers that.
func oddBatches(first int64) []struct {
	what    string
	records []byte
} {
	plain := func(change func(b *batch)) []byte {
		b := batch{records: some(3), first: first}
		change(&b)
		return b.encode()
	}
	good := plain(func(*batch) {})
	raw := func(b []byte) []byte { return plain(func(x *batch) { x.rawRecords = b }) }
	encoded := batch{records: some(3), first: first}.encodeRecords()
	type odd = struct {
		what    string
		records []byte
	}
	return []odd{
		{"good", good},
		{"empty", []byte{}},
		{"one byte", []byte{0}},
		{"a header cut short", good[:40]},
		{"half a batch", good[:len(good)-10]},
		{"a byte too many", append(bytes.Clone(good), 0)},
		{"two batches", append(bytes.Clone(good), good...)},
		{"wrong CRC", plain(func(b *batch) { b.crcXor = 1 })},
		{"magic 3", plain(func(b *batch) { b.magic = 3 })},
		{"magic -1", plain(func(b *batch) { b.magic = -1 })},
		{"a message of format 0", oldSet(0, "old")},
		{"a message of format 1", oldSet(1, "old")},
		{"length 0", plain(func(b *batch) { b.length = ptr(int32(0)) })},
		{"negative length", plain(func(b *batch) { b.length = ptr(int32(-5)) })},
		{"length one less", plain(func(b *batch) { b.length = ptr(int32(len(good) - 13)) })},
		{"length one more", plain(func(b *batch) { b.length = ptr(int32(len(good) - 11)) })},
		{"the largest length", plain(func(b *batch) { b.length = ptr(int32(math.MaxInt32)) })},
		{"no records", plain(func(b *batch) { b.records = nil })},
		{"no records, last delta 0", plain(func(b *batch) { b.records, b.lastDelta = nil, ptr(int32(0)) })},
		{"count one less", plain(func(b *batch) { b.count = ptr(int32(2)) })},
		{"count one more", plain(func(b *batch) { b.count = ptr(int32(4)) })},
		{"count and last delta one more", plain(func(b *batch) { b.count, b.lastDelta = ptr(int32(4)), ptr(int32(3)) })},
		{"count and last delta one less", plain(func(b *batch) { b.count, b.lastDelta = ptr(int32(2)), ptr(int32(1)) })},
		{"negative count", plain(func(b *batch) { b.count = ptr(int32(-1)) })},
		{"the largest count", plain(func(b *batch) { b.count, b.lastDelta = ptr(int32(math.MaxInt32)), ptr(int32(math.MaxInt32-1)) })},
		{"last delta one more", plain(func(b *batch) { b.lastDelta = ptr(int32(3)) })},
		{"last delta one less", plain(func(b *batch) { b.lastDelta = ptr(int32(1)) })},
		{"negative last delta", plain(func(b *batch) { b.lastDelta = ptr(int32(-1)) })},
		{"a base offset", plain(func(b *batch) { b.base = 1000 })},
		{"the largest base offset", plain(func(b *batch) { b.base = math.MaxInt64 })},
		{"a negative base offset", plain(func(b *batch) { b.base = -7 })},
		{"a leader epoch", plain(func(b *batch) { b.leaderEpoch = 12 })},
		{"deltas in disorder", plain(func(b *batch) { b.deltas = []int32{0, 2, 1} })},
		{"deltas with a gap", plain(func(b *batch) { b.deltas = []int32{0, 1, 5} })},
		{"the same delta twice", plain(func(b *batch) { b.deltas = []int32{0, 1, 1} })},
		{"negative deltas", plain(func(b *batch) { b.deltas = []int32{-1, 0, 1} })},
		{"unknown attributes", plain(func(b *batch) { b.attributes = 0x7f80 })},
		{"append time", plain(func(b *batch) { b.attributes = 8 })},
		{"transactional", plain(func(b *batch) { b.attributes = 16 })},
		{"control", plain(func(b *batch) { b.attributes = 32 })},
		{"transactional control", plain(func(b *batch) { b.attributes = 48 })},
		{"delete horizon", plain(func(b *batch) { b.attributes = 64 })},
		{"codec 5", plain(func(b *batch) { b.attributes = 5 })},
		{"codec 7", plain(func(b *batch) { b.attributes = 7 })},
		{"gzip", plain(func(b *batch) { b.attributes, b.rawRecords = 1, gzipped(encoded) })},
		{"gzip that is none", plain(func(b *batch) { b.attributes = 1 })},
		{"gzip cut short", plain(func(b *batch) { b.attributes, b.rawRecords = 1, gzipped(encoded)[:20] })},
		{"gzip with more behind", plain(func(b *batch) { b.attributes, b.rawRecords = 1, append(gzipped(encoded), 1, 2, 3) })},
		{"gzip of nothing", plain(func(b *batch) { b.attributes, b.rawRecords = 1, gzipped(nil) })},
		{"gzip with much more behind", plain(func(b *batch) {
			b.attributes, b.rawRecords = 1, append(gzipped(encoded), bytes.Repeat([]byte("x"), 40)...)
		})},
		{"gzip in two members", plain(func(b *batch) {
			b.attributes, b.rawRecords = 1, append(gzipped(encoded[:20]), gzipped(encoded[20:])...)
		})},
		{"snappy", plain(func(b *batch) { b.attributes, b.rawRecords = 2, snappied(encoded) })},
		{"lz4", plain(func(b *batch) { b.attributes, b.rawRecords = 3, lz4ed(encoded) })},
		{"zstd", plain(func(b *batch) { b.attributes, b.rawRecords = 4, zstded(encoded) })},
		{"zstd, wrong CRC", plain(func(b *batch) { b.attributes, b.rawRecords, b.crcXor = 4, zstded(encoded), 7 })},
		{"zstd of records and more", plain(func(b *batch) { b.attributes, b.rawRecords = 4, zstded(append(bytes.Clone(encoded), 1, 2)) })},
		{"zstd, append time", plain(func(b *batch) { b.attributes, b.rawRecords = 12, zstded(encoded) })},
		{"zstd, deltas in disorder", plain(func(b *batch) {
			x := *b
			x.deltas = []int32{0, 2, 1}
			b.attributes, b.rawRecords = 4, zstded(x.encodeRecords())
		})},
		{"zstd of a varint without end", plain(func(b *batch) { b.attributes, b.rawRecords = 4, zstded(bytes.Repeat([]byte{0xff}, 40)) })},
		{"a varint without end in a record", raw([]byte{20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})},
		{"a second batch of length 0", append(bytes.Clone(good), make([]byte, 70)...)},
		{"a second batch of the largest length", append(bytes.Clone(good), plain(func(b *batch) { b.length = ptr(int32(math.MaxInt32)) })...)},
		{"a second batch of magic 7", append(bytes.Clone(good), plain(func(b *batch) { b.magic = 7 })...)},
		{"half a second batch", append(bytes.Clone(good), good[:50]...)},
		{"a length between a message's and a batch's", plain(func(b *batch) { b.length = ptr(int32(30)) })},
		{"a producer with epoch -1", plain(func(b *batch) { b.producer, b.epoch = 77, -1 })},
		{"a negative producer id", plain(func(b *batch) { b.producer, b.epoch, b.sequence = -9, 3, 4 })},
		{"gzip, count one more", plain(func(b *batch) {
			b.attributes, b.rawRecords, b.count, b.lastDelta = 1, gzipped(encoded), ptr(int32(4)), ptr(int32(3))
		})},
		{"snappy that is none", plain(func(b *batch) { b.attributes = 2 })},
		{"lz4 that is none", plain(func(b *batch) { b.attributes = 3 })},
		{"zstd that is none", plain(func(b *batch) { b.attributes = 4 })},
		{"records missing", raw(encoded[:len(encoded)/2])},
		{"records and more", raw(append(bytes.Clone(encoded), 1, 2, 3))},
		{"a record of negative size", raw([]byte{1, 0, 0, 0})},
		{"a record that is larger than the batch", raw([]byte{0xff, 0xff, 0x03, 0, 0, 0})},
		{"a varint without end", raw(bytes.Repeat([]byte{0xff}, 40))},
		{"a negative number of headers", plain(func(b *batch) {
			b.records, b.rawRecords = some(1), []byte{12, 0, 0, 0, 1, 1, 1} // size 6, -1 key, -1 value, -1 headers
		})},
		{"a key that is larger than its record", plain(func(b *batch) { b.records, b.rawRecords = some(1), []byte{12, 0, 0, 0, 100, 1, 0} })},
		{"a null header name", plain(func(b *batch) { b.records[1].headers = [][2][]byte{{nil, []byte("v")}} })},
		{"record attributes", plain(func(b *batch) {
			b.records, b.rawRecords = some(1), []byte{12, 0x55, 0, 0, 1, 1, 0}
		})},
		{"largest time too small", plain(func(b *batch) { b.maxTime = ptr(first) })},
		{"largest time too large", plain(func(b *batch) { b.maxTime = ptr(first + 999) })},
		{"no time", plain(func(b *batch) { b.first = -1 })},
		{"no time, none at all", plain(func(b *batch) { b.first, b.records = -1, some(1) })},
		{"a time before 1970", plain(func(b *batch) { b.first = -100_000 })},
		{"times that overflow", plain(func(b *batch) { b.first = math.MaxInt64 - 5 })},
		{"a time two hours ahead", plain(func(b *batch) { b.first = first + 3*3600_000 })},
		{"one record two hours ahead", plain(func(b *batch) { b.records[2].time = 3 * 3600_000 })},
		{"times that go back", plain(func(b *batch) { b.records[2].time = -5000 })},
		{"a producer without a sequence", plain(func(b *batch) { b.producer, b.sequence = 77, -1 })},
		{"a producer with a negative epoch", plain(func(b *batch) { b.producer, b.epoch = 77, -2 })},
		{"null values and headers", plain(func(b *batch) {
			b.records[0] = record{headers: [][2][]byte{{[]byte("h"), nil}, {[]byte(""), []byte("")}}}
		})},
	}
}

var produceScripts = []script{
	{"refused versions", 0, 0, 2, func(s *session, v int16) {
		s.create("a", 1)
		s.ask("old", v, s.produce(v, "a", 0, oldSet(1, "old")))
	}},
	{"records", 0, 3, 13, func(s *session, v int16) {
		odd := oddBatches(s.start)
		s.create("a", int32(len(odd)))
		for i, o := range odd {
			s.ask(o.what, v, s.produce(v, "a", int32(i), o.records))
			s.readAll("after "+o.what, "a", int32(i))
		}
	}},
	{"acks and places", 0, 3, 13, func(s *session, v int16) {
		s.create("a", 2)
		b := batch{records: some(2), first: s.start}.encode()
		for _, acks := range []int16{1, -1, 2, -2, 100} {
			request := s.produce(v, "a", 0, b)
			request.Acks = acks
			s.ask("acks "+itoa(acks), v, request)
		}
		quiet := s.produce(v, "a", 1, b)
		quiet.Acks = 0
		s.ask("acks 0", v, quiet)
		s.ask("after acks 0", v, s.produce(v, "a", 1, b))
		s.ask("an unknown partition", v, s.produce(v, "a", 9, b))
		s.ask("a negative partition", v, s.produce(v, "a", -1, b))
		s.ask("an unknown topic", v, s.produce(v, "none", 0, b))
		two := s.produce(v, "a", 0, b)
		two.Topics[0].Partitions = append(two.Topics[0].Partitions, kmsg.ProduceRequestTopicPartition{Partition: 1, Records: b[:30]},
			kmsg.ProduceRequestTopicPartition{Partition: 5, Records: b})
		s.ask("a good, a bad and an unknown one", v, two)
		twice := s.produce(v, "a", 0, b)
		twice.Topics[0].Partitions = append(twice.Topics[0].Partitions, twice.Topics[0].Partitions[0])
		s.ask("a partition twice", v, twice)
		topics := s.produce(v, "a", 0, b)
		topics.Topics = append(topics.Topics, s.produce(v, "a", 1, b).Topics...)
		s.ask("a topic twice", v, topics)
		none := s.produce(v, "a", 0, b)
		none.Topics = nil
		s.ask("nothing", v, none)
		if v >= 13 {
			unknown := s.produce(v, "a", 0, b)
			unknown.Topics[0].TopicID = noSuchID
			s.ask("an unknown id", v, unknown)
		}
		for _, o := range oddBatches(s.start) {
			switch o.what { // for some Kafka refuses all of the request
			case "length 0", "magic 3", "the largest length", "codec 5", "transactional", "a second batch of the largest length", "a second batch of magic 7", "wrong CRC", "empty":
				beside := s.produce(v, "a", 0, b)
				beside.Topics[0].Partitions = append(beside.Topics[0].Partitions, kmsg.ProduceRequestTopicPartition{Partition: 1, Records: o.records},
					kmsg.ProduceRequestTopicPartition{Partition: 9, Records: b})
				s.ask("a good one beside "+o.what, v, beside)
			}
		}
		if v < 13 {
			for _, name := range []string{"", "not legal", ".."} {
				bad := s.produce(v, "a", 0, b)
				bad.Topics[0].Topic = name
				s.ask("topic "+name, v, bad)
			}
		}
		hurry := s.produce(v, "a", 0, b)
		hurry.TimeoutMillis = -1
		s.ask("less than no time", v, hurry)
		s.readAll("in partition 0", "a", 0)
		s.readAll("in partition 1", "a", 1)
	}},
	{"idempotence", 0, 3, 13, func(s *session, v int16) {
		s.create("a", 2)
		const id = 4_000_000_000
		send := func(what string, epoch int16, sequence int32, n int) {
			b := batch{records: some(n), first: s.start, producer: id, epoch: epoch, sequence: sequence}
			s.ask(what, v, s.produce(v, "a", 0, b.encode()))
		}
		send("first", 0, 0, 3)
		send("next", 0, 3, 2)
		send("again", 0, 3, 2)
		send("the first again", 0, 0, 3)
		send("a gap", 0, 7, 1)
		send("an overlap", 0, 4, 2)
		send("next after refusals", 0, 5, 1)
		for i := range int32(6) {
			send("one more "+itoa(i), 0, 6+i, 1)
		}
		send("one that is five batches old", 0, 7, 1)
		send("one that is too old", 0, 3, 2)
		send("a new epoch, not from 0", 1, 12, 1)
		send("a new epoch", 1, 0, 2)
		send("the old epoch", 0, 12, 1)
		send("a later epoch", 5, 0, 1)
		other := func(what string, sequence int32, partition int32) {
			b := batch{records: some(4), first: s.start, producer: id + 1, sequence: sequence}
			s.ask(what, v, s.produce(v, "a", partition, b.encode()))
		}
		other("a stranger, not from 0", 17, 1)
		other("the stranger goes on", 21, 1)
		other("towards the end of the numbers", math.MaxInt32-5, 1)
		wrap := func(what string, sequence int32) {
			b := batch{records: some(4), first: s.start, producer: id + 2, sequence: sequence}
			s.ask(what, v, s.produce(v, "a", 1, b.encode()))
		}
		wrap("near the end of the numbers", math.MaxInt32-3)
		wrap("over the end", 0)
		wrap("over the end, again", 0)
		s.readAll("what is there", "a", 0)
		s.readAll("what strangers left", "a", 1)
	}},
	{"topics of many kinds", 0, 3, 13, func(s *session, v int16) {
		b := batch{records: some(2), first: s.start}
		s.create("append-time", 1, "message.timestamp.type", "LogAppendTime")
		s.ask("with append time", v, s.produce(v, "append-time", 0, b.encode()))
		old := batch{records: some(2), first: s.start, attributes: 8}
		s.ask("with append time set", v, s.produce(v, "append-time", 0, old.encode()))
		s.readAll("append time", "append-time", 0)
		s.create("small", 1, "max.message.bytes", "120")
		s.ask("that fits", v, s.produce(v, "small", 0, batch{records: some(1), first: s.start}.encode()))
		s.ask("that does not fit", v, s.produce(v, "small", 0, batch{records: some(9), first: s.start}.encode()))
		s.readAll("small", "small", 0)
		s.create("compacted", 1, "cleanup.policy", "compact")
		s.ask("with keys", v, s.produce(v, "compacted", 0, b.encode()))
		keyless := batch{records: []record{{key: []byte("k")}, {value: []byte("v")}, {value: []byte("w")}}, first: s.start}
		s.ask("without keys", v, s.produce(v, "compacted", 0, keyless.encode()))
		s.create("ahead", 1, "message.timestamp.after.max.ms", "1000")
		late := batch{records: some(3), first: s.start + 3600_000 - 20_000}
		late.records[1].time, late.records[2].time = 1_800_000, 2_000_000
		s.ask("ahead of time", v, s.produce(v, "ahead", 0, late.encode()))
		s.create("behind", 1, "message.timestamp.before.max.ms", "1000")
		s.ask("behind the time", v, s.produce(v, "behind", 0, b.encode()))
		s.create("gzip", 1, "compression.type", "gzip")
		s.ask("to be compressed", v, s.produce(v, "gzip", 0, b.encode()))
		s.create("plain", 1, "compression.type", "uncompressed")
		packed := batch{records: some(2), first: s.start, attributes: 1, rawRecords: gzipped(b.encodeRecords())}
		s.ask("to be unpacked", v, s.produce(v, "plain", 0, packed.encode()))
		s.readAll("unpacked", "plain", 0)
		s.create("segment", 1, "segment.bytes", "1048576", "max.message.bytes", "3000000")
		large := batch{records: []record{{value: make([]byte, 1_500_000)}}, first: s.start}
		s.ask("larger than a segment", v, s.produce(v, "segment", 0, large.encode()))
		s.ask("larger than max.message.bytes", v, s.produce(v, "ahead", 0, large.encode()))
		stamped := batch{records: some(3), first: s.start, attributes: 1}
		stamped.rawRecords = gzipped(stamped.encodeRecords())
		s.ask("packed, with append time", v, s.produce(v, "append-time", 0, stamped.encode()))
		s.readAll("packed append time", "append-time", 0)
		keyless.attributes = 1
		keyless.rawRecords = gzipped(keyless.encodeRecords())
		s.ask("packed, without keys", v, s.produce(v, "compacted", 0, keyless.encode()))
		s.ask("packed, behind the time", v, s.produce(v, "behind", 0, stamped.encode()))
		timeless := batch{records: some(1), first: -1}
		s.ask("without a time", v, s.produce(v, "behind", 0, timeless.encode()))
		s.create("min-isr", 1, "min.insync.replicas", "2")
		s.ask("too few replicas", v, s.produce(v, "min-isr", 0, b.encode()))
		one := s.produce(v, "min-isr", 0, b.encode())
		one.Acks = 1
		s.ask("too few replicas, acks 1", v, one)
	}},
	{"transactions that are none", 0, 3, 13, func(s *session, v int16) {
		s.create("a", 1)
		b := batch{records: some(2), first: s.start}
		named := s.produce(v, "a", 0, b.encode())
		named.TransactionID = ptr("t")
		s.ask("a name, a plain batch", v, named)
		b.attributes, b.producer = 16, 4_000_000_100
		s.ask("a transactional batch, no name", v, s.produce(v, "a", 0, b.encode()))
		s.readAll("what is there", "a", 0)
	}},
	{"producer ids", 22, 0, 5, func(s *session, v int16) {
		request := kmsg.NewPtrInitProducerIDRequest()
		request.TransactionTimeoutMillis = 60_000
		s.ask("a new one", v, request)
		s.ask("another", v, request)
		request.TransactionTimeoutMillis = -1
		s.ask("no timeout", v, request)
		request.TransactionTimeoutMillis = 60_000
		request.TransactionalID = ptr("")
		s.ask("an empty name", v, request)
		request.TransactionalID = nil
		if v >= 3 {
			request.ProducerID, request.ProducerEpoch = 5, 3
			s.ask("with an id and an epoch", v, request)
			request.ProducerID, request.ProducerEpoch = -1, 3
			s.ask("with an epoch only", v, request)
			request.ProducerID, request.ProducerEpoch = 5, -1
			s.ask("with an id only", v, request)
			request.ProducerID, request.ProducerEpoch = -5, -7
			s.ask("with nonsense", v, request)
		}
	}},
}

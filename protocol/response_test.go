package protocol

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// frameOf is what kmsg makes of a response.
func frameOf(r kmsg.Response, correlation int32) []byte {
	b := AppendResponseHeader(make([]byte, 4), r.Key(), r.GetVersion(), correlation)
	b = r.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

type gen struct{ *rand.Rand }

func (g gen) str(most int) string { return strings.Repeat("x", g.IntN(most+1)) }
func (g gen) i64() int64          { return int64(g.Uint64()) }
func (g gen) i32() int32          { return int32(g.Uint32()) }
func (g gen) code() Code          { return Code(g.IntN(130)) }
func (g gen) uuid() (u UUID) {
	binary.BigEndian.PutUint64(u[:], g.Uint64())
	binary.BigEndian.PutUint64(u[8:], g.Uint64())
	return u
}

func (g gen) endpoints() []NodeEndpoint {
	var out []NodeEndpoint
	for range g.IntN(4) {
		out = append(out, NodeEndpoint{ID: g.i32(), Host: g.str(200), Port: g.i32(), Rack: g.str(3)})
	}
	return out
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// TestFetchEncoder compares with kmsg, byte for byte, over all versions and random contents.
func TestFetchEncoder(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	g := gen{rand.New(rand.NewPCG(seed, 1))}
	var e FetchEncoder
	for i := range 4000 {
		version := int16(4 + i%15)
		want, data, size := g.fetch(&e, version, int32(i))
		var got []byte
		at := 0
		for _, c := range e.Cuts() {
			got = append(got, e.Envelope()[at:c.At]...)
			if len(data[c.Partition]) != c.Bytes {
				t.Fatalf("cut %+v of %d bytes", c, len(data[c.Partition]))
			}
			got = append(got, data[c.Partition]...)
			at = c.At
		}
		got = append(got, e.Envelope()[at:]...)
		if size != len(got) || !bytes.Equal(got, want) {
			t.Fatalf("v%d: size %d\ngot  %x\nwant %x", version, size, got, want)
		}
	}
}

// fetch encodes a random response with e and with kmsg.
func (g gen) fetch(e *FetchEncoder, version int16, correlation int32) (want []byte, data [][]byte, size int) {
	r := kmsg.NewPtrFetchResponse()
	r.Version, r.ThrottleMillis = version, g.i32()
	if version >= 7 {
		r.ErrorCode, r.SessionID = int16(g.code()), g.i32()
	}
	topics := g.IntN(4)
	e.Start(version, correlation, r.ThrottleMillis, Code(r.ErrorCode), r.SessionID, topics)
	for range topics {
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic, topic.TopicID = g.str(140), g.uuid()
		n := g.IntN(4)
		e.Topic(topic.Topic, topic.TopicID, n)
		for range n {
			kp, records := g.fetchPartition(e)
			topic.Partitions = append(topic.Partitions, kp)
			data = append(data, records)
		}
		r.Topics = append(r.Topics, topic)
	}
	nodes := g.endpoints()
	if version >= 16 {
		for _, n := range nodes {
			r.Brokers = append(r.Brokers, kmsg.FetchResponseBroker{NodeID: n.ID, Host: n.Host, Port: n.Port, Rack: nullable(n.Rack)})
		}
	}
	size = e.Finish(nodes)
	return frameOf(r, correlation), data, size
}

func (g gen) fetchPartition(e *FetchEncoder) (kmsg.FetchResponseTopicPartition, []byte) {
	p := FetchPartition{
		Index: g.i32(), Code: g.code(), HighWatermark: g.i64(), LastStable: g.i64(), LogStart: g.i64(),
		DivergingEpoch: -1, DivergingEnd: -1, LeaderID: -1, LeaderEpoch: -1, PreferredReplica: g.i32(),
	}
	k := kmsg.NewFetchResponseTopicPartition()
	if g.IntN(3) == 0 {
		p.DivergingEpoch, p.DivergingEnd = g.i32(), g.i64()
		k.DivergingEpoch.Epoch, k.DivergingEpoch.EndOffset = p.DivergingEpoch, p.DivergingEnd
	}
	if g.IntN(3) == 0 {
		p.LeaderID, p.LeaderEpoch = g.i32(), g.i32()
		k.CurrentLeader.LeaderID, k.CurrentLeader.LeaderEpoch = p.LeaderID, p.LeaderEpoch
	}
	if g.IntN(2) == 0 {
		p.Aborted, k.AbortedTransactions = []AbortedTransaction{}, []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
		for range g.IntN(3) {
			a := AbortedTransaction{g.i64(), g.i64()}
			p.Aborted = append(p.Aborted, a)
			k.AbortedTransactions = append(k.AbortedTransactions,
				kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset})
		}
	}
	k.Partition, k.ErrorCode, k.HighWatermark, k.LastStableOffset = p.Index, int16(p.Code), p.HighWatermark, p.LastStable
	k.LogStartOffset, k.PreferredReadReplica = p.LogStart, p.PreferredReplica
	k.RecordBatches = make([]byte, []int{0, 1, 126, 127, 128, 20000}[g.IntN(6)])
	for i := range k.RecordBatches {
		k.RecordBatches[i] = byte(g.Uint32())
	}
	p.RecordBytes = len(k.RecordBatches)
	e.Partition(&p)
	return k, k.RecordBatches
}

// TestProduceEncoder compares with kmsg, byte for byte, over all versions and random contents.
func TestProduceEncoder(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	g := gen{rand.New(rand.NewPCG(seed, 2))}
	var e ProduceEncoder
	for i := range 4000 {
		version := int16(3 + i%11)
		got, want := g.produce(&e, version, int32(i))
		if !bytes.Equal(got, want) {
			t.Fatalf("v%d:\ngot  %x\nwant %x", version, got, want)
		}
	}
}

// produce encodes a random response with e and with kmsg.
func (g gen) produce(e *ProduceEncoder, version int16, correlation int32) (got, want []byte) {
	r := kmsg.NewPtrProduceResponse()
	r.Version, r.ThrottleMillis = version, g.i32()
	topics := g.IntN(4)
	type late struct {
		place int
		code  Code
	}
	var fail []late
	e.Start(version, correlation, topics)
	for range topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = g.str(140), g.uuid()
		n := g.IntN(4)
		e.Topic(topic.Topic, topic.TopicID, n)
		for range n {
			p := ProducePartition{
				Index: g.i32(), Code: g.code(), BaseOffset: g.i64(), LogAppendTimeMs: g.i64(), LogStart: g.i64(),
				Message: g.str(200), LeaderID: -1, LeaderEpoch: -1,
			}
			k := kmsg.NewProduceResponseTopicPartition()
			k.Partition, k.ErrorCode, k.BaseOffset, k.LogAppendTime = p.Index, int16(p.Code), p.BaseOffset, p.LogAppendTimeMs
			k.LogStartOffset, k.ErrorMessage = p.LogStart, nullable(p.Message)
			for range g.IntN(3) {
				re := RecordError{g.i32(), g.str(2)}
				p.RecordErrors = append(p.RecordErrors, re)
				k.ErrorRecords = append(k.ErrorRecords,
					kmsg.ProduceResponseTopicPartitionErrorRecord{RelativeOffset: re.Index, ErrorMessage: nullable(re.Message)})
			}
			if version >= 10 && g.IntN(2) == 0 {
				p.LeaderID, p.LeaderEpoch = g.i32(), g.i32()
				k.CurrentLeader.LeaderID, k.CurrentLeader.LeaderEpoch = p.LeaderID, p.LeaderEpoch
			}
			place := e.Partition(&p)
			if g.IntN(3) == 0 { // it fails when all is encoded
				k.ErrorCode, k.BaseOffset, k.LogAppendTime, k.LogStartOffset = int16(g.code()), -1, -1, -1
				fail = append(fail, late{place, Code(k.ErrorCode)})
			}
			topic.Partitions = append(topic.Partitions, k)
		}
		r.Topics = append(r.Topics, topic)
	}
	nodes := g.endpoints()
	if version >= 10 {
		for _, n := range nodes {
			r.Brokers = append(r.Brokers, kmsg.ProduceResponseBroker{NodeID: n.ID, Host: n.Host, Port: n.Port, Rack: nullable(n.Rack)})
		}
	}
	got = e.Finish(r.ThrottleMillis, nodes)
	for _, f := range fail {
		e.Fail(f.place, f.code)
	}
	return got, frameOf(r, correlation)
}

// TestEncodersDoNotAllocate holds the hot paths.
func TestEncodersDoNotAllocate(t *testing.T) {
	var f FetchEncoder
	var p ProduceEncoder
	fp := FetchPartition{DivergingEpoch: -1, DivergingEnd: -1, LeaderID: 1, LeaderEpoch: 2, RecordBytes: 100, Aborted: []AbortedTransaction{{1, 2}}}
	pp := ProducePartition{LeaderID: 1, LeaderEpoch: 2}
	nodes := []NodeEndpoint{{1, "localhost", 9092, ""}}
	both := func() {
		f.Start(18, 1, 0, None, 0, 1)
		f.Topic("", UUID{}, 2)
		f.Partition(&fp)
		f.Partition(&fp)
		f.Finish(nodes)
		p.Start(13, 1, 1)
		p.Topic("", UUID{}, 1)
		p.Partition(&pp)
		p.Finish(0, nodes)
	}
	both()
	if n := testing.AllocsPerRun(100, both); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFetchEncoder(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(map[int]string{1: "partitions=1", 100: "partitions=100"}[n], func(b *testing.B) {
			var e FetchEncoder
			p := FetchPartition{DivergingEpoch: -1, DivergingEnd: -1, LeaderID: -1, LeaderEpoch: -1, PreferredReplica: -1, RecordBytes: 1000}
			b.ReportAllocs()
			for b.Loop() {
				e.Start(18, 1, 0, None, 0, 1)
				e.Topic("", UUID{}, n)
				for range n {
					e.Partition(&p)
				}
				e.Finish(nil)
			}
		})
	}
}

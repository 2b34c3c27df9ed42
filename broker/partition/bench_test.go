package partition

import (
	"encoding/binary"
	"testing"

	"weir/protocol"
	"weir/protocol/record"
)

// nowhere is a log that keeps nothing.
type nowhere struct {
	Log
	end int64
}

func (l *nowhere) Start() int64                                { return 0 }
func (l *nowhere) End() int64                                  { return l.end }
func (l *nowhere) Synced() int64                               { return l.end }
func (l *nowhere) Append(recs []byte, set record.Set) error    { l.end = set.Next; return nil }
func (l *nowhere) Snapshot(int64) (int64, []byte, bool, error) { return 0, nil, false, nil }
func (l *nowhere) Scan(int64, func(h record.Batch) bool) error { return nil }

func benchLeader(b testing.TB) (*Partition, *nowhere) {
	cfg := testTopic()
	l := &nowhere{}
	p := New(ID{}, 1, l, &cfg, &Settings{SnapshotBytes: 1 << 60}, nil)
	if err := p.Load(-1); err != nil {
		b.Fatal(err)
	}
	var e Effects
	p.BecomeLeader(1, &Metadata{Leader: 1, Replicas: []int32{1}, ISR: []int32{1}}, &e)
	return p, l
}

// BenchmarkAppend is the step of a produce request, without the log.
func BenchmarkAppend(b *testing.B) {
	for name, build := range map[string]record.Builder{
		"plain":      {LeaderEpoch: -1},
		"idempotent": {LeaderEpoch: -1, HasProducer: true, ProducerID: 7},
	} {
		b.Run(name, func(b *testing.B) {
			p, _ := benchLeader(b)
			build := build
			build.Add(1, nil, make([]byte, 100))
			recs := build.Bytes()
			var e Effects
			var r Appended
			a := Append{Records: recs, Set: record.Set{Next: 1, MaxTimestamp: 1}, Acks: -1}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if build.HasProducer {
					recs[53], recs[54], recs[55], recs[56] = byte(i>>24)&0x7f, byte(i>>16), byte(i>>8), byte(i)
				}
				p.AppendAsLeader(1, &a, &r, &e)
				if r.Code != protocol.None {
					b.Fatal(r.Code)
				}
				e.Reset()
			}
		})
	}
}

// txnBench writes batches of 1,000 producers whose transactions are open at a time, and a marker after every hundred of each.
type txnBench struct {
	t    testing.TB
	p    *Partition
	a, m Append
	seq  [1000]int32
	e    Effects
	r    Appended
}

func newTxnBench(t testing.TB) *txnBench {
	x := &txnBench{t: t}
	x.p, _ = benchLeader(t)
	build := record.Builder{LeaderEpoch: -1, HasProducer: true, Transactional: true}
	build.Add(1, nil, make([]byte, 100))
	x.a = Append{Records: build.Bytes(), Set: record.Set{Next: 1, MaxTimestamp: 1}, Acks: -1}
	x.m = Append{Records: record.Marker(record.ControlCommit, 0, 0, 0, 1), Set: x.a.Set, Acks: -1, Coordinator: true}
	return x
}

func (x *txnBench) step(i int) {
	pid := i % len(x.seq)
	n := x.seq[pid]
	x.seq[pid]++
	binary.BigEndian.PutUint64(x.a.Records[43:], uint64(pid))
	binary.BigEndian.PutUint32(x.a.Records[53:], uint32(n))
	x.a.Guard, _ = x.p.StartVerification(1, int64(pid), 0, n, false)
	x.p.AppendAsLeader(1, &x.a, &x.r, &x.e)
	if x.r.Code == protocol.None && n%100 == 99 {
		binary.BigEndian.PutUint64(x.m.Records[43:], uint64(pid))
		x.p.AppendAsLeader(1, &x.m, &x.r, &x.e)
	}
	if x.r.Code != protocol.None {
		x.t.Fatal(x.r.Code)
	}
	x.e.Reset()
}

func BenchmarkTransactions(b *testing.B) {
	x := newTxnBench(b)
	b.ReportAllocs()
	for i := range b.N {
		x.step(i)
	}
}

// TestTransactionAllocations holds that a batch of a transaction allocates nothing but for the first.
func TestTransactionAllocations(t *testing.T) {
	x := newTxnBench(t)
	i := 0
	for ; i < len(x.seq); i++ {
		x.step(i)
	}
	if n := testing.AllocsPerRun(50*len(x.seq), func() { x.step(i); i++ }); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

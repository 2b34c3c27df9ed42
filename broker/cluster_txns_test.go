package broker_test

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/protocol"
	"weir/protocol/record"
)

// txnClient is a producer with a transactional id, of version 2 of transactions.
type txnClient struct {
	*clusterClient
	t     *testing.T
	id    string
	at    int32 // the coordinator
	pid   int64
	epoch int16
}

// ok asks until the answer's code is none, or one that asking again does not change.
func (x *txnClient) ok(what string, broker int32, version int16, q kmsg.Request, code func(r kmsg.Response) int16) {
	x.t.Helper()
	q.SetVersion(version)
	eventually(x.t, what, func() bool {
		r, err := x.ask(broker, q)
		if err != nil {
			x.t.Fatal(what, err)
		}
		switch c := protocol.Code(code(r)); c {
		case protocol.None:
			return true
		case protocol.CoordinatorLoadInProgress, protocol.CoordinatorNotAvailable, protocol.ConcurrentTransactions, protocol.NotEnoughReplicas,
			protocol.NotCoordinator, protocol.NotLeaderOrFollower, protocol.UnknownTopicOrPartition: // it has not heard of it yet
			return false
		default:
			x.t.Fatal(what, c)
			return false
		}
	})
}

func (x *txnClient) find(kind int8, key string) (at int32) {
	x.t.Helper()
	q := kmsg.NewPtrFindCoordinatorRequest()
	q.CoordinatorType, q.CoordinatorKey = kind, key
	x.ok("find the coordinator", 1, 3, q, func(r kmsg.Response) int16 {
		at = r.(*kmsg.FindCoordinatorResponse).NodeID
		return r.(*kmsg.FindCoordinatorResponse).ErrorCode
	})
	return at
}

func (x *txnClient) init() {
	x.t.Helper()
	x.at = x.find(1, x.id)
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionalID, q.TransactionTimeoutMillis = &x.id, 60_000
	x.ok("init", x.at, 5, q, func(r kmsg.Response) int16 {
		a := r.(*kmsg.InitProducerIDResponse)
		x.pid, x.epoch = a.ProducerID, a.ProducerEpoch
		return a.ErrorCode
	})
}

func (x *txnClient) write(leader int32, topic, value string) {
	x.t.Helper()
	q := kmsg.NewPtrProduceRequest()
	q.TransactionID, q.Acks, q.TimeoutMillis = &x.id, -1, 10_000
	b := record.Builder{HasProducer: true, Transactional: true, ProducerID: x.pid, ProducerEpoch: x.epoch, LeaderEpoch: -1}
	b.Add(1, nil, []byte(value))
	q.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: b.AppendTo(nil)}}}}
	x.ok("produce", leader, 12, q, func(r kmsg.Response) int16 { return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode })
}

func (x *txnClient) commitOffset(group string, offset int64) {
	x.t.Helper()
	at := x.find(0, group)
	q := kmsg.NewPtrTxnOffsetCommitRequest()
	q.TransactionalID, q.Group, q.ProducerID, q.ProducerEpoch, q.Generation = x.id, group, x.pid, x.epoch, -1
	part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	part.Offset = offset
	q.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{part}}}
	x.ok("commit an offset", at, 5, q, func(r kmsg.Response) int16 {
		return r.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
	})
}

func (x *txnClient) end(commit bool) {
	x.t.Helper()
	q := kmsg.NewPtrEndTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch, q.Commit = x.id, x.pid, x.epoch, commit
	x.ok("end", x.at, 5, q, func(r kmsg.Response) int16 {
		a := r.(*kmsg.EndTxnResponse)
		if a.ErrorCode == 0 {
			x.pid, x.epoch = a.ProducerID, a.ProducerEpoch
		}
		return a.ErrorCode
	})
}

// settled waits until no transaction is open in a topic.
func (x *txnClient) settled(leader int32, topic string) {
	x.t.Helper()
	offset := func(isolation int8) int64 {
		q := kmsg.NewPtrListOffsetsRequest()
		q.SetVersion(7)
		q.ReplicaID, q.IsolationLevel = -1, isolation
		q.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -1, CurrentLeaderEpoch: -1}}}}
		r, err := x.ask(leader, q)
		if err != nil {
			x.t.Fatal(err)
		}
		return r.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset
	}
	eventually(x.t, topic+" has its marker", func() bool { return offset(1) == offset(0) })
}

// TestTransactionsAcrossBrokers has transactions write to partitions that each of three brokers leads, and commit offsets: whoever coordinates
// them, most of those who lead have to ask another broker, and get their markers from it.
func TestTransactionsAcrossBrokers(t *testing.T) {
	c := startRestartable(t, "offsets.topic.num.partitions=5", "transaction.state.log.num.partitions=5")
	cc := newClusterClient(t, c)
	for leader := int32(1); leader <= 3; leader++ {
		cc.create(t, fmt.Sprint("t", leader), leader, leader%3+1, (leader+1)%3+1)
	}
	cc.create(t, "t", 1, 2, 3)
	coordinators := map[int32]bool{}
	for i := range 4 {
		x := &txnClient{clusterClient: cc, t: t, id: fmt.Sprint("id", i)}
		x.init()
		coordinators[x.at] = true
		group := fmt.Sprint("g", i)
		for round, commit := range []bool{true, false, true} {
			for leader := int32(1); leader <= 3; leader++ {
				x.write(leader, fmt.Sprint("t", leader), fmt.Sprint(i, round, commit))
			}
			x.commitOffset(group, int64(10+round))
			x.end(commit)
		}
		for leader := int32(1); leader <= 3; leader++ {
			x.settled(leader, fmt.Sprint("t", leader))
		}
		eventually(t, "the group has its marker", func() bool { return cc.committed(x.find(0, group), group) == 12 })
	}
	t.Log(len(coordinators), "brokers coordinated")
	for leader := int32(1); leader <= 3; leader++ {
		topic := fmt.Sprint("t", leader)
		_, id := cc.partition(topic, 0)
		_, raw := cc.read(t, leader, topic, id)
		markers := 0
		for len(raw) > 0 {
			b, rest, err := record.Next(raw)
			if err != nil {
				t.Fatal(err)
			}
			if raw = rest; b.Control() {
				markers++
			}
		}
		if markers != 12 {
			t.Errorf("%s has %d markers, not one for each transaction", topic, markers)
		}
	}
}

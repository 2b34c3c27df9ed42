package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/controller"
	"weir/coordinator"
	"weir/coordinator/txn"
	"weir/protocol"
)

// AddPartitionsToTxn (24), v0-5. Answered by the transaction coordinator.
//
// Versions: 2 PRODUCER_FENCED · 3 flexible · 4 of brokers: many transactions, verification (KIP-890) · 5 TRANSACTION_ABORTABLE.
// Needs: up to version 3 WRITE on TransactionalId, WRITE on each Topic that is not internal; later CLUSTER_ACTION on Cluster.
// Differs from Kafka:
//   - a request of version 4 or 5 about no transaction is answered; Kafka leaves it without
//   - a transactional id that a request of version 4 or 5 has added partitions for is answered INVALID_REQUEST when it comes again in it

func addPartitionsToTxn(s *Server, c *Call, q *kmsg.AddPartitionsToTxnRequest) (Response, error) {
	if q.Version >= 4 {
		return addBatched(s, c, q), nil
	}
	resp := q.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if !mayTxn(s, c.Session, Write, q.TransactionalID) {
		return addedTopics(resp, q, func(string, int32) protocol.Code { return protocol.TransactionalIDAuthorizationFailed }), nil
	}
	img := s.Image()
	problem := func(topic string, partition int32) protocol.Code {
		switch {
		case !isInternal(topic) && !s.mayTopic(c.Session, Write, topic):
			return protocol.TopicAuthorizationFailed
		case img.Topic(topic).Partition(partition) == nil:
			return protocol.UnknownTopicOrPartition
		}
		return protocol.None
	}
	bad := false
	for i := range q.Topics {
		for _, p := range q.Topics[i].Partitions {
			bad = bad || problem(q.Topics[i].Topic, p) != protocol.None
		}
	}
	if bad {
		return addedTopics(resp, q, func(topic string, partition int32) protocol.Code {
			if code := problem(topic, partition); code != protocol.None {
				return code
			}
			return protocol.OperationNotAttempted
		}), nil
	}
	return askTxn(s, q.TransactionalID, func(m *txn.Machine, now int64, t coordinator.Token) coordinator.Effects {
		return m.AddPartitionsToTxn(now, t, q)
	}, func(code protocol.Code) Response {
		return addedTopics(resp, q, func(string, int32) protocol.Code { return fencedCode(q.Version, code) })
	}), nil
}

// addedTopics answers a client with a code for each partition.
func addedTopics(resp *kmsg.AddPartitionsToTxnResponse, q *kmsg.AddPartitionsToTxnRequest, code func(topic string, partition int32) protocol.Code) Response {
	for i := range q.Topics {
		t := kmsg.NewAddPartitionsToTxnResponseTopic()
		t.Topic = q.Topics[i].Topic
		for _, n := range q.Topics[i].Partitions {
			p := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
			p.Partition, p.ErrorCode = n, int16(code(t.Topic, n))
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// addBatched answers another broker. What is about one partition of __transaction_state is one operation.
func addBatched(s *Server, c *Call, q *kmsg.AddPartitionsToTxnRequest) Response {
	resp := q.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if !s.mayCluster(c.Session, ClusterAction) {
		resp.ErrorCode = int16(protocol.ClusterAuthorizationFailed)
		return resp
	}
	img := s.Image()
	resp.Transactions = make([]kmsg.AddPartitionsToTxnResponseTransaction, len(q.Transactions))
	var cuts []addCut
	for i := range q.Transactions {
		x := &q.Transactions[i]
		if refuseUnknown(img, x, &resp.Transactions[i]) {
			continue
		}
		cuts = addToCut(cuts, s.TxnPartition(x.TransactionalID), i)
	}
	a := newAsking(len(cuts))
	for i := range cuts {
		sub := kmsg.NewPtrAddPartitionsToTxnRequest()
		sub.Version = q.Version
		for _, at := range cuts[i].of {
			sub.Transactions = append(sub.Transactions, q.Transactions[at])
		}
		a.inTxns(s, i, cuts[i].partition, func(m *txn.Machine, now int64, t coordinator.Token) coordinator.Effects {
			return m.AddPartitionsToTxn(now, t, sub)
		})
	}
	return a.then(func(outcomes []answerOf) Response {
		for i := range outcomes {
			for j, at := range cuts[i].of {
				if o := &outcomes[i]; o.code == protocol.None {
					resp.Transactions[at] = o.response.(*kmsg.AddPartitionsToTxnResponse).Transactions[j]
				} else {
					resp.Transactions[at] = addedTransaction(&q.Transactions[at], func(string, int32) protocol.Code { return o.code })
				}
			}
		}
		return resp
	})
}

// addCut is the transactions of a request that one partition has, by their indexes.
type addCut struct {
	partition int32
	of        []int
}

func addToCut(cuts []addCut, partition int32, index int) []addCut {
	for i := range cuts {
		if cuts[i].partition == partition {
			cuts[i].of = append(cuts[i].of, index)
			return cuts
		}
	}
	return append(cuts, addCut{partition, []int{index}})
}

// refuseUnknown answers a transaction with a partition that there is not.
func refuseUnknown(img *controller.Image, x *kmsg.AddPartitionsToTxnRequestTransaction, out *kmsg.AddPartitionsToTxnResponseTransaction) bool {
	problem := func(topic string, partition int32) protocol.Code {
		if img.Topic(topic).Partition(partition) == nil {
			return protocol.UnknownTopicOrPartition
		}
		return protocol.OperationNotAttempted
	}
	for i := range x.Topics {
		for _, p := range x.Topics[i].Partitions {
			if problem(x.Topics[i].Topic, p) == protocol.UnknownTopicOrPartition {
				*out = addedTransaction(x, problem)
				return true
			}
		}
	}
	return false
}

// addedTransaction answers one transaction with a code for each partition.
func addedTransaction(x *kmsg.AddPartitionsToTxnRequestTransaction, code func(topic string, partition int32) protocol.Code) kmsg.AddPartitionsToTxnResponseTransaction {
	out := kmsg.NewAddPartitionsToTxnResponseTransaction()
	out.TransactionalID = x.TransactionalID
	for i := range x.Topics {
		t := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
		t.Topic = x.Topics[i].Topic
		for _, n := range x.Topics[i].Partitions {
			p := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
			p.Partition, p.ErrorCode = n, int16(code(t.Topic, n))
			t.Partitions = append(t.Partitions, p)
		}
		out.Topics = append(out.Topics, t)
	}
	return out
}

package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/broker/partition"
	"weir/controller"
	"weir/coordinator"
	"weir/coordinator/group"
	"weir/protocol"
)

// TxnOffsetCommit (28), v0-6. Answered by the group coordinator, which has the transaction coordinator verify the producer first.
//
// Versions: 2 leader epochs · 3 flexible, members (KIP-447) · 4 TRANSACTION_ABORTABLE · 5 implicit AddOffsetsToTxn (KIP-890) · 6 topic ids.
// Needs: WRITE on TransactionalId, READ on Group, READ on each Topic.
// Differs from Kafka: nothing known.

func txnOffsetCommit(s *Server, c *Call, q *kmsg.TxnOffsetCommitRequest) (Response, error) {
	resp := q.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	switch {
	case !mayTxn(s, c.Session, Write, q.TransactionalID):
		return refuseTxnCommits(resp, new(topicPlaces), q, protocol.TransactionalIDAuthorizationFailed), nil
	case !s.mayGroup(c.Session, Read, q.Group):
		return refuseTxnCommits(resp, new(topicPlaces), q, protocol.GroupAuthorizationFailed), nil
	}
	img, kept, places := s.Image(), q.Topics[:0], new(topicPlaces)
	for _, t := range q.Topics {
		if t.Partitions = checkTxnCommit(s, c.Session, img, resp, places, &t, q.Version); len(t.Partitions) > 0 {
			kept = append(kept, t)
		}
	}
	if q.Topics = kept; len(kept) == 0 {
		return resp, nil
	}
	if q.Group == "" {
		return refuseTxnCommits(resp, places, q, protocol.InvalidGroupID), nil
	}
	a := newAsking(1)
	verifyOffsets(s, img, q, func(id partition.ID, g partition.Guard, code protocol.Code) {
		if code != protocol.None {
			a.done(0, nil, s.CoordinatorCode(code))
			return
		}
		a.in(s, 0, id.Partition, func(m *group.Machine, now int64, t coordinator.Token) coordinator.Effects {
			return commitTxnOffsets(s, m, now, t, q, id, g)
		})
	})
	return a.then(func(outcomes []answerOf) Response {
		o := &outcomes[0]
		if o.code != protocol.None {
			if q.Version < 2 && o.code == protocol.CoordinatorLoadInProgress { // the clients of that time fail on it
				o.code = protocol.CoordinatorNotAvailable
			}
			return refuseTxnCommits(resp, places, q, o.code)
		}
		answer := o.response.(*kmsg.TxnOffsetCommitResponse)
		for i := range answer.Topics {
			t := &answer.Topics[i]
			rt := txnCommitTopic(resp, places, t.Topic, t.TopicID)
			rt.Partitions = append(rt.Partitions, t.Partitions...)
		}
		return resp
	}), nil
}

// commitTxnOffsets is the operation on the group. A marker of the transaction goes through the same machine, so that what the guard says
// holds until the records are appended.
func commitTxnOffsets(s *Server, m *group.Machine, now int64, t coordinator.Token, q *kmsg.TxnOffsetCommitRequest, id partition.ID, g partition.Guard) coordinator.Effects {
	fx := m.TxnOffsetCommit(now, t, q)
	if fx.Producer == nil {
		return fx
	}
	if code := s.Replicas.CheckVerified(id, q.ProducerID, q.ProducerEpoch, g); code != protocol.None {
		resp := q.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		return coordinator.Effects{Replies: []coordinator.Reply{{To: t, Response: refuseTxnCommits(resp, new(topicPlaces), q, s.CoordinatorCode(code))}}}
	}
	return fx
}

// verifyOffsets asks the transaction coordinator whether the group's partition of __consumer_offsets is in the producer's transaction, or
// has it added. then is called once, maybe before it returns.
func verifyOffsets(s *Server, img *controller.Image, q *kmsg.TxnOffsetCommitRequest, then func(id partition.ID, g partition.Guard, code protocol.Code)) {
	n := s.groupPartition(q.Group)
	id := partition.ID{Partition: n}
	if t := img.Topic(offsetsTopic); t != nil {
		id.Topic = t.ID
	}
	add := q.Version >= 5
	guard, code := s.Replicas.StartVerification(id, q.ProducerID, q.ProducerEpoch, 0, add)
	if code != protocol.None || !guard.Needed() || s.TxnVerifier == nil || !add && !verifiesTxns(s) {
		then(id, guard, code)
		return
	}
	ask := &TxnPartitions{TransactionalID: q.TransactionalID, ProducerID: q.ProducerID, ProducerEpoch: q.ProducerEpoch, Add: add,
		Partitions: []TxnPartition{{offsetsTopic, n}}}
	s.TxnVerifier.VerifyPartitions(ask, func(codes []protocol.Code) {
		code := protocol.NetworkException
		if len(codes) > 0 {
			code = commitCode(codes[0], q.Version)
		}
		then(id, guard, code)
	})
}

// commitCode is what a client hears of the transaction coordinator's code (AddPartitionsToTxnManager).
func commitCode(c protocol.Code, version int16) protocol.Code {
	switch {
	case c == protocol.ProducerFenced:
		return protocol.InvalidProducerEpoch
	case c == protocol.ClusterAuthorizationFailed, c == protocol.TransactionAbortable && version < 4:
		return protocol.InvalidTxnState
	}
	return c
}

// checkTxnCommit gives a topic both its name and its id, refuses what cannot be committed, and returns the other partitions.
func checkTxnCommit(s *Server, who *Session, img *controller.Image, resp *kmsg.TxnOffsetCommitResponse, places *topicPlaces, t *kmsg.TxnOffsetCommitRequestTopic, version int16) []kmsg.TxnOffsetCommitRequestTopicPartition {
	topic, code := checkCommit(s, who, img, &t.Topic, &t.TopicID, version >= 6)
	if code != protocol.None {
		refuseTxnCommit(resp, places, t, t.Partitions, code)
		return nil
	}
	var known, not []kmsg.TxnOffsetCommitRequestTopicPartition
	for _, p := range t.Partitions {
		if topic.Partition(p.Partition) == nil {
			not = append(not, p)
		} else {
			known = append(known, p)
		}
	}
	if len(not) > 0 {
		refuseTxnCommit(resp, places, t, not, protocol.UnknownTopicOrPartition)
	}
	return known
}

func refuseTxnCommits(resp *kmsg.TxnOffsetCommitResponse, places *topicPlaces, q *kmsg.TxnOffsetCommitRequest, code protocol.Code) *kmsg.TxnOffsetCommitResponse {
	for i := range q.Topics {
		refuseTxnCommit(resp, places, &q.Topics[i], q.Topics[i].Partitions, code)
	}
	return resp
}

// refuseTxnCommit answers partitions with a code. A topic that is in the response already is there once.
func refuseTxnCommit(resp *kmsg.TxnOffsetCommitResponse, places *topicPlaces, t *kmsg.TxnOffsetCommitRequestTopic, partitions []kmsg.TxnOffsetCommitRequestTopicPartition, code protocol.Code) {
	rt := txnCommitTopic(resp, places, t.Topic, t.TopicID)
	for i := range partitions {
		rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
		rp.Partition, rp.ErrorCode = partitions[i].Partition, int16(code)
		rt.Partitions = append(rt.Partitions, rp)
	}
}

// txnCommitTopic finds a topic in a response, or adds it.
func txnCommitTopic(resp *kmsg.TxnOffsetCommitResponse, places *topicPlaces, name string, id [16]byte) *kmsg.TxnOffsetCommitResponseTopic {
	i := places.of(name, id, len(resp.Topics))
	if i == len(resp.Topics) {
		rt := kmsg.NewTxnOffsetCommitResponseTopic()
		rt.Topic, rt.TopicID = name, id
		resp.Topics = append(resp.Topics, rt)
	}
	return &resp.Topics[i]
}

package api

import (
	"context"
	"strconv"

	"weir/config"
	"weir/controller"
	"weir/coordinator"
	"weir/coordinator/txn"
	"weir/protocol"
)

// Txns is the transaction coordinator as far as this broker is it: coordinator.Runtime.
type Txns interface {
	// Do runs an operation in a partition of __transaction_state and calls done once, maybe before it returns.
	Do(partition int32, op coordinator.Operation[*txn.Machine], done coordinator.Done)
	// Partitions are those that this broker coordinates, loaded or not.
	Partitions() []int32
	// Wait returns when the partition is not loading any more, or with an error when ctx is done.
	Wait(ctx context.Context, partition int32) error
}

// txnTopic is where the state of transactions is.
const txnTopic = "__transaction_state"

// TxnPartition is the partition of __transaction_state that a transactional id belongs to.
func (s *Server) TxnPartition(id string) int32 {
	return keyPartition(id, s.coordinatorPartitions(txnTopic, "transaction.state.log.num.partitions"))
}

// inTxns runs the i-th operation in a partition of __transaction_state.
func (a *asking) inTxns(s *Server, i int, partition int32, op coordinator.Operation[*txn.Machine]) {
	s.Txns.Do(partition, weighed(a, op), func(response any, err error) { a.done(i, response, s.CoordinatorCode(err)) })
}

// askTxn runs one operation on a transactional id. Its answer is the machine's, or what failed makes of a code.
func askTxn(s *Server, id string, op coordinator.Operation[*txn.Machine], failed func(code protocol.Code) Response) Response {
	a := newAsking(1)
	a.inTxns(s, 0, s.TxnPartition(id), op)
	return a.then(func(outcomes []answerOf) Response {
		if o := &outcomes[0]; o.code == protocol.None {
			return o.response
		}
		return failed(outcomes[0].code)
	})
}

// mayTxn says whether the session may do op to a transactional id.
func mayTxn(s *Server, who *Session, op Operation, id string) bool {
	return s.Authorizer.Authorize(who, op, TransactionalIDResource, id)
}

// fencedCode is what clients of old versions of a transaction's requests hear of PRODUCER_FENCED, which they do not know.
func fencedCode(version int16, code protocol.Code) protocol.Code {
	if version < 2 && code == protocol.ProducerFenced {
		return protocol.InvalidProducerEpoch
	}
	return code
}

// verifiesTxns says whether the transaction coordinator is asked before a client's transactional batch is appended. Where the client
// leaves it to the broker to add partitions to its transaction it is asked in any case.
func verifiesTxns(s *Server) bool {
	img := s.Image()
	l := config.Layers{Static: s.Config, Cluster: img.Config(controller.BrokerConfig, ""),
		Broker: img.Config(controller.BrokerConfig, strconv.Itoa(int(s.NodeID)))}
	return l.Bool("transaction.partition.verification.enable")
}
